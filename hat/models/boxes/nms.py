"""Of many candidates, the detections: thresholds and non-maximum suppression."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
import torchvision
from torch import Tensor


class Detections(NamedTuple):
    """What is found in one picture, best first.

    Args:
        boxes: XYXY, float (D, 4).
        classes: int64 (D,).
        scores: float (D,).
        rows: int64 (D,): which of the P rows of candidates each of them is.
    """

    boxes: Tensor
    classes: Tensor
    scores: Tensor
    rows: Tensor


def batched_nms(
    boxes: Tensor,
    scores: Tensor,
    classes: Tensor,
    iou_threshold: float,
    *,
    class_agnostic: bool = False,
) -> Tensor:
    """Which boxes stay when each takes away worse ones of its class that overlap with it.

    Args:
        boxes: XYXY, float (K, 4).
        scores: float (K,).
        classes: int64 (K,), any number of them.
        iou_threshold: A worse box goes if its IoU with a kept one is above this.
        class_agnostic: Whether boxes of other classes are taken away too.

    Returns:
        Rows of the boxes that stay, int64, best first.

    Example:
        >>> boxes = torch.tensor([[0.0, 0.0, 8.0, 8.0], [0.0, 0.0, 8.0, 7.0]])
        >>> batched_nms(boxes, torch.tensor([0.6, 0.9]), torch.tensor([3, 3]), 0.5)
        tensor([1])
    """
    if class_agnostic or not len(boxes):
        return torchvision.ops.nms(boxes, scores, iou_threshold)
    # torchvision moves each class to a place of its own, far out with many classes, where
    # float32 has no fractions of a pixel left; and it takes coordinates to be positive.
    moved = boxes.double() - boxes.min()
    return torchvision.ops.batched_nms(moved, scores.double(), classes, iou_threshold)


def top_candidates(
    scores: Tensor, *, score_threshold: float, num_candidates: int
) -> tuple[Tensor, Tensor, Tensor]:
    """The best pairs of a row and a class.

    Args:
        scores: float (P, C).
        score_threshold: Pairs must be above this.
        num_candidates: How many to keep at most.

    Returns:
        Scores, rows and classes of the K best, best first, (K,) each.

    Example:
        >>> scores = torch.tensor([[0.1, 0.9], [0.7, 0.0]])
        >>> top_candidates(scores, score_threshold=0.5, num_candidates=10)
        (tensor([0.9000, 0.7000]), tensor([0, 1]), tensor([1, 0]))
    """
    flat = scores.flatten()
    above = (flat > score_threshold).nonzero().squeeze(1)
    best, order = flat[above].topk(min(num_candidates, len(above)))
    rows_and_classes = above[order]
    num_classes = scores.shape[1]
    return best, rows_and_classes // num_classes, rows_and_classes % num_classes


def select_detections(
    boxes: Tensor,
    scores: Tensor,
    *,
    score_threshold: float,
    num_candidates: int,
    iou_threshold: float,
    max_detections: int,
    class_agnostic: bool = False,
    level_sizes: Sequence[int] | None = None,
) -> Detections:
    """The detections of one picture: threshold, best candidates, NMS, at most so many.

    Args:
        boxes: XYXY, float (P, 4).
        scores: float (P, C), one for each class; a box may be found as several classes.
        score_threshold: Scores must be above this.
        num_candidates: Pairs of a box and a class that NMS sees at most.
        iou_threshold: See `batched_nms`.
        max_detections: How many to keep.
        class_agnostic: See `batched_nms`.
        level_sizes: How many of the P rows each level of a pyramid has; `num_candidates`
            is then for each level, so that one level cannot crowd out the others.

    Returns:
        Best first.

    Example:
        >>> boxes = torch.tensor([[0.0, 0.0, 8.0, 8.0], [0.0, 0.0, 8.0, 7.0]])
        >>> found = select_detections(
        ...     boxes, torch.tensor([[0.1, 0.9], [0.0, 0.8]]), score_threshold=0.3,
        ...     num_candidates=100, iou_threshold=0.5, max_detections=10,
        ... )
        >>> found.classes, found.scores
        (tensor([1]), tensor([0.9000]))
    """
    found = []
    start = 0
    for level in scores.split([len(scores)] if level_sizes is None else list(level_sizes)):
        best, rows, classes = top_candidates(
            level, score_threshold=score_threshold, num_candidates=num_candidates
        )
        found.append((best, rows + start, classes))
        start += len(level)
    best, rows, classes = (torch.cat(parts) for parts in zip(*found, strict=True))
    kept = batched_nms(boxes[rows], best, classes, iou_threshold, class_agnostic=class_agnostic)
    kept = kept[:max_detections]
    return Detections(boxes[rows[kept]], classes[kept], best[kept], rows[kept])
