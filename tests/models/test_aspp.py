"""One feature, seen at several scales."""

import pytest
import timm
import torch
from torch import nn
from torchvision.models.segmentation import deeplabv3

from hat.models import ASPP, ConvNet, FcnHead, SegmentationTask, Segmentor, TimmBackbone


@pytest.fixture
def reference():
    """torchvision's, with statistics that are not 0 and 1."""
    model = deeplabv3.ASPP(6, [2, 3], 8)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.running_mean)
            nn.init.uniform_(module.running_var, 0.5, 2)
    return model


@pytest.fixture
def neck(reference):
    neck = ASPP([6], 8, rates=[2, 3], dropout=0.5)
    neck.load_state_dict(reference.state_dict())
    return neck


@pytest.fixture
def feature():
    return torch.randn(3, 6, 9, 7)


def test_outputs_in_evaluation_are_those_of_torchvision(neck, reference, feature):
    (ours,) = neck.eval()((feature,))
    torch.testing.assert_close(ours, reference.eval()(feature))


def test_outputs_in_training_are_those_of_torchvision(neck, reference, feature):
    torch.manual_seed(1)
    (ours,) = neck((feature,))
    torch.manual_seed(1)
    torch.testing.assert_close(ours, reference(feature))


def test_gradients_are_those_of_torchvision(neck, reference, feature):
    neck.eval()((feature,))[0].square().sum().backward()
    reference.eval()(feature).square().sum().backward()
    theirs = dict(reference.named_parameters())
    for name, parameter in neck.named_parameters():
        torch.testing.assert_close(parameter.grad, theirs[name].grad)


def test_statistics_are_learnt_as_in_torchvision(neck, reference, feature):
    neck((feature,))
    reference(feature)
    theirs = reference.state_dict()
    for name, value in neck.state_dict().items():
        torch.testing.assert_close(value, theirs[name])


def test_a_head_makes_it_the_deeplabv3_of_torchvision(feature):
    theirs = deeplabv3.DeepLabHead(6, 4, [2, 3]).eval()
    neck, head = ASPP([6], 256, [2, 3]), FcnHead(256, 4, channels=256)
    weights = list(theirs.state_dict().values())
    names = [f"0.{name}" for name in neck.state_dict()] + [f"1.{n}" for n in head.state_dict()]
    model = nn.Sequential(neck, head).eval()
    model.load_state_dict(dict(zip(names, weights, strict=True)))
    torch.testing.assert_close(model((feature,)), theirs(feature))


@pytest.mark.parametrize("separable", [False, True])
def test_a_batch_of_one_trains(separable):
    neck = ASPP([6], 8, rates=[2], separable=separable)
    (out,) = neck((torch.randn(1, 6, 9, 7),))
    out.square().sum().backward()
    assert all(parameter.grad.isfinite().all() for parameter in neck.parameters())


def test_a_batch_of_one_takes_the_running_statistics_of_the_pooled_feature(neck, feature):
    pooling = neck.convs[-1]
    before = pooling[2].running_mean.clone()
    training = pooling.train()(feature[:1])
    torch.testing.assert_close(training, pooling.eval()(feature)[:1])
    assert torch.equal(pooling[2].running_mean, before)


def test_the_last_feature_is_used(neck, feature):
    neck.eval()
    assert torch.equal(neck((torch.zeros(3, 2, 18, 14), feature))[0], neck((feature,))[0])


def test_the_size_may_be_odd_or_one_pixel(neck):
    neck.eval()
    assert neck((torch.randn(1, 6, 5, 13),))[0].shape == (1, 8, 5, 13)
    assert neck((torch.randn(1, 6, 1, 1),))[0].shape == (1, 8, 1, 1)


def test_separable_convolutions_are_one_for_each_channel_and_one_of_1x1():
    neck = ASPP([6], 8, rates=[2, 3], separable=True)
    convs = [module for module in neck.convs[2].modules() if isinstance(module, nn.Conv2d)]
    assert [(conv.groups, conv.kernel_size, conv.dilation) for conv in convs] == [
        (6, (3, 3), (3, 3)),
        (1, (1, 1), (1, 1)),
    ]


def test_the_channels_that_come_out_are_told():
    neck = ASPP([6], out_channels=8)
    assert (neck.in_channels, neck.out_channels) == ((6,), (8,))


def test_a_segmentor_takes_it_as_its_neck():
    model = Segmentor(
        backbone=ConvNet([8, 16], depth=1),
        neck=ASPP([16], 8, rates=[1, 2]),
        head=FcnHead(8, num_classes=3),
        task=SegmentationTask(3),
    ).eval()
    assert model({"img": torch.zeros(1, 3, 32, 48)}).preds["seg"].shape == (1, 32, 48)


@pytest.mark.parametrize(("output_stride", "sizes"), [(8, [16, 8, 8, 8]), (16, [16, 8, 4, 4])])
def test_a_backbone_of_timm_is_dilated_by_its_output_stride(output_stride, sizes):
    options = dict(output_stride=output_stride)
    backbone = TimmBackbone("resnet18", out_indices=[1, 2, 3, 4], options=options).eval()
    features = backbone(torch.zeros(1, 3, 64, 64))
    assert [feature.shape[-1] for feature in features] == sizes
    dilated = timm.create_model("resnet18", **options).eval()
    dilated.load_state_dict(backbone.model.state_dict(), strict=False)
    img = torch.randn(1, 3, 64, 64)
    torch.testing.assert_close(backbone(img)[-1], dilated.forward_features(img))


@pytest.mark.parametrize(
    "arguments", [([6, 6], 8, [1]), ([], 8, [1]), ([6], 0, [1]), ([6], 8, [0])]
)
def test_impossible_numbers_are_refused(arguments):
    with pytest.raises(ValueError, match="ASPP needs in_channels of one feature, and channels"):
        ASPP(*arguments)


def test_an_impossible_dropout_is_refused():
    with pytest.raises(ValueError, match=r"dropout must be in \[0, 1\), got 1"):
        ASPP([6], dropout=1)


def test_a_feature_of_other_channels_is_refused(neck):
    with pytest.raises(ValueError, match=r"ASPP was built for in_channels=\(6,\)"):
        neck((torch.zeros(1, 5, 4, 4),))
