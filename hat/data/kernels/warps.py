"""Affine, perspective and elastic transforms of pictures and masks.

A matrix here takes the position of a pixel of the result to that in the source, both counted
from the centre of the first pixel, as OpenCV counts them.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torchvision.transforms.v2 import InterpolationMode
from torchvision.transforms.v2 import functional as F

from hat.data.kernels.dispatch import (
    MAX_SIDE,
    Pixels,
    UnsupportedError,
    image_fill,
    mask_fill,
    mode_of,
)

_QUARTERS = {1: cv2.ROTATE_90_COUNTERCLOCKWISE, 2: cv2.ROTATE_180, 3: cv2.ROTATE_90_CLOCKWISE}

Matrix: TypeAlias = NDArray[np.float64]
Fill: TypeAlias = float | Sequence[float] | None
Interpolation: TypeAlias = str | InterpolationMode | int


def affine(
    pixels: Pixels,
    angle: float,
    translate: Sequence[float],
    scale: float,
    shear: float | Sequence[float],
    interpolation: Interpolation = "nearest",
    fill: Fill = None,
    center: Sequence[float] | None = None,
) -> Pixels:
    size = pixels.shape[:2]
    matrix = affine_matrix(
        size, size, angle=angle, translate=translate, scale=scale, shear=shear, center=center
    )
    return _warp(pixels, matrix, size, interpolation=interpolation, fill=fill)


def affine_mask(
    plane: Pixels,
    dtype: np.dtype[Any],
    angle: float,
    translate: Sequence[float],
    scale: float,
    shear: float | Sequence[float],
    interpolation: Interpolation = "nearest",
    fill: Fill = None,
    center: Sequence[float] | None = None,
) -> Pixels:
    size = plane.shape
    matrix = affine_matrix(
        size, size, angle=angle, translate=translate, scale=scale, shear=shear, center=center
    )
    return _warp_nearest(plane, matrix, size, fill=mask_fill(fill, dtype))


def rotate(
    pixels: Pixels,
    angle: float,
    interpolation: Interpolation = "nearest",
    expand: bool = False,
    center: Sequence[float] | None = None,
    fill: Fill = None,
) -> Pixels:
    def warp(matrix: Matrix, size: Sequence[int]) -> Pixels:
        return _warp(pixels, matrix, size, interpolation=interpolation, fill=fill)

    return _rotate(pixels, warp, angle=angle, expand=expand, center=center)


def rotate_mask(
    plane: Pixels,
    dtype: np.dtype[Any],
    angle: float,
    interpolation: Interpolation = "nearest",
    expand: bool = False,
    center: Sequence[float] | None = None,
    fill: Fill = None,
) -> Pixels:
    def warp(matrix: Matrix, size: Sequence[int]) -> Pixels:
        return _warp_nearest(plane, matrix, size, fill=mask_fill(fill, dtype))

    return _rotate(plane, warp, angle=angle, expand=expand, center=center)


def perspective(
    pixels: Pixels,
    startpoints: Sequence[Sequence[int]] | None,
    endpoints: Sequence[Sequence[int]] | None,
    interpolation: Interpolation = "bilinear",
    fill: Fill = None,
    coefficients: Sequence[float] | None = None,
) -> Pixels:
    matrix = perspective_matrix(startpoints, endpoints, coefficients)
    return _warp(pixels, matrix, pixels.shape[:2], interpolation=interpolation, fill=fill)


def perspective_mask(
    plane: Pixels,
    dtype: np.dtype[Any],
    startpoints: Sequence[Sequence[int]] | None,
    endpoints: Sequence[Sequence[int]] | None,
    interpolation: Interpolation = "nearest",
    fill: Fill = None,
    coefficients: Sequence[float] | None = None,
) -> Pixels:
    matrix = perspective_matrix(startpoints, endpoints, coefficients)
    return _warp_nearest(plane, matrix, plane.shape, fill=mask_fill(fill, dtype))


def elastic(
    pixels: Pixels,
    displacement: torch.Tensor,
    interpolation: Interpolation = "bilinear",
    fill: Fill = None,
) -> Pixels:
    maps = _displaced(pixels.shape[:2], displacement)
    color = image_fill(fill)
    if mode_of(interpolation) == "nearest":
        return _remap_nearest(pixels, *maps, fill=color)
    if mode_of(interpolation) != "bilinear":
        raise UnsupportedError
    return _in_four_channels(
        pixels,
        lambda rgba: cv2.remap(
            rgba, *maps, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT, borderValue=color
        ),
    )


def elastic_mask(
    plane: Pixels,
    dtype: np.dtype[Any],
    displacement: torch.Tensor,
    interpolation: Interpolation = "nearest",
    fill: Fill = None,
) -> Pixels:
    maps = _displaced(plane.shape, displacement)
    return _remap_nearest(plane, *maps, fill=mask_fill(fill, dtype))


def affine_matrix(
    old: Sequence[int],
    new: Sequence[int],
    *,
    angle: float,
    translate: Sequence[float] = (0.0, 0.0),
    scale: float = 1.0,
    shear: float | Sequence[float] = 0.0,
    center: Sequence[float] | None = None,
) -> Matrix:
    """Turn clockwise, scale and shear about `center`, then move; angles in degrees.

    `old` and `new` are (H, W) of source and result, whose middles fall together.
    """
    shears = [shear, 0.0] if isinstance(shear, (int, float)) else list(shear)
    if len(shears) not in (1, 2):
        raise UnsupportedError
    rotation, tan_x, tan_y = math.radians(angle), _tan(shears[0]), _tan(shears[-1])
    cos, sin = math.cos(rotation), math.sin(rotation)
    # What moves a point is R(angle) @ [[1, 0], [-tan_y, 1]] @ [[1, -tan_x], [0, 1]] * scale. The
    # determinants are 1, so that the inverse is [[d, -b], [-c, a]] / scale.
    a, c = cos + sin * tan_y, sin - cos * tan_y
    b, d = -a * tan_x - sin, -c * tan_x + cos
    (a, b), (c, d) = (d / scale, -b / scale), (-c / scale, a / scale)
    height, width = old
    middle_x, middle_y = width / 2, height / 2
    pivot_x, pivot_y = (0.0, 0.0) if center is None else center
    if center is not None:
        pivot_x, pivot_y = pivot_x - middle_x, pivot_y - middle_y
    # From the centre of a pixel of the result to the moved pivot, and from the pivot back.
    x = 0.5 - new[1] / 2 - pivot_x - translate[0]
    y = 0.5 - new[0] / 2 - pivot_y - translate[1]
    shift_x, shift_y = pivot_x + middle_x - 0.5, pivot_y + middle_y - 0.5
    return np.array([[a, b, a * x + b * y + shift_x], [c, d, c * x + d * y + shift_y], [0, 0, 1]])


def perspective_matrix(
    startpoints: Sequence[Sequence[int]] | None,
    endpoints: Sequence[Sequence[int]] | None,
    coefficients: Sequence[float] | None,
) -> Matrix:
    """What takes `endpoints` of the result to `startpoints` of the source."""
    if coefficients is not None:
        if startpoints is not None or len(coefficients) != 8:
            raise UnsupportedError
        corners = np.array([*coefficients, 1.0]).reshape(3, 3)
    elif startpoints is None or endpoints is None:
        raise UnsupportedError
    else:
        corners = cv2.getPerspectiveTransform(
            np.array(endpoints, np.float32), np.array(startpoints, np.float32)
        )
    return _shift((-0.5, -0.5)) @ corners @ _shift((0.5, 0.5))


def _shift(offset: Any) -> Matrix:
    return np.array([[1, 0, offset[0]], [0, 1, offset[1]], [0, 0, 1]], np.float64)


def _tan(degrees: float) -> float:
    return math.tan(math.radians(degrees))


def _rotate(
    pixels: Pixels,
    warp: Callable[[Matrix, Sequence[int]], Pixels],
    *,
    angle: float,
    expand: bool,
    center: Sequence[float] | None,
) -> Pixels:
    old = pixels.shape[:2]
    quarters, rest = divmod(angle % 360, 90)
    fits = expand or old[0] == old[1] or quarters % 2 == 0
    if center is None and rest == 0 and fits:
        return cv2.rotate(pixels, _QUARTERS[int(quarters)]) if quarters else pixels
    new: Sequence[int] = old
    if expand:
        # On the device "meta" torchvision computes the shape and nothing else.
        shape = torch.empty((1, *old), device="meta")
        new = F.rotate_image(shape, angle, expand=True, center=center).shape[1:]
    return warp(affine_matrix(old, new, angle=-angle, center=center), new)


def _warp(
    pixels: Pixels, matrix: Matrix, size: Sequence[int], *, interpolation: Interpolation, fill: Fill
) -> Pixels:
    color = image_fill(fill)
    mode = mode_of(interpolation)
    if mode == "nearest":
        return _warp_nearest(pixels, matrix, size, fill=color)
    if mode != "bilinear":
        raise UnsupportedError
    _check_sides(pixels.shape[:2], size)
    warp, rows = (cv2.warpAffine, 2) if _is_affine(matrix) else (cv2.warpPerspective, 3)
    return _in_four_channels(
        pixels,
        lambda rgba: warp(
            rgba,
            matrix[:rows],
            (size[1], size[0]),
            flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
            borderMode=cv2.BORDER_CONSTANT,
            borderValue=color,
        ),
    )


def _in_four_channels(pixels: Pixels, function: Callable[[Pixels], Pixels]) -> Pixels:
    """What `function` makes of a picture; OpenCV warps four channels twice as fast as three."""
    return cv2.cvtColor(function(cv2.cvtColor(pixels, cv2.COLOR_RGB2RGBA)), cv2.COLOR_RGBA2RGB)


def _warp_nearest(
    pixels: Pixels, matrix: Matrix, size: Sequence[int], *, fill: float | Sequence[float]
) -> Pixels:
    """By a map of positions: OpenCV's own warp rounds them to 1/1024 before it picks a pixel."""
    height, width = size
    columns, rows = np.arange(width), np.arange(height)

    def positions(row: Matrix) -> Pixels:
        a, b, c = row
        return np.add.outer(np.float32(b * rows + c), np.float32(a * columns))

    x, y = positions(matrix[0]), positions(matrix[1])
    if not _is_affine(matrix):
        depth = positions(matrix[2])
        x, y = x / depth, y / depth
    return _remap_nearest(pixels, x, y, fill=fill)


def _remap_nearest(
    pixels: Pixels, x: Pixels, y: Pixels, *, fill: float | Sequence[float]
) -> Pixels:
    _check_sides(pixels.shape[:2], x.shape)
    return cv2.remap(
        pixels, x, y, cv2.INTER_NEAREST, borderMode=cv2.BORDER_CONSTANT, borderValue=fill
    )


def _displaced(size: Sequence[int], displacement: torch.Tensor) -> tuple[Pixels, Pixels]:
    """Where each pixel comes from; displacements are in halves of the picture's sides."""
    height, width = size
    if not isinstance(displacement, torch.Tensor) or displacement.shape != (1, height, width, 2):
        raise UnsupportedError
    _check_sides(size, size)
    offsets = displacement[0].float().numpy()
    x = offsets[..., 0] * np.float32(width / 2) + np.arange(width, dtype=np.float32)
    y = offsets[..., 1] * np.float32(height / 2) + np.arange(height, dtype=np.float32)[:, None]
    return x, y


def _is_affine(matrix: Matrix) -> bool:
    return matrix[2].tolist() == [0.0, 0.0, 1.0]


def _check_sides(*sizes: Sequence[int]) -> None:
    if max(max(size) for size in sizes) > MAX_SIDE:
        raise UnsupportedError
