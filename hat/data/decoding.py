"""What all readers of picture files share: formats, limits, and finding damage.

JPEG is decoded by simplejpeg, about 1.7 times as fast as Pillow with the same pixels, and
able to see damage that Pillow passes over. The other formats are Pillow's, which decodes
them as fast as OpenCV does.
"""

import io
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import simplejpeg
from numpy.typing import NDArray
from PIL import Image as PILImage

#: A header that claims more pixels than this is refused before memory is taken.
MAX_PIXELS = 89_478_485  # above, Pillow warns of its own accord; above the double it refuses

#: What is tried, by content. Pillow knows more, some of which start other programs.
FORMATS = ("JPEG", "PNG", "BMP", "WEBP", "TIFF", "PPM", "GIF")

#: Ordinary files have about ten; a small file with thousands would be decoded for minutes.
MAX_JPEG_SCANS = 200

_JPEG_START = b"\xff\xd8\xff"
_PNG_START = b"\x89PNG\r\n\x1a\n"
_PNG_CRITICAL = (b"IHDR", b"PLTE", b"IDAT", b"IEND")

#: Warnings of libjpeg about odd headers, from cameras and scanners, that leave the pixels whole.
_HARMLESS = (
    "Invalid SOS parameters for sequential JPEG",
    "Warning: unknown JFIF revision number",
    "Unknown Adobe color transform code",
)


def read_file(path: str | Path) -> bytes:
    """The content of a file.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it cannot be read, such as a folder.
    """
    with errors_naming(path), open(path, "rb") as file:
        return file.read()


def check_not_empty(start: bytes) -> None:
    """Refuse a file without content.

    Raises:
        ValueError: If there is none.
    """
    if not start:
        raise ValueError("the file is empty")


@contextmanager
def errors_naming(name: str | Path) -> Iterator[None]:
    """Turn whatever goes wrong inside into an error that starts with the file's name.

    Raises:
        FileNotFoundError: For the same.
        ValueError: For everything else.
    """
    try:
        yield
    except FileNotFoundError:
        raise FileNotFoundError(f"{name}: no such file") from None
    except PILImage.UnidentifiedImageError as error:
        known = ", ".join(FORMATS)
        raise ValueError(f"{name}: cannot be decoded: not a picture ({known})") from error
    except (ValueError, OSError, SyntaxError, PILImage.DecompressionBombError) as error:
        raise ValueError(f"{name}: cannot be decoded: {error}") from error
    except Exception as error:  # on damaged files decoders raise whatever they stumble over
        reason = f"{type(error).__name__}: {error}"
        raise ValueError(f"{name}: cannot be decoded: damaged ({reason})") from error


def check_pixels(height: int, width: int, max_pixels: int) -> None:
    """Refuse a picture without pixels, or with too many.

    Raises:
        ValueError: If it is either.
    """
    if not 0 < width * height <= max_pixels:
        limit = f"more than {max_pixels:,} are refused" if width and height else "which is none"
        raise ValueError(f"claims {width} x {height} pixels; {limit}")


@contextmanager
def opened(file: BinaryIO, max_pixels: int) -> Iterator[PILImage.Image]:
    """A file opened by Pillow, its size checked, its pixels not yet decoded."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # damaged EXIF, transparent palettes: no matter here
        with PILImage.open(file, formats=FORMATS) as picture:
            check_pixels(picture.height, picture.width, max_pixels)
            yield picture


@contextmanager
def opened_whole(data: bytes, max_pixels: int) -> Iterator[PILImage.Image]:
    """The same of a file's content, which is refused if it is a damaged PNG."""
    check_not_empty(data)
    with opened(io.BytesIO(data), max_pixels) as picture:
        if picture.format == "PNG":
            _check_png(data)
        yield picture


def is_jpeg(data: bytes) -> bool:
    """Whether a file with this start is a JPEG."""
    return data.startswith(_JPEG_START)


def jpeg_head(data: bytes) -> bytes:
    """The segments of a JPEG before its first scan: what may hold EXIF, and the frame's header."""
    position = 2
    while data[position : position + 1] == b"\xff":
        marker = data[position + 1 : position + 2]
        if marker in (b"\xda", b""):
            break
        length = int.from_bytes(data[position + 2 : position + 4], "big")
        position += 1 if marker == b"\xff" else 2 + max(length, 2)
    return data[:position]


def check_jpeg_head(head: bytes, data: bytes) -> None:
    """Refuse a file that ends before its first scan.

    Raises:
        ValueError: If it does.
    """
    if len(head) == len(data):
        raise ValueError("the JPEG is cut short within its header")


def jpeg_header(data: bytes) -> tuple[int, int, str] | None:
    """Height, width and colour space of a JPEG; None if simplejpeg cannot tell."""
    try:
        height, width, color_space, _ = simplejpeg.decode_jpeg_header(data, strict=False)
    except (ValueError, KeyError):  # the latter for a layout of colours without a name
        return None
    return height, width, color_space


def decode_jpeg(data: bytes, head: bytes, max_pixels: int) -> NDArray[np.uint8] | None:
    """RGB of shape (H, W, 3), not yet turned upright; None if simplejpeg does not know this kind.

    Raises:
        ValueError: If the JPEG is damaged or too large.
    """
    header = jpeg_header(data)
    if header is None:
        check_jpeg_head(head, data)
        return None
    height, width, color_space = header
    check_pixels(height, width, max_pixels)
    _check_scans(data, head, color_space)
    if color_space in ("CMYK", "YCCK"):
        inks = _decode_strictly(data, "CMYK")
        picture = PILImage.frombuffer("CMYK", (width, height), inks, "raw", "CMYK;I", 0, 1)
        return np.array(picture.convert("RGB"))
    return _decode_strictly(data, "RGB")


def _decode_strictly(data: bytes, color_space: str) -> NDArray[np.uint8]:
    try:
        return simplejpeg.decode_jpeg(data, color_space)
    except ValueError as error:
        if not str(error).startswith(_HARMLESS):
            raise
    if data.rfind(b"\xff\xd9") < data.rfind(b"\xff\xda"):
        raise ValueError("the JPEG ends before its end marker")
    return simplejpeg.decode_jpeg(data, color_space, strict=False)


def _check_scans(data: bytes, head: bytes, color_space: str) -> None:
    channels = {"Gray": 1, "CMYK": 4, "YCCK": 4}.get(color_space, 3)
    has_all = data[len(head) + 4 : len(head) + 5] == bytes([channels])
    is_progressive = b"\xff\xc2" in head or b"\xff\xca" in head
    if has_all and not is_progressive:
        return  # one scan is the whole picture; counting would cost a twentieth of the decoding
    count = data.count(b"\xff\xda")
    if count > MAX_JPEG_SCANS:
        raise ValueError(f"{count:,} scans in one JPEG; more than {MAX_JPEG_SCANS} are refused")


def png_chunks(file: BinaryIO) -> Iterator[tuple[bytes, int, int]]:
    """Kind, start and size of the content of each chunk of a PNG, as far as the file goes."""
    file.seek(len(_PNG_START))
    while len(header := file.read(8)) == 8:
        start = file.tell()
        size = int.from_bytes(header[:4], "big")
        yield header[4:], start, size
        file.seek(start + size + 4)


def _check_png(data: bytes) -> None:
    """Pillow stops at the last row: it sees neither checksums nor a missing end."""
    view = memoryview(data)
    for kind, start, size in png_chunks(io.BytesIO(data)):
        stored = view[start + size : start + size + 4]
        if len(stored) < 4:
            break
        if kind in _PNG_CRITICAL:
            if zlib.crc32(view[start - 4 : start + size]).to_bytes(4, "big") != stored:
                raise ValueError(f"damaged PNG: the checksum of {kind.decode()} is wrong")
            if kind == b"IEND":
                return
    raise ValueError("the PNG is cut short")


def rgb_pixels(picture: PILImage.Image) -> NDArray[np.uint8]:
    """A Pillow picture of any mode as RGB of 8 bits, shape (H, W, 3).

    Raises:
        ValueError: If its values are no 16 bits, or floats.
    """
    if picture.mode == "F":
        raise ValueError("it holds floats, which are no picture of 8 or 16 bits")
    if picture.mode.startswith("I"):  # 16 or 32 bits of grey; `convert` would clip at 255
        return np.repeat(_grey_of_16_bits(picture)[:, :, None], 3, axis=2)
    return np.array(picture if picture.mode == "RGB" else picture.convert("RGB"))


def _grey_of_16_bits(picture: PILImage.Image) -> NDArray[np.uint8]:
    values: NDArray[Any] = np.asarray(picture)
    if values.dtype.itemsize > 2 and not 0 <= values.min() <= values.max() <= 0xFFFF:
        raise ValueError(f"its values {values.min()} to {values.max()} exceed 16 bits")
    return (values >> 8).astype(np.uint8)
