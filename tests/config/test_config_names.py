"""A name in a config becomes a class or function: HAT's own, registered, or importable."""

import pytest
import torch
from config_parts import Box, Typed, make_box

from hat.registry import all_names, describe, did_you_mean, names, register, resolve

pytestmark = pytest.mark.usefixtures("own_registry")


def test_a_registered_class_is_found_by_its_name():
    register("backbone")(Box)
    assert resolve("Box") is Box


def test_a_registered_function_is_found_by_its_name():
    register("dataset")(make_box)
    assert resolve("make_box") is make_box


def test_a_part_can_be_registered_under_another_name():
    register("backbone", "MyBox")(Box)
    assert resolve("MyBox") is Box


def test_registering_returns_the_part_as_it_is():
    assert register("backbone")(Box) is Box


def test_a_registered_part_is_among_the_names_of_its_kind():
    register("backbone")(Box)
    assert "Box" in names("backbone")
    assert all_names()["Box"] == "backbone"


def test_a_registered_part_is_not_among_the_names_of_other_kinds():
    register("backbone")(Box)
    assert "Box" not in names("head")


def test_a_registered_part_is_described_by_its_docstring():
    register("backbone")(Box)
    assert describe("backbone", "Box") == "Takes anything that is given by name."


def test_a_registered_part_without_a_docstring_has_no_description():
    register("backbone")(make_box)
    assert describe("backbone", "make_box") == ""


def test_a_registered_name_is_suggested():
    register("backbone", "HyperNet")(Box)
    with pytest.raises(LookupError, match=r"Did you mean 'HyperNet'\?"):
        resolve("HyperNett")


def test_an_unknown_kind_is_refused_with_the_nearest():
    with pytest.raises(ValueError, match=r"no kind 'backbon'\. Did you mean 'backbone'\?"):
        register("backbon")


def test_a_name_of_hat_is_taken():
    with pytest.raises(ValueError, match=r"'ConvNet' is taken by hat\..*\.ConvNet; give config_p"):
        register("backbone", "ConvNet")(Box)


def test_a_name_of_hat_is_taken_for_every_kind():
    with pytest.raises(ValueError, match="'ConvNet' is taken"):
        register("metric", "ConvNet")(Box)


def test_a_registered_name_is_taken_for_every_kind():
    register("backbone", "Mine")(Box)
    with pytest.raises(ValueError, match=r"'Mine' is taken by config_parts\.Box"):
        register("head", "Mine")(Typed)


def test_one_part_can_be_registered_again():
    register("backbone")(Box)
    again = type("Box", (), {"__module__": Box.__module__, "__qualname__": Box.__qualname__})
    register("backbone")(again)
    assert resolve("Box") is again


def test_one_part_cannot_have_one_name_in_two_kinds():
    register("backbone")(Box)
    with pytest.raises(ValueError, match="'Box' is taken"):
        register("head")(Box)


def test_a_name_with_a_dot_is_refused_because_it_would_be_an_import_path():
    with pytest.raises(ValueError, match=r"my\.Box"):
        register("backbone", "my.Box")(Box)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("torch.optim.SGD", torch.optim.SGD),
        ("torch.nn.Module.eval", torch.nn.Module.eval),
        ("torch.relu", torch.relu),
        ("config_parts.Box", Box),
    ],
)
def test_a_dotted_path_stands_for_what_can_be_imported(name, expected):
    assert resolve(name) is expected


@pytest.mark.parametrize(
    ("name", "candidates", "hint"),
    [
        ("resnet18", ["ResNet18", "ResNet34"], " Did you mean 'ResNet18'?"),
        ("lrr", ["lr", "momentum"], " Did you mean 'lr'?"),
        ("Tensr", ["Tensor", "tensor"], " Did you mean 'Tensor'?"),
        ("Tensr", ["tensor", "Tensor"], " Did you mean 'Tensor'?"),
        ("zzz", ["lr", "momentum"], ""),
        ("lr", [], ""),
        ("", ["lr"], ""),
    ],
)
def test_the_nearest_name_is_suggested(name, candidates, hint):
    assert did_you_mean(name, candidates) == hint
