"""A config file is plain Python: what is read from it, and what is wrong with it."""

import pytest
from config_parts import Box

from hat.config import ConfigError, load

# --- what a config says


def test_values_are_the_top_level_names_in_file_order(write):
    path = write("b = 1\na = [b, 2]\n")
    assert list(load(path).values.items()) == [("b", 1), ("a", [1, 2])]


def test_imports_functions_classes_and_private_names_are_no_values(write):
    path = write(
        """
        import math
        from pathlib import Path
        _hidden = 1
        def double(x):
            return 2 * x
        class Local: ...
        shown = double(_hidden)
        """
    )
    assert load(path).values == {"shown": 2}


def test_a_value_may_be_written_in_any_script(write):
    assert load(write("größe = '数字 🎉'\n")).values == {"größe": "数字 🎉"}


def test_a_config_is_named_after_its_file(write):
    assert load(write("a = 1", "resnet 18-größe.v2.py")).name == "resnet 18-größe.v2"


def test_a_path_may_be_text(write):
    assert load(str(write("a = 1"))).values == {"a": 1}


def test_an_empty_file_is_a_config_without_values(write):
    assert load(write("")).values == {}


def test_a_config_knows_its_file(write):
    path = write("here = __file__")
    assert load(path).values == {"here": str(path)}


def test_a_byte_order_mark_is_no_mistake(write):
    assert load(write("\ufeffa = 1")).values == {"a": 1}


def test_functions_of_a_config_may_make_dicts(write):
    path = write(
        """
        def stage(width):
            return dict(type="config_parts.Box", width=width)
        stages = [stage(w) for w in (1, 2)]
        """
    )
    assert [stage["width"] for stage in load(path).values["stages"]] == [1, 2]


def test_arguments_of_a_dict_may_have_any_name(write):
    path = write("a = dict(line=1, lines=2, where=3, self=4, value=5)")
    assert load(path).values["a"] == {"line": 1, "lines": 2, "where": 3, "self": 4, "value": 5}


# --- configs that import configs


def test_a_star_import_takes_the_values_of_another_config(write):
    write("batch_size = 64\nlr = batch_size / 1000\n", "base.py")
    path = write("from .base import *\nlr_end = lr / 2\n")
    assert load(path).values == {"batch_size": 64, "lr": 0.064, "lr_end": 0.032}


def test_a_config_can_be_imported_as_a_module(write):
    write("lr = 0.5\n", "base.py")
    path = write("from . import base\nlr_end = base.lr / 2\n")
    assert load(path).values == {"lr_end": 0.25}


def test_a_config_of_the_folder_above_can_be_imported(write):
    write("lr = 0.5\n", "base.py")
    path = write("from ..base import lr as rate\n", "deep/config.py")
    assert load(path).values == {"rate": 0.5}


def test_a_config_of_a_folder_beside_can_be_imported(write):
    write("lr = 0.5\n", "parts/base.py")
    assert load(write("from .parts.base import lr\n")).values == {"lr": 0.5}


def test_a_private_name_of_a_config_can_be_imported(write):
    write("_lr = 0.5\n", "base.py")
    assert load(write("from .base import _lr\nlr = _lr\n")).values == {"lr": 0.5}


def test_a_config_imported_twice_gives_one_dict(write):
    write("model = dict(a=1)\n", "base.py")
    write("from .base import *\none = model\n", "left.py")
    write("from .base import *\nother = model\n", "right.py")
    values = load(write("from .left import one\nfrom .right import other\n")).values
    assert values["one"] is values["other"]


def test_a_variant_does_not_change_what_its_base_says_to_others(write):
    write("model = dict(a=1)\n", "base.py")
    write("from .base import *\nmodel = model | dict(a=2)\n", "variant.py")
    path = write("from .variant import model as changed\nfrom .base import model\n")
    assert load(path).values == {"changed": {"a": 2}, "model": {"a": 1}}


def test_a_file_is_read_again_by_the_next_load(write):
    load(write("a = 1"))
    assert load(write("a = 2")).values == {"a": 2}


# --- a value of the command line takes effect where the file assigns the name


@pytest.mark.parametrize(
    "text",
    [
        "n = 1\nm = n * 10",
        "n: int = 1\nm = n * 10",
        "n, k = 1, 2\nm = n * 10",
        "n = k = 1\nm = n * 10",
        "n = 1\nn += 1\nm = n * 10",
        "n = 1; m = n * 10",
        "if True:\n    n = 1\nm = n * 10",
        "if False:\n    pass\nelse:\n    n = 1\nm = n * 10",
        "n = 1\nif n == 5:\n    m = 50",
        "try:\n    n = 1\nfinally:\n    pass\nm = n * 10",
        "try:\n    import no_such_module\nexcept ImportError:\n    n = 1\nm = n * 10",
        "match 1:\n    case 1:\n        n = 1\nm = n * 10",
        "from .base import *\nm = n * 10",
        "from .base import n\nm = n * 10",
        "from .base import one as n\nm = n * 10",
        "from .base import ten_n as m, n",
        "from . import base\nn = 1\nm = base.n * 10",
        "from .base import *\nn = 2\nm = n * 10",
        "from .middle import *\nm = n * 10",
    ],
)
def test_what_is_computed_from_an_overridden_value_follows(write, text):
    write("one = 1\nn = 1\nten_n = n * 10\n", "base.py")
    write("from .base import *\n", "middle.py")
    assert load(write(text), ["n=5"]).values["m"] == 50


def test_what_is_computed_from_an_inner_value_follows(write):
    path = write("model = dict(head=dict(size=1))\ndouble = model['head']['size'] * 2\n")
    assert load(path, ["model.head.size=4"]).values["double"] == 8


def test_a_dict_that_stands_twice_is_changed_in_both_places(write):
    path = write("model = dict(size=1)\na_trainer = dict(model=model)\n")
    config = load(path, ["model.size=4"])
    assert config.values["a_trainer"]["model"]["size"] == 4


def test_an_override_reaches_inside_a_dict_of_the_base(write):
    write("model = dict(head=dict(size=1))\n", "base.py")
    config = load(write("from .base import *\nwide = model['head']\n"), ["model.head.size=4"])
    assert config.values["wide"] == {"size": 4}


def test_a_local_name_of_a_function_is_no_top_level_name(write):
    path = write("def f():\n    n = 1\n    return n\nn = 2\nm = f()\n")
    assert load(path, ["n=5"]).values == {"n": 5, "m": 1}


def test_the_last_of_two_overrides_counts(write):
    assert load(write("n = 1\nm = n"), ["n=2", "n=3"]).values == {"n": 3, "m": 3}


def test_a_value_and_then_what_is_inside_it_can_be_replaced(write):
    config = load(write("a = dict(x=1, y=1)"), ["a={x: 2, y: 2}", "a.y=3"])
    assert config.values["a"] == {"x": 2, "y": 3}


def test_overrides_are_kept_as_typed(write):
    config = load(write("n = 1\nlr = 1.0\n"), ["n = 2", "lr=1e-3"])
    assert config.overrides == ["n = 2", "lr=1e-3"]


def test_the_caller_keeps_its_list_of_overrides(write):
    overrides = ["n=2"]
    load(write("n = 1"), overrides).overrides.append("more")
    assert overrides == ["n=2"]


# --- the file itself is wrong


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("a = 1\nb = (\n", 2, "not Python: '(' was never closed"),
        ("a = 1\n\nb = c\n", 3, "NameError: name 'c' is not defined"),
        ("a = 1\nimport no_such_module\n", 2, "No module named 'no_such_module'"),
        ("def f():\n    return 1 / 0\n\na = f()\n", 2, "ZeroDivisionError: division by zero"),
        ("a = dict(\n    x=1,\n    y=c,\n)\n", 3, "NameError: name 'c' is not defined"),
        ("import math\na = 1\nb = math.sqrt(-1)\n", 3, "ValueError"),
        ("a = 1\nreturn a\n", 2, "'return' outside function"),
        ("from .base import learning_rate\n", 1, "cannot import name 'learning_rate'"),
    ],
)
def test_an_error_in_the_file_is_told_with_its_line(write, text, line, message):
    write("lr = 1\n", "base.py")
    path = write(text)
    with pytest.raises(ConfigError) as caught:
        load(path)
    [mistake] = caught.value.mistakes
    assert (mistake.location.file, mistake.location.line) == (str(path), line)
    assert message in mistake.message


def test_an_error_in_an_imported_config_is_told_with_its_file_and_line(write):
    base = write("a = 1\nb = c\n", "base.py")
    with pytest.raises(ConfigError) as caught:
        load(write("from .base import *\n"))
    [mistake] = caught.value.mistakes
    assert (mistake.location.file, mistake.location.line) == (str(base), 2)


def test_a_missing_imported_config_is_told_with_the_line_that_imports_it(write):
    path = write("a = 1\nfrom .bsae import *\n")
    with pytest.raises(ConfigError, match=r"bsae\.py") as caught:
        load(path)
    [mistake] = caught.value.mistakes
    assert (mistake.location.file, mistake.location.line) == (str(path), 2)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"nope\.py.*\n.*cannot read the config: No such file"):
        load(tmp_path / "nope.py")


def test_a_file_that_is_not_text_is_named(tmp_path):
    path = tmp_path / "config.py"
    path.write_bytes(b"a = '\xff'\n")
    with pytest.raises(ConfigError, match=r"config\.py"):
        load(path)


def test_configs_that_import_each_other_are_refused(write):
    write("from .config import *\n", "base.py")
    with pytest.raises(ConfigError, match="imports itself"):
        load(write("from .base import *\n"))


# --- the stage's parts


def test_a_stage_part_is_a_top_level_dict(write):
    config = load(write("float_trainer = dict(a=1)"))
    assert config.stage_part("float", "trainer") == "float_trainer"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("float_trainer = dict()\nqat_trainer = dict()", r"a trainer for: float, qat\. Did you"),
        ("float_trainer = dict()", r"needs a top-level 'flaot_trainer'"),
        ("float_trainer = dict()", r"Did you mean 'float_trainer'\?"),
        ("model = dict()", r"It has no trainer\."),
        ("flaot_trainer = [1]", r"Expected a dict\(type=\.\.\.\), got a list\."),
    ],
)
def test_a_missing_stage_is_told_with_what_there_is(write, text, message):
    with pytest.raises(ConfigError, match=message):
        load(write(text)).stage_part("flaot", "trainer")


# --- the error itself


def test_an_error_counts_its_mistakes(write):
    with pytest.raises(ConfigError) as caught:
        load(write("a = 1"), ["b=1", "c=2"])
    assert str(caught.value).splitlines()[0].endswith("config.py: 2 mistakes")


def test_one_mistake_is_not_many(write):
    with pytest.raises(ConfigError) as caught:
        load(write("a = 1"), ["b=1"])
    assert str(caught.value).splitlines()[0].endswith("config.py: 1 mistake")


def test_a_class_that_a_config_imports_can_stand_as_a_type(write):
    path = write("from config_parts import Box\nbox = dict(type=Box)\n")
    assert load(path).values["box"]["type"] is Box
