"""Which object each place is for, by where it lies."""

from collections.abc import Sequence

import torch
from torch import Tensor

from hat.models.boxes.coders import boxes_to_distances


def assign_fcos(
    points: Sequence[Tensor],
    strides: Sequence[int],
    boxes: Tensor,
    *,
    limits: Sequence[float],
    radius: float = 1.5,
) -> Tensor:
    """The object that each place is for: near its centre, of the level's size, the smallest.

    Args:
        points: x, y of the places of each level, from `grid_points`, float (h * w, 2).
        strides: Pixels between two places of each level.
        boxes: XYXY of M objects, float (M, 4).
        limits: The sizes between levels, one less than there are: a place is for an object
            only if the farthest side is more than the limit before its level away and less
            than the limit behind it, in pixels. The paper has 64, 128, 256, 512.
        radius: A place is for an object only if it is less than so many strides from the
            object's centre, along x and along y.

    Returns:
        int64 (P,), P places over all levels: the object, or -1 for background. A place
        inside several boxes is for the one of smallest area.

    Raises:
        ValueError: If there is not one limit less than levels.

    Example:
        >>> points = grid_points([(2, 2)], [8])
        >>> assign_fcos(points, [8], torch.tensor([[0.0, 0.0, 8.0, 8.0]]), limits=[])
        tensor([ 0, -1, -1, -1])

    Reference:
        Tian et al., FCOS, ICCV 2019, section 3.2, and its extended version (TPAMI 2022)
        for the sampling near centres. What lies just on a side or a limit is outside, as in
        torchvision.
    """
    if len(limits) != len(points) - 1:
        raise ValueError(
            f"{len(points)} levels need {len(points) - 1} limits between them, got {list(limits)}"
        )
    counts = [len(level) for level in points]
    places = torch.cat(list(points))  # (P, 2)
    if not len(boxes):
        return torch.full((len(places),), -1, device=places.device)
    lower = _per_place([0.0, *limits], counts, places)
    upper = _per_place([*limits, torch.inf], counts, places)
    reach = _per_place([radius * stride for stride in strides], counts, places)

    distances = boxes_to_distances(places[:, None], boxes)  # (P, M, 4)
    farthest = distances.amax(dim=2)
    centres = (boxes[:, :2] + boxes[:, 2:]) / 2
    is_near = (places[:, None] - centres).abs().amax(dim=2) < reach
    fits = is_near & (distances.amin(dim=2) > 0) & (farthest > lower) & (farthest < upper)
    areas = (boxes[:, 2:] - boxes[:, :2]).prod(dim=1)
    smallest, objects = torch.where(fits, areas, torch.inf).min(dim=1)
    return objects.masked_fill(smallest.isinf(), -1)


def centerness(distances: Tensor) -> Tensor:
    """How central a place is in its box.

    Args:
        distances: Left, top, right, bottom, all above 0, float (..., 4).

    Returns:
        1 at the centre, falling to 0 at the sides, float (...).

    Example:
        >>> centerness(torch.tensor([[2.0, 3.0, 8.0, 3.0], [5.0, 5.0, 5.0, 5.0]]))
        tensor([0.5000, 1.0000])

    Reference:
        Tian et al., FCOS, ICCV 2019, eq. 3.
    """
    across, down = distances[..., 0::2], distances[..., 1::2]
    ratios = across.amin(-1) / across.amax(-1) * (down.amin(-1) / down.amax(-1))
    return ratios.sqrt()


def points_in_boxes(points: Tensor, boxes: Tensor) -> Tensor:
    """Whether each point lies inside any of the boxes.

    Args:
        points: x, y: float (P, 2).
        boxes: XYXY, float (K, 4).

    Returns:
        bool (P,).

    Example:
        >>> points_in_boxes(torch.tensor([[1.0, 1.0], [9.0, 1.0]]), torch.tensor([[0, 0, 4, 4]]))
        tensor([ True, False])
    """
    return (boxes_to_distances(points[:, None], boxes).amin(dim=2) > 0).any(dim=1)


def boxes_in_boxes(inner: Tensor, outer: Tensor, *, share: float = 0.5) -> Tensor:
    """Whether more than a share of each box lies inside one of the others.

    Args:
        inner: XYXY, float (P, 4), with an area.
        outer: XYXY, float (K, 4).
        share: Of the area of the inner box, 0 to 1.

    Returns:
        bool (P,).

    Example:
        >>> region = torch.tensor([[0.0, 0.0, 10.0, 6.0]])
        >>> boxes_in_boxes(torch.tensor([[0.0, 0.0, 8.0, 8.0], [6.0, 0.0, 16.0, 6.0]]), region)
        tensor([ True, False])
    """
    start = torch.maximum(inner[:, None, :2], outer[:, :2])
    stop = torch.minimum(inner[:, None, 2:], outer[:, 2:])
    common = (stop - start).clamp(min=0).prod(dim=2)  # (P, K)
    areas = (inner[:, 2:] - inner[:, :2]).prod(dim=1)
    return (common > share * areas[:, None]).any(dim=1)


def _per_place(values: list[float], counts: list[int], like: Tensor) -> Tensor:
    """A value of each level as a column over places, (P, 1)."""
    parts = [like.new_full((count, 1), value) for value, count in zip(values, counts, strict=True)]
    return torch.cat(parts)
