"""Coarse features, enlarged and added to finer ones."""

import pytest
import torch
from torch.nn import functional as F

from hat.models import LadderDecoder

SIZES = [(25, 17), (13, 9), (7, 5)]


@pytest.fixture
def features():
    widths = (4, 5, 6)
    return tuple(torch.randn(2, c, *size) for c, size in zip(widths, SIZES, strict=True))


def test_one_feature_of_the_finest_size_comes_out(features):
    neck = LadderDecoder([4, 5, 6], channels=7)
    assert [tuple(feature.shape) for feature in neck(features)] == [(2, 7, 25, 17)]
    assert neck.out_channels == (7,)


def test_levels_are_added_from_coarse_to_fine(features):
    neck = LadderDecoder([4, 5, 6], channels=7).eval()
    fine, middle, coarse = (
        torch.einsum("oi,nihw->nohw", lateral.weight[:, :, 0, 0], feature)
        + lateral.bias[:, None, None]
        for lateral, feature in zip(neck.laterals, features, strict=True)
    )
    middle = middle + F.interpolate(coarse, size=(13, 9), mode="bilinear")
    total = fine + F.interpolate(middle, size=(25, 17), mode="bilinear")
    torch.testing.assert_close(neck(features)[0], neck.smooth(total))


def test_the_last_features_are_used(features):
    neck = LadderDecoder([5, 6], channels=7)
    assert neck(features)[0].shape[2:] == (13, 9)


def test_nothing_to_decode_is_refused():
    with pytest.raises(ValueError, match="one feature or more, got none"):
        LadderDecoder([])
