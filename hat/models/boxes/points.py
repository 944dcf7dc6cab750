"""Feature maps as lists of places, and where these lie in the picture."""

from collections.abc import Sequence

import torch
from torch import Tensor


def grid_points(
    sizes: Sequence[tuple[int, int]],
    strides: Sequence[int],
    *,
    offset: float = 0.5,
    device: torch.device | str | None = None,
) -> tuple[Tensor, ...]:
    """Where the places of feature maps lie in the picture.

    Args:
        sizes: (h, w) of each feature map.
        strides: Pixels of `img` between two places of each map.
        offset: Where in its cell of stride x stride pixels a place lies: 0.5 is the centre,
            0 the left top corner.
        device: Of the points.

    Returns:
        For each map x, y in pixels of `img`, float32 (h * w, 2): row after row, as
        `flatten(2)` of (N, C, h, w) goes.

    Raises:
        ValueError: If there are not as many strides as sizes.

    Example:
        >>> grid_points([(1, 2)], [8])
        (tensor([[ 4.,  4.],
                [12.,  4.]]),)

    Reference:
        Tian et al., FCOS, ICCV 2019, section 3.1.
    """
    if len(sizes) != len(strides):
        raise ValueError(f"{len(sizes)} sizes need as many strides, got {list(strides)}")
    points = []
    for (height, width), stride in zip(sizes, strides, strict=True):
        ys, xs = torch.meshgrid(
            (torch.arange(height, dtype=torch.float32, device=device) + offset) * stride,
            (torch.arange(width, dtype=torch.float32, device=device) + offset) * stride,
            indexing="ij",
        )
        points.append(torch.stack([xs.flatten(), ys.flatten()], dim=1))
    return tuple(points)


def check_levels(
    maps: Sequence[Tensor], strides: Sequence[int], image_size: tuple[int, int]
) -> None:
    """Refuse feature maps that do not have the strides which a task was given.

    Args:
        maps: One (N, C, h, w) for each stride.
        strides: Pixels of `img` between two places of each map.
        image_size: (H, W) of `img`, padding included. A map has about H / stride rows: up to
            one more or less, as padding and rounding may have it.

    Raises:
        ValueError: If the number of maps or the size of one does not fit.

    Example:
        >>> check_levels([torch.zeros(1, 8, 9, 13)], [8], (65, 97))
    """
    if len(maps) != len(strides):
        raise ValueError(
            f"{len(maps)} feature maps need as many strides, but strides={list(strides)}"
        )
    height, width = image_size
    for level, (feature, stride) in enumerate(zip(maps, strides, strict=True)):
        rows, columns = feature.shape[-2:]
        if abs(rows - height / stride) > 1 or abs(columns - width / stride) > 1:
            seen = max(1, round(height / max(1, rows)))
            raise ValueError(
                f"level {level}: a picture of {height}x{width} at stride {stride} has about "
                f"{height // stride}x{width // stride} places, but the feature map has "
                f"{rows}x{columns}: its stride is about {seen}, and strides={list(strides)}"
            )


def flatten_maps(maps: Sequence[Tensor], channels: int) -> Tensor:
    """One row for each anchor of all maps.

    Args:
        maps: (N, A * channels, h, w) each; with several anchors the channels of one anchor
            stand together.
        channels: Of one anchor.

    Returns:
        float32 (N, sum of h * w * A, channels): map after map, row after row, then the
        anchors of each place, as torchvision orders them.

    Example:
        >>> flatten_maps([torch.zeros(2, 12, 4, 4), torch.zeros(2, 12, 2, 2)], 4).shape
        torch.Size([2, 60, 4])
    """
    rows = []
    for each in maps:
        count, _, height, width = each.shape
        anchors = each.reshape(count, -1, channels, height, width).permute(0, 3, 4, 1, 2)
        rows.append(anchors.reshape(count, -1, channels))
    return torch.cat(rows, dim=1).float()
