"""`hat list`, `hat config show` and `hat config diff`."""

from pathlib import Path

import pytest
from running import DIGITS, POINTS, run_hat, weights

from hat.config import decode, encode, load
from hat.registry import KINDS, describe, names


def shown_values(*arguments):
    """The values of the config that `hat config show` prints."""
    done = run_hat("config", "show", *arguments)
    assert done.code == 0, done.err
    Path("shown.py").write_text(done.out, encoding="utf-8")
    return load("shown.py").values


# --- show


def test_what_show_prints_gives_the_values_of_the_config():
    assert shown_values(POINTS) == load(POINTS).values


def test_what_show_prints_gives_classes_by_their_import_paths():
    values = shown_values(DIGITS)
    assert values["train_loader"] == decode(encode(load(DIGITS)))["train_loader"]


def test_show_applies_overrides():
    assert shown_values(POINTS, "batch_size=4")["float_trainer"]["data_loader"]["batch_size"] == 4


def test_show_shows_a_run(points_run):
    assert shown_values(points_run) == load(POINTS).values


@pytest.mark.parametrize(
    "text",
    [
        "None",
        "[True, 1, 1.5, 'a', [], (), {}]",
        "(1,)",
        "((1,), [(2,)])",
        "{'a b': 1, 3: (4,), None: 5}",
        "{'': 1}",
        "{'class': 1, 'lambda': dict(x=2)}",
        "'größe \\n \\'x\\' \"y\"'",
        "['x' * 100, ('y' * 100,)]",
        "dict(a=dict(b=['x' * 50, dict(c='y' * 50)]))",
        "float('inf')",
        "[-float('inf')]",
        "Path('a b/c')",
        "torch.float32",
        "InterpolationMode.BILINEAR",
        "dict(norm=torch.nn.BatchNorm2d)",
    ],
)
def test_what_show_prints_gives_the_same_value(write, text):
    head = (
        "from pathlib import Path\nimport torch\n"
        "from torchvision.transforms import InterpolationMode\n"
    )
    write("config.py", f"{head}a = {text}\n")
    assert shown_values("config.py") == load("config.py").values


def test_what_show_prints_is_python_that_runs_as_it_is():
    namespace = {}
    exec(run_hat("config", "show", POINTS).out, namespace)
    assert namespace["float_trainer"] == load(POINTS).values["float_trainer"]


def test_what_show_prints_shares_what_the_config_shares():
    values = shown_values(POINTS)
    assert values["float_trainer"]["model"] is values["float_predictor"]["model"]


@pytest.mark.parametrize(
    "text",
    [
        "a = dict(x=1)\nb = a\n",
        "b = dict(x=1)\na = b\n",
        "a = dict(x=1)\nb = [a][0]\nc = dict(a=a, b=b)\n",
    ],
)
def test_two_names_of_one_dict_are_shown_as_such(write, text):
    write("config.py", text)
    values = shown_values("config.py")
    assert values["a"] is values["b"]


def test_a_dict_shared_under_a_private_name_is_shown_as_shared(write):
    write("config.py", "_part = dict(x=1)\na = dict(part=_part)\nb = [_part, dict(c=_part)]\n")
    values = shown_values("config.py")
    assert values == {"a": {"part": {"x": 1}}, "b": [{"x": 1}, {"c": {"x": 1}}]}
    assert values["a"]["part"] is values["b"][0] is values["b"][1]["c"]


def test_a_dict_that_gets_its_name_after_its_use_is_shown_as_shared(write):
    write("config.py", "a = dict(part=dict(x=1))\npart = a['part']\n")
    values = shown_values("config.py")
    assert values["a"]["part"] is values["part"]


@pytest.mark.parametrize("text", ["lambda: 1", "Local", "object()", "dict(type=Local)"])
def test_show_survives_what_cannot_be_written_as_python(write, text):
    write("deep/its own.py", f"class Local: ...\na = dict(x={text})\n")
    done = run_hat("config", "show", "deep/its own.py")
    assert done.code in (0, 2)
    assert "Traceback" not in done.err


def test_what_show_prints_can_be_trained(points_run):
    Path("points_config.py").write_text(run_hat("config", "show", POINTS).out)
    run_hat("train", "points_config.py", "--out", "run")
    assert weights(Path("run")) == weights(points_run)


# --- diff


def test_a_config_does_not_differ_from_itself():
    assert run_hat("config", "diff", POINTS, POINTS).out == ""


def test_a_run_does_not_differ_from_its_config(points_run):
    assert run_hat("config", "diff", POINTS, points_run).out == ""


def test_a_run_does_not_differ_from_its_config_because_of_how_classes_are_written(digits_run):
    out = run_hat("config", "diff", DIGITS, digits_run).out
    assert "type = " not in out.replace(".backbone.type = ", "")


def test_diff_shows_what_is_other_on_each_side(write):
    write("one.py", "a = 1\nb = dict(c=[1, 2], d='x')\ne = 3\n")
    write("two.py", "a = 1\nb = dict(c=[1, 5], f=(0,))\ng = 4\n")
    assert run_hat("config", "diff", "one.py", "two.py").out.splitlines() == [
        "- b.c[1] = 2",
        "+ b.c[1] = 5",
        "- b.d = 'x'",
        "- e = 3",
        "+ b.f[0] = 0",
        "+ g = 4",
    ]


def test_diff_tells_a_number_from_a_text(write):
    write("one.py", "a = 1\n")
    write("two.py", "a = '1'\n")
    assert run_hat("config", "diff", "one.py", "two.py").out == "- a = 1\n+ a = '1'\n"


def test_diff_tells_an_empty_list_from_a_filled_one(write):
    write("one.py", "a = []\n")
    write("two.py", "a = [1]\n")
    assert run_hat("config", "diff", "one.py", "two.py").out.splitlines() == [
        "- a = []",
        "+ a[0] = 1",
    ]


def test_not_a_number_does_not_differ_from_itself(write):
    write("one.py", "a = float('nan')\n")
    assert run_hat("config", "diff", "one.py", "one.py").out == ""


# --- list


@pytest.mark.parametrize(("kind", "name"), [(kind, name) for kind in KINDS for name in names(kind)])
def test_list_shows_every_part_with_its_description(everything_listed, kind, name):
    assert [kind, name, describe(kind, name)] in everything_listed


@pytest.fixture(scope="module")
def everything_listed():
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COLUMNS", "200")
        out = run_hat("list").out
    return [line.split(maxsplit=2) for line in (line.strip() for line in out.splitlines())]


def test_list_of_a_kind_shows_that_kind_alone():
    lines = run_hat("list", "collate").out.splitlines()
    assert [line.split()[:2] for line in lines] == [
        ["kind", "name"],
        ["collate", "LidarCollate"],
        ["collate", "PadCollate"],
        ["collate", "PartialCollate"],
        ["collate", "RaggedCollate"],
        ["collate", "StackCollate"],
        ["Besides", "these:"],
    ]
