"""What is known to be wrong with a config before anything is built."""

import pytest

from hat.config import ConfigError, check, load


def mistakes_of(path, overrides=(), roots=None):
    with pytest.raises(ConfigError) as caught:
        check(load(path, list(overrides)), roots)
    return [(m.path, m.location.line, m.message) for m in caught.value.mistakes]


ALL_KINDS_OF_MISTAKES = """
from hat.callbacks import LrUpdater
from hat.engine import Trainer

model = dict(
    type="Classifier",
    backbone=dict(type="ConvNett"),
    head=dict(type="LinearHead", in_channels="ten", num_clases=10),
    neck=dict(type="ProgressBar"),
    losses=dict(ce=dict(type="torch.nn.CrossEntropyLos"), other=dict(weight=1)),
)
float_trainer = dict(
    type=Trainer,
    model=model,
    data_loader=dict(type="DataLoader", dataset=[1, 2]),
    optimizer=dict(type="torch.optim.SGD", lr="fast"),
    callbacks=[
        dict(type=LrUpdater, schedule=dict(type="CosineLr"), by="steps"),
        dict(
            type="Checkpoint",
            evry=1,
        ),
    ],
    num_epochs=2.5,
)
"""


def test_all_mistakes_are_told_together_with_path_and_line(write):
    found = mistakes_of(write(ALL_KINDS_OF_MISTAKES))
    assert [(path, line) for path, line, _ in found] == [
        ("float_trainer.model.backbone.type", 7),
        ("float_trainer.model.head.num_clases", 8),
        ("float_trainer.model.head.num_classes", 8),
        ("float_trainer.model.head.in_channels", 8),
        ("float_trainer.model.neck", 9),
        ("float_trainer.model.losses.ce.type", 10),
        ("float_trainer.model.losses.other", 10),
        ("float_trainer.data_loader.batch_size", 15),
        ("float_trainer.optimizer.lr", 16),
        ("float_trainer.callbacks[0].by", 18),
        ("float_trainer.callbacks[1].evry", 21),
        ("float_trainer.num_epochs", 24),
    ]


def test_each_mistake_says_what_was_expected_and_the_nearest_name(write):
    messages = [message for _, _, message in mistakes_of(write(ALL_KINDS_OF_MISTAKES))]
    expected = [
        "HAT has no 'ConvNett'. Did you mean 'ConvNet'?",
        "LinearHead has no argument 'num_clases'. Did you mean 'num_classes'?",
        "LinearHead needs 'num_classes' (int)",
        "expected int, got str 'ten'",
        "expected torch.nn.modules.module.Module or None, got a ProgressBar",
        "'torch.nn.CrossEntropyLos': torch.nn has no 'CrossEntropyLos'. "
        "Did you mean 'CrossEntropyLoss'?",
        "expected torch.nn.modules.module.Module, got a dict without 'type'",
        "DataLoader needs 'batch_size' (int)",
        "expected float or torch.Tensor, got str 'fast'",
        "expected one of 'step', 'epoch', got str 'steps'",
        "Checkpoint has no argument 'evry'. Did you mean 'every'?",
        "expected int or None, got float 2.5",
    ]
    assert messages == expected


def test_an_error_prints_path_file_line_and_message(write):
    path = write("a_trainer = dict(\n    type='config_parts.Typed',\n    numbr=1,\n)\n")
    with pytest.raises(ConfigError) as caught:
        check(load(path))
    assert str(caught.value) == (
        f"{path}: 1 mistake\n"
        f"  a_trainer.numbr  ({path}:3)\n"
        "    config_parts.Typed has no argument 'numbr'. Did you mean 'number'?"
    )


# --- plain values


@pytest.mark.parametrize(
    "argument",
    [
        "number=1",
        "number=-1",
        "share=0.5",
        "share=1",
        "share=float('nan')",
        "text='a'",
        "text=''",
        "is_on=True",
        "sizes=[1, 2]",
        "sizes=(1, 2)",
        "sizes=[]",
        "sizes=range(3)",
        "pair=(1, 2)",
        "pair=[1, 2]",
        "named=dict(a=1.0, b=2)",
        "named=None",
        "named={}",
        "mode='min'",
        "path='a/b'",
        "path=Path('a/b')",
        "box=None",
        "box=dict(type='config_parts.Box')",
        "box=dict(type='config_parts.make_box')",
        "box=dict(type='config_parts.Box.closed')",
        "boxes=[dict(type='config_parts.Box'), dict(type='config_parts.make_box', size=1)]",
        "boxes=(dict(type='config_parts.Box'),)",
        "call=print",
        "call=dict(type='torch.nn.ReLU')",
        "call=dict(type='functools.partial')",
    ],
)
def test_a_value_that_fits_is_no_mistake(write, argument):
    text = f"from pathlib import Path\na_trainer = dict(type='config_parts.Typed', {argument})"
    assert check(load(write(text))) is None


@pytest.mark.parametrize(
    ("argument", "path", "message"),
    [
        ("number='ten'", "number", "expected int, got str 'ten'"),
        ("number=1.0", "number", "expected int, got float 1.0"),
        ("number=True", "number", "expected int, got bool True"),
        ("number=None", "number", "expected int, got NoneType None"),
        ("number=[1]", "number", "expected int, got list [1]"),
        ("number=dict(a=1)", "number", "expected int, got a dict without 'type'"),
        ("number=dict(type='config_parts.Box')", "number", "got a config_parts.Box"),
        ("share='0.1'", "share", "expected float, got str '0.1'"),
        ("share=True", "share", "expected float, got bool True"),
        ("text=3", "text", "expected str, got int 3"),
        ("is_on=1", "is_on", "expected bool, got int 1"),
        ("is_on='yes'", "is_on", "expected bool, got str 'yes'"),
        ("sizes='12'", "sizes", "expected Sequence[int], got str '12'"),
        ("sizes=3", "sizes", "expected Sequence[int], got int 3"),
        ("sizes=dict(a=1)", "sizes", "expected Sequence[int], got a dict without 'type'"),
        ("sizes=[1, 'a']", "sizes[1]", "expected int, got str 'a'"),
        ("pair=(1, 'a')", "pair[1]", "expected int, got str 'a'"),
        ("named=[1]", "named", "expected Mapping[str, float] or None, got list [1]"),
        ("named=dict(a='b')", "named.a", "expected float, got str 'b'"),
        ("mode='best'", "mode", "expected one of 'max', 'min', got str 'best'"),
        ("path=3", "path", "expected pathlib.Path or None, got int 3"),
        ("box='Box'", "box", "expected config_parts.Box or None, got str 'Box'"),
        ("box=dict(size=1)", "box", "got a dict without 'type'"),
        ("box=dict(type='config_parts.Typed')", "box", "got a config_parts.Typed"),
        ("boxes=dict(type='config_parts.Box')", "boxes", "got a config_parts.Box"),
        ("boxes=[dict(type='config_parts.Needs', width=1, height=1)]", "boxes[0]", "Needs"),
        ("call='print'", "call", "got str 'print'"),
        ("call=dict(type='config_parts.Box')", "call", "got a config_parts.Box"),
    ],
)
def test_a_value_that_does_not_fit_is_told(write, argument, path, message):
    found = mistakes_of(write(f"a_trainer = dict(type='config_parts.Typed', {argument})"))
    [(found_path, _, found_message)] = found
    assert found_path == f"a_trainer.{path}"
    assert message in found_message


def test_a_long_value_is_shortened(write):
    path = write("a_trainer = dict(type='config_parts.Typed', number='x' * 1000)")
    [(_, _, message)] = mistakes_of(path)
    assert len(message) < 100


def test_a_part_that_takes_anything_is_given_anything(write):
    text = "a_trainer = dict(type='config_parts.Box', a=1, b=dict(c=[dict(d='e')]))"
    assert check(load(write(text))) is None


def test_a_mistake_deep_inside_plain_values_is_found(write):
    text = "a_trainer = dict(type='config_parts.Box', a=[dict(b=(1, dict(type='Nope')))])"
    [(path, _, _)] = mistakes_of(write(text))
    assert path == "a_trainer.a[0].b[1].type"


# --- parts


@pytest.mark.parametrize(
    ("part", "path", "message"),
    [
        ("type='Resnet18'", "type", "HAT has no 'Resnet18'. Did you mean 'ResNet18'?"),
        ("type='zzzzz'", "type", "HAT has no 'zzzzz'. "),
        ("type=''", "type", "HAT has no ''."),
        ("type='torch.optim.SDG'", "type", "torch.optim has no 'SDG'. Did you mean 'SGD'?"),
        ("type='torch.optimm.SGD'", "type", "torch has no 'optimm'. Did you mean 'optim'?"),
        ("type='tocrh.optim.SGD'", "type", "no module 'tocrh' here. Did you mean 'torch'?"),
        ("type='config_parts.Box.close'", "type", "Box has no 'close'. Did you mean 'closed'?"),
        ("type='config_parts.'", "type", "'config_parts.'"),
        ("type='.Box'", "type", "'.Box'"),
        ("type='..'", "type", "'..'"),
        ("type=3", "type", "expected a class or a function, got int 3"),
        ("type=None", "type", "expected a class or a function, got NoneType None"),
        ("type='torch.optim'", "type", "expected a class or a function, got module"),
        ("type='torch.float32'", "type", "expected a class or a function, got dtype"),
        ("type='config_parts.Needs', width=1", "height", "config_parts.Needs needs 'height' (int)"),
        ("type='config_parts.of_size_3', sise=1", "sise", "has no argument 'sise'"),
        ("type='torch.nn.ReLU', slope=1", "slope", "has no argument 'slope'. It has: inplace."),
        ("type='config_parts.Silent', x=1", "x", "has no argument 'x'. It has: none."),
        ("type='config_parts.make_box', sise=1", "sise", "Did you mean 'size'?"),
        ("type='config_parts.make_box', size='a'", "size", "expected int, got str 'a'"),
    ],
)
def test_a_part_that_cannot_be_made_is_told(write, part, path, message):
    text = f"a_trainer = dict(type='config_parts.Box', inner=dict({part}))"
    [(found_path, _, found_message)] = mistakes_of(write(text))
    assert found_path == f"a_trainer.inner.{path}"
    assert message in found_message


def test_both_missing_arguments_are_told(write):
    found = mistakes_of(write("a_trainer = dict(type='config_parts.Needs')"))
    assert [path for path, _, _ in found] == ["a_trainer.width", "a_trainer.height"]


def test_a_missing_argument_is_told_with_the_line_where_its_dict_begins(write):
    text = "a_trainer = dict(\n    type='builtins.dict',\n    a=1,\n    b=[\n        INNER],\n)\n"
    inner = "dict(\n            type='config_parts.Needs', width=1)"
    [(path, line, _)] = mistakes_of(write(text.replace("INNER", inner)))
    assert (path, line) == ("a_trainer.b[0].height", 5)


def test_a_missing_argument_of_a_shared_dict_is_told_with_the_line_where_it_was_written(write):
    text = "inner = dict(type='config_parts.Needs', width=1)\n\n"
    text += "a_trainer = dict(\n    type='config_parts.Box',\n    inner=inner,\n)\n"
    [(path, line, _)] = mistakes_of(write(text))
    assert (path, line) == ("a_trainer.inner.height", 1)


def test_a_module_that_lacks_a_requirement_says_which(write, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    write("import no_such_requirement\n", "needy_module.py")
    [(path, line, message)] = mistakes_of(write("\na_trainer = dict(type='needy_module.Part')"))
    assert (path, line) == ("a_trainer.type", 2)
    assert "importing needy_module failed: No module named 'no_such_requirement'" in message


@pytest.mark.parametrize("content", ["1 / 0\n", "def (:\n", "name_that_is_not_there\n"])
def test_a_module_that_fails_when_imported_is_told_with_the_line(
    write, tmp_path, monkeypatch, content
):
    monkeypatch.syspath_prepend(tmp_path)
    write(content, "broken_module.py")
    [(path, line, message)] = mistakes_of(write("\na_trainer = dict(type='broken_module.Part')"))
    assert (path, line) == ("a_trainer.type", 2)
    assert "broken_module" in message


def test_a_dict_that_contains_itself_is_refused(write):
    text = "a_trainer = dict(type='config_parts.Box')\na_trainer['inner'] = [a_trainer]\n"
    assert mistakes_of(write(text)) == [("a_trainer.inner[0]", 1, "this dict contains itself")]


def test_a_list_that_contains_itself_is_refused(write):
    text = "a = []\na.append(a)\na_trainer = dict(type='config_parts.Box', inner=a)\n"
    [(path, line, _)] = mistakes_of(write(text))
    assert (path, line) == ("a_trainer.inner[0]", 3)


def test_a_stage_part_without_a_type_is_refused(write):
    [(path, line, message)] = mistakes_of(write("\na_trainer = dict(model=1)"))
    assert (path, line) == ("a_trainer", 2)
    assert "type" in message


@pytest.mark.parametrize("inner", ["dict(type='Resnet18')", "dict(a=dict(type='Resnet18'))"])
def test_a_mistake_in_a_dict_that_stands_twice_is_told_once(write, inner):
    text = f"""
        inner = {inner}
        a_trainer = dict(type="config_parts.Box", inner=inner)
        b_trainer = dict(type="config_parts.Box", inner=inner)
        """
    assert len(mistakes_of(write(text))) == 1


def test_a_dict_that_stands_twice_must_fit_in_both_places(write):
    text = """
        box = dict(type="config_parts.Box")
        a_trainer = dict(type="config_parts.Typed", box=box, number=box)
        """
    [(path, _, _)] = mistakes_of(write(text))
    assert path == "a_trainer.number"


def test_an_argument_whose_name_is_no_text_is_told(write):
    [(path, _, message)] = mistakes_of(write("a_trainer = {'type': 'config_parts.Typed', 3: 4}"))
    assert path == "a_trainer.3"
    assert "config_parts.Typed has no argument '3'. It has: number," in message


def test_what_no_stage_uses_is_not_checked(write):
    text = "spare = dict(type='Nope')\na_trainer = dict(type='config_parts.Box')\n"
    assert check(load(write(text))) is None


def test_only_the_roots_that_are_asked_for_are_checked(write):
    text = "a_trainer = dict(type='Nope')\nb_predictor = dict(type='config_parts.Box')\n"
    assert check(load(write(text)), ["b_predictor"]) is None


def test_trainers_and_predictors_of_all_stages_are_checked(write):
    text = "a_trainer = dict(type='Nope')\nb_predictor = dict(type='Nope')\nc = dict(type='Nope')\n"
    assert [path for path, _, _ in mistakes_of(write(text))] == [
        "a_trainer.type",
        "b_predictor.type",
    ]


def test_an_argument_that_the_caller_adds_is_not_missing(write):
    config = load(write("a_trainer = dict(type='config_parts.Needs', width=1)"))
    assert check(config, given=["height"]) is None


def test_overrides_that_could_not_be_applied_are_told_with_the_rest(write):
    path = write("a_trainer = dict(type='config_parts.Needs', width=1)")
    config = load(path, ["b_trainer.width=1"], keep_mistakes=True)
    with pytest.raises(ConfigError) as caught:
        check(config)
    assert [m.path for m in caught.value.mistakes] == ["b_trainer.width", "a_trainer.height"]


def test_checking_builds_nothing(write):
    text = "a_trainer = dict(type='config_parts.Refuses')"
    assert check(load(write(text))) is None


# --- parameters that want a maker


@pytest.mark.parametrize(
    "optimizer",
    [
        "dict(type='torch.optim.SGD', lr=0.1)",
        "dict(type=SGD, lr=0.1, nesterov=True, momentum=0.9)",
        "SGD",
    ],
)
def test_what_the_receiver_adds_is_not_missing(write, optimizer):
    text = f"""
        from torch.optim import SGD
        a_trainer = dict(type="config_parts.Learner", optimizer={optimizer})
        """
    assert check(load(write(text))) is None


@pytest.mark.parametrize(
    ("optimizer", "path", "message"),
    [
        ("dict(type='torch.optim.SGD', lrr=0.1)", ".lrr", "Did you mean 'lr'?"),
        ("dict(type='torch.optim.SGD', lr='a')", ".lr", "expected float or torch.Tensor"),
        ("dict(type='torch.optim.Sgd')", ".type", "Did you mean 'SGD'?"),
        ("dict(type='config_parts.Needs', width=1)", ".height", "needs 'height' (int)"),
        ("dict(lr=0.1)", "", "got a dict without 'type'"),
        ("'SGD'", "", "got str 'SGD'"),
        ("3", "", "got int 3"),
        ("dict(type='ProgressBar')", "", "got a ProgressBar"),
    ],
)
def test_a_maker_is_checked_like_a_part(write, optimizer, path, message):
    text = f"a_trainer = dict(type='config_parts.Learner', optimizer={optimizer})"
    found = mistakes_of(write(text))
    assert (f"a_trainer.optimizer{path}", True) in [(p, message in m) for p, _, m in found]


# --- lines


@pytest.mark.parametrize(
    ("text", "file", "line"),
    [
        ("a_trainer = dict(\n    type=BOX,\n    inner=dict(type='Nope'),\n)", "config.py", 3),
        ("a_trainer = {\n    'type': BOX,\n    'inner': {'type': 'Nope'},\n}", "config.py", 3),
        ("inner = dict(\n  type='Nope')\na_trainer = dict(type=BOX, inner=inner)", "config.py", 2),
        ("from .base import inner\na_trainer = dict(type=BOX, inner=inner)", "base.py", 3),
        ("from .base import inner\na_trainer = inner | dict(\n    type='No')", "config.py", 3),
        ("from .base import inner\na_trainer = inner | dict(z=1)", "base.py", 3),
        ("from .base import inner\na_trainer = dict(inner, z=1)", "base.py", 3),
        ("from .base import inner\na_trainer = dict(\n    **inner, z=1)", "config.py", 2),
        ("from .base import *\na_trainer = dict(type=BOX, inner=[\n    inner])", "base.py", 3),
    ],
)
def test_a_mistake_is_told_with_the_line_where_it_was_written(write, text, file, line):
    write("\ninner = dict(\n    type='Nope',\n)\n", "base.py")
    path = write(text.replace("BOX", "'config_parts.Box'"))
    with pytest.raises(ConfigError) as caught:
        check(load(path))
    [mistake] = caught.value.mistakes
    assert (mistake.location.file, mistake.location.line) == (str(path.with_name(file)), line)


def test_a_mistake_that_an_override_brings_in_is_on_the_command_line(write):
    config = load(write("a_trainer = dict(type='config_parts.Box', a=1)"), ["a_trainer.type=Nope"])
    with pytest.raises(ConfigError, match=r"\(command line: a_trainer\.type=Nope\)"):
        check(config)


def test_an_argument_that_an_override_adds_is_checked(write):
    config = load(write("a_trainer = dict(type='config_parts.Typed')"), ["a_trainer.numbr=1"])
    with pytest.raises(ConfigError, match=r"numbr=1\)\n.*Did you mean 'number'\?"):
        check(config)


def test_the_inside_of_an_overriding_dict_is_on_the_command_line(write):
    path = write("a_trainer = dict(type='config_parts.Box', inner=None)")
    config = load(path, ["a_trainer.inner={type: Nope}"])
    with pytest.raises(ConfigError, match=r"\(command line: a_trainer\.inner="):
        check(config)
