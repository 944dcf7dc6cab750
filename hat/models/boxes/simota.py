"""Which cells of a detector learn which objects, by what it predicts so far."""

from typing import NamedTuple

import torch
from torch import Tensor
from torchvision.ops import box_iou

#: What makes a cell that is not in the middle of an object its last choice.
_OUTSIDE = 1e5


class Assignment(NamedTuple):
    """What each of P cells learns.

    Args:
        objects: int64 (P,): the row of its object, or -1 for none.
        ious: float32 (P,): how well the cell's box fits that object now; 0 for none.
    """

    objects: Tensor
    ious: Tensor


def assign_simota(
    boxes: Tensor,
    scores: Tensor,
    *,
    points: Tensor,
    strides: Tensor,
    gt_boxes: Tensor,
    gt_classes: Tensor,
    radius: float = 2.5,
    num_candidates: int = 10,
    iou_weight: float = 3.0,
) -> Assignment:
    """Gives each object the few cells that find it at the least cost.

    The candidates of an object are the cells whose centre is in its box, or within `radius`
    strides of the box's centre, sidewise and up and down. The cost of a cell is the cross
    entropy of its scores with the object's class plus `iou_weight` times -log IoU; cells
    that are not both in the box and near its centre come after all that are. An object
    wants the cheapest cells: as many as the sum of its `num_candidates` best IoUs, rounded
    down, and at least one. A cell that several want goes to the one that it costs least.

    Args:
        boxes: Predicted, (P, 4), XYXY in pixels.
        scores: Predicted probability of each class, (P, C).
        points: Centres of the cells in pixels, (P, 2), x before y.
        strides: Of the cells, (P,), in pixels.
        gt_boxes: (M, 4), XYXY in pixels; M may be 0.
        gt_classes: int64 (M,).
        radius: See above.
        num_candidates: See above.
        iou_weight: See above.

    Returns:
        For each of the P cells its object; nothing is differentiated.

    Example:
        >>> cells = torch.tensor([[0.0, 0.0, 8.0, 8.0], [8.0, 0.0, 16.0, 8.0]])
        >>> assign_simota(
        ...     cells,
        ...     torch.full((2, 1), 0.5),
        ...     points=torch.tensor([[4.0, 4.0], [12.0, 4.0]]),
        ...     strides=torch.tensor([8.0, 8.0]),
        ...     gt_boxes=torch.tensor([[0.0, 0.0, 8.0, 8.0]]),
        ...     gt_classes=torch.tensor([0]),
        ... ).objects
        tensor([ 0, -1])

    Reference:
        Ge et al., YOLOX: Exceeding YOLO Series in 2021, section 2.1, "SimOTA"; the number
        of cells is the "dynamic k estimation" of Ge et al., OTA, CVPR 2021, section 3.3.
        Radius, weight and candidates are those of the code that its authors published.
    """
    with torch.no_grad():
        objects = torch.full((len(boxes),), -1, dtype=torch.int64, device=boxes.device)
        ious = torch.zeros(len(boxes), device=boxes.device)
        in_box, in_centre = _geometry(points, strides, gt_boxes, radius)  # (M, P) each
        cells = (in_box | in_centre).any(dim=0).nonzero().squeeze(1)  # (K,)
        if not len(cells):
            return Assignment(objects, ious)
        in_box, in_centre = in_box[:, cells], in_centre[:, cells]
        iou = box_iou(gt_boxes.float(), boxes[cells].float())  # (M, K)
        cost = _class_cost(scores[cells].float(), gt_classes) - iou_weight * (iou + 1e-8).log()
        cost = cost + _OUTSIDE * ~(in_box & in_centre)
        cost = cost.masked_fill(~(in_box | in_centre), torch.inf)
        best, rows = _where_wanted(cost, iou, num_candidates).min(dim=0)
        found = best < torch.inf
        objects[cells[found]] = rows[found]
        ious[cells[found]] = iou.gather(0, rows[None])[0, found]
        return Assignment(objects, ious)


def _geometry(
    points: Tensor, strides: Tensor, gt_boxes: Tensor, radius: float
) -> tuple[Tensor, Tensor]:
    """Which of P points are in each of M boxes, and which near its centre: bool (M, P)."""
    low, high = gt_boxes[:, None, :2], gt_boxes[:, None, 2:]  # (M, 1, 2)
    in_box = ((points > low) & (points < high)).all(dim=2)
    distance = (points - (low + high) / 2).abs().amax(dim=2)  # (M, P)
    return in_box, distance < radius * strides


def _class_cost(scores: Tensor, gt_classes: Tensor) -> Tensor:
    """Binary cross entropy of K cells with each of M classes, summed over classes: (M, K)."""
    # Of all classes as if absent, then corrected at the one that is there: (K, C) numbers
    # and not (M, K, C).
    present = -scores.log().clamp(min=-100)  # -100 as in `binary_cross_entropy`
    absent = -(-scores).log1p().clamp(min=-100)
    return absent.sum(dim=1) + (present - absent).T[gt_classes]


def _where_wanted(cost: Tensor, iou: Tensor, num_candidates: int) -> Tensor:
    """The cost where an object wants a cell, else infinite: (M, K)."""
    most = min(num_candidates, cost.shape[1])
    num_wanted = iou.topk(most, dim=1).values.sum(dim=1).int().clamp(min=1)  # (M,)
    values, cells = cost.topk(most, dim=1, largest=False)
    is_wanted = torch.arange(most, device=cost.device) < num_wanted[:, None]
    wanted = values.masked_fill(~is_wanted, torch.inf)
    return torch.full_like(cost, torch.inf).scatter_(1, cells, wanted)
