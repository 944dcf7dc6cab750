"""A plain stack of convolutions."""

import pytest
import torch
from torch import nn

from hat.models import ConvNet


def test_every_stage_halves_the_size():
    features = ConvNet([4, 8, 16])(torch.zeros(1, 3, 32, 24))
    assert [tuple(f.shape[1:]) for f in features] == [(4, 16, 12), (8, 8, 6), (16, 4, 3)]


@pytest.mark.parametrize("depth", [1, 3])
def test_every_stage_has_the_given_number_of_convolutions(depth):
    modules = ConvNet([4, 8], depth=depth).modules()
    assert sum(isinstance(module, nn.Conv2d) for module in modules) == 2 * depth


def test_pictures_may_have_other_channels():
    assert ConvNet([4], in_channels=1)(torch.zeros(1, 1, 8, 8))[0].shape == (1, 4, 4, 4)


def test_features_are_not_negative():
    assert ConvNet([4])(torch.randn(2, 3, 8, 8))[0].min() >= 0


@pytest.mark.parametrize("kwargs", [{"channels": []}, {"depth": 0}])
def test_a_net_without_a_convolution_is_refused(kwargs):
    with pytest.raises(ValueError, match="needs a stage and a convolution"):
        ConvNet(**kwargs)
