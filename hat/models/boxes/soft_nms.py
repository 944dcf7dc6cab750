"""Non-maximum suppression that lowers scores instead of taking boxes away."""

from typing import Literal

import torch
from torch import Tensor
from torchvision.ops import box_iou


def soft_nms(
    boxes: Tensor,
    scores: Tensor,
    classes: Tensor,
    *,
    method: Literal["linear", "gaussian"] = "gaussian",
    iou_threshold: float = 0.3,
    sigma: float = 0.5,
    score_threshold: float = 0.001,
) -> tuple[Tensor, Tensor]:
    """Boxes with the scores of those lowered that overlap with better ones of their class.

    Args:
        boxes: XYXY, float (K, 4).
        scores: float (K,).
        classes: int64 (K,).
        method: `linear` multiplies a score by 1 - IoU where IoU is at least
            `iou_threshold`; `gaussian` always by exp(-IoU**2 / sigma).
        iou_threshold: Of `linear`.
        sigma: Of `gaussian`, above 0.
        score_threshold: Boxes whose lowered score is not above this are left out.

    Returns:
        Rows of the boxes that stay, int64 (R,), by falling lowered score, and these
        scores, (R,).

    Raises:
        ValueError: If the method is not one of the two.

    Example:
        >>> boxes = torch.tensor([[0.0, 0.0, 8.0, 8.0], [0.0, 0.0, 8.0, 4.0]])
        >>> soft_nms(boxes, torch.tensor([0.8, 0.9]), torch.tensor([0, 0]), method="linear")
        (tensor([1, 0]), tensor([0.9000, 0.4000]))

    Reference:
        Bodla et al., Soft-NMS, ICCV 2017, figure 2; linear is the rescoring function of
        section 3, gaussian its continuous one.
    """
    if method not in ("linear", "gaussian"):
        raise ValueError(f"method of soft_nms must be 'linear' or 'gaussian', got {method!r}")
    iou = box_iou(boxes, boxes) * (classes[:, None] == classes)
    if method == "linear":
        factors = torch.where(iou >= iou_threshold, 1 - iou, 1.0)
    else:
        factors = (-(iou**2) / sigma).exp()
    waiting = scores.clone()
    rows, lowered = [], []
    for _ in range(len(boxes)):
        best = waiting.argmax()
        rows.append(best)
        lowered.append(waiting[best])
        # Those taken before are at -inf and stay there; times a factor of 0 they would be NaN.
        waiting = torch.where(waiting.isinf(), waiting, waiting * factors[best])
        waiting[best] = -torch.inf
    if not rows:
        return classes.new_zeros(0), scores.new_zeros(0)
    kept, final = torch.stack(rows), torch.stack(lowered)
    stays = final > score_threshold
    return kept[stays], final[stays]
