"""Losses of pairs of boxes."""

from math import atan, pi

import pytest
import torch
from torchvision import ops

from hat.models import CIoULoss, DIoULoss, GIoULoss, IoULoss

PAIRWISE = [
    (IoULoss, ops.box_iou),
    (GIoULoss, ops.generalized_box_iou),
    (DIoULoss, ops.distance_box_iou),
    (CIoULoss, ops.complete_box_iou),
]
PARTS = [part for part, _ in PAIRWISE]


def box(*corners):
    return torch.tensor([corners], dtype=torch.double)


@pytest.fixture
def pairs():
    corners, sizes = torch.rand(2, 50, 2) * 30, torch.rand(2, 50, 2) * 20 + 1
    return tuple(torch.cat([corners, corners + sizes], dim=2).double())


@pytest.mark.parametrize(
    ("part", "expected"),
    [
        # Two squares of 4, moved by (1, 1): they share 1 of 7 in a box of 9; their centres
        # are sqrt(2) apart, the corners of the box sqrt(18).
        (IoULoss, 1 - 1 / 7),
        (GIoULoss, 1 - 1 / 7 + 2 / 9),
        (DIoULoss, 1 - 1 / 7 + 2 / 18),
        (CIoULoss, 1 - 1 / 7 + 2 / 18),
    ],
)
def test_squares_worked_by_hand(part, expected):
    loss = part()(box(0, 0, 2, 2), box(1, 1, 3, 3))
    assert loss.tolist() == pytest.approx([expected], abs=1e-6)


def test_the_ratio_of_sides_worked_by_hand():
    # IoU 1/2, centres 1/2 apart in a box of 2 by 1; ratios 2 and 1.
    v = 4 / pi**2 * (atan(2) - atan(1)) ** 2
    expected = 1 - 1 / 2 + (1 / 4) / 5 + v / (1 - 1 / 2 + v) * v
    loss = CIoULoss()(box(0, 0, 2, 1), box(0, 0, 1, 1))
    assert loss.tolist() == pytest.approx([expected], abs=1e-6)


def test_a_power_of_the_iou_worked_by_hand():
    loss = IoULoss(power=2)(box(0, 0, 2, 2), box(0, 0, 2, 1))
    assert loss.tolist() == pytest.approx([1 - 0.5**2], abs=1e-6)


@pytest.mark.parametrize(("part", "pairwise"), PAIRWISE)
def test_losses_are_one_minus_what_torchvision_finds_for_all_pairs(part, pairwise, pairs):
    expected = 1 - pairwise(*pairs).diagonal()
    torch.testing.assert_close(part()(*pairs), expected, rtol=0, atol=1e-6)


def test_the_gradient_of_ciou_holds_the_factor_of_the_ratio_constant():
    boxes, truth = box(0, 0, 4, 3).requires_grad_(), box(1, 1, 3, 5)
    v = 4 / pi**2 * (atan(4 / 3) - atan(2 / 4)) ** 2
    alpha = v / (1 - 4 / 16 + v)  # they share 4 of 12 + 8 - 4
    width, height = boxes[0, 2] - boxes[0, 0], boxes[0, 3] - boxes[0, 1]
    ratio = 4 / pi**2 * (torch.atan(width / height) - atan(2 / 4)) ** 2
    expected = DIoULoss()(boxes, truth) + alpha * ratio
    (wanted,) = torch.autograd.grad(expected.sum(), boxes)
    (given,) = torch.autograd.grad(CIoULoss()(boxes, truth).sum(), boxes)
    torch.testing.assert_close(given, wanted, rtol=0, atol=1e-6)


@pytest.mark.parametrize("part", PARTS)
def test_a_box_that_is_right_costs_nothing(part, pairs):
    boxes, _ = pairs
    assert part()(boxes, boxes).tolist() == pytest.approx([0.0] * 50, abs=1e-6)


@pytest.mark.parametrize("part", [GIoULoss, DIoULoss, CIoULoss])
def test_boxes_that_are_apart_are_drawn_together(part):
    boxes = box(0, 0, 1, 1).requires_grad_()
    part()(boxes, box(5, 0, 6, 1)).sum().backward()
    assert boxes.grad[0, [0, 2]].sum() < 0  # less to the right


@pytest.mark.parametrize("part", [IoULoss, GIoULoss, DIoULoss])
def test_a_box_without_area_has_a_finite_gradient(part):
    boxes = torch.tensor([[1.0, 1, 1, 1], [1, 1, 3, 1]], requires_grad=True)
    part()(boxes, torch.tensor([[1.0, 1, 1, 1], [0, 0, 4, 4]])).sum().backward()
    assert boxes.grad.isfinite().all()


@pytest.mark.parametrize("part", PARTS)
def test_boxes_of_another_form_are_refused(part):
    with pytest.raises(ValueError, match=r"must both be \(M, 4\), got \(3, 5\) and \(3, 5\)"):
        part()(torch.zeros(3, 5), torch.zeros(3, 5))


@pytest.mark.parametrize("power", [0, -1, float("nan")])
def test_an_impossible_power_is_refused(power):
    with pytest.raises(ValueError, match="power must be above 0, got"):
        IoULoss(power)
