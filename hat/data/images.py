"""Reading pictures from files: any content becomes uint8 RGB or an error with the name."""

import io
import warnings
from pathlib import Path

import numpy as np
import torch
from PIL import Image as PILImage
from PIL import ImageOps

from hat.data.pixels import Image, Mask

#: The endings by which folders are searched; what a file is, its content decides.
IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff", ".ppm"})

#: A header that claims more pixels than this is refused before memory is taken.
MAX_PIXELS = 89_478_485  # above, Pillow warns of its own accord; above the double it refuses


def read_image(path: str | Path, max_pixels: int = MAX_PIXELS) -> Image:
    """Read a picture as uint8 RGB of shape (3, H, W).

    Grey is expanded to three channels, a palette is looked up, alpha is dropped,
    16-bit values are scaled to 8 bits, and the EXIF orientation is applied.

    Args:
        path: The file; its content decides the format, not its name.
        max_pixels: Larger pictures are refused.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file is not a whole picture, or is too large; the message
            names the file.
    """
    try:
        with warnings.catch_warnings(), PILImage.open(path) as picture:
            # Of damaged EXIF and transparent palettes, neither of which matters here.
            warnings.simplefilter("ignore", UserWarning)
            if picture.width * picture.height > max_pixels:
                raise PILImage.DecompressionBombError(
                    f"claims {picture.width} x {picture.height} pixels; "
                    f"more than {max_pixels:,} are refused"
                )
            return pil_to_image(ImageOps.exif_transpose(picture))
    except FileNotFoundError:
        raise FileNotFoundError(f"{path}: no such file") from None
    except (OSError, SyntaxError, ValueError, PILImage.DecompressionBombError) as error:
        reason = "not a picture" if isinstance(error, PILImage.UnidentifiedImageError) else error
        raise ValueError(f"{path}: cannot be decoded: {reason}") from error


def decode_image(data: bytes, name: str, max_pixels: int = MAX_PIXELS) -> Image:
    """Decode the content of a picture's file, as `read_image` would read it.

    Args:
        data: The file's content.
        name: What errors call it.
        max_pixels: Larger pictures are refused.

    Raises:
        ValueError: If it is not a whole picture, or is too large.
    """
    try:
        with warnings.catch_warnings(), PILImage.open(io.BytesIO(data)) as picture:
            warnings.simplefilter("ignore", UserWarning)
            if picture.width * picture.height > max_pixels:
                raise PILImage.DecompressionBombError(
                    f"claims {picture.width} x {picture.height} pixels; "
                    f"more than {max_pixels:,} are refused"
                )
            return pil_to_image(ImageOps.exif_transpose(picture))
    except (OSError, SyntaxError, ValueError, PILImage.DecompressionBombError) as error:
        reason = "not a picture" if isinstance(error, PILImage.UnidentifiedImageError) else error
        raise ValueError(f"{name}: cannot be decoded: {reason}") from error


def pil_to_image(picture: PILImage.Image) -> Image:
    """A PIL picture of any mode as uint8 RGB of shape (3, H, W)."""
    if picture.mode.startswith("I"):  # 16 or 32 bits of grey; `convert` would clip at 255
        grey = (np.asarray(picture).astype(np.int64).clip(0, 65535) >> 8).astype(np.uint8)
        pixels = np.repeat(grey[:, :, None], 3, axis=2)
    else:
        pixels = np.asarray(picture.convert("RGB"))
    return Image(torch.from_numpy(pixels.transpose(2, 0, 1).copy()))


def image_size(path: str | Path) -> tuple[int, int]:
    """(H, W) of a picture as `read_image` would return it, from its header alone.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file is no picture.
    """
    try:
        with PILImage.open(path) as picture:
            is_turned = picture.getexif().get(274, 1) in (5, 6, 7, 8)  # 274: orientation
            return picture.size if is_turned else picture.size[::-1]
    except FileNotFoundError:
        raise FileNotFoundError(f"{path}: no such file") from None
    except (OSError, SyntaxError, ValueError) as error:
        raise ValueError(f"{path}: cannot be decoded: {error}") from error


def read_mask(path: str | Path) -> Mask:
    """Read a map of classes: uint8, shape (H, W), the values or palette indices as stored."""
    with PILImage.open(path) as picture:
        if picture.mode not in ("L", "P"):
            raise ValueError(f"{path}: expected a mask of one channel, got mode {picture.mode}")
        return Mask(torch.from_numpy(np.asarray(picture).copy()))


def path_inside(root: str | Path, name: str) -> Path:
    """The file of this name in a folder.

    Raises:
        ValueError: If the name leads out of the folder.
    """
    root = Path(root)
    path = root / name
    if not path.resolve().is_relative_to(root.resolve()):
        raise ValueError(f"{name!r} leads out of {root}")
    return path
