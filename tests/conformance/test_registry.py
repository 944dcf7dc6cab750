"""Everything that HAT ships can be named, described, checked and written down."""

import importlib
import inspect
import json
import re
from collections import Counter
from pathlib import Path

import pytest

from hat.config import Config, ConfigError, check, decode, encode
from hat.config.signatures import fits, parameters_of
from hat.registry import KINDS, describe, dotted_path, names, resolve

PARTS = [(kind, name) for kind in KINDS for name in names(kind)]
PARAMETERS = [
    (name, parameter)
    for _, name in PARTS
    for parameter in inspect.signature(resolve(name)).parameters.values()
    if parameter.kind not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
]


def takes_anything(name):
    """Whether any keyword is an argument of the part."""
    parameters = inspect.signature(resolve(name)).parameters.values()
    return any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters)


def mistaken_paths(part):
    """The paths at which the check of a config finds something wrong with a part."""
    try:
        check(Config(Path("a.py"), {"root": part}), ["root"])
    except ConfigError as error:
        return [mistake.path for mistake in error.mistakes]
    return []


every_part = pytest.mark.parametrize(("kind", "name"), PARTS, ids=[name for _, name in PARTS])
every_parameter = pytest.mark.parametrize(
    ("name", "parameter"), PARAMETERS, ids=[f"{name}-{p.name}" for name, p in PARAMETERS]
)


def test_there_is_a_part_of_every_kind():
    assert {kind for kind, _ in PARTS} == set(KINDS)


def test_no_name_stands_for_two_parts():
    assert [name for name, count in Counter(n for _, n in PARTS).items() if count > 1] == []


def test_no_two_names_differ_in_case_alone():
    lower = Counter(name.lower() for _, name in PARTS)
    assert [name for name, count in lower.items() if count > 1] == []


@every_part
def test_a_name_stands_for_what_its_package_exports(kind, name):
    assert resolve(name) is getattr(importlib.import_module(KINDS[kind]), name)


@every_part
def test_a_name_stands_for_something_to_call_that_has_this_name(kind, name):
    assert callable(resolve(name))
    assert resolve(name).__name__ == name


@every_part
def test_a_part_is_defined_in_the_package_of_its_kind(kind, name):
    assert resolve(name).__module__.startswith(f"{KINDS[kind]}.")


@every_part
def test_a_description_is_the_first_line_of_the_docstring(kind, name):
    assert describe(kind, name) == inspect.getdoc(resolve(name)).splitlines()[0]


@every_part
def test_a_description_is_one_whole_sentence(kind, name):
    assert re.fullmatch(r"[A-Z0-9`].*\.", describe(kind, name))


@every_part
def test_a_part_is_written_down_by_its_import_path(kind, name):
    part = resolve(name)
    values = {"part": {"type": part}, "alone": part}
    back = decode(json.loads(json.dumps(encode(Config(Path("a.py"), values)))))
    assert back == {"part": {"type": dotted_path(part)}, "alone": part}


@every_part
def test_a_part_lacks_the_arguments_that_have_no_default(kind, name):
    required = [p.name for n, p in PARAMETERS if n == name and p.default is p.empty]
    assert mistaken_paths({"type": name}) == [f"root.{argument}" for argument in required]


@pytest.mark.parametrize("name", [name for _, name in PARTS if not takes_anything(name)])
def test_an_argument_that_a_part_does_not_have_is_refused(name):
    assert "root.no_such_argument" in mistaken_paths({"type": name, "no_such_argument": 1})


@every_parameter
def test_a_parameter_says_what_it_takes(name, parameter):
    assert parameters_of(resolve(name))[parameter.name].annotation is not parameter.empty


@every_parameter
def test_a_default_is_something_that_the_parameter_takes(name, parameter):
    annotation = parameters_of(resolve(name))[parameter.name].annotation
    assert parameter.default in (parameter.empty, None) or fits(parameter.default, annotation)


@every_parameter
def test_a_parameter_is_explained_in_the_docstring(name, parameter):
    docstring = "\n".join(inspect.getdoc(cls) or "" for cls in inspect.getmro(resolve(name)))
    assert re.search(rf"^ +{parameter.name}: \S", docstring, re.MULTILINE)
