"""What is public is exported on purpose, importable and described."""

import ast
import importlib
import inspect
import subprocess
import sys
from pathlib import Path

import pytest

import hat

ROOT = Path(hat.__file__).parent


def stubs():
    return sorted(ROOT.rglob("__init__.pyi"))


def package_of(stub):
    return ".".join(stub.parent.relative_to(ROOT.parent).parts)


def names_in(stub):
    imports = ast.parse(stub.read_text("utf-8")).body
    return [alias.asname for node in imports for alias in node.names]


PACKAGES = {package_of(stub): names_in(stub) for stub in stubs()}
EXPORTS = [(package, name) for package, names in PACKAGES.items() for name in names]


@pytest.mark.parametrize("package", PACKAGES)
def test_a_package_exports_what_its_stub_lists(package):
    assert sorted(importlib.import_module(package).__all__) == sorted(PACKAGES[package])


@pytest.mark.parametrize("package", PACKAGES)
def test_a_stub_lists_no_name_twice(package):
    assert len(set(PACKAGES[package])) == len(PACKAGES[package])


@pytest.mark.parametrize("package", PACKAGES)
def test_what_is_exported_can_be_looked_up(package):
    assert set(PACKAGES[package]) <= set(dir(importlib.import_module(package)))


@pytest.mark.parametrize(("package", "name"), EXPORTS)
def test_an_exported_name_can_be_imported(package, name):
    assert getattr(importlib.import_module(package), name).__name__ == name


@pytest.mark.parametrize(("package", "name"), EXPORTS)
def test_an_exported_name_is_described(package, name):
    part = getattr(importlib.import_module(package), name)
    assert "__doc__" in vars(part) or inspect.isfunction(part)
    assert (part.__doc__ or "").strip()


@pytest.mark.parametrize(("package", "name"), EXPORTS)
def test_a_description_begins_with_one_sentence(package, name):
    first = inspect.getdoc(getattr(importlib.import_module(package), name)).splitlines()[0]
    assert first.endswith((".", ":"))


@pytest.mark.parametrize("kind", ["datasets", "transforms", "samplers", "collates", "loaders"])
def test_what_a_folder_of_data_exports_its_module_exports_too(kind):
    assert set(PACKAGES[f"hat.data.{kind}"]) <= set(PACKAGES["hat.data"])


@pytest.mark.parametrize(
    "kind", ["backbones", "boxes", "heads", "losses", "necks", "structures", "task_modules"]
)
def test_what_a_folder_of_models_exports_its_module_exports_too(kind):
    assert set(PACKAGES[f"hat.models.{kind}"]) <= set(PACKAGES["hat.models"])


@pytest.mark.parametrize("package", ["hat", *PACKAGES])
def test_importing_a_package_does_not_import_torch(package):
    code = f"import sys, {package}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
