"""Errors of depth, by hand and against scikit-learn."""

import math

import pytest
import torch
from sklearn.metrics import (
    mean_absolute_percentage_error,
    root_mean_squared_error,
    root_mean_squared_log_error,
)

from hat.metrics import DepthErrors
from hat.metrics.depth_errors import depth_errors

#: Two known pixels, the first predicted twice as far, the second right.
DEPTH = torch.tensor([[[2.0, 4.0, 0.0]]])
PREDS = torch.tensor([[[4.0, 4.0, 9.0]]])
LOG_2 = math.log(2)
BY_HAND = {
    "abs_rel": (2 / 2 + 0) / 2,
    "sq_rel": (4 / 2 + 0) / 2,
    "rmse": math.sqrt((4 + 0) / 2),
    "rmse_log": LOG_2 / math.sqrt(2),
    "silog": 100 * LOG_2 / 2,  # the logarithms' errors are log 2 and 0: log 2 / 2 from their mean
    "delta1": 1 / 2,
    "delta2": 1 / 2,
    "delta3": 1 / 2,  # 2 is above 1.25^3
}


def values_of(metric, *batches):
    for depth, preds in batches:
        metric.update({"gt_depth": depth}, {"depth": preds})
    return {name: value.item() for name, value in metric.compute().items()}


def test_a_picture_worked_by_hand():
    assert values_of(DepthErrors(), (DEPTH, PREDS)) == pytest.approx(BY_HAND, abs=1e-7)


@pytest.mark.parametrize(
    ("factor", "shares"),
    [(1.24, [1, 1, 1]), (1.26, [0, 1, 1]), (1 / 1.5, [0, 1, 1]), (1.9, [0, 0, 1]), (2, [0, 0, 0])],
)
def test_a_pixel_is_good_within_powers_of_a_quarter_more(factor, shares):
    errors = depth_errors(torch.full((1, 2, 2), 8.0), torch.full((1, 2, 2), 8.0 * factor))
    assert [errors[f"delta{power}"].item() for power in (1, 2, 3)] == shares


def test_the_errors_are_those_of_scikit_learn():
    depth, preds = 1 + 70 * torch.rand(2, 1, 20, 30, dtype=torch.float64)
    values = values_of(DepthErrors(), (depth, preds))
    arrays = depth.flatten().numpy(), preds.flatten().numpy()
    assert values["abs_rel"] == pytest.approx(mean_absolute_percentage_error(*arrays))
    assert values["rmse"] == pytest.approx(root_mean_squared_error(*arrays))
    # it takes logarithms of 1 more
    less_one = (array - 1 for array in arrays)
    assert values["rmse_log"] == pytest.approx(root_mean_squared_log_error(*less_one))


def test_a_wrong_scale_is_no_error_to_silog():
    assert depth_errors(DEPTH, 3 * DEPTH)["silog"].item() == pytest.approx(0, abs=1e-5)


def test_every_picture_counts_the_same():
    right = torch.full((1, 1, 3), 5.0)
    few_known = torch.tensor([[[5.0, 0.0, 0.0]]])
    # errors of 0 and 5 metres: 2.5, where the root over all 4 pixels is sqrt(25 / 4)
    assert values_of(DepthErrors(), (right, right), (few_known, 2 * right))["rmse"] == 2.5


def test_a_picture_in_which_nothing_is_known_is_left_out():
    nothing = torch.zeros_like(DEPTH)
    values = values_of(DepthErrors(), (DEPTH, PREDS), (nothing, PREDS))
    assert values == pytest.approx(BY_HAND, abs=1e-7)


def test_the_errors_are_nan_where_nothing_is_known():
    values = values_of(DepthErrors(), (torch.zeros_like(DEPTH), PREDS))
    assert all(math.isnan(value) for value in values.values())


def test_an_empty_batch_counts_nothing():
    values = values_of(DepthErrors(), (DEPTH, PREDS), (DEPTH[:0], PREDS[:0]))
    assert values == pytest.approx(BY_HAND, abs=1e-7)


def test_what_is_too_far_does_not_count_and_is_not_predicted():
    depth = torch.tensor([[[5.0, 80.0, 99.0]]])
    preds = torch.tensor([[[90.0, 1.0, 1.0]]])
    assert values_of(DepthErrors(max_depth=80), (depth, preds))["rmse"] == 75


def test_what_is_predicted_not_above_zero_is_raised_to_the_least_depth():
    values = values_of(DepthErrors(min_depth=1), (DEPTH, torch.tensor([[[-3.0, 4.0, 0.0]]])))
    assert values["rmse_log"] == pytest.approx(LOG_2 / math.sqrt(2))


def test_a_prediction_that_is_nan_makes_the_errors_nan():
    values = values_of(DepthErrors(), (DEPTH, PREDS * torch.nan))
    assert math.isnan(values["rmse"])


def test_errors_are_better_low_and_shares_high():
    better = DepthErrors(prefix="depth/").higher_is_better
    assert better["depth/rmse"] is False
    assert better["depth/delta1"] is True


def test_the_prefix_stands_before_every_name():
    metric = DepthErrors(prefix="depth/")
    assert metric.name == "depth/abs_rel"
    assert list(values_of(metric, (DEPTH, PREDS))) == [f"depth/{name}" for name in BY_HAND]


@pytest.mark.parametrize("preds", [torch.ones(1, 1, 1, 3), torch.ones(1, 1, 2)])
def test_a_prediction_of_another_shape_is_refused(preds):
    with pytest.raises(ValueError, match=r"must both be \(N, H, W\), got \(1, 1, 3\) and"):
        values_of(DepthErrors(), (DEPTH, preds))


@pytest.mark.parametrize(("least", "most"), [(0, 80), (10, 5)])
def test_an_impossible_range_is_refused(least, most):
    with pytest.raises(ValueError, match="needs 0 < min_depth < max_depth"):
        DepthErrors(min_depth=least, max_depth=most)
