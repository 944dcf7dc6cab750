"""Pictures and labels in IDX files, the format of MNIST and its relatives."""

import gzip
import math
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hat.data.colors import distinct_colors
from hat.data.datasets.base import Dataset, Transforms
from hat.data.images import MAX_PIXELS
from hat.data.pixels import Image
from hat.data.sample import Sample

_GZIP = b"\x1f\x8b"
_UNSIGNED_BYTE = 0x08
#: What a compressed file may unpack to.
_MAX_UNPACKED_BYTES = 1 << 32


class IdxDataset(Dataset):
    """Pictures of one size with a class each, in two IDX files: MNIST and its relatives.

    The files may lie anywhere, have any name and be compressed by gzip.
    (`torchvision.datasets.MNIST` reads only its own pictures, under fixed names in a folder
    that it lays out.) Files that are not compressed are mapped, not read: opening them costs
    nothing and worker processes share them.

    Args:
        images_file: Bytes of shape (N, H, W): grey; or (N, H, W, 3): RGB.
        labels_file: Bytes of shape (N,): the class of each picture, from 0.
        transform: See `Dataset`.
        classes: The names of the classes, by default their numbers, "0" to the largest.

    Raises:
        FileNotFoundError: If a file is missing.
        ValueError: If a file is no such IDX file, is cut short or too long, if there are
            not as many labels as pictures, or a label has no class; the message names the
            file.
    """

    def __init__(
        self,
        images_file: str | Path,
        labels_file: str | Path,
        transform: Transforms = None,
        *,
        classes: Sequence[str] | None = None,
    ) -> None:
        super().__init__(transform)
        self.images_file, self.labels_file = Path(images_file), Path(labels_file)
        self.images = read_idx(self.images_file)
        if self.images.ndim not in (3, 4) or self.images.shape[3:] not in ((), (3,)):
            raise ValueError(
                f"{images_file}: expected pictures of shape (N, H, W) or (N, H, W, 3), got "
                f"{self.images.shape}"
            )
        if not 0 < math.prod(self.images.shape[1:3]) <= MAX_PIXELS:
            raise ValueError(f"{images_file}: pictures of {self.images.shape[1:3]} are refused")
        labels = read_idx(self.labels_file)
        if labels.ndim != 1 or len(labels) != len(self.images):
            raise ValueError(
                f"{labels_file}: expected {len(self.images):,} labels, one of each picture of "
                f"{images_file}, got shape {labels.shape}"
            )
        self.labels = labels.astype(np.int64)
        largest = int(self.labels.max(initial=-1))
        self.classes = tuple(map(str, range(largest + 1)) if classes is None else classes)
        self.colors = distinct_colors(len(self.classes))
        if largest >= len(self.classes):
            raise ValueError(
                f"{labels_file}: label {largest} is beyond the {len(self.classes)} classes, which "
                "are counted from 0"
            )

    def __len__(self) -> int:
        return len(self.images)

    def load(self, index: int) -> Sample:
        """One picture, grey in all three channels where the file holds one."""
        pixels = self.images[index]
        if pixels.ndim == 2:
            pixels = pixels[:, :, None]
        rgb = np.empty((*pixels.shape[:2], 3), np.uint8)
        rgb[:] = pixels
        return {"img": Image.from_hwc(rgb), **self.annotation(index)}

    def annotation(self, index: int) -> Sample:
        """The class and the size of a picture, without its pixels."""
        height, width = self.images.shape[1:3]
        return {"label": int(self.labels[index]), "img_id": index, "ori_shape": (height, width)}

    def source(self, index: int) -> str:
        return f"{self.images_file}[{index}]"

    def __getstate__(self) -> dict[str, Any]:
        # A mapped file is mapped again by the process that it is sent to.
        if isinstance(self.images, np.memmap):
            return {key: value for key, value in self.__dict__.items() if key != "images"}
        return self.__dict__

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        if "images" not in state:
            self.images = read_idx(self.images_file)


def read_idx(path: str | Path) -> NDArray[np.uint8]:
    """The bytes of an IDX file, mapped, or unpacked where it is compressed by gzip.

    Args:
        path: The file; its content decides whether it is compressed.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it holds anything but unsigned bytes, or is not as long as it says.

    Reference:
        LeCun, Cortes, Burges, The MNIST database, 1998: "File formats".
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            is_packed = file.read(2) == _GZIP
        if is_packed:
            with gzip.open(path) as file:
                shape = _read_shape(file)
                num_bytes = math.prod(shape)
                if num_bytes > _MAX_UNPACKED_BYTES:
                    raise ValueError(f"says it holds {num_bytes:,} bytes: unpack it with gunzip")
                content = np.frombuffer(file.read(num_bytes + 1), np.uint8)
            _check_length(len(content), num_bytes)
            return content.reshape(shape)
        with path.open("rb") as file:
            shape = _read_shape(file)
            start = file.tell()
        _check_length(path.stat().st_size - start, math.prod(shape))
        if math.prod(shape) == 0:  # nothing can be mapped
            return np.zeros(shape, np.uint8)
        return np.memmap(path, np.uint8, "r", start, shape)
    except FileNotFoundError:
        raise FileNotFoundError(f"{path}: no such file") from None
    except (OSError, EOFError, ValueError, zlib.error) as error:
        raise ValueError(f"{path}: cannot be read as IDX: {error}") from error


def _read_shape(file: Any) -> tuple[int, ...]:
    header = file.read(4)
    if len(header) < 4 or header[:2] != b"\0\0":
        raise ValueError(f"expected two zero bytes, a type and a rank, got {header!r}")
    _, _, type_code, rank = header
    if type_code != _UNSIGNED_BYTE:
        raise ValueError(
            f"expected type code 0x08, unsigned bytes, got 0x{type_code:02x} "
            f"(the first four bytes are {header.hex(' ')})"
        )
    if not 1 <= rank <= 4:
        raise ValueError(f"expected 1 to 4 dimensions, got {rank}")
    sizes = file.read(4 * rank)
    if len(sizes) < 4 * rank:
        raise ValueError("it ends within its header")
    return tuple(np.frombuffer(sizes, ">u4").tolist())


def _check_length(num_bytes: int, expected: int) -> None:
    if num_bytes != expected:
        comparison = "fewer" if num_bytes < expected else "more"
        raise ValueError(f"its header says {expected:,} bytes follow, and there are {comparison}")
