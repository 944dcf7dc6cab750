"""Weights from files: safe formats only, and nothing left out in silence."""

import os

import pytest
import safetensors.torch
import torch
from torch import nn

from hat.models import Classifier, ConvNet, LinearHead, load_weights, read_weights
from hat.store import write_checkpoint


@pytest.fixture
def linear():
    return nn.Linear(3, 2)


def save(path, weights):
    writer = safetensors.torch.save_file if path.suffix == ".safetensors" else torch.save
    writer(weights, path)
    return path


def same(module, other):
    return all(
        torch.equal(value, other.state_dict()[name]) for name, value in module.state_dict().items()
    )


# Formats


@pytest.mark.parametrize("name", ["w.safetensors", "w.pth", "w.pt", "größe 猫.bin"])
def test_weights_are_read_from_files(tmp_path, linear, name):
    other = nn.Linear(3, 2)
    load_weights(other, save(tmp_path / name, linear.state_dict()))
    assert same(other, linear)


def test_a_path_may_be_a_text(tmp_path, linear):
    other = nn.Linear(3, 2)
    load_weights(other, str(save(tmp_path / "w.pth", linear.state_dict())))
    assert same(other, linear)


@pytest.mark.parametrize("key", ["state_dict", "model", "model_state_dict"])
def test_weights_are_found_in_a_checkpoint_of_others(tmp_path, linear, key):
    path = save(tmp_path / "w.pth", {key: linear.state_dict(), "epoch": 3, "optimizer": {}})
    assert read_weights(path).keys() == {"weight", "bias"}


def test_weights_of_half_precision_are_widened(tmp_path, linear):
    half = {name: value.half() for name, value in linear.state_dict().items()}
    load_weights(linear, save(tmp_path / "w.safetensors", half))
    assert linear.weight.dtype == torch.float32


def test_a_checkpoint_folder_gives_the_weights_of_the_model(tmp_path, linear):
    state = {"model": linear.state_dict(), "optimizer": {}}
    folder = write_checkpoint(tmp_path, "step-1", state, {"step": 1})
    other = nn.Linear(3, 2)
    load_weights(other, folder)
    assert same(other, linear)


def test_a_checkpoint_folder_with_averaged_weights_gives_those(tmp_path, linear):
    averaged = nn.Linear(3, 2)
    state = {"model": linear.state_dict(), "ema": averaged.state_dict()}
    load_weights(linear, write_checkpoint(tmp_path, "step-1", state, {"step": 1}))
    assert same(linear, averaged)


def test_the_backbone_is_taken_out_of_a_checkpoint_folder(tmp_path):
    model = Classifier(ConvNet([4]), LinearHead(4, 2))
    folder = write_checkpoint(tmp_path, "step-1", {"model": model.state_dict()}, {"step": 1})
    backbone = ConvNet([4])
    load_weights(backbone, folder, prefix="backbone.")
    assert same(backbone, model.backbone)


# Files that are refused


class Attack:
    def __init__(self, folder):
        self.folder = folder

    def __reduce__(self):
        return os.mkdir, (self.folder,)


@pytest.fixture
def attack(tmp_path):
    torch.save({"weight": Attack(str(tmp_path / "attacked"))}, tmp_path / "attack.pth")
    return tmp_path / "attack.pth"


def test_a_file_with_code_is_refused(attack):
    with pytest.raises(ValueError, match=r"attack\.pth: not a file of weights that is safe"):
        read_weights(attack)


def test_a_file_with_code_is_not_executed(attack, linear):
    with pytest.raises(ValueError, match="safe to load"):
        load_weights(linear, attack)
    assert not (attack.parent / "attacked").exists()


def test_a_whole_module_is_refused(tmp_path, linear):
    torch.save(linear, tmp_path / "module.pth")
    with pytest.raises(ValueError, match=r"module\.pth: .*Save a state_dict"):
        read_weights(tmp_path / "module.pth")


@pytest.mark.parametrize("name", ["w.safetensors", "w.pth"])
@pytest.mark.parametrize("share", [0, 0.1, 0.5, 0.99])
def test_a_truncated_file_is_refused(tmp_path, name, share):
    path = save(tmp_path / name, {"weight": torch.zeros(100)})
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(ValueError, match=rf"{name}: not a (whole safetensors )?file"):
        read_weights(path)


@pytest.mark.parametrize("name", ["w.safetensors", "w.pth"])
def test_a_text_is_refused(tmp_path, name):
    (tmp_path / name).write_text("these are no weights, but a text that is long enough")
    with pytest.raises(ValueError, match=rf"{name}: not a"):
        read_weights(tmp_path / name)


@pytest.mark.parametrize("content", [[1, 2], 3, {"epoch": 3}, {"model": [1]}])
def test_a_file_without_named_tensors_is_refused(tmp_path, content):
    with pytest.raises(ValueError, match=r"w\.pth: expected named tensors"):
        read_weights(save(tmp_path / "w.pth", content))


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"w\.pth: no such file of weights"):
        read_weights(tmp_path / "w.pth")


def test_a_folder_without_weights_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="no such file of weights") as caught:
        read_weights(tmp_path)
    assert str(tmp_path) in str(caught.value)


# What fits


def test_a_prefix_is_taken_off(tmp_path, linear):
    weights = {f"head.fc.{name}": value for name, value in linear.state_dict().items()}
    weights["backbone.weight"] = torch.zeros(1)
    other = nn.Linear(3, 2)
    load_weights(other, save(tmp_path / "w.pth", weights), prefix="head.fc.")
    assert same(other, linear)


def test_a_prefix_that_no_name_has_is_refused_with_those_there_are(tmp_path, linear):
    weights = {f"backbone.{name}": value for name, value in linear.state_dict().items()}
    with pytest.raises(ValueError, match=r"'backbon\.'.*backbone\.weight"):
        load_weights(nn.Linear(3, 2), save(tmp_path / "w.pth", weights), prefix="backbon.")


def test_ignored_names_may_be_missing_in_the_file(tmp_path, linear):
    path = save(tmp_path / "w.pth", {"weight": linear.weight.data})
    other = nn.Linear(3, 2)
    bias = other.bias.clone()
    load_weights(other, path, ignore=["bias"])
    assert torch.equal(other.weight, linear.weight)
    assert torch.equal(other.bias, bias)


def test_ignored_names_may_be_missing_in_the_module(tmp_path, linear):
    weights = {**linear.state_dict(), "fc.weight": torch.zeros(9), "fc.bias": torch.zeros(9)}
    other = nn.Linear(3, 2)
    load_weights(other, save(tmp_path / "w.pth", weights), ignore=["fc.*"])
    assert same(other, linear)


def test_a_name_that_the_file_lacks_is_listed_with_the_nearest(tmp_path, linear):
    path = save(tmp_path / "w.pth", {"weights": linear.weight.data, "bias": linear.bias.data})
    with pytest.raises(
        ValueError, match=r"does not fit Linear: the file lacks weight Did you mean 'weights'\?"
    ):
        load_weights(linear, path)


def test_a_name_that_the_module_lacks_is_listed(tmp_path, linear):
    path = save(tmp_path / "w.pth", {**linear.state_dict(), "scale": torch.zeros(1)})
    with pytest.raises(ValueError, match="the module has no scale"):
        load_weights(linear, path)


def test_shapes_that_differ_are_listed(tmp_path, linear):
    path = save(tmp_path / "w.pth", nn.Linear(3, 5).state_dict())
    with pytest.raises(
        ValueError,
        match=r"shapes differ: weight: file \(5, 3\), module \(2, 3\), bias: file \(5,\), module",
    ):
        load_weights(linear, path)


def test_a_long_list_is_cut(tmp_path, linear):
    extra = {f"layer{n}": torch.zeros(1) for n in range(8)}
    path = save(tmp_path / "w.pth", {**linear.state_dict(), **extra})
    with pytest.raises(ValueError, match="layer0, layer1, layer2, layer3, layer4 and 3 more"):
        load_weights(linear, path)


@pytest.mark.parametrize(
    "weights",
    [
        {"weight": torch.ones(2, 3)},
        {"weight": torch.ones(2, 3), "bias": torch.ones(9)},
        {"weight": torch.ones(2, 3), "bias": torch.ones(2), "more": torch.ones(1)},
    ],
)
def test_a_file_that_does_not_fit_changes_nothing(tmp_path, linear, weights):
    before = {name: value.clone() for name, value in linear.state_dict().items()}
    with pytest.raises(ValueError, match="does not fit"):
        load_weights(linear, save(tmp_path / "w.pth", weights))
    assert all(torch.equal(value, before[name]) for name, value in linear.state_dict().items())


def test_statistics_of_norms_are_loaded(tmp_path):
    norm, other = nn.BatchNorm2d(2), nn.BatchNorm2d(2)
    norm(torch.randn(4, 2, 3, 3))
    load_weights(other, save(tmp_path / "w.safetensors", norm.state_dict()))
    assert same(other, norm)


def test_a_norm_that_does_not_count_batches_is_loaded(tmp_path):
    # As files from before PyTorch 0.4.1 have it; torch's own loading accepts them.
    norm, other = nn.BatchNorm2d(2), nn.BatchNorm2d(2)
    norm.running_mean.fill_(3)
    weights = norm.state_dict()
    del weights["num_batches_tracked"]
    load_weights(other, save(tmp_path / "w.pth", weights))
    assert torch.equal(other.running_mean, norm.running_mean)
