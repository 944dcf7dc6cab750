"""Losses of scores in which what is easy counts less."""

from math import log

import numpy as np
import pytest
import torch
from scipy.special import expit
from torch.nn import functional as F

from hat.models import GaussianFocalLoss, SigmoidFocalLoss


def test_focal_loss_worked_by_hand():
    # p = 3/4 where positive: 1/4 * (1/4)^2 * -log(3/4); negative: 3/4 * (3/4)^2 * -log(1/4)
    logits = torch.tensor([log(3), log(3)])
    expected = [log(4 / 3) / 64, 27 / 64 * log(4)]
    assert SigmoidFocalLoss()(logits, torch.tensor([1.0, 0.0])).tolist() == pytest.approx(expected)


def test_without_discount_it_is_half_of_binary_cross_entropy():
    logits, targets = torch.randn(5, 3), torch.randint(0, 2, (5, 3)).float()
    expected = F.binary_cross_entropy_with_logits(logits, targets, reduction="none") / 2
    torch.testing.assert_close(SigmoidFocalLoss(alpha=0.5, gamma=0)(logits, targets), expected)


def test_focal_loss_takes_targets_of_whole_numbers():
    logits, targets = torch.randn(5), torch.tensor([0, 1, 1, 0, 1])
    loss = SigmoidFocalLoss()
    assert torch.equal(loss(logits, targets), loss(logits, targets.float()))


@pytest.mark.parametrize(("alpha", "gamma"), [(-0.1, 2), (1.1, 2), (0.25, -1)])
def test_impossible_focal_parameters_are_refused(alpha, gamma):
    with pytest.raises(ValueError, match=r"alpha must be in \[0, 1\] and gamma >= 0, got"):
        SigmoidFocalLoss(alpha, gamma)


def test_gaussian_focal_loss_worked_by_hand():
    # p = 3/4. At the peak: (1/4)^2 * -log(3/4). Where the map is 1/2:
    # (1 - 1/2)^4 * (3/4)^2 * -log(1/4). Where it is 0: (3/4)^2 * -log(1/4).
    logits = torch.full((3,), log(3))
    expected = [log(4 / 3) / 16, 9 / 256 * log(4), 9 / 16 * log(4)]
    loss = GaussianFocalLoss()(logits, torch.tensor([1.0, 0.5, 0.0]))
    assert loss.tolist() == pytest.approx(expected)


def test_gaussian_focal_loss_is_that_of_probabilities():
    logits, heatmap = torch.randn(4, 5, 6).double(), torch.rand(4, 5, 6).double()
    heatmap[:, 2, 3] = 1
    p, y = expit(logits.numpy()), heatmap.numpy()
    peaks = -((1 - p) ** 1.5) * np.log(p)
    others = -((1 - y) ** 3) * p**1.5 * np.log(1 - p)
    expected = np.where(y == 1, peaks, others)
    loss = GaussianFocalLoss(alpha=1.5, beta=3)(logits, heatmap)
    torch.testing.assert_close(loss, torch.from_numpy(expected))


def test_on_a_map_of_zeros_and_ones_it_is_twice_the_focal_loss_of_equal_weights():
    logits, targets = torch.randn(4, 5), torch.randint(0, 2, (4, 5)).float()
    expected = 2 * SigmoidFocalLoss(alpha=0.5)(logits, targets)
    torch.testing.assert_close(GaussianFocalLoss()(logits, targets), expected)


def test_scores_that_are_far_off_give_their_distance():
    # log(sigmoid(-1000)) is -1000; the probability itself is 0 in float32.
    loss = GaussianFocalLoss()(torch.tensor([-1000.0, 1000.0]), torch.tensor([1.0, 0.0]))
    assert loss.tolist() == [1000.0, 1000.0]


@pytest.mark.parametrize(("alpha", "beta"), [(-1, 4), (2, -1), (float("nan"), 4)])
def test_impossible_exponents_are_refused(alpha, beta):
    with pytest.raises(ValueError, match="alpha and beta must be 0 or more, got"):
        GaussianFocalLoss(alpha, beta)
