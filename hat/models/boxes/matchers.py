"""Which object each anchor is for, by overlap."""

import torch
from torch import Tensor

#: What an anchor is matched with that is for no object.
BACKGROUND = -1
#: An anchor that overlaps too much to be background and too little to be for an object.
BETWEEN = -2


def match_by_iou(ious: Tensor, *, low: float, high: float, keep_best: bool = False) -> Tensor:
    """The object that each anchor is for.

    Args:
        ious: IoU of M objects with P anchors, float (M, P).
        low: Anchors whose best IoU is below this are background.
        high: Anchors whose best IoU is at least this are for that object.
        keep_best: Whether the anchors that an object overlaps with most, ties included, are
            matched whatever their IoU is, if it is above 0. They are for the object that
            they overlap with most, which may be another one.

    Returns:
        int64 (P,): the object, or -1 for background, or -2 between `low` and `high`.

    Raises:
        ValueError: If `low` is above `high`.

    Example:
        >>> ious = torch.tensor([[0.1, 0.45, 0.8], [0.3, 0.2, 0.0]])
        >>> match_by_iou(ious, low=0.4, high=0.5)
        tensor([-1, -2,  0])
        >>> match_by_iou(ious, low=0.4, high=0.5, keep_best=True)
        tensor([ 1, -2,  0])

    Reference:
        Ren et al., Faster R-CNN, NeurIPS 2015, section 3.1.2; Lin et al., Focal Loss, ICCV
        2017, section 4, uses 0.4 and 0.5. As torchvision's Matcher, which however matches
        every anchor with an object that overlaps with none.
    """
    if low > high:
        raise ValueError(f"low must not be above high, got {low=} and {high=}")
    if not len(ious):
        return torch.full((ious.shape[1],), BACKGROUND, device=ious.device)
    best, objects = ious.max(dim=0)
    matched = objects.masked_fill(best < high, BETWEEN).masked_fill(best < low, BACKGROUND)
    if keep_best:
        of_object = ious.max(dim=1, keepdim=True).values
        is_best = ((ious == of_object) & (of_object > 0)).any(dim=0)
        matched = torch.where(is_best, objects, matched)
    return matched
