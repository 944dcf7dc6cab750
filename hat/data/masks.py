"""Reading masks and depth maps: the numbers as they are stored, or an error with the name."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image as PILImage

from hat.data.decoding import MAX_PIXELS, errors_naming, opened_whole, read_file
from hat.data.orientation import picture_orientation, turned_upright
from hat.data.pixels import Mask

#: RGB and the class that it stands for.
Colors = Mapping[tuple[int, int, int], int] | Sequence[tuple[int, int, int]]

#: Formats that keep numbers as they are. PPM is not among them: it scales them.
_EXACT_FORMATS = ("PNG", "BMP", "TIFF")

#: By what Pillow multiplies grey of fewer than 8 bits, by the bits.
_GREY_SCALES = {1: 255, 2: 85, 4: 17}


def read_mask(
    path: str | Path, colors: Colors | None = None, *, max_pixels: int = MAX_PIXELS
) -> Mask:
    """Read a map of numbers, such as classes, of shape (H, W).

    Grey values and palette indices are taken as they are stored: the palette is not
    looked up. 8 bits and fewer become uint8, 16 bits int32. The EXIF orientation is
    applied, as it is to the picture.

    Args:
        path: A PNG, BMP or TIFF file; its content decides.
        colors: For masks that are painted: which colour stands for which class, as a
            mapping from RGB to class or a sequence with the colour of each class. The
            result is uint8 if all classes fit.
        max_pixels: Larger masks are refused, before memory is taken for them.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file is not a whole mask; if it is a JPEG, whose loss smears
            classes into each other; if it holds colours and `colors` is not given, or
            lacks one of them. The message names the file.
    """
    return decode_mask(read_file(path), str(path), colors, max_pixels=max_pixels)


def decode_mask(
    data: bytes, name: str, colors: Colors | None = None, *, max_pixels: int = MAX_PIXELS
) -> Mask:
    """Decode the content of a mask's file, as `read_mask` would read it.

    Args:
        data: The file's content.
        name: What errors call it.
        colors: See `read_mask`.
        max_pixels: Larger masks are refused.

    Raises:
        ValueError: As `read_mask`.
    """
    table = None if colors is None else _color_table(colors)
    with errors_naming(name), opened_whole(data, max_pixels) as picture:
        _check_lossless(picture)
        values = _stored(picture, data) if table is None else _looked_up(picture, *table)
        values = turned_upright(values, picture_orientation(picture))
        return Mask(torch.from_numpy(np.ascontiguousarray(values)))


def read_depth(path: str | Path, scale: float) -> Mask:
    """Read a depth map of 16 bits as float32 metres, shape (H, W); 0 is not known.

    Args:
        path: A PNG or TIFF file of one channel with 16 bits; with 8, steps would be too
            coarse to be a depth, so those are refused.
        scale: Stored units per metre: 256 for KITTI, 1000 for millimetres.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file is not a whole picture of one channel with 16 bits, or
            `scale` is not positive.
    """
    if not 0 < scale < float("inf"):
        raise ValueError(f"scale must be positive, got {scale}")
    data = read_file(path)
    with errors_naming(path), opened_whole(data, MAX_PIXELS) as picture:
        _check_lossless(picture)
        if not picture.mode.startswith("I;16"):
            raise ValueError(f"expected depth of 16 bits, got {_content(picture)}")
        depth = np.asarray(picture).astype(np.float32) / np.float32(scale)
        return Mask(torch.from_numpy(turned_upright(depth, picture_orientation(picture))))


def check_same_size(
    mask: torch.Tensor,
    mask_path: str | Path,
    size: tuple[int, int],
    img_path: str | Path,
) -> None:
    """Refuse a mask that is not as large as its picture.

    Args:
        mask: Shape (..., H, W).
        mask_path: Its file.
        size: (H, W) of the picture.
        img_path: The picture's file.

    Raises:
        ValueError: If the sizes differ; the message names both files.
    """
    height, width = mask.shape[-2:]
    if (height, width) != tuple(size):
        raise ValueError(
            f"{mask_path}: the mask is {width} x {height} pixels, its picture "
            f"{img_path} {size[1]} x {size[0]}"
        )


def _check_lossless(picture: PILImage.Image) -> None:
    is_lossy = picture.format == "JPEG" or picture.info.get("compression") == "jpeg"
    if is_lossy:
        raise ValueError("a JPEG cannot hold a mask: its loss makes numbers that were never drawn")
    if picture.format not in _EXACT_FORMATS:
        known = ", ".join(_EXACT_FORMATS)
        raise ValueError(f"a mask must be one of {known}, got {picture.format}")


def _stored(picture: PILImage.Image, data: bytes) -> NDArray[np.uint8 | np.int32]:
    """The values of a picture of one channel, palette indices included."""
    if picture.mode in ("P", "1"):
        return np.array(picture, dtype=np.uint8)
    if picture.mode == "L":
        bits = data[24] if picture.format == "PNG" else 8
        values = np.array(picture)
        return values // np.uint8(_GREY_SCALES[bits]) if bits in _GREY_SCALES else values
    if picture.mode.startswith("I"):
        return np.asarray(picture).astype(np.int32)
    hint = "; if each colour stands for a class, say which by `colors`" if _is_rgb(picture) else ""
    raise ValueError(f"expected a mask of one channel, got {_content(picture)}{hint}")


def _looked_up(
    picture: PILImage.Image, codes: NDArray[np.uint32], classes: NDArray[np.uint8 | np.int32]
) -> NDArray[np.uint8 | np.int32]:
    """The class of each pixel's colour."""
    if picture.mode[0] in "IF":
        raise ValueError(f"expected a mask of colours, got {_content(picture)}")
    rgba = np.asarray(picture.convert("RGB").convert("RGBA"))
    pixels = rgba.view(np.dtype("<u4"))[:, :, 0].ravel() & 0xFFFFFF
    # Masks are flat: one look-up for each run of equal pixels is a tenth of the work.
    starts = np.flatnonzero(np.concatenate([[True], pixels[1:] != pixels[:-1]]))
    runs = pixels[starts]
    places = np.searchsorted(codes, runs).clip(max=len(codes) - 1)
    unknown = np.unique(runs[codes[places] != runs])
    if len(unknown):
        raise ValueError(f"it has colours that are not in `colors`: {_named(unknown)}")
    lengths = np.diff(starts, append=len(pixels))
    return np.repeat(classes[places], lengths).reshape(rgba.shape[:2])


def _color_table(colors: Colors) -> tuple[NDArray[np.uint32], NDArray[np.uint8 | np.int32]]:
    """The colours as sorted numbers, and their classes beside them."""
    if isinstance(colors, Mapping):
        pairs = list(colors.items())
    else:
        pairs = [(color, class_id) for class_id, color in enumerate(colors)]
    table: dict[int, int] = {}
    for color, class_id in pairs:
        if len(color) != 3 or not all(0 <= channel <= 255 for channel in color):
            raise ValueError(f"colors: expected (red, green, blue) of 0 to 255, got {color}")
        code = color[0] | color[1] << 8 | color[2] << 16
        if table.setdefault(code, class_id) != class_id:
            raise ValueError(f"colors: {tuple(color)} stands for {table[code]} and {class_id}")
    if not table:
        raise ValueError("colors: holds no colour")
    codes = np.array(sorted(table), np.uint32)
    classes = np.array([table[code] for code in codes.tolist()], np.int32)
    fits = classes.min() >= 0 and classes.max() <= 255
    return codes, classes.astype(np.uint8) if fits else classes


def _named(codes: NDArray[np.uint32], most: int = 5) -> str:
    names = [str((code & 255, code >> 8 & 255, code >> 16)) for code in codes[:most].tolist()]
    return ", ".join(names) + (f" and {len(codes) - most} more" if len(codes) > most else "")


def _is_rgb(picture: PILImage.Image) -> bool:
    return picture.mode.startswith("RGB")


def _content(picture: PILImage.Image) -> str:
    bits = "16 bits" if picture.mode.startswith("I;16") else f"mode {picture.mode}"
    names = {"L": "8 bits of grey", "LA": "grey with alpha", "P": "a palette", "F": "floats"}
    names |= {"RGB": "RGB colours", "RGBA": "RGB colours with alpha", "1": "one bit"}
    return names.get(picture.mode, bits)
