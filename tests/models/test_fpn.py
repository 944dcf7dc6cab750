"""A feature pyramid equals that of torchvision's detectors, weights and all."""

import pytest
import torch
from torchvision.models import detection

from hat.models.necks import FPN

CHANNELS = (256, 512, 1024, 2048)


def features(channels=CHANNELS, sizes=((17, 25), (9, 13), (5, 7), (3, 4))):
    generator = torch.Generator().manual_seed(0)
    return tuple(
        torch.randn(1, width, *size, generator=generator)
        for width, size in zip(channels, sizes, strict=True)
    )


def published(make):
    """The pyramid of one of torchvision's detectors, without its backbone's weights."""
    return make(weights=None, weights_backbone=None, num_classes=2).backbone.fpn.eval()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("make", "num_features", "options"),
    [
        (detection.fasterrcnn_resnet50_fpn, 4, dict(extra="pool")),
        (detection.fasterrcnn_resnet50_fpn_v2, 4, dict(extra="pool", batch_norm=True)),
        (detection.retinanet_resnet50_fpn, 3, dict(extra="p6p7")),
        (detection.retinanet_resnet50_fpn_v2, 3, dict(extra="p6p7_on_c5")),
        (detection.fcos_resnet50_fpn, 3, dict(extra="p6p7")),
    ],
    ids=["fasterrcnn", "fasterrcnn_v2", "retinanet", "retinanet_v2", "fcos"],
)
def test_it_takes_the_weights_of_published_detectors_and_gives_their_levels(
    make, num_features, options
):
    theirs = published(make)
    ours = FPN(CHANNELS[-num_features:], 256, **options).eval()
    ours.load_state_dict(theirs.state_dict())
    used = {str(n): feature for n, feature in enumerate(features()[-num_features:])}
    torch.testing.assert_close(ours(features()), tuple(theirs(used).values()), rtol=0, atol=0)


def test_a_level_is_the_feature_plus_the_coarser_level_made_larger():
    neck = FPN([1, 1], 1)
    with torch.no_grad():
        for parameter in neck.parameters():
            parameter.zero_()
        neck.inner_blocks[0][0].weight.fill_(2.0)
        neck.inner_blocks[1][0].weight.fill_(3.0)
        for block in neck.layer_blocks:
            block[0].weight[:, :, 1, 1] = 1.0
    fine = torch.arange(6.0).view(1, 1, 2, 3)
    coarse = torch.tensor([[[[10.0, 20.0]]]])
    # 3 * coarse, repeated over columns 0, 0, 1 (nearest of 2 for 3), plus 2 * fine.
    levels = neck((fine, coarse))
    assert levels[0].flatten().tolist() == [30.0, 32.0, 64.0, 36.0, 38.0, 70.0]
    assert levels[1].flatten().tolist() == [30.0, 60.0]


def test_the_last_feature_makes_the_extra_levels_where_channels_are_as_many():
    torch.manual_seed(0)
    neck = FPN([4, 4], 4, extra="p6p7_on_c5")
    given = features((4, 4), ((9, 7), (5, 4)))
    torch.testing.assert_close(neck(given)[2], neck.extra_blocks.p6(given[1]), rtol=0, atol=0)


def test_another_kind_of_extra_levels_is_refused():
    with pytest.raises(ValueError, match=r"extra of FPN must be 'none', 'pool', .* got 'p6'"):
        FPN([8], 8, extra="p6")
