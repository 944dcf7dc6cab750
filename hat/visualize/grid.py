"""Many pictures in one, and one picture in a file."""

import math
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from hat.data.colors import Color

Picture = NDArray[np.uint8]


def picture_grid(
    pictures: Sequence[Picture],
    num_columns: int | None = None,
    *,
    gap: int = 4,
    background: Color = (255, 255, 255),
) -> Picture:
    """One picture of many, row by row; smaller ones stand in the middle of their cells.

    Args:
        pictures: RGB, uint8, each (H, W, 3); sizes may differ.
        num_columns: How many stand side by side; by default so many that the grid comes
            closest to a square.
        gap: Pixels between neighbours and around all.
        background: Colour of what no picture covers.

    Raises:
        ValueError: If there is no picture, or one is not uint8 of shape (H, W, 3).

    Example:
        >>> picture_grid([np.zeros((2, 6, 3), np.uint8)] * 5, num_columns=2, gap=1).shape
        (10, 15, 3)
    """
    if not pictures:
        raise ValueError("picture_grid needs at least one picture, got none")
    for number, picture in enumerate(pictures):
        _check(picture, f"picture {number}")
    height = max(picture.shape[0] for picture in pictures)
    width = max(picture.shape[1] for picture in pictures)
    if num_columns is None:
        num_columns = max(1, round(math.sqrt(len(pictures) * height / width)))
    num_columns = min(num_columns, len(pictures))
    num_rows = math.ceil(len(pictures) / num_columns)
    shape = (num_rows * (height + gap) + gap, num_columns * (width + gap) + gap, 3)
    grid = np.full(shape, background, np.uint8)
    for number, picture in enumerate(pictures):
        row, column = divmod(number, num_columns)
        top = gap + row * (height + gap) + (height - picture.shape[0]) // 2
        left = gap + column * (width + gap) + (width - picture.shape[1]) // 2
        grid[top : top + picture.shape[0], left : left + picture.shape[1]] = picture
    return grid


def write_png(path: str | Path, picture: Picture) -> None:
    """Write an RGB picture, uint8 (H, W, 3), to a PNG file; missing folders are made.

    Raises:
        ValueError: If the picture has another shape or type.
    """
    _check(picture, str(path))
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    # A third of the bytes of OpenCV's own choice, in about the same time.
    _, data = cv2.imencode(".png", picture[:, :, ::-1], [cv2.IMWRITE_PNG_COMPRESSION, 3])
    path.write_bytes(data.tobytes())


def _check(picture: Picture, name: str) -> None:
    if picture.dtype != np.uint8 or picture.ndim != 3 or picture.shape[2] != 3:
        raise ValueError(
            f"{name}: expected uint8 of shape (H, W, 3), got {picture.dtype} of {picture.shape}"
        )
