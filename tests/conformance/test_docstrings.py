"""Every example in a docstring does what it shows."""

import doctest
import importlib
from pathlib import Path

import pytest
import torch
from torch import nn

import hat
from hat import registry

ROOT = Path(hat.__file__).parent
#: What the examples may use without importing it.
PACKAGES = ["config", "data", "models", "metrics", "callbacks", "engine"]


def modules_with_examples():
    files = sorted(file for file in ROOT.rglob("*.py") if ">>> " in file.read_text("utf-8"))
    return [".".join(file.relative_to(ROOT.parent).with_suffix("").parts) for file in files]


def public_names():
    packages = [importlib.import_module(f"hat.{name}") for name in PACKAGES]
    return {name: getattr(package, name) for package in packages for name in package.__all__}


@pytest.mark.parametrize("module_name", modules_with_examples())
def test_examples_show_what_they_give(module_name, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(registry, "_registered", {})  # what an example registers ends with it
    module = importlib.import_module(module_name.removesuffix(".__init__"))
    names = {"torch": torch, "nn": nn, **public_names(), **vars(module)}
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)
    found = doctest.DocTestFinder().find(module, globs=names)
    report = []
    for docstring in found:
        runner.run(docstring, out=report.append)
    assert "".join(report) == ""
    assert any(docstring.examples for docstring in found)
