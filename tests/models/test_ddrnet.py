"""DDRNet is as large as published and joins its branches whatever the size."""

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from hat.models import DDRNet, FcnHead, SegmentationTask, Segmentor


def make_published(channels, head_channels, pool_channels=128):
    """The paper's network for Cityscapes: 19 classes, one head (the other is for training)."""
    backbone = DDRNet(channels, pool_channels)
    head = FcnHead(backbone.out_channels[-1], 19, head_channels)
    return Segmentor(backbone, head, SegmentationTask(19))


def make_small(**kwargs):
    backbone = DDRNet(channels=8, pool_channels=8)
    aux_heads = [FcnHead(16, 4, in_index=0)]
    return Segmentor(backbone, FcnHead(32, 4), SegmentationTask(4), aux_heads=aux_heads, **kwargs)


@pytest.mark.parametrize(
    ("channels", "head_channels", "millions"),
    [(32, 64, 5.7), (64, 128, 20.1)],
    ids=["ddrnet-23-slim", "ddrnet-23"],
)
def test_parameters_are_those_of_the_paper(channels, head_channels, millions):
    # Hong et al. 2021, comparison on Cityscapes: at inference, so without the auxiliary head.
    with torch.device("meta"):
        model = make_published(channels, head_channels)
    found = sum(parameter.numel() for parameter in model.parameters()) / 1e6
    assert found == pytest.approx(millions, rel=0.01)


@pytest.mark.parametrize(
    ("channels", "head_channels", "billions"),
    [(32, 64, 36.3), (64, 128, 143.1)],
    ids=["ddrnet-23-slim", "ddrnet-23"],
)
def test_multiply_adds_are_those_of_the_paper(channels, head_channels, billions):
    # The same table, at 2048x1024. torch counts a multiplication and an addition as two.
    with torch.device("meta"):
        model = make_published(channels, head_channels).eval()
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            model.network(torch.zeros(1, 3, 1024, 2048))
    assert counter.get_total_flops() / 2e9 == pytest.approx(billions, rel=0.01)


def test_both_features_have_an_eighth_of_the_size_rounded_up():
    features = DDRNet(channels=8, pool_channels=8).eval()(torch.zeros(1, 3, 65, 97))
    assert [tuple(feature.shape) for feature in features] == [(1, 16, 9, 13), (1, 32, 9, 13)]


def test_a_batch_of_one_can_be_trained():
    # The context is pooled to one place: a single value has no variance.
    model = make_small()
    batch = {"img": torch.randn(1, 3, 65, 97), "gt_seg": torch.zeros(1, 65, 97).long()}
    sum(model(batch).losses.values()).backward()
    assert [n for n, p in model.named_parameters() if not p.grad.isfinite().all()] == []


def test_a_single_pooled_value_leaves_the_running_statistics_alone():
    backbone = DDRNet(channels=8, pool_channels=8)
    backbone(torch.randn(1, 3, 65, 97))
    pooled = backbone.context.scales[-1][1][0]
    assert torch.equal(pooled.running_mean, torch.zeros_like(pooled.running_mean))


def test_every_pixel_sees_the_whole_picture():
    backbone = DDRNet(channels=8, pool_channels=8).eval()
    img = torch.randn(1, 3, 256, 256, requires_grad=True)
    backbone(img)[-1][0, :, 0, 0].sum().backward()
    assert (img.grad[0, :, -8:, -8:] != 0).any()


def test_the_coarse_branch_reaches_the_auxiliary_feature():
    backbone = DDRNet(channels=8, pool_channels=8)
    backbone(torch.randn(2, 3, 128, 128))[0].sum().backward()
    assert backbone.coarse3[0].conv1[0].weight.grad.any()
    assert backbone.coarse4[0].conv1[0].weight.grad is None


@pytest.mark.slow
def test_it_is_exported_without_a_break():
    backbone = DDRNet(channels=8, pool_channels=8).eval()
    img = torch.randn(1, 3, 128, 64)
    exported = torch.export.export(backbone, (img,)).module()
    torch.testing.assert_close(exported(img), backbone(img))


def test_autocast_to_bfloat16_gives_finite_losses():
    model = make_small()
    batch = {"img": torch.randn(2, 3, 64, 64), "gt_seg": torch.zeros(2, 64, 64).long()}
    with torch.autocast("cpu", torch.bfloat16):
        losses = model(batch).losses
    assert all(value.isfinite() and value.dtype == torch.float32 for value in losses.values())


def test_channels_below_one_are_refused():
    with pytest.raises(ValueError, match="must be at least 1, got 0 and 8"):
        DDRNet(channels=0, pool_channels=8)


def test_norm_keeps_the_statistics_of_batch_norm_where_there_are_many_values():
    backbone = DDRNet(channels=8, pool_channels=8)
    ours = backbone.context.scale0[0]
    theirs = nn.BatchNorm2d(ours.num_features)
    feature = torch.randn(2, ours.num_features, 3, 3)
    torch.testing.assert_close(ours(feature), theirs(feature))
    torch.testing.assert_close(ours.running_var, theirs.running_var)
