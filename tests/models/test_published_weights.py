"""Files of torchvision's detectors load into HAT's, whatever their age."""

import pytest
import torch
from detector_pairs import CHANNELS, IN_CHANNELS, NUM_CLASSES, retinanet_pair
from torch import nn

from hat.models import (
    FPN,
    OneStageDetector,
    ResNet18,
    RetinaNetHead,
    RetinaNetTask,
    load_weights,
)


@pytest.fixture(scope="module")
def published():
    """Weights of a random RetinaNet by torchvision's names; published norms count no batches."""
    weights = retinanet_pair()[0].state_dict()
    return {name: value for name, value in weights.items() if "num_batches" not in name}


def old_name(name):
    """The name of a weight in files from before torchvision 0.14."""
    for number in range(4):
        name = name.replace(f"_head.conv.{number}.0.", f"_head.conv.{2 * number}.")
        name = name.replace(f"_blocks.{number}.0.", f"_blocks.{number}.")
    return name


def detector(weights):
    return OneStageDetector(
        ResNet18(),
        RetinaNetHead(CHANNELS, NUM_CLASSES),
        RetinaNetTask(NUM_CLASSES),
        FPN(IN_CHANNELS, CHANNELS, extra="p6p7"),
        weights=str(weights),
    )


def require_loaded(model, published):
    own = model.state_dict()
    names = {n: n.replace("backbone.body", "backbone") for n in published}
    names = {n: new.replace("backbone.fpn", "neck") for n, new in names.items()}
    assert {n for n in own if "num_batches" not in n} == set(names.values())
    assert all(torch.equal(own[names[name]], value) for name, value in published.items())


def test_a_file_of_torchvisions_detector_loads(published, tmp_path):
    torch.save(published, tmp_path / "retinanet.pth")
    require_loaded(detector(tmp_path / "retinanet.pth"), published)


def test_a_file_with_the_names_of_old_loads(published, tmp_path):
    old = {old_name(name): value for name, value in published.items()}
    assert {"head.regression_head.conv.6.bias", "backbone.fpn.layer_blocks.2.weight"} <= set(old)
    torch.save(old, tmp_path / "retinanet.pth")
    require_loaded(detector(tmp_path / "retinanet.pth"), published)


def test_the_backbone_of_a_detectors_file_loads_by_prefix(published, tmp_path):
    torch.save(published, tmp_path / "retinanet.pth")
    backbone = ResNet18()
    load_weights(backbone, tmp_path / "retinanet.pth", prefix="backbone.body.", ignore=["fc.*"])
    assert torch.equal(backbone.conv1.weight, published["backbone.body.conv1.weight"])


def test_a_file_that_fits_is_not_renamed(tmp_path):
    module = nn.ModuleDict({"backbone": nn.ModuleDict({"body": nn.Linear(1, 1)})})
    torch.save({n: value + 1 for n, value in module.state_dict().items()}, tmp_path / "w.pth")
    before = module["backbone"]["body"].weight.clone()
    load_weights(module, tmp_path / "w.pth")
    assert torch.equal(module["backbone"]["body"].weight, before + 1)


def test_two_weights_for_one_place_are_refused(tmp_path):
    module = nn.ModuleDict({"backbone": nn.Linear(1, 1)})
    weights = {"backbone.weight": torch.ones(1, 1), "backbone.bias": torch.ones(1)}
    weights["backbone.body.bias"] = torch.zeros(1)
    torch.save(weights, tmp_path / "w.pth")
    with pytest.raises(ValueError, match=r"the module has no backbone\.body\.bias"):
        load_weights(module, tmp_path / "w.pth")


def test_a_detector_of_another_width_is_refused_by_its_own_names(published, tmp_path):
    torch.save(published, tmp_path / "retinanet.pth")
    model = OneStageDetector(
        ResNet18(), RetinaNetHead(32, 2), RetinaNetTask(2), FPN(IN_CHANNELS, 32, extra="p6p7")
    )
    with pytest.raises(ValueError, match=r"shapes differ: neck\.inner_blocks\.0\.0\.weight: file"):
        load_weights(model, tmp_path / "retinanet.pth")
