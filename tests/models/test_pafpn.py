"""A path aggregation network against sums worked by hand."""

import pytest
import torch
from torch import nn

from hat.models import PAFPN


def plain(neck):
    """All convolutions pass on their middle pixel, channel by channel, without bias."""
    with torch.no_grad():
        for module in neck.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.dirac_(module.weight)
                nn.init.zeros_(module.bias)
    return neck


def test_levels_are_added_top_down_and_then_bottom_up():
    neck = plain(PAFPN([1, 1, 1], 1))
    fine = torch.arange(16.0).view(1, 1, 4, 4)
    middle = torch.tensor([[[[100.0, 200.0], [300.0, 400.0]]]])
    coarse = torch.tensor([[[[1000.0]]]])
    # Top down: middle + 1000, then fine + that, each value over 2x2 pixels.
    # Bottom up: every second pixel of the finer level is added to the level below.
    first, second, third = neck((fine, middle, coarse))
    assert first[0, 0, 0].tolist() == [1100.0, 1101.0, 1202.0, 1203.0]
    # Pixels (0, 0), (0, 2), (2, 0), (2, 2) of the first: 1100, 1202, 1308, 1410.
    assert second.flatten().tolist() == [2200.0, 2402.0, 2608.0, 2810.0]
    assert third.item() == 1000 + 2200


def test_coarse_features_reach_every_finer_level():
    neck = plain(PAFPN([1, 1], 1))
    features = (torch.zeros(1, 1, 5, 7), torch.ones(1, 1, 3, 4))
    assert torch.equal(neck(features)[0], torch.ones(1, 1, 5, 7))


@pytest.mark.parametrize(
    ("options", "kinds"),
    [
        ({}, {"Conv2d"}),
        (dict(batch_norm=True), {"Conv2d", "BatchNorm2d"}),
        (dict(batch_norm=True, activation="silu"), {"Conv2d", "BatchNorm2d", "SiLU"}),
        (dict(activation="relu"), {"Conv2d", "ReLU"}),
    ],
    ids=["plain", "norm", "silu", "relu"],
)
def test_layers_are_those_that_are_asked_for(options, kinds):
    leaves = [m for m in PAFPN([4, 8], 8, **options).modules() if not list(m.children())]
    assert {type(leaf).__name__ for leaf in leaves} == kinds


def test_depthwise_needs_fewer_weights():
    def count(depthwise):
        neck = PAFPN([8, 8], 8, batch_norm=True, depthwise=depthwise)
        return sum(p.numel() for p in neck.parameters() if p.ndim == 4)

    # Two 1x1 laterals; two smoothing, one downward and one fusing 3x3 convolution.
    assert count(False) == 2 * 8 * 8 + 4 * 8 * 8 * 9
    assert count(True) == 2 * 8 * 8 + 4 * (8 * 9 + 8 * 8)


def test_another_activation_is_refused():
    with pytest.raises(ValueError, match="activation of PAFPN must be one of none, relu, silu"):
        PAFPN([8], 8, activation="gelu")
