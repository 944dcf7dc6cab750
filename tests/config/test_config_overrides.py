"""`key=value` from the command line: where it goes, and which value it becomes."""

import math
import re

import pytest

from hat.config import ConfigError, load
from hat.config.overrides import coerce, parse_override, parse_value


@pytest.mark.parametrize(
    ("text", "old", "expected"),
    [
        ("8", 64, 8),
        ("-8", 64, -8),
        ("1e3", 64, 1000),
        ("1_000", 64, 1000),
        ("0x10", 64, 16),
        (str(10**30), 64, 10**30),
        ("8", 0.1, 8.0),
        ("1e-3", 0.1, 0.001),
        (".5", 0.1, 0.5),
        ("inf", 0.1, math.inf),
        ("-inf", 0.1, -math.inf),
        ("True", False, True),
        ("false", True, False),
        ("none", 64, None),
        ("None", "text", None),
        ("null", [1], None),
        ("val", "train", "val"),
        ("", "train", ""),
        ("5", "train", "5"),
        ("1e-3", "train", "1e-3"),
        ("true", "train", "true"),
        ("'5'", "train", "5"),
        ("'none'", "train", "none"),
        ('"a b"', "train", "a b"),
        ("it's", "train", "it's"),
        ("/data/my digits/a=b: c.lmdb", "train", "/data/my digits/a=b: c.lmdb"),
        ("C:\\data\\new", "train", "C:\\data\\new"),
        ("größe 🎉", "train", "größe 🎉"),
        ("{run}-best", "train", "{run}-best"),
        ("[2024] digits", "train", "[2024] digits"),
        ("(draft", "train", "(draft"),
        ("[8, 16]", [1], [8, 16]),
        ("[8]", [1, 2, 3], [8]),
        ("[]", [1], []),
        ("(8, 16)", [1], [8, 16]),
        ("8, 16", [1], [8, 16]),
        ("[8, 16]", (1,), (8, 16)),
        ("(8,)", (1, 2), (8,)),
        ("[a, b c, 'd, e']", [1], ["a", "b c", "d, e"]),
        ("[[1, 2], [a]]", [1], [[1, 2], ["a"]]),
        ("[none, TRUE, -0.5, 1e-3]", [1], [None, True, -0.5, 0.001]),
        (
            "[/data/my digits/a.png, http://host:80/b]",
            [],
            ["/data/my digits/a.png", "http://host:80/b"],
        ),
        ("{type: A, x: [1, 2]}", {"type": "B"}, {"type": "A", "x": [1, 2]}),
        ("dict(type=A, x=1)", {"type": "B"}, {"type": "A", "x": 1}),
        ("dict()", {"type": "B"}, {}),
        ("{'a b': 1, 2: c}", {}, {"a b": 1, 2: "c"}),
        ("dict(type=a.B, inner=dict(y=(1, 2)))", {}, {"type": "a.B", "inner": {"y": (1, 2)}}),
        ("[{type: A}, {type: B, x: 1e-3}]", [], [{"type": "A"}, {"type": "B", "x": 0.001}]),
        ("8", None, 8),
        ("1e-3", None, 0.001),
        ("val", None, "val"),
        ("[a, 1]", None, ["a", 1]),
        ("'8'", None, "8"),
        ("a.b.C", int, "a.b.C"),
    ],
)
def test_a_text_becomes_a_value_like_the_one_it_replaces(text, old, expected):
    value = coerce(text, old)
    assert (value, type(value)) == (expected, type(expected))


def test_nan_is_a_float():
    assert math.isnan(coerce("nan", 0.1))


@pytest.mark.parametrize(
    ("text", "old", "message"),
    [
        ("ten", 64, "expected an int like 64, got 'ten'"),
        ("2.5", 64, "expected an int like 64, got '2.5'"),
        ("1e-3", 64, "expected an int like 64, got '1e-3'"),
        ("true", 64, "expected an int like 64, got 'true'"),
        ("", 64, "expected an int like 64, got ''"),
        ("fast", 0.1, "expected a float like 0.1, got 'fast'"),
        ("true", 0.1, "expected a float like 0.1, got 'true'"),
        ("1", True, "expected a bool like True, got '1'"),
        ("yes", True, "expected a bool like True, got 'yes'"),
        ("8", [1, 2], "expected a list like [1, 2], got '8'"),
        ("8", (1, 2), "expected a tuple like (1, 2), got '8'"),
        ("8", {"a": 1}, "expected a dict like {'a': 1}, got '8'"),
        ("A", {"type": "B"}, "To change the type alone: .type=A"),
        ("[1, 2", [1], "cannot read '[1, 2'"),
        ("[a, b]]", [1], "']' is left over"),
        ("[a,, b]", [1], "unexpected ','"),
        ("{a: }", {}, "unexpected '}'"),
        ("{a 1}", {}, "expected ':' after 'a 1'"),
        ("dict(a: 1)", {}, "expected '=' after"),
    ],
)
def test_a_text_of_another_type_is_refused(text, old, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        coerce(text, old)


def test_a_text_too_deep_to_read_is_a_text():
    assert parse_value("-" * 5000 + "1") == "-" * 5000 + "1"


@pytest.mark.parametrize(
    ("argument", "keys", "text"),
    [
        ("batch_size=8", ("batch_size",), "8"),
        (" a.b = c ", ("a", "b"), "c"),
        ("a[0].b=1", ("a", "0", "b"), "1"),
        ("a.0.b=1", ("a", "0", "b"), "1"),
        ("a[0][12]=1", ("a", "0", "12"), "1"),
        ("a=b=c", ("a",), "b=c"),
        ("a=", ("a",), ""),
        ("größe=1", ("größe",), "1"),
    ],
)
def test_an_argument_is_split_into_path_and_text(argument, keys, text):
    override = parse_override(argument)
    assert (override.keys, override.text) == (keys, text)


@pytest.mark.parametrize("argument", ["", "batch_size", "=3", "3=4", ".=1", "[0]=1", "a b=1"])
def test_what_is_no_key_and_value_is_refused(argument):
    with pytest.raises(ValueError, match="is not key=value, such as"):
        parse_override(argument)


# --- in a config

CONFIG = """
batch_size = 64
optimizer = dict(type="torch.optim.SGD", lr=0.1)
stages = [dict(width=1), dict(width=2)]
frozen = (1, dict(width=2))
names = {"train set": "a"}
nothing = None
"""
SGD = {"type": "torch.optim.SGD", "lr": 0.1}


@pytest.mark.parametrize(
    ("override", "name", "expected"),
    [
        ("batch_size=8", "batch_size", 8),
        ("optimizer.lr=1e-3", "optimizer", SGD | {"lr": 0.001}),
        ("optimizer.type=A", "optimizer", SGD | {"type": "A"}),
        ("optimizer.nesterov=true", "optimizer", SGD | {"nesterov": True}),
        ("optimizer={type: A, x: 1}", "optimizer", {"type": "A", "x": 1}),
        ("optimizer=none", "optimizer", None),
        ("stages[1].width=5", "stages", [{"width": 1}, {"width": 5}]),
        ("stages.1.width=5", "stages", [{"width": 1}, {"width": 5}]),
        ("stages[0]={width: 7}", "stages", [{"width": 7}, {"width": 2}]),
        ("frozen[1].width=5", "frozen", (1, {"width": 5})),
        ("names.train set=b", "names", {"train set": "b"}),
        ("nothing=8", "nothing", 8),
    ],
)
def test_an_override_replaces_the_value_that_it_names(write, override, name, expected):
    assert load(write(CONFIG), [override]).values[name] == expected


@pytest.mark.parametrize(
    ("override", "path", "message"),
    [
        ("batchsize=8", "batchsize", "no top-level 'batchsize'. Did you mean 'batch_size'?"),
        ("optimiser.lr=8", "optimiser.lr", "no top-level 'optimiser'. Did you mean 'optimizer'?"),
        ("optimizer.typ.x=8", "optimizer.typ.x", "optimizer has no 'typ'. Did you mean 'type'?"),
        ("batch_size.x=8", "batch_size.x", "64: it has no 'x' inside"),
        ("stages[2].width=8", "stages.2.width", "stages is a list of 2: it has no item '2'"),
        ("stages.first=8", "stages.first", "stages is a list of 2: it has no item 'first'"),
        ("stages[-1].width=8", "stages[-1].width=8", "is not key=value"),
        ("batch_size=ten", "batch_size", "expected an int like 64, got 'ten'"),
        ("optimizer.lr=fast", "optimizer.lr", "expected a float like 0.1, got 'fast'"),
        ("stages=8", "stages", "got '8'"),
        ("batch_size", "batch_size", "'batch_size' is not key=value"),
    ],
)
def test_an_override_that_cannot_be_applied_is_told_by_its_path(write, override, path, message):
    with pytest.raises(ConfigError) as caught:
        load(write(CONFIG), [override])
    [mistake] = caught.value.mistakes
    assert mistake.path == path
    assert message in mistake.message


def test_all_overrides_that_cannot_be_applied_are_told_together(write):
    with pytest.raises(ConfigError) as caught:
        load(write(CONFIG), ["batchsize=8", "batch_size=8", "optimizer.lr=fast", "stages[2]=1"])
    paths = [mistake.path for mistake in caught.value.mistakes]
    assert paths == ["batchsize", "optimizer.lr", "stages.2"]


def test_a_mistake_in_an_override_is_on_the_command_line(write):
    with pytest.raises(ConfigError, match=r"\(command line: batch_size=ten\)"):
        load(write(CONFIG), ["batch_size=ten"])
