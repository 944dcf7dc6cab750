"""Errors of depth, in part independent of its scale."""

from math import log

import pytest
import torch
from sklearn.metrics import mean_squared_log_error

from hat.models import ScaleInvariantLogLoss


def test_depth_worked_by_hand():
    # d = log 2 and 2 log 2; the third pixel is not known.
    # mean(d^2) = 5/2 log(2)^2, mean(d)^2 = 9/4 log(2)^2, less half of it: 11/8 log(2)^2
    depth, truth = torch.tensor([[[2.0, 8.0, 5.0]]]), torch.tensor([[[1.0, 2.0, 0.0]]])
    loss = ScaleInvariantLogLoss()(depth, truth)
    assert loss.item() == pytest.approx(11 / 8 * log(2) ** 2)


def test_it_is_the_sum_over_pairs_of_pixels():
    # Eigen et al., eq. 2: at lambda = 1 it is the mean over all pairs of pixels of
    # (log y_i - log y_j - log y*_i + log y*_j)^2, divided by 2.
    depth, truth = torch.rand(1, 3, 4).double() + 0.1, torch.rand(1, 3, 4).double() + 0.1
    between = depth.log().flatten()[:, None] - depth.log().flatten()
    wanted = truth.log().flatten()[:, None] - truth.log().flatten()
    expected = (between - wanted).square().mean() / 2
    torch.testing.assert_close(ScaleInvariantLogLoss(lambd=1.0)(depth, truth), expected)


def test_without_forgiveness_it_is_the_log_error_of_scikit_learn():
    depth, truth = torch.rand(1, 3, 4) * 20 + 1, torch.rand(1, 3, 4) * 20 + 1
    # Theirs adds 1 to both.
    expected = mean_squared_log_error(truth.flatten() - 1, depth.flatten() - 1)
    loss = ScaleInvariantLogLoss(lambd=0.0)(depth, truth)
    assert loss.item() == pytest.approx(expected, rel=1e-5)


def test_a_common_factor_can_be_forgiven_entirely():
    truth = torch.rand(2, 3, 4) + 1
    loss = ScaleInvariantLogLoss(lambd=1.0)(7 * truth, truth)
    assert loss.item() == pytest.approx(0, abs=1e-5)


def test_it_is_a_mean_over_pictures_of_which_something_is_known():
    depth, truth = torch.rand(3, 4, 4) + 1, torch.rand(3, 4, 4) + 1
    truth[0, :3] = 0
    truth[1] = 0
    loss = ScaleInvariantLogLoss()
    expected = (loss(depth[:1], truth[:1]) + loss(depth[2:], truth[2:])) / 2
    torch.testing.assert_close(loss(depth, truth), expected)


def test_a_channel_may_stand_between():
    depth, truth = torch.rand(2, 3, 4) + 1, torch.rand(2, 3, 4) + 1
    loss = ScaleInvariantLogLoss()
    assert loss(depth[:, None], truth[:, None]) == loss(depth, truth)


def test_a_depth_of_nothing_is_raised_to_the_least_one():
    depth = torch.zeros(1, 2, 2, requires_grad=True)
    loss = ScaleInvariantLogLoss(min_depth=0.5)(depth, torch.full((1, 2, 2), 2.0))
    loss.backward()
    assert loss.item() == pytest.approx(log(4) ** 2 / 2)
    assert depth.grad.isfinite().all()


@pytest.mark.parametrize(("lambd", "min_depth"), [(-0.1, 1e-3), (1.1, 1e-3), (0.5, 0.0)])
def test_impossible_parameters_are_refused(lambd, min_depth):
    with pytest.raises(ValueError, match=r"lambd must be in \[0, 1\] and min_depth above 0"):
        ScaleInvariantLogLoss(lambd, min_depth)
