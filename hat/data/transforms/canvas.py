"""What transforms ask of a sample: the size of its picture, and what stands for "nothing"."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torchvision import tv_tensors

#: What `gt_seg` holds where nothing is labelled.
UNLABELLED = 255


def canvas_size(flat_inputs: Sequence[Any]) -> tuple[int, int]:
    """(H, W) of the picture that the parts of a sample belong to.

    Raises:
        ValueError: If no part has a size, or two parts differ in it.
    """
    parts = [part for part in flat_inputs if _has_size(part)]
    if not parts:  # a plain tensor alone is a picture, as torchvision has it
        parts = [part for part in flat_inputs if isinstance(part, torch.Tensor)][:1]
    sizes = {tuple(getattr(part, "canvas_size", part.shape[-2:])) for part in parts}
    if len(sizes) != 1:
        found = f"of sizes {sorted(sizes)}" if sizes else "without a picture"
        raise ValueError(f"expected pictures, boxes and masks of one (H, W), got a sample {found}")
    height, width = sizes.pop()
    return height, width


def _has_size(part: Any) -> bool:
    return isinstance(part, tv_tensors.Image | tv_tensors.Mask) or hasattr(part, "canvas_size")


def fill_for(part: Any, fill: float) -> float:
    """What fills a part of a sample outside its picture: `fill` in pictures, nothing in masks.

    Nothing is 255 for classes, False for instances and 0 for depth.
    """
    if not isinstance(part, tv_tensors.Mask):
        return fill
    return 0 if part.dtype == torch.bool or part.is_floating_point() else UNLABELLED


def as_height_width(size: int | Sequence[int]) -> tuple[int, int]:
    """One number for a square, two for (H, W).

    Raises:
        ValueError: If it is neither, or a side is below 1.
    """
    height, width = (size, size) if isinstance(size, int) else tuple(size)
    if height < 1 or width < 1:
        raise ValueError(f"size must be at least 1, got {size}")
    return height, width


def require_range(name: str, value: Sequence[float], low: float, high: float) -> None:
    """Check that a range to draw from is in order and within limits.

    Raises:
        ValueError: If it is not.
    """
    if len(value) != 2 or not low <= value[0] <= value[1] <= high:
        raise ValueError(f"{name} must be (least, most) within {low} to {high}, got {value}")


def uniform(low: float, high: float) -> float:
    """A number drawn from torch's generator."""
    return float(torch.empty(()).uniform_(low, high)) if high > low else float(low)


def is_picture(part: Any) -> bool:
    """Whether a part of a sample is a picture: no mask, boxes or matrix."""
    return isinstance(part, tv_tensors.Image) or not isinstance(part, tv_tensors.TVTensor)


def rewrap(plain: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    """A plain tensor as what another one is: boxes with its canvas, a mask, or a plain one."""
    return tv_tensors.wrap(plain, like=like) if isinstance(like, tv_tensors.TVTensor) else plain


def map_pictures(
    img: torch.Tensor, change: Callable[[NDArray[np.uint8]], NDArray[np.uint8]]
) -> torch.Tensor:
    """What a function makes of each picture of a tensor, as the class that the tensor is.

    Args:
        img: uint8, shape (..., C, H, W).
        change: Called with an array of shape (H, W, C), which it leaves as it is.

    Raises:
        TypeError: If the pictures are not uint8.
    """
    if img.dtype != torch.uint8:
        raise TypeError(f"expected pictures of uint8, got {img.dtype}: put this before ToDtype")
    plain = img.as_subclass(torch.Tensor)
    pictures = plain.reshape(-1, *plain.shape[-3:])
    changed = [
        torch.from_numpy(change(np.ascontiguousarray(picture.permute(1, 2, 0).numpy())))
        for picture in pictures
    ]
    result = torch.stack(changed) if len(changed) != 1 else changed[0][None]
    result = result.reshape(*plain.shape[:-3], *result.shape[1:]).movedim(-1, -3)
    return rewrap(result, img)
