"""The F-measure of boundaries, by hand and against every pair of pixels."""

import math

import numpy as np
import pytest
import torch

from hat.metrics import BoundaryF
from hat.metrics.boundary_f import boundary_f


def value_of(metric, *pairs):
    for labels, preds in pairs:
        metric.update({"gt_seg": torch.tensor(labels)[None]}, {"seg": torch.tensor(preds)[None]})
    return metric.compute()


def boundary_pixels(classes, which, labels):
    """Positions of a class's pixels beside another class, the definition word by word."""
    height, width = classes.shape
    found = []
    for y in range(height):
        for x in range(width):
            around = [(y, x - 1), (y, x + 1), (y - 1, x), (y + 1, x)]
            inside = [(v, u) for v, u in around if 0 <= v < height and 0 <= u < width]
            others = [p for p in inside if classes[p] != which and labels[p] != 255]
            if classes[y, x] == which and labels[y, x] != 255 and others:
                found.append((y, x))
    return found


def share_near(points, others, tolerance):
    return np.mean([min(math.dist(p, q) for q in others) < tolerance for p in points])


def plain_f(labels, preds, which, tolerance):
    true, found = (boundary_pixels(each, which, labels) for each in (labels, preds))
    if not true and not found:
        return math.nan
    if not true or not found:
        return 0.0
    precision, recall = share_near(found, true, tolerance), share_near(true, found, tolerance)
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def random_pair(seed):
    """Blocks of four classes and their like, moved a little and disturbed."""
    random = np.random.default_rng(seed)
    labels = random.integers(0, 4, (6, 8)).repeat(5, 0).repeat(4, 1)
    preds = np.roll(labels, (1, 2), (0, 1))
    preds[random.random(preds.shape) < 0.03] = 2
    labels[:3, 10:20] = 255
    return labels, preds


@pytest.mark.parametrize("tolerance", [0.5, 1, 1.5, 2, 2.3, 5])
@pytest.mark.parametrize("seed", [0, 1])
def test_each_class_is_as_every_pair_of_pixels_says(seed, tolerance):
    labels, preds = random_pair(seed)
    expected = [plain_f(labels, preds, each, tolerance) for each in range(5)]
    found = boundary_f(labels, preds, num_classes=5, tolerance_px=tolerance)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12)


def test_a_row_worked_by_hand():
    # True boundary of class 1: pixels 2 and 4; found: 2 and 6. Both others are 2 away.
    labels = np.array([[0, 0, 1, 1, 1, 0, 0, 0]])
    preds = np.array([[0, 0, 1, 1, 1, 1, 1, 0]])
    values = [boundary_f(labels, preds, num_classes=2, tolerance_px=t)[1] for t in (2, 2.1)]
    assert values == [0.5, 1]


def test_the_end_of_the_picture_is_no_boundary():
    whole = np.ones((4, 4), np.int64)
    assert np.isnan(boundary_f(whole, whole, num_classes=2, tolerance_px=1)).all()


def test_there_is_no_boundary_towards_what_is_not_labelled():
    labels, preds = np.array([[0, 0, 255, 1, 1]]), np.array([[0, 0, 1, 1, 1]])
    assert np.isnan(boundary_f(labels, preds, num_classes=2, tolerance_px=1)).all()


def test_a_boundary_that_is_not_there_counts_as_zero():
    labels, preds = np.array([[0, 0, 0]]), np.array([[0, 1, 1]])
    values = boundary_f(labels, preds, num_classes=3, tolerance_px=9)
    np.testing.assert_array_equal(values, [0, 0, np.nan])


def test_the_tolerance_is_a_share_of_the_diagonal():
    # The boundary is 3 pixels off in a picture of 30 x 40, with a diagonal of 50.
    labels = np.repeat(np.arange(40)[None] >= 10, 30, 0).astype(int)
    preds = np.repeat(np.arange(40)[None] >= 13, 30, 0).astype(int)
    assert value_of(BoundaryF(2, tolerance=0.06), (labels, preds)) == 0
    assert value_of(BoundaryF(2, tolerance=0.061), (labels, preds)) == 1


def test_pictures_are_averaged_for_each_class_and_then_the_classes():
    right = [[0, 1, 1]], [[0, 1, 1]]
    wrong = [[0, 0, 0, 2]], [[0, 0, 0, 0]]
    values = value_of(BoundaryF(4, classes=list("abcd"), name="seg/BF"), right, wrong)
    assert list(values) == ["seg/BF", "seg/BF_a", "seg/BF_b", "seg/BF_c", "seg/BF_d"]
    values = [value.item() for value in values.values()]
    # a: (1 + 0) / 2; b: 1, only in the first picture; c: 0, only in the second
    assert values == pytest.approx([0.5, 0.5, 1, 0, math.nan], nan_ok=True)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int32])
def test_labels_may_have_any_integer_type(dtype):
    labels, preds = (torch.tensor(each).to(dtype)[None] for each in random_pair(0))
    metric = BoundaryF(4, tolerance=0.05)
    metric.update({"gt_seg": labels}, {"seg": preds})
    assert metric.compute() == value_of(BoundaryF(4, tolerance=0.05), random_pair(0))


def test_a_prediction_of_another_size_is_refused():
    with pytest.raises(ValueError, match=r"must both be \(H, W\), got \(1, 3\) and \(1, 2\)"):
        value_of(BoundaryF(2), ([[0, 1, 1]], [[0, 1]]))


def test_a_label_that_is_no_class_is_refused():
    with pytest.raises(ValueError, match="labels hold 7, which is none of the 2 classes"):
        value_of(BoundaryF(2), ([[0, 7, 1]], [[0, 1, 1]]))


def test_a_tolerance_of_nothing_is_refused():
    with pytest.raises(ValueError, match="tolerance must be above 0, got 0"):
        BoundaryF(2, tolerance=0)
