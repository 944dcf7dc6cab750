"""Models of torchvision as backbones."""

import copy
import pickle
import re

import pytest
import torch
from torch import nn
from torchvision import models

from hat.models import TorchvisionBackbone

#: The channels at strides 4, 8, 16 and 32 of one model of each family: of the papers' tables,
#: where the last 1x1 convolution before the classifier counts as part of the last stage.
FAMILIES = {
    "convnext_tiny": (96, 192, 384, 768),
    "densenet121": (256, 512, 1024, 1024),
    "efficientnet_b0": (24, 40, 112, 1280),
    "efficientnet_v2_s": (48, 64, 160, 1280),
    "maxvit_t": (64, 128, 256, 512),
    "mnasnet0_5": (16, 24, 48, 1280),
    "mobilenet_v2": (24, 32, 96, 1280),
    "mobilenet_v3_small": (16, 24, 48, 576),
    "regnet_y_400mf": (48, 104, 208, 440),
    "resnext50_32x4d": (256, 512, 1024, 2048),
    "shufflenet_v2_x0_5": (24, 48, 96, 1024),
    "swin_t": (96, 192, 384, 768),
    "vgg11_bn": (256, 512, 512, 512),
}


@pytest.mark.slow
@pytest.mark.parametrize(("name", "channels"), FAMILIES.items(), ids=FAMILIES)
def test_a_family_has_its_channels_and_sizes(name, channels):
    backbone = TorchvisionBackbone(name)
    assert backbone.out_channels == channels
    with torch.no_grad():
        features = backbone.eval()(torch.zeros(1, 3, 224, 224))
    assert [tuple(feature.shape[1:]) for feature in features] == [
        (width, 224 // stride, 224 // stride)
        for width, stride in zip(channels, (4, 8, 16, 32), strict=True)
    ]


@pytest.fixture(scope="module")
def theirs():
    torch.manual_seed(0)
    model = models.mobilenet_v3_small()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):  # statistics that are not 0 and 1
            nn.init.normal_(module.running_mean, std=0.1)
            nn.init.uniform_(module.running_var, 0.5, 2)
    return model.eval()


@pytest.fixture
def file(theirs, tmp_path):
    torch.save(theirs.state_dict(), tmp_path / "weights.pth")
    return str(tmp_path / "weights.pth")


@pytest.fixture
def pictures():
    return torch.randn(2, 3, 65, 97)


@pytest.fixture
def backbone(file):
    return TorchvisionBackbone("mobilenet_v3_small", strides=[8, 32], weights=file).eval()


def test_the_last_feature_is_what_the_classifier_of_torchvision_pools(backbone, theirs, pictures):
    pooled = backbone(pictures)[-1].mean(dim=(2, 3))
    torch.testing.assert_close(theirs.classifier(pooled), theirs(pictures))


def test_an_earlier_feature_is_what_the_first_smaller_block_gets(backbone, theirs, pictures):
    torch.testing.assert_close(backbone(pictures)[0], theirs.features[:4](pictures))


def test_what_comes_after_the_last_feature_is_cut_off(file):
    cut = TorchvisionBackbone("mobilenet_v3_small", strides=[4, 8], weights=file)
    names = {name.split(".")[2] for name, _ in cut.named_parameters()}
    assert names == {"0", "1", "2", "3"}


def test_names_of_published_densenets_are_understood(tmp_path):
    theirs = models.densenet121().eval()
    # Published files have `norm.1`, which is no name of a module any more.
    weights = {
        re.sub(r"(norm|conv)([12])\.", r"\1.\2.", name) if "denselayer" in name else name: value
        for name, value in theirs.state_dict().items()
    }
    torch.save(weights, tmp_path / "densenet.pth")
    ours = TorchvisionBackbone("densenet121", [4, 8], weights=str(tmp_path / "densenet.pth"))
    picture = torch.randn(1, 3, 64, 64)
    expected = theirs.features[:7](picture)
    torch.testing.assert_close(ours.eval()(picture)[1], expected)


def test_channels_last_of_swin_are_turned(pictures):
    swin = TorchvisionBackbone("swin_t", strides=[4, 32]).eval()
    with torch.no_grad():
        features = swin(pictures[:1])
    assert [tuple(feature.shape[1:]) for feature in features] == [(96, 16, 24), (768, 2, 3)]


def test_training_and_evaluation_stay_apart(pictures):
    # Blocks are skipped by chance in training only.
    options = dict(stochastic_depth_prob=0.9)
    network = TorchvisionBackbone("efficientnet_b0", strides=[8], options=options)
    is_training = [m.training for m in network.eval().modules()]
    assert not any(is_training)
    assert torch.equal(network(pictures)[0], network(pictures)[0])
    network.train()
    torch.manual_seed(0)
    assert not torch.equal(network(pictures)[0], network(pictures)[0])


@pytest.mark.parametrize("again", [copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))])
def test_copies_give_the_same_features(backbone, pictures, again):
    for feature, same in zip(again(backbone)(pictures), backbone(pictures), strict=True):
        assert torch.equal(feature, same)


def test_a_copy_can_be_trained(backbone, pictures):
    before = {name: value.clone() for name, value in backbone.named_buffers()}
    other = copy.deepcopy(backbone).train()
    other(pictures)
    assert any(not torch.equal(value, before[name]) for name, value in other.named_buffers())
    assert all(torch.equal(value, before[name]) for name, value in backbone.named_buffers())


def test_options_reach_torchvision():
    backbone = TorchvisionBackbone("mobilenet_v2", strides=[4], options=dict(width_mult=0.5))
    assert backbone.out_channels == (16,)


def test_a_file_of_another_model_is_refused(file):
    with pytest.raises(ValueError, match="does not fit"):
        TorchvisionBackbone("mobilenet_v3_large", weights=file)


def test_an_unknown_name_is_refused_with_the_nearest():
    with pytest.raises(
        ValueError, match=r"torchvision has no classifier 'resnet8'\. Did you mean 'resnet18'"
    ):
        TorchvisionBackbone("resnet8")


@pytest.mark.parametrize("strides", [[], [8, 4], [4, 4]], ids=str)
def test_strides_must_be_in_order(strides):
    with pytest.raises(ValueError, match="strides must be some of 2, 4, 8, 16, 32 in order"):
        TorchvisionBackbone("resnet18", strides=strides)


def test_a_stride_that_the_model_has_not_is_refused():
    with pytest.raises(
        ValueError, match=r"resnet18 has feature maps at strides 2, 4, 8, 16, 32, but .*\[64\]"
    ):
        TorchvisionBackbone("resnet18", strides=[64])


def test_a_model_without_whole_strides_is_refused():
    with pytest.raises(ValueError, match="squeezenet1_1 has no feature map that is a half"):
        TorchvisionBackbone("squeezenet1_1")


@pytest.mark.slow
def test_a_model_of_tokens_is_refused():
    with pytest.raises(ValueError, match="vit_b_32 gives tokens instead of feature maps; timm"):
        TorchvisionBackbone("vit_b_32", strides=[32])
