"""How far boxes are from the true ones, by their overlap."""

import torch
from torch import Tensor, nn
from torchvision.ops import (
    complete_box_iou_loss,
    distance_box_iou_loss,
    generalized_box_iou_loss,
)

from hat.models.losses.inputs import at_least_float32


class IoULoss(nn.Module):
    """1 - IoU of each pair of boxes, unreduced, (M,); 1 and flat where they do not meet.

    Called with boxes and true boxes, both (M, 4), XYXY.

    Args:
        power: Of the IoU: 1 - IoU ** power. YOLOX takes 2.

    Raises:
        ValueError: If the shapes differ or the power is not above 0.

    Example:
        >>> loss = IoULoss()
        >>> loss(torch.tensor([[0.0, 0.0, 2.0, 2.0]]), torch.tensor([[0.0, 0.0, 2.0, 1.0]]))
        tensor([0.5000])

    Reference:
        Yu et al., UnitBox: An Advanced Object Detection Network, ACM MM 2016, section 3.1,
        there -ln(IoU), which has no bound; He et al., Alpha-IoU, NeurIPS 2021, eq. 2 for
        the power.
    """

    def __init__(self, power: float = 1.0) -> None:
        super().__init__()
        if not power > 0:
            raise ValueError(f"power must be above 0, got {power}")
        self.power = power

    def forward(self, boxes: Tensor, gt_boxes: Tensor) -> Tensor:
        """The loss of each pair of boxes, (M,)."""
        return 1 - _paired_iou(*_boxes(boxes, gt_boxes)) ** self.power


class GIoULoss(nn.Module):
    """1 - generalised IoU of each pair of boxes, unreduced, (M,), from 0 to 2.

    Called with boxes and true boxes, both (M, 4), XYXY; x1 <= x2 and y1 <= y2. Apart, boxes
    are drawn together by the empty part of the smallest box around both.

    Raises:
        ValueError: If the shapes differ.

    Example:
        >>> loss = GIoULoss()  # IoU 0, half of the box around both is empty
        >>> loss(torch.tensor([[0.0, 0.0, 1.0, 1.0]]), torch.tensor([[3.0, 0.0, 4.0, 1.0]]))
        tensor([1.5000])

    Reference:
        Rezatofighi et al., Generalized Intersection over Union, CVPR 2019, algorithm 2.
    """

    def forward(self, boxes: Tensor, gt_boxes: Tensor) -> Tensor:
        """The loss of each pair of boxes, (M,)."""
        return generalized_box_iou_loss(*_boxes(boxes, gt_boxes))


class DIoULoss(nn.Module):
    """1 - distance IoU of each pair of boxes, unreduced, (M,), from 0 to 2.

    Called with boxes and true boxes, both (M, 4), XYXY; x1 <= x2 and y1 <= y2. To 1 - IoU
    it adds the squared distance of the centres over that of the corners of the smallest box
    around both.

    Raises:
        ValueError: If the shapes differ.

    Example:
        >>> loss = DIoULoss()  # 1 - 0 + 3^2 / (4^2 + 1^2)
        >>> loss(torch.tensor([[0.0, 0.0, 1.0, 1.0]]), torch.tensor([[3.0, 0.0, 4.0, 1.0]]))
        tensor([1.5294])

    Reference:
        Zheng et al., Distance-IoU Loss, AAAI 2020, eq. 7.
    """

    def forward(self, boxes: Tensor, gt_boxes: Tensor) -> Tensor:
        """The loss of each pair of boxes, (M,)."""
        return distance_box_iou_loss(*_boxes(boxes, gt_boxes))


class CIoULoss(nn.Module):
    """1 - complete IoU of each pair of boxes, unreduced, (M,).

    Called with boxes and true boxes, both (M, 4), XYXY, of a width and height above 0. To
    the distance IoU it adds how much the aspect ratios differ.

    Raises:
        ValueError: If the shapes differ.

    Example:
        >>> loss = CIoULoss()  # both are square: as DIoULoss
        >>> loss(torch.tensor([[0.0, 0.0, 1.0, 1.0]]), torch.tensor([[3.0, 0.0, 4.0, 1.0]]))
        tensor([1.5294])

    Reference:
        Zheng et al., Distance-IoU Loss, AAAI 2020, eq. 10.
    """

    def forward(self, boxes: Tensor, gt_boxes: Tensor) -> Tensor:
        """The loss of each pair of boxes, (M,)."""
        return complete_box_iou_loss(*_boxes(boxes, gt_boxes))


def _boxes(boxes: Tensor, gt_boxes: Tensor) -> tuple[Tensor, Tensor]:
    if boxes.shape != gt_boxes.shape or boxes.ndim != 2 or boxes.shape[1] != 4:
        raise ValueError(
            f"boxes and true boxes must both be (M, 4), got {tuple(boxes.shape)} and "
            f"{tuple(gt_boxes.shape)}"
        )
    boxes = at_least_float32(boxes)
    return boxes, gt_boxes.to(boxes.dtype)


def _paired_iou(boxes: Tensor, gt_boxes: Tensor) -> Tensor:
    sizes = torch.min(boxes[:, 2:], gt_boxes[:, 2:]) - torch.max(boxes[:, :2], gt_boxes[:, :2])
    intersection = sizes.clamp(min=0).prod(dim=1)
    union = _area(boxes) + _area(gt_boxes) - intersection
    # As torchvision's losses: two boxes without any area have an IoU of 0.
    return intersection / (union + 1e-7)


def _area(boxes: Tensor) -> Tensor:
    return (boxes[:, 2:] - boxes[:, :2]).prod(dim=1)
