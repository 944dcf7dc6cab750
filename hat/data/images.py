"""Reading pictures from files: any content becomes uint8 RGB or an error with the name."""

from pathlib import Path
from typing import BinaryIO

from PIL import Image as PILImage

from hat.data.decoding import (
    MAX_PIXELS,
    check_jpeg_head,
    check_not_empty,
    check_pixels,
    decode_jpeg,
    errors_naming,
    is_jpeg,
    jpeg_head,
    jpeg_header,
    opened,
    opened_whole,
    read_file,
    rgb_pixels,
)
from hat.data.masks import check_same_size, decode_mask, read_depth, read_mask
from hat.data.orientation import (
    TURNED,
    exif_orientation,
    header_orientation,
    jpeg_orientation,
    orient_boxes,
    picture_orientation,
    turned_upright,
)
from hat.data.paths import path_inside
from hat.data.pixels import Image

__all__ = [
    "IMAGE_SUFFIXES",
    "MAX_PIXELS",
    "check_same_size",
    "decode_image",
    "decode_mask",
    "exif_orientation",
    "image_size",
    "orient_boxes",
    "path_inside",
    "pil_to_image",
    "read_depth",
    "read_image",
    "read_mask",
]

#: The endings by which folders are searched; what a file is, its content decides.
IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff", ".ppm"})

#: The header of a JPEG is nearly always within its first bytes; Pillow reads on where it is not.
_HEAD_BYTES = 65536


def read_image(path: str | Path, max_pixels: int = MAX_PIXELS) -> Image:
    """Read a picture as uint8 RGB of shape (3, H, W).

    Grey is expanded to three channels, a palette is looked up, alpha is dropped,
    16-bit values are scaled to 8 bits, CMYK becomes RGB, and the EXIF orientation is
    applied. Of several frames the first is read. The pixels are those that Pillow gives.

    Args:
        path: A JPEG, PNG, BMP, WebP, TIFF, PPM or GIF file; its content decides which,
            not its name.
        max_pixels: Larger pictures are refused, before memory is taken for them. Above
            twice the default, only JPEGs are read.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file is not a whole picture, or is too large; the message
            names the file.
    """
    return decode_image(read_file(path), str(path), max_pixels)


def decode_image(data: bytes, name: str, max_pixels: int = MAX_PIXELS) -> Image:
    """Decode the content of a picture's file, as `read_image` would read it.

    Args:
        data: The file's content.
        name: What errors call it.
        max_pixels: Larger pictures are refused.

    Raises:
        ValueError: If it is not a whole picture, or is too large.
    """
    with errors_naming(name):
        if is_jpeg(data):
            head = jpeg_head(data)
            pixels = decode_jpeg(data, head, max_pixels)
            if pixels is not None:
                return Image.from_hwc(turned_upright(pixels, jpeg_orientation(data, head)))
        with opened_whole(data, max_pixels) as picture:
            pixels = rgb_pixels(picture)
            return Image.from_hwc(turned_upright(pixels, picture_orientation(picture)))


def pil_to_image(picture: PILImage.Image) -> Image:
    """A PIL picture of any mode as uint8 RGB of shape (3, H, W)."""
    return Image.from_hwc(rgb_pixels(picture))


def image_size(path: str | Path) -> tuple[int, int]:
    """(H, W) of a picture as `read_image` would return it, from its header alone.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file is no picture, or claims more than `MAX_PIXELS`.
    """
    with errors_naming(path), open(path, "rb") as file:
        height, width, is_turned = _header(file)
        return (width, height) if is_turned else (height, width)


def _header(file: BinaryIO) -> tuple[int, int, bool]:
    """Height and width as stored, and whether these are to be swapped."""
    start = file.read(_HEAD_BYTES)
    check_not_empty(start)
    if is_jpeg(start):
        head = jpeg_head(start)
        header = jpeg_header(start)
        if header is not None and len(head) < len(start):
            height, width, _ = header
            check_pixels(height, width, MAX_PIXELS)
            return height, width, jpeg_orientation(start, head) in TURNED
        if len(start) < _HEAD_BYTES:
            check_jpeg_head(head, start)
    file.seek(0)
    with opened(file, MAX_PIXELS) as picture:
        if picture.format == "TIFF":  # Pillow swaps these of its own accord
            return picture.height, picture.width, False
        return picture.height, picture.width, header_orientation(picture, file) in TURNED
