"""Imports point one way: data, models, metrics <- callbacks <- engine <- cli."""

import ast
from pathlib import Path

import pytest

import hat

ROOT = Path(hat.__file__).parent
SEVEN = ("data", "models", "metrics", "callbacks", "engine", "profiler", "visualize")
#: All that a callback may know of the engine: what it is called with.
HOOK_TABLE = ("hat.engine.hooks", "hat.engine.progress", "hat.engine.scores", "hat.engine.state")


def imported_by(text, package):
    """What a module of a package imports, by full names, wherever in it the import stands."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            yield from (f"{base}.{alias.name}" for alias in node.names)


def imports_of(pattern):
    """Pairs (file, what it imports of HAT) over the files of HAT that match a pattern."""
    sources = (file for file in ROOT.glob(pattern) if file.suffix in (".py", ".pyi"))
    files = [file.relative_to(ROOT) for file in sources]
    assert files
    return [
        (file.as_posix(), name)
        for file in files
        for name in imported_by((ROOT / file).read_text(), ["hat", *file.parent.parts])
        if name.startswith("hat.")
    ]


def found_in(names, *packages):
    return [
        (file, name)
        for file, name in names
        if any(f"{name}.".startswith(f"hat.{package}.") for package in packages)
    ]


def test_imports_are_found_wherever_they_stand():
    text = """
import hat.store
from hat import cli
from .base import Callback
from ..engine import loop
def f():
    from hat.engine.loop import Loop
"""
    assert list(imported_by(text, ["hat", "callbacks"])) == [
        "hat.store",
        "hat.cli",
        "hat.callbacks.base.Callback",
        "hat.engine.loop",
        "hat.engine.loop.Loop",
    ]


@pytest.mark.parametrize("package", ["data", "models", "metrics"])
def test_parts_know_nothing_of_what_runs_them(package):
    names = imports_of(f"{package}/**/*.py*")
    assert found_in(names, "engine", "callbacks", "cli") == []


def test_data_knows_nothing_of_models_and_metrics():
    assert found_in(imports_of("data/**/*.py*"), "models", "metrics") == []


def test_models_know_nothing_of_metrics():
    assert found_in(imports_of("models/**/*.py*"), "metrics") == []


def test_callbacks_know_the_hook_table_and_not_the_loop():
    names = found_in(imports_of("callbacks/**/*.py*"), "engine")
    assert [pair for pair in names if not pair[1].startswith(HOOK_TABLE)] == []


def test_the_hook_table_is_known_by_callbacks():
    assert found_in(imports_of("callbacks/**/*.py*"), "engine.progress")


def test_only_the_command_line_knows_itself():
    names = found_in(imports_of("**/*.py*"), "cli")
    assert [pair for pair in names if not pair[0].startswith("cli/")] == []


@pytest.mark.parametrize("place", ["*.py", "config/*.py*"])
def test_what_everyone_needs_knows_none_of_the_seven_modules(place):
    assert found_in(imports_of(place), *SEVEN, "cli") == []
