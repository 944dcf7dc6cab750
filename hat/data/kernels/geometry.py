"""Flips, crops, borders and sizes; the arguments are those of torchvision's functionals."""

import functools
from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
import torch
from torch.nn.functional import interpolate
from torchvision.transforms.v2 import InterpolationMode
from torchvision.transforms.v2 import functional as F

from hat.data.kernels.dispatch import Pixels, UnsupportedError, image_fill, mode_of

_BORDERS = {
    "constant": cv2.BORDER_CONSTANT,
    "edge": cv2.BORDER_REPLICATE,
    "reflect": cv2.BORDER_REFLECT_101,
    "symmetric": cv2.BORDER_REFLECT,
}
_NEAREST = {"nearest": cv2.INTER_NEAREST, "nearest-exact": cv2.INTER_NEAREST_EXACT}


def horizontal_flip(pixels: Pixels) -> Pixels:
    return cv2.flip(pixels, 1)


def vertical_flip(pixels: Pixels) -> Pixels:
    return cv2.flip(pixels, 0)


def crop(pixels: Pixels, top: int, left: int, height: int, width: int) -> Pixels:
    """A view where the window lies inside, else a copy with black outside."""
    old_height, old_width = pixels.shape[:2]
    right, bottom = left + width, top + height
    if min(top, left) >= 0 and right <= old_width and bottom <= old_height:
        return pixels[top:bottom, left:right]
    inside = pixels[max(top, 0) : max(bottom, 0), max(left, 0) : max(right, 0)]
    if not inside.size:
        raise UnsupportedError
    borders = max(-top, 0), max(bottom - old_height, 0), max(-left, 0), max(right - old_width, 0)
    return cv2.copyMakeBorder(inside, *borders, cv2.BORDER_CONSTANT, value=0)


def center_crop(pixels: Pixels, output_size: int | Sequence[int]) -> Pixels:
    size = [output_size] if isinstance(output_size, int) else list(output_size)
    height, width = size[0], size[-1]
    # A picture that is too small gets the odd row below and the odd column on the right; one
    # that is too large is cut at the half rounded to even.
    top, left = (
        -((wanted - side) // 2) if wanted > side else round((side - wanted) / 2)
        for wanted, side in zip((height, width), pixels.shape[:2], strict=True)
    )
    return crop(pixels, top, left, height, width)


def pad(
    pixels: Pixels,
    padding: int | Sequence[int],
    fill: float | Sequence[float] | None = None,
    padding_mode: str = "constant",
) -> Pixels:
    sides = [padding] if isinstance(padding, int) else list(padding)
    if len(sides) not in (1, 2, 4) or padding_mode not in _BORDERS:
        raise UnsupportedError
    left, top, right, bottom = sides * (4 // len(sides))
    height, width = pixels.shape[:2]
    is_wide = max(left, right) >= width or max(top, bottom) >= height
    if min(sides) < 0 or (is_wide and padding_mode != "constant"):
        raise UnsupportedError  # torchvision cuts the one and may refuse the other
    color = [int(value) for value in image_fill(fill)]
    if len(set(color)) > 1 and padding_mode != "constant":
        raise UnsupportedError
    return cv2.copyMakeBorder(pixels, top, bottom, left, right, _BORDERS[padding_mode], value=color)


def resize(
    pixels: Pixels,
    size: int | Sequence[int] | None,
    interpolation: str | InterpolationMode | int = "bilinear",
    max_size: int | None = None,
    antialias: bool | None = True,
) -> Pixels:
    """OpenCV's nearest and plain bilinear; torchvision's where it looks at more pixels.

    OpenCV has no filter that widens as a picture shrinks except the mean over an area,
    which is slower than torchvision's own kernel for 8 bits and differs from it. That
    kernel is at its best when channels are innermost and rows have no gaps.
    """
    mode = mode_of(interpolation)
    height, width = _new_size(pixels.shape[:2], size, max_size)
    if (height, width) == pixels.shape[:2]:
        return pixels
    if mode in _NEAREST:
        return _resize_nearest(pixels, (height, width), mode)
    if mode == "bilinear" and not antialias:
        return cv2.resize(pixels, (width, height), interpolation=cv2.INTER_LINEAR)
    image = torch.from_numpy(np.ascontiguousarray(pixels)).permute(2, 0, 1)
    resized = F.resize_image(
        image, [height, width], interpolation=interpolation, antialias=antialias
    )
    return resized.permute(1, 2, 0).numpy()


def resized_crop(
    pixels: Pixels,
    top: int,
    left: int,
    height: int,
    width: int,
    size: int | Sequence[int],
    interpolation: str | InterpolationMode | int = "bilinear",
    antialias: bool | None = True,
) -> Pixels:
    cropped = crop(pixels, top, left, height, width)
    return resize(cropped, size, interpolation, antialias=antialias)


def resize_mask(
    plane: Pixels,
    dtype: np.dtype[Any],
    size: int | Sequence[int] | None,
    interpolation: str | InterpolationMode | int = "nearest",
    max_size: int | None = None,
    antialias: bool | None = True,
) -> Pixels:
    mode = mode_of(interpolation)
    new_size = _new_size(plane.shape, size, max_size)
    return _resize_nearest(plane, new_size, mode if mode in _NEAREST else "nearest")


def resized_crop_mask(
    plane: Pixels,
    dtype: np.dtype[Any],
    top: int,
    left: int,
    height: int,
    width: int,
    size: int | Sequence[int],
    interpolation: str | InterpolationMode | int = "nearest",
    antialias: bool | None = True,
) -> Pixels:
    cropped = crop(plane, top, left, height, width)
    return _resize_nearest(cropped, _new_size(cropped.shape, size, None), "nearest")


def _new_size(
    old: tuple[int, ...], size: int | Sequence[int] | None, max_size: int | None
) -> tuple[int, int]:
    if isinstance(size, Sequence) and len(size) == 2 and max_size is None:
        return int(size[0]), int(size[1])
    # On the device "meta" torchvision computes the shape and nothing else.
    shape = torch.empty((1, *old), device="meta")
    height, width = F.resize_image(shape, size, max_size=max_size, interpolation="nearest").shape[
        1:
    ]
    return height, width


def _resize_nearest(pixels: Pixels, size: tuple[int, int], mode: str) -> Pixels:
    for old, new in zip(pixels.shape[:2], size, strict=True):
        if not _nearest_agrees(old, new, mode):
            raise UnsupportedError
    return cv2.resize(pixels, size[::-1], interpolation=_NEAREST[mode])


@functools.lru_cache(maxsize=4096)
def _nearest_agrees(old: int, new: int, mode: str) -> bool:
    """Whether OpenCV takes the pixels that torch takes, which round a few positions otherwise."""
    positions = torch.arange(old, dtype=torch.float32)
    by_torch = interpolate(positions[None, None], new, mode=mode)[0, 0].numpy()
    by_opencv = cv2.resize(positions[None].numpy(), (new, 1), interpolation=_NEAREST[mode])[0]
    return np.array_equal(by_torch, by_opencv)
