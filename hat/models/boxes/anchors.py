"""Anchors: boxes of a few sizes and shapes at every place of a feature map."""

from collections.abc import Sequence

import torch
from torch import Tensor

from hat.models.boxes.points import grid_points


def cell_anchors(sizes: Sequence[float], aspect_ratios: Sequence[float]) -> Tensor:
    """The anchors of one place, around (0, 0).

    Args:
        sizes: Square roots of their areas, in pixels.
        aspect_ratios: Height / width.

    Returns:
        XYXY in whole pixels, float32 (len(aspect_ratios) * len(sizes), 4): all sizes of the
        first ratio, then those of the next, as torchvision has them.

    Example:
        >>> cell_anchors([32], [1.0, 4.0])
        tensor([[-16., -16.,  16.,  16.],
                [ -8., -32.,   8.,  32.]])
    """
    # Arithmetic in float32, in torchvision's order: it decides how halves are rounded.
    heights = torch.tensor(list(aspect_ratios), dtype=torch.float32).sqrt()
    sides = torch.tensor(list(sizes), dtype=torch.float32)
    width = ((1 / heights)[:, None] * sides).flatten()
    height = (heights[:, None] * sides).flatten()
    return (torch.stack([-width, -height, width, height], dim=1) / 2).round()


def grid_anchors(
    sizes: Sequence[tuple[int, int]],
    strides: Sequence[int],
    cells: Sequence[Tensor],
    *,
    offset: float = 0.0,
    device: torch.device | str | None = None,
) -> tuple[Tensor, ...]:
    """The anchors of feature maps, at every place.

    Args:
        sizes: (h, w) of each feature map.
        strides: Pixels of `img` between two places of each map.
        cells: The A anchors of one place of each map, (A, 4), from `cell_anchors`.
        offset: Where in its cell of stride x stride pixels a place lies; 0, the left top
            corner, is torchvision's.
        device: Of the anchors.

    Returns:
        For each map XYXY in pixels of `img`, float32 (h * w * A, 4): row after row, the
        anchors of one place together.

    Raises:
        ValueError: If there are not as many strides or cells as sizes.

    Example:
        >>> grid_anchors([(1, 2)], [8], [cell_anchors([8], [1.0])])
        (tensor([[-4., -4.,  4.,  4.],
                [ 4., -4., 12.,  4.]]),)
    """
    if len(cells) != len(sizes):
        raise ValueError(f"{len(sizes)} sizes need as many cells, got {len(cells)}")
    points = grid_points(sizes, strides, offset=offset, device=device)
    return tuple(
        (centres.repeat(1, 2)[:, None] + cell.to(centres)).reshape(-1, 4)
        for centres, cell in zip(points, cells, strict=True)
    )
