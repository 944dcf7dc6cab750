"""A bidirectional pyramid against the paper: its sums, weights and sizes."""

import pytest
import timm
import torch
from torch import nn

from hat.models import BiFPN

#: EfficientDet D0 to D6 (Tan et al. 2020): width and layers of the BiFPN and layers of the
#: heads from table 1, millions of parameters from table 2.
DETECTORS = {
    0: (64, 3, 3, 3.9),
    1: (88, 4, 3, 6.6),
    2: (112, 5, 3, 8.1),
    3: (160, 6, 4, 12),
    4: (224, 7, 4, 21),
    5: (288, 7, 4, 34),
    6: (384, 8, 5, 52),
}


def count(module):
    return sum(parameter.numel() for parameter in module.parameters())


def separable(channels, out_channels):
    return nn.Sequential(
        nn.Conv2d(channels, channels, 3, groups=channels, bias=False),
        nn.Conv2d(channels, out_channels, 1),
    )


def head(channels, layers, outputs):
    """Convolutions are shared by the five levels, the BatchNorms are not (section 4)."""
    convolutions = [separable(channels, channels) for _ in range(layers)]
    norms = [nn.BatchNorm2d(channels) for _ in range(5 * layers)]
    return nn.ModuleList([*convolutions, *norms, separable(channels, outputs)])


@pytest.mark.parametrize(("number", "sizes"), DETECTORS.items(), ids=lambda value: str(value)[0])
def test_a_whole_efficientdet_has_as_many_parameters_as_in_the_paper(number, sizes):
    width, layers, head_layers, millions = sizes
    with torch.device("meta"):
        backbone = timm.create_model(
            f"efficientnet_b{number}", features_only=True, out_indices=(2, 3, 4)
        )
        neck = BiFPN(backbone.feature_info.channels(), width, num_layers=layers)
        heads = head(width, head_layers, 9 * 90), head(width, head_layers, 9 * 4)
    total = count(backbone) + count(neck) + sum(map(count, heads))
    # The paper rounds to two digits.
    assert total / 1e6 == pytest.approx(millions, rel=0.02)


def test_parameters_are_as_many_as_worked_out_by_hand():
    neck = BiFPN([40, 112, 320], 64, num_layers=1)
    # 1x1 convolutions with bias and BatchNorm: the finest feature once, the middle one twice,
    # the coarsest twice and for the extra levels.
    laterals = (40 + 2 * 112 + 3 * 320) * 64 + 6 * (64 + 2 * 64)
    # Eight fusions of 2, 2, 2, 2, 3, 3, 3 and 2 inputs: 3x3 depthwise, 1x1, BatchNorm.
    fusions = 8 * (64 * 9 + 64 * 64 + 64 + 2 * 64) + 19
    assert count(neck) == laterals + fusions


@pytest.fixture
def fusion():
    """One level fused with another by convolutions that pass everything on."""
    fusion = BiFPN([1, 1], 1, num_layers=1, num_extra=0).eval().layers[0].top_down[0]
    fusion.conv = nn.Identity()
    return fusion


@pytest.mark.parametrize(
    ("weights", "expected"),
    [([1.0, 1.0], 15.0), ([3.0, 1.0], 12.5), ([-5.0, 2.0], 20.0), ([2.0, -1.0], 10.0)],
)
def test_weights_are_made_positive_and_divided_by_their_sum(fusion, weights, expected):
    fusion.weight.data = torch.tensor(weights)
    fused = fusion([torch.full((1, 1, 2, 2), 10.0), torch.full((1, 1, 2, 2), 20.0)])
    # (w1 * 10 + w2 * 20) / (w1 + w2) with negative weights as 0; 0.0001 is in the divisor.
    torch.testing.assert_close(fused, torch.full((1, 1, 2, 2), expected), rtol=1e-4, atol=0)


def test_a_fusion_of_three_starts_with_equal_weights():
    layer = BiFPN([1, 1, 1], 1, num_layers=1, num_extra=0).layers[0]
    assert [len(fusion.weight) for fusion in layer.top_down] == [2, 2]
    assert [len(fusion.weight) for fusion in layer.bottom_up] == [3, 2]
    assert layer.bottom_up[0].weight.tolist() == [1.0, 1.0, 1.0]


def test_every_level_depends_on_every_feature():
    torch.manual_seed(0)
    neck = BiFPN([2, 3, 4], 8, num_layers=1)
    features = [
        torch.randn(2, width, size, size, requires_grad=True)
        for width, size in ((2, 17), (3, 9), (4, 5))
    ]
    for level in neck(tuple(features)):
        gradients = torch.autograd.grad(level.square().sum(), features, retain_graph=True)
        assert all(gradient.abs().sum() > 0 for gradient in gradients)


def test_one_feature_is_refused():
    with pytest.raises(ValueError, match=r"two features or more .*in_channels=\[8\]"):
        BiFPN([8], 8)
