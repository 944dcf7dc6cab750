"""Boxes relative to anchors or points, as networks predict them, and back."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

#: Widths and heights grow at most so much: a prediction far off must not overflow.
MAX_LOG_RATIO = math.log(1000 / 16)


def encode_boxes(
    anchors: Tensor, boxes: Tensor, *, weights: Sequence[float] = (1.0, 1.0, 1.0, 1.0)
) -> Tensor:
    """How boxes differ from anchors: shifts by size, and logarithms of size ratios.

    Args:
        anchors: XYXY, float, (..., 4), with an area.
        boxes: XYXY, float, (..., 4), with an area.
        weights: Factors of dx, dy, dw, dh; detectors with a second stage use 10, 10, 5, 5.

    Returns:
        dx, dy, dw, dh: float (..., 4).

    Example:
        >>> anchor = torch.tensor([0.0, 0.0, 10.0, 10.0])
        >>> encode_boxes(anchor, torch.tensor([5.0, 0.0, 15.0, 20.0]))
        tensor([0.5000, 0.5000, 0.0000, 0.6931])

    Reference:
        Ren et al., Faster R-CNN, NeurIPS 2015, eq. 2.
    """
    factors = anchors.new_tensor(list(weights))
    size = anchors[..., 2:] - anchors[..., :2]
    box_size = boxes[..., 2:] - boxes[..., :2]
    shift = boxes[..., :2] + 0.5 * box_size - anchors[..., :2] - 0.5 * size
    return torch.cat([shift / size, (box_size / size).log()], dim=-1) * factors


def decode_boxes(
    anchors: Tensor, deltas: Tensor, *, weights: Sequence[float] = (1.0, 1.0, 1.0, 1.0)
) -> Tensor:
    """Boxes from anchors and what was predicted relative to them, the inverse of `encode_boxes`.

    Args:
        anchors: XYXY, float, (..., 4).
        deltas: dx, dy, dw, dh: float (..., 4). With dw and dh, sizes grow to at most
            1000 / 16 times those of the anchor.
        weights: As in `encode_boxes`.

    Returns:
        XYXY, float (..., 4), not clipped to the picture.

    Example:
        >>> anchor = torch.tensor([0.0, 0.0, 10.0, 10.0])
        >>> decode_boxes(anchor, torch.tensor([0.5, 0.5, 0.0, 0.0]))
        tensor([ 5.,  5., 15., 15.])

    Reference:
        Ren et al., Faster R-CNN, NeurIPS 2015, eq. 2.
    """
    deltas = deltas / deltas.new_tensor(list(weights))
    size = anchors[..., 2:] - anchors[..., :2]
    centre = anchors[..., :2] + 0.5 * size + deltas[..., :2] * size
    half = 0.5 * size * deltas[..., 2:].clamp(max=MAX_LOG_RATIO).exp()
    return torch.cat([centre - half, centre + half], dim=-1)


def boxes_to_distances(points: Tensor, boxes: Tensor) -> Tensor:
    """How far it is from points to the four sides of boxes.

    Args:
        points: x, y: float (..., 2).
        boxes: XYXY, float (..., 4).

    Returns:
        Left, top, right, bottom in pixels, float (..., 4); negative where the point is
        outside.

    Example:
        >>> boxes_to_distances(torch.tensor([4.0, 4.0]), torch.tensor([0.0, 1.0, 9.0, 7.0]))
        tensor([4., 3., 5., 3.])

    Reference:
        Tian et al., FCOS, ICCV 2019, eq. 1.
    """
    return torch.cat([points - boxes[..., :2], boxes[..., 2:] - points], dim=-1)


def distances_to_boxes(points: Tensor, distances: Tensor) -> Tensor:
    """Boxes from points and the distances to their sides, the inverse of `boxes_to_distances`.

    Args:
        points: x, y: float (..., 2).
        distances: Left, top, right, bottom in pixels, float (..., 4).

    Returns:
        XYXY, float (..., 4), not clipped to the picture.

    Example:
        >>> distances_to_boxes(torch.tensor([4.0, 4.0]), torch.tensor([4.0, 3.0, 5.0, 3.0]))
        tensor([0., 1., 9., 7.])
    """
    return torch.cat([points - distances[..., :2], points + distances[..., 2:]], dim=-1)
