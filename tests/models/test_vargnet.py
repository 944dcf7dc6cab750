"""VarGNets have the layers, sizes and costs that are published or worked out by hand."""

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from hat.models import MixVarGENet, TinyVarGNetV2, VarGNetV2
from hat.models.backbones.var_group import VarGroupBlock, VarGroupStyle, separable


def cost(model, size):
    """Parameters and multiply-adds, without computing anything."""
    model = model.to("meta").eval()
    with FlopCounterMode(display=False) as counter:
        model(torch.empty(1, 3, *size, device="meta"))
    return sum(p.numel() for p in model.parameters()), counter.get_total_flops() / 2


class Embedding(nn.Sequential):
    """The embedding setting of VarGFaceNet (section 3.3): 1024 channels, 7x7 in groups, 512."""

    def __init__(self):
        super().__init__(
            nn.Conv2d(320, 1024, 1, bias=False),
            nn.BatchNorm2d(1024),
            nn.PReLU(1024),
            nn.Conv2d(1024, 1024, 7, groups=1024 // 8, bias=False),
            nn.BatchNorm2d(1024),
            nn.Conv2d(1024, 512, 1, bias=False),
            nn.BatchNorm2d(512),
            nn.PReLU(512),
            nn.Flatten(),
            nn.Linear(512, 512),
        )

    def forward(self, features):
        return super().forward(features[-1])


@pytest.fixture
def face_network():
    backbone = VarGNetV2(1.25, stem_stride=1, activation="prelu", squeeze=True)
    return nn.Sequential(backbone, Embedding())


def test_vargfacenet_has_the_published_cost(face_network):
    parameters, multiply_adds = cost(face_network, (112, 112))
    # 1022 MFLOPs, two for each multiply-add, and 5 M parameters (no more digits are given),
    # as later comparisons of light face recognition networks list it.
    assert 2 * multiply_adds / 1e6 == pytest.approx(1022, rel=0.02)
    assert round(parameters / 1e6) == 5


def test_vargfacenet_halves_the_size_where_its_table_does(face_network):
    features = face_network[0].eval()(torch.zeros(1, 3, 112, 112))
    assert [tuple(feature.shape[1:]) for feature in features] == [
        (40, 56, 56),
        (80, 28, 28),
        (160, 14, 14),
        (320, 7, 7),
    ]


@pytest.mark.parametrize(
    ("make", "parameters", "multiply_adds"),
    [
        (VarGNetV2, "2.3 million parameters", "346 million multiply-adds"),
        (TinyVarGNetV2, "0.7 million parameters", None),
        (MixVarGENet, "0.9 million parameters", "768 million multiply-adds"),
    ],
)
def test_costs_are_as_the_docstring_says(make, parameters, multiply_adds):
    text = " ".join(make.__doc__.split())
    count, adds = cost(make(), (224, 224))
    assert parameters == f"{count / 1e6:.1f} million parameters"
    assert multiply_adds in (None, f"{adds / 1e6:.0f} million multiply-adds")
    assert parameters in text
    assert multiply_adds is None or multiply_adds in text


def test_a_variable_group_convolution_costs_as_much_as_the_papers_equation():
    layer = nn.Sequential(nn.Conv2d(3, 32, 1), separable(32, 16, VarGroupStyle(8, expansion=2)))
    with_stem = cost(layer, (10, 10))[1]
    # VarGFaceNet, equation 1: k^2 * h * w * S * C of the output, here 2 * 32; then the 1x1.
    expected = 9 * 10 * 10 * 8 * 64 + 10 * 10 * 64 * 16
    assert with_stem - 10 * 10 * 3 * 32 == expected


@pytest.mark.parametrize("group_size", [4, 8, 16])
@pytest.mark.parametrize("alpha", [0.25, 0.6, 1.0])
def test_every_group_has_the_same_number_of_channels(alpha, group_size):
    with torch.device("meta"):
        network = VarGNetV2(alpha, group_size=group_size)
    kernels = [m for m in network.stages.modules() if getattr(m, "kernel_size", 1) == (3, 3)]
    assert {m.in_channels // m.groups for m in kernels} == {group_size}


def test_groups_differ_in_number_from_stage_to_stage():
    with torch.device("meta"):
        network = VarGNetV2()
    assert [stage[0].second[0].groups for stage in network.stages] == [8, 16, 32]


@pytest.mark.parametrize(
    ("alpha", "channels"),
    [
        (0.01, (8, 8, 8, 8)),
        (0.25, (8, 16, 32, 64)),
        (0.6, (16, 40, 80, 152)),
        (1.25, (40, 80, 160, 320)),
    ],
)
def test_channels_are_rounded_to_whole_groups(alpha, channels):
    with torch.device("meta"):
        assert VarGNetV2(alpha).out_channels == channels


def test_a_normal_block_adds_its_convolutions_to_its_input():
    block = VarGroupBlock(8, 8, VarGroupStyle()).eval()
    nn.init.zeros_(block.second[-1].weight)
    feature = torch.randn(2, 8, 5, 6)
    assert torch.equal(block(feature), feature.relu())


def test_the_branches_of_a_down_sampling_block_are_summed_before_the_activation():
    torch.manual_seed(0)
    block = VarGroupBlock(8, 16, VarGroupStyle(), stride=2, branches=2).eval()
    feature = torch.randn(2, 8, 5, 6)
    summed = block.branches[0](feature) + block.branches[1](feature)
    expected = (block.shortcut(feature) + block.second(summed.relu())).relu()
    torch.testing.assert_close(block(feature), expected)
    assert expected.shape == (2, 16, 3, 3)


def test_only_normal_blocks_squeeze():
    network = VarGNetV2(0.25, squeeze=True)
    kinds = [[type(block.squeeze).__name__ for block in stage] for stage in network.stages]
    assert [kind[0] for kind in kinds] == ["Identity"] * 3
    assert {name for kind in kinds for name in kind[1:]} == {"SqueezeExcitation"}


def test_mixed_stages_are_dense_first_and_in_groups_later():
    with torch.device("meta"):
        network = MixVarGENet(0.7)
    convolutions = [block.convs[0] for stage in network.stages for block in stage]
    sizes = [layer.in_channels // layer.groups for layer in convolutions]
    assert sizes[:5] == [layer.in_channels for layer in convolutions[:5]]
    assert set(sizes[5:]) == {16}


@pytest.mark.parametrize("make", [VarGNetV2, TinyVarGNetV2, MixVarGENet])
def test_a_file_of_ours_is_loaded(make, tmp_path):
    saved = make(0.25).eval()
    torch.save(saved.state_dict(), tmp_path / "weights.pth")
    loaded = make(0.25, weights=str(tmp_path / "weights.pth")).eval()
    picture = torch.randn(1, 3, 33, 40)
    assert torch.equal(loaded(picture)[-1], saved(picture)[-1])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (dict(alpha=0), r"got alpha=0, depths=\(3, 7, 4\)"),
        (dict(depths=(3, 7)), r"three depths, .* depths=\(3, 7\)"),
        (dict(expansion=0), "expansion=0"),
        (dict(group_size=0), "group_size=0"),
        (dict(stem_stride=4), "stem_stride must be 1 or 2 .* got 4"),
        (dict(activation="silu"), "activation 'relu' or 'prelu', got 2 and 'silu'"),
    ],
    ids=["alpha", "depths", "expansion", "group_size", "stem_stride", "activation"],
)
def test_other_options_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        VarGNetV2(**options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (dict(depths=(1, 1)), "must be as many, two or more, got 5, 2, 5 and 5"),
        (dict(alpha=-1), "alpha must be over 0"),
        (dict(expansions=(0, 1, 1, 1, 1)), r"expansions=\(0, 1, 1, 1, 1\)"),
    ],
    ids=["lengths", "alpha", "expansions"],
)
def test_other_stages_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        MixVarGENet(**options)
