"""A checked config becomes objects: one dict, one object."""

import copy
import functools

import config_parts
import pytest
import torch
from config_parts import Box, Refuses

from hat.config import Builder, ConfigError, load
from hat.registry import register


def build(path, root="root", overrides=(), **given):
    return Builder(load(path, list(overrides))).build(root, **given)


# --- what a type may be


def test_a_type_may_be_a_class(write):
    path = write("from config_parts import Box\nroot = dict(type=Box, a=1)")
    assert build(path).contents == {"a": 1}


def test_a_type_may_be_a_dotted_path(write):
    assert build(write("root = dict(type='config_parts.Box', a=1)")).contents == {"a": 1}


def test_a_type_may_be_the_name_of_a_part_of_hat(write):
    from hat.callbacks.schedules import CosineLr

    assert isinstance(build(write("root = dict(type='CosineLr')")), CosineLr)


@pytest.mark.usefixtures("own_registry")
def test_a_type_may_be_a_registered_name(write):
    register("backbone", "MyBox")(Box)
    assert isinstance(build(write("root = dict(type='MyBox')")), Box)


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("config_parts.Box", {}),
        ("config_parts.Box.closed", {"is_closed": True}),
        ("config_parts.make_box", {"size": 0}),
        ("config_parts.of_size_3", {"size": 3}),
    ],
)
def test_a_type_may_be_anything_that_can_be_called(write, target, expected):
    assert build(write(f"root = dict(type='{target}')")).contents == expected


def test_a_type_may_be_a_class_method(write):
    path = write("from config_parts import Box\nroot = dict(type=Box.closed)")
    assert build(path).contents == {"is_closed": True}


def test_a_type_may_be_a_class_without_a_signature(write):
    assert build(write("root = dict(type='builtins.dict', a=1)")) == {"a": 1}


# --- one dict, one object


def test_a_dict_that_stands_twice_is_built_once(write):
    text = "part = dict(type='config_parts.Box')\n"
    text += "root = dict(type='config_parts.Box', a=part, b=[dict(c=part)])"
    contents = build(write(text)).contents
    assert contents["a"] is contents["b"][0]["c"]


def test_two_equal_dicts_are_two_objects(write):
    text = "root = [dict(type='config_parts.Box'), dict(type='config_parts.Box')]"
    first, second = build(write(text))
    assert first is not second


def test_two_roots_of_a_builder_share_a_part(write):
    text = """
        part = dict(type="config_parts.Box")
        a = dict(type="config_parts.Box", part=part)
        b = dict(type="config_parts.Box", part=part)
        """
    builder = Builder(load(write(text)))
    assert builder.build("a").contents["part"] is builder.build("b").contents["part"]


def test_two_builders_share_nothing(write):
    config = load(write("root = dict(type='config_parts.Box')"))
    assert Builder(config).build("root") is not Builder(config).build("root")


def test_a_part_shared_through_a_base_is_built_once(write):
    write("part = dict(type='config_parts.Box')\n", "base.py")
    text = "from .base import *\nfrom . import base\nroot = [part, base.part]\n"
    first, second = build(write(text))
    assert first is second


def test_a_replaced_dict_is_not_the_shared_one(write):
    text = "part = dict(type='config_parts.Box')\nroot = [part, part | dict(a=1)]\n"
    first, second = build(write(text))
    assert (first.contents, second.contents) == ({}, {"a": 1})


def test_a_part_that_died_is_not_taken_for_a_new_one(write):
    config = load(write("root = dict(type='config_parts.Box')"))
    builder = Builder(config)
    built = []
    for number in range(50):
        config.values["root"] = {"type": "config_parts.Box", "number": number}
        built.append(builder.build("root").contents["number"])
    assert built == list(range(50))


def test_building_leaves_the_config_as_it_was(write):
    text = """
        part = dict(type="config_parts.Box", items=[1, (2, dict(b=3))])
        root = dict(
            type="config_parts.Learner",
            optimizer=dict(type="torch.optim.SGD", lr=0.1, foreach=None),
        )
        other = dict(type="config_parts.Box", part=part, parts=[part])
        """
    config = load(write(text))
    before = copy.deepcopy(config.values)
    builder = Builder(config)
    builder.build("root")
    builder.build("other")
    assert config.values == before


def test_what_a_part_does_to_its_arguments_does_not_reach_the_config(write):
    config = load(write("root = dict(type='config_parts.Box', items=[1], named=dict(a=[2]))"))
    contents = Builder(config).build("root").contents
    contents["items"].append(5)
    contents["named"]["a"].append(5)
    assert config.values["root"] == {
        "type": "config_parts.Box",
        "items": [1],
        "named": {"a": [2]},
    }


def test_lists_stay_lists_and_tuples_stay_tuples(write):
    assert build(write("root = [1, (2, [3], ()), dict(a=(4,))]")) == [1, (2, [3], ()), {"a": (4,)}]


def test_a_built_dict_is_an_ordinary_dict(write):
    assert type(build(write("root = dict(a=1)"))) is dict


def test_the_caller_adds_arguments_to_the_root(write):
    path = write("root = dict(type='config_parts.Box', inner=dict(type='config_parts.Box'))")
    contents = build(path, run_dir="here").contents
    assert (contents["run_dir"], contents["inner"].contents) == ("here", {})


# --- parameters that want a maker


def test_a_maker_is_a_partial_of_its_type(write):
    text = """
        root = dict(
            type="config_parts.Learner",
            optimizer=dict(type="torch.optim.SGD", lr=0.1, momentum=0.9),
        )
        """
    maker = build(write(text)).optimizer
    assert isinstance(maker, functools.partial)
    assert (maker.func, maker.args, maker.keywords) == (
        torch.optim.SGD,
        (),
        {"lr": 0.1, "momentum": 0.9},
    )


def test_parts_inside_a_maker_are_built(write):
    text = """
        root = dict(
            type="config_parts.Learner",
            optimizer=dict(type="config_parts.Box", inner=dict(type="config_parts.Box", a=1)),
        )
        """
    assert build(write(text)).optimizer.keywords["inner"].contents == {"a": 1}


def test_two_stages_may_use_one_maker(write):
    text = """
        optimizer = dict(type="torch.optim.SGD", lr=0.1)
        root = [
            dict(type="config_parts.Learner", optimizer=optimizer),
            dict(type="config_parts.Learner", optimizer=optimizer),
        ]
        """
    first, second = build(write(text))
    assert first.optimizer.keywords == second.optimizer.keywords == {"lr": 0.1}


# --- randomness


def test_the_weights_of_a_part_do_not_depend_on_the_others(write):
    alone = write("root = dict(a=dict(type='config_parts.Drawn'))", "alone.py")
    text = "root = dict(z=dict(type='config_parts.Drawn'), a=dict(type='config_parts.Drawn'))"
    assert torch.equal(build(alone)["a"].weight, build(write(text))["a"].weight)


def test_two_parts_draw_different_weights(write):
    text = "root = [dict(type='config_parts.Drawn'), dict(type='config_parts.Drawn')]"
    first, second = build(write(text))
    assert not torch.equal(first.weight, second.weight)


def test_an_outer_part_draws_what_it_draws_without_inner_parts(write):
    text = "root = dict(type='config_parts.Drawn')"
    nested = "root = dict(type='config_parts.Drawn', before=dict(type='config_parts.Drawn'))"
    alone = build(write(text)).weight
    assert torch.equal(alone, build(write(nested)).weight)


def test_another_seed_gives_other_weights(write):
    config = load(write("root = dict(type='config_parts.Drawn')"))
    first, second = (Builder(config, seed).build("root").weight for seed in (0, 1))
    assert not torch.equal(first, second)


def test_without_a_seed_the_generator_is_left_alone(write):
    config = load(write("root = dict(type='config_parts.Drawn')"))
    torch.manual_seed(5)
    built = Builder(config, None).build("root").weight
    torch.manual_seed(5)
    assert torch.equal(built, torch.rand(3))


# --- a constructor that refuses


def test_a_refusal_is_told_with_path_line_and_reason(write):
    path = write("root = [\n    1,\n    dict(type='config_parts.Refuses', reason='too wide'),\n]")
    with pytest.raises(ConfigError) as caught:
        build(path)
    [mistake] = caught.value.mistakes
    assert (mistake.path, mistake.location.line) == ("root[1]", 3)
    assert mistake.message == "config_parts.Refuses: too wide"


def test_a_refusal_of_what_has_no_name_of_its_own_is_told(write):
    with pytest.raises(ConfigError, match="unexpected keyword argument 'sise'"):
        build(write("root = dict(type='config_parts.of_size_3', sise=1)"))


def test_all_refusals_are_told_together(write):
    text = """
        root = dict(
            type="config_parts.Box",
            a=dict(type="config_parts.Refuses"),
            b=[dict(type="config_parts.Box", c=dict(type="config_parts.Refuses"))],
            d=dict(e=dict(type="config_parts.Refuses")),
        )
        """
    with pytest.raises(ConfigError) as caught:
        build(write(text))
    assert [(m.path, m.location.line) for m in caught.value.mistakes] == [
        ("root.a", 4),
        ("root.b[0].c", 5),
        ("root.d.e", 6),
    ]


def test_a_part_that_stands_twice_is_refused_once(write, monkeypatch):
    monkeypatch.setattr(config_parts.Refuses, "tries", 0)
    text = "part = dict(type='config_parts.Refuses')\nroot = [part, dict(again=part)]\n"
    with pytest.raises(ConfigError) as caught:
        build(write(text))
    assert [m.path for m in caught.value.mistakes] == ["root[0]"]
    assert Refuses.tries == 1


def test_what_depends_on_a_part_that_failed_is_not_tried(write):
    text = """
        part = dict(type="config_parts.Refuses")
        root = [part, dict(type="config_parts.Drawn", before=part), dict(a=part)]
        """
    with pytest.raises(ConfigError) as caught:
        build(write(text))
    assert [m.path for m in caught.value.mistakes] == ["root[0]"]


def test_a_refusal_inside_a_maker_is_told(write):
    text = """
        root = dict(
            type="config_parts.Learner",
            optimizer=dict(type="config_parts.Box", inner=dict(type="config_parts.Refuses")),
        )
        """
    with pytest.raises(ConfigError, match=r"root\.optimizer\.inner"):
        build(write(text))


def test_a_failure_without_a_message_is_told_by_its_kind(write):
    with pytest.raises(ConfigError, match=r"config_parts\.Silent: RuntimeError"):
        build(write("root = dict(type='config_parts.Silent')"))


def test_a_missing_key_is_told_without_its_quotes(write):
    with pytest.raises(ConfigError, match=r"config_parts\.looked_up: a\.b is missing$"):
        build(write("root = dict(type='config_parts.looked_up', key='a.b is missing')"))


def test_the_reason_is_raised_as_it_is_when_a_traceback_is_asked_for(write, monkeypatch):
    monkeypatch.setenv("HAT_TRACEBACK", "1")
    with pytest.raises(ValueError, match=r"^no$"):
        build(write("root = dict(type='config_parts.Refuses')"))


def test_a_part_that_failed_can_be_built_after_it_was_mended(write):
    config = load(write("root = dict(type='config_parts.Needs', width=1)"))
    with pytest.raises(ConfigError):
        Builder(config).build("root")
    config.values["root"]["height"] = 2
    assert Builder(config).build("root").size == (1, 2, 1)
