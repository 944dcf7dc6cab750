"""What a batch knows of its pictures and objects, as task modules read it."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from hat.data.sample import Batch


class Objects(NamedTuple):
    """The objects of one picture that a detector should find.

    Args:
        boxes: float32 (M, 4), XYXY in pixels of `img`.
        classes: int64 (M,), from 0.
        ignored: float32 (K, 4): regions in which nothing is labelled, and crowds.
        kept: bool (R,): which rows of the batch's per-object keys the M objects are.
    """

    boxes: Tensor
    classes: Tensor
    ignored: Tensor
    kept: Tensor


def objects_of(batch: Batch) -> list[Objects]:
    """The objects of each picture, crowds apart from the others.

    Args:
        batch: With `gt_bboxes` and `gt_classes`; also `gt_crowd` and `gt_ignore_bboxes`
            where there are such.

    Returns:
        One for each of the N pictures, plain tensors.

    Raises:
        ValueError: If the two keys do not have one row for each object.
    """
    num = len(batch["gt_bboxes"])
    crowds: Sequence[Tensor | None] = batch.get("gt_crowd", [None] * num)
    regions: Sequence[Tensor | None] = batch.get("gt_ignore_bboxes", [None] * num)
    found = []
    rows = zip(batch["gt_bboxes"], batch["gt_classes"], crowds, regions, strict=True)
    for index, (boxes, classes, crowd, ignored) in enumerate(rows):
        boxes = boxes.as_subclass(Tensor).float().reshape(-1, 4)
        if len(boxes) != len(classes):
            raise ValueError(
                f"picture {index} of the batch has {len(boxes)} gt_bboxes and {len(classes)} "
                "gt_classes: each box needs one class"
            )
        kept = torch.ones(len(boxes), dtype=torch.bool, device=boxes.device)
        outside = boxes.new_zeros((0, 4))
        if ignored is not None:
            outside = ignored.as_subclass(Tensor).float().reshape(-1, 4)
        if crowd is not None:
            kept = ~crowd.bool()
            outside = torch.cat([outside, boxes[~kept]])
            boxes, classes = boxes[kept], classes[kept]
        found.append(Objects(boxes, classes, outside, kept))
    return found


def image_sizes(batch: Batch) -> list[tuple[int, int]]:
    """The (H, W) of each picture without padding: `img_shape`, or else the shape of `img`."""
    if "img_shape" in batch:
        return [(int(height), int(width)) for height, width in batch["img_shape"]]
    count, _, height, width = batch["img"].shape
    return [(height, width)] * count
