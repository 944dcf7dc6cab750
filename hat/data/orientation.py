"""The EXIF orientation: how a stored picture is turned upright, and its boxes with it."""

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

import torch
from numpy.typing import NDArray
from PIL import Image as PILImage

from hat.data.decoding import MAX_PIXELS, errors_naming, opened, png_chunks

#: The EXIF tag.
ORIENTATION = 274

#: Those that swap height and width.
TURNED = (5, 6, 7, 8)

_EXIF_START = b"Exif\0\0"

#: Where a PNG may say it, by the starts of chunks; all others can be passed over.
_PNG_SAYS = {
    b"eXIf": b"",
    b"tEXt": b"Raw profile type exif\0",
    b"zTXt": b"Raw profile type exif\0",
    b"iTXt": b"XML:com.adobe.xmp\0",
}


def exif_orientation(source: str | Path | bytes) -> int:
    """The EXIF orientation of a picture, 1 to 8; 1 (upright) where none is given.

    1 is upright, 3 upside down; 6 and 8 are turned to the right and to the left to stand
    upright; 2, 4, 5 and 7 are the same mirrored. Where EXIF has none, XMP is asked.

    Args:
        source: A file, or the content of one.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is no picture.
    """
    name = "the picture" if isinstance(source, bytes) else source
    with (
        errors_naming(name),
        io.BytesIO(source) if isinstance(source, bytes) else open(source, "rb") as file,
        opened(file, MAX_PIXELS) as picture,
    ):
        return header_orientation(picture, file)


def orient_boxes(boxes: torch.Tensor, orientation: int, size: tuple[int, int]) -> torch.Tensor:
    """Boxes of a stored picture as boxes of the upright picture that `read_image` returns.

    Args:
        boxes: XYXY in pixels of the stored picture, shape (..., 4).
        orientation: What `exif_orientation` says of the picture.
        size: (H, W) of the stored picture.

    Raises:
        ValueError: If there is no such orientation.

    Example:
        >>> orient_boxes(torch.tensor([[0.0, 0.0, 2.0, 1.0]]), 6, (10, 20))
        tensor([[ 9.,  0., 10.,  2.]])
    """
    if not 1 <= orientation <= 8:
        raise ValueError(f"an orientation is a number from 1 to 8, got {orientation}")
    height, width = size
    left, top, right, bottom = boxes.unbind(-1)
    if orientation in (2, 3, 7, 8):  # mirrored from left to right, before any transposing
        left, right = width - right, width - left
    if orientation in (3, 4, 6, 7):
        top, bottom = height - bottom, height - top
    if orientation in TURNED:
        left, top, right, bottom = top, left, bottom, right
    return torch.stack([left, top, right, bottom], dim=-1)


def turned_upright(pixels: NDArray[Any], orientation: int) -> NDArray[Any]:
    """Pixels of shape (H, W) or (H, W, C) as the orientation says they should stand."""
    if orientation == 1:
        return pixels
    import cv2

    flips = {2: 1, 3: -1, 4: 0, 7: -1}  # about the vertical axis, both, the horizontal
    if orientation == 6:
        return cv2.rotate(pixels, cv2.ROTATE_90_CLOCKWISE)
    if orientation == 8:
        return cv2.rotate(pixels, cv2.ROTATE_90_COUNTERCLOCKWISE)
    if orientation in flips:
        pixels = cv2.flip(pixels, flips[orientation])
    return cv2.transpose(pixels) if orientation in TURNED else pixels


def jpeg_orientation(data: bytes, head: bytes) -> int:
    """The orientation of a JPEG; `head` is what `jpeg_head` gives."""
    count, has_xmp = head.count(_EXIF_START), b"tiff:Orientation" in head
    if not count and not has_xmp:
        return 1
    start = head.find(_EXIF_START)
    if count == 1 and not has_xmp and head[start - 4 : start - 2] == b"\xff\xe1":
        length = int.from_bytes(head[start - 2 : start], "big")  # and it counts itself
        return _valid(lambda: _parsed(head[start : start - 2 + length]))
    with opened(io.BytesIO(data), MAX_PIXELS) as picture:  # four times as slow as the above
        return picture_orientation(picture)


def header_orientation(picture: PILImage.Image, file: BinaryIO) -> int:
    """The orientation of an opened file, whose pixels are decoded only where they must be."""
    if picture.format == "PNG" and not _png_may_say(file):
        return 1  # Pillow would decode the whole picture to look behind its pixels
    return picture_orientation(picture)


def picture_orientation(picture: PILImage.Image) -> int:
    """The orientation that a Pillow picture still has to be turned by.

    Pillow itself turns a TIFF when it loads the pixels; after that it is upright.
    """
    return _valid(picture.getexif)


def _valid(exif: Callable[[], PILImage.Exif]) -> int:
    try:
        orientation = exif().get(ORIENTATION, 1)
    except Exception:  # damaged EXIF makes Pillow raise anything, and the pixels no worse
        return 1
    return orientation if orientation in range(1, 9) else 1


def _parsed(segment: bytes) -> PILImage.Exif:
    exif = PILImage.Exif()
    exif.load(segment)
    return exif


def _png_may_say(file: BinaryIO) -> bool:
    position = file.tell()
    try:
        for kind, _, _ in png_chunks(file):
            start = _PNG_SAYS.get(kind)
            if start is not None and file.read(len(start)) == start:
                return True
        return False
    finally:
        file.seek(position)
