"""A config as JSON and back: equal, equally shared, and only what can be written down."""

import json
import math
from pathlib import Path

import pytest
import torch
from config_parts import Box, Color, make_box
from torchvision.transforms import InterpolationMode

from hat.config import Config, ConfigError, check, decode, encode, load


def round_trip(**values):
    text = json.dumps(encode(Config(Path("a.py"), values)), allow_nan=False)
    return decode(json.loads(text))


def write_run(folder, **values):
    record = {"name": "digits", "overrides": ["a=1"], "config": encode(Config(Path("a"), values))}
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text(json.dumps(record))
    return folder


@pytest.mark.parametrize(
    "value",
    [
        None,
        True,
        0,
        10**40,
        -0.5,
        1e-300,
        math.inf,
        -math.inf,
        "",
        "größe 🎉 \n\t\0 'x'",
        "\ud800",
        [],
        (),
        {},
        [1, (2, [3, (4,)])],
        {"a": {"b": (1, {"c": None})}},
        {1: "a", (1, 2): "b", None: "c", 2.5: "d", "1": "e", Color.RED: "f", math.inf: "g"},
        {"$same": "x"},
        {"$object": "torch.float32"},
        {"$tuple": [1], "$float": 2, "other": 3},
        {"a b": 1, "a.b": {"": {"[0]": 2}}},
        Path("a b/c"),
        torch.float32,
        torch.channels_last,
        Color.RED,
        InterpolationMode.BILINEAR,
        Box,
        make_box,
        math.sqrt,
        torch.nn.functional.relu,
    ],
)
def test_a_value_comes_back_equal(value):
    back = round_trip(a=value)["a"]
    assert (back, type(back)) == (value, type(value))


def test_nan_comes_back():
    assert math.isnan(round_trip(a=[math.nan])["a"][0])


def test_the_sign_of_zero_comes_back():
    assert math.copysign(1, round_trip(a=-0.0)["a"]) == -1


def test_a_class_method_comes_back():
    assert round_trip(a=Box.closed)["a"]().contents == {"is_closed": True}


def test_the_type_of_a_part_comes_back_as_its_import_path():
    assert round_trip(a=dict(type=Box, x=1))["a"] == {"type": "config_parts.Box", "x": 1}


def test_values_keep_their_order():
    assert list(round_trip(b=1, a={"z": 1, "c": 2})["a"]) == ["z", "c"]


def test_encoding_leaves_the_config_as_it_was():
    config = Config(Path("a.py"), {"a": {"type": Box, "x": (1, {"y": math.inf})}})
    encode(config)
    assert config.values == {"a": {"type": Box, "x": (1, {"y": math.inf})}}


# --- sharing


def test_a_dict_that_stands_twice_comes_back_as_one():
    part = {"type": "A"}
    back = round_trip(part=part, inner={"list": [1, (part,)]})
    assert back["inner"]["list"][1][0] is back["part"]


def test_equal_dicts_come_back_as_two():
    back = round_trip(a={"type": "A"}, b={"type": "A"})
    assert back["a"] is not back["b"]


def test_a_dict_first_met_deep_inside_comes_back_as_one():
    part = {"type": "A"}
    back = round_trip(first={"list": [part]}, part=part)
    assert back["first"]["list"][0] is back["part"]


@pytest.mark.parametrize("key", [1, None, 2.5, (1, 2), Color.RED, math.inf])
def test_a_dict_under_a_key_that_is_no_text_comes_back_as_one(key):
    part = {"type": "A"}
    back = round_trip(named={key: part}, part=part)
    assert back["named"][key] is back["part"]


@pytest.mark.parametrize(
    "other", [{"backbone": {"stem": {}}}, {"backbone": [{}]}, {"backbone[0]": {}}]
)
def test_keys_with_dots_and_brackets_do_not_mix_dicts_up(other):
    part = {"type": "A"}
    values = {"named": {"backbone.stem": part, "backbone[0]": part} | other, "part": part}
    assert round_trip(**values)["part"] == {"type": "A"}


def test_keys_that_print_alike_do_not_mix_dicts_up():
    part = {"type": "A"}
    back = round_trip(named={1: part, "1": {"type": "B"}}, part=part)
    assert back["part"] == {"type": "A"}


def test_a_dict_inside_itself_comes_back_so():
    loop = {"a": 1}
    loop["inner"] = loop
    back = round_trip(loop=loop)["loop"]
    assert back["inner"] is back


# --- what cannot be written down


@pytest.mark.parametrize(
    "text",
    [
        "lambda: 1",
        "Local",
        "dict(type=Local)",
        "local",
        "Box()",
        "dict(type='config_parts.Box', inner=Box())",
        "[1, (Box(),)]",
        "object()",
        "{1, 2}",
        "b'a'",
        "torch.zeros(2)",
        "torch.nn.Linear(1, 1)",
        "functools.partial(print)",
        "Box().__repr__",
        "torch",
        "...",
        "1j",
    ],
)
def test_what_is_not_plain_is_refused(write, text):
    head = (
        "import functools, torch\nfrom config_parts import Box\n"
        "class Local: ...\ndef local(): ...\n"
    )
    with pytest.raises(ConfigError, match="a config holds plain values"):
        encode(load(write(f"{head}root = dict(value={text})")))


def test_everything_that_is_not_plain_is_told_with_path_and_line(write):
    path = write(
        """
        class Local: ...

        root = dict(
            part=dict(type=Local),
            named={"call": lambda: 1},
            items=[
                dict(x=object()),
            ],
        )
        """
    )
    with pytest.raises(ConfigError) as caught:
        encode(load(path))
    assert [(m.path, m.location.line) for m in caught.value.mistakes] == [
        ("root.part.type", 5),
        ("root.named.call", 6),
        ("root.items[0].x", 8),
    ]


# --- the folder of a run


def test_a_run_folder_is_a_config(tmp_path):
    config = load(write_run(tmp_path / "run", a=1, b=(2,)))
    assert (config.values, config.name, config.overrides) == (
        {"a": 1, "b": (2,)},
        "digits",
        ["a=1"],
    )


def test_the_config_file_of_a_run_is_a_config(tmp_path):
    run = write_run(tmp_path / "run", a=1)
    assert load(run / "config.json").values == {"a": 1}


def test_a_value_of_a_run_can_be_overridden_where_it_is_used(tmp_path):
    part = {"type": "config_parts.Box", "size": 1}
    config = load(write_run(tmp_path / "run", part=part, a_trainer={"part": part}), ["part.size=2"])
    assert config.values["a_trainer"]["part"]["size"] == 2
    assert config.overrides == ["a=1", "part.size=2"]


def test_a_value_of_a_run_from_which_others_were_computed_is_not_replaced_in_silence(
    write, tmp_path
):
    source = write("num_epochs = 20\na_trainer = dict(type='config_parts.Box', n=num_epochs)\n")
    run = write_run(tmp_path / "run", **load(source).values)
    with pytest.raises(ConfigError, match="num_epochs"):
        load(run, ["num_epochs=2"])


def test_a_mistake_in_the_config_of_a_run_names_its_file(tmp_path):
    run = write_run(tmp_path / "run", a_trainer={"type": "Nope"})
    with pytest.raises(ConfigError, match=r"a_trainer\.type  \(.*config\.json\)"):
        check(load(run))


def test_a_folder_that_is_no_run_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"is no run folder: it has no config\.json"):
        load(tmp_path)


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{",
        "[]",
        "{}",
        '{"config": {}}',
        '{"config": null, "name": "a", "overrides": []}',
        '{"config": [], "name": "a", "overrides": []}',
        '{"config": {}, "name": "a", "overrides": null}',
        '{"config": {"a": {"$same": "b"}}, "name": "a", "overrides": []}',
        '{"config": {"a": {"$pairs": 3}}, "name": "a", "overrides": []}',
        '{"config": {"a": {"$tuple": 3}}, "name": "a", "overrides": []}',
        '{"config": {"a": {"$object": 3}}, "name": "a", "overrides": []}',
    ],
)
def test_a_file_that_is_no_config_of_a_run_is_refused(tmp_path, content):
    (tmp_path / "config.json").write_text(content)
    with pytest.raises(ConfigError, match=r"config\.json.*\n.*not the config of a run"):
        load(tmp_path)


def test_an_import_path_that_leads_nowhere_here_is_named(tmp_path):
    content = '{"config": {"a": {"$object": "torch.optim.Adagrat"}}, "name": "a", "overrides": []}'
    (tmp_path / "config.json").write_text(content)
    with pytest.raises(ConfigError, match=r"has no 'Adagrat'\. Did you mean 'Adagrad'\?"):
        load(tmp_path)
