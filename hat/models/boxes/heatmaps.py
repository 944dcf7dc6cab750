"""Heatmaps whose peaks are the centres of objects."""

import torch
from torch import Tensor


def gaussian_radii(sizes: Tensor, *, min_iou: float = 0.7) -> Tensor:
    """How far both corners of a box may move while the IoU with the box stays high enough.

    Args:
        sizes: Width and height of M boxes, (M, 2).
        min_iou: The least IoU, above 0 and at most 1.

    Returns:
        The smallest of the three distances at which the IoU is `min_iou`: with both corners
        moved one way, both inwards and both outwards; (M,), in the unit of the sizes.

    Example:
        >>> gaussian_radii(torch.tensor([[10.0, 10.0]]), min_iou=0.64)  # inwards: (10 - 2)^2
        tensor([1.])

    Reference:
        Law and Deng, CornerNet, ECCV 2018, section 3.2. The roots of the three quadratic
        equations are those that solve them: the published code left out the divisor 2a.
    """
    side = sizes.sum(dim=1)
    area = sizes.prod(dim=1)
    left_out = (1 - min_iou) * area
    one_way = (side - (side.square() - 4 * left_out / (1 + min_iou)).clamp(min=0).sqrt()) / 2
    inwards = (side - (side.square() - 4 * left_out).clamp(min=0).sqrt()) / 4
    outwards = ((side.square() + 4 * left_out / min_iou).sqrt() - side) / 4
    return torch.stack([one_way, inwards, outwards]).amin(dim=0)


def draw_centers(
    cells: Tensor, radii: Tensor, classes: Tensor, *, num_classes: int, size: tuple[int, int]
) -> Tensor:
    """A heatmap for each class with a Gaussian around the centre of each object.

    Args:
        cells: Column and row of M centres, int64 (M, 2), inside the map.
        radii: Of the Gaussians, in cells, (M,), 0 or more: beyond it, rounded down, is
            nothing, and a standard deviation is a sixth of the diameter.
        classes: int64 (M,).
        num_classes: How many maps to make.
        size: (h, w) of the maps.

    Returns:
        float32 (num_classes, h, w), 1 at centres; where Gaussians of a class meet, the
        higher counts.

    Example:
        >>> draw_centers(
        ...     torch.tensor([[1, 0]]), torch.tensor([1.0]), torch.tensor([0]),
        ...     num_classes=1, size=(1, 4),
        ... )
        tensor([[[0.1353, 1.0000, 0.1353, 0.0000]]])

    Reference:
        Zhou et al., Objects as Points, 2019, section 3; the deviation is that of Law and
        Deng, CornerNet, ECCV 2018, section 3.2, as its authors' code has it.
    """
    radii = radii.floor()
    columns = torch.arange(size[1], device=cells.device) - cells[:, :1]  # (M, w)
    rows = torch.arange(size[0], device=cells.device) - cells[:, 1:]  # (M, h)
    gaussians = _bell(rows, radii)[:, :, None] * _bell(columns, radii)[:, None, :]  # (M, h, w)
    heatmaps = torch.zeros(num_classes, *size, device=cells.device)
    index = classes[:, None, None].expand_as(gaussians)
    return heatmaps.scatter_reduce_(0, index, gaussians, "amax")


def _bell(distance: Tensor, radii: Tensor) -> Tensor:
    sigma = (2 * radii + 1)[:, None] / 6
    height = torch.exp(-distance.square() / (2 * sigma.square()))
    return height * (distance.abs() <= radii[:, None])
