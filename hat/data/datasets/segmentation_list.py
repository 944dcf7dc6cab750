"""Pictures and label maps that a text file lists side by side, as CamVid's are."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from hat.data.arrays import StringArray
from hat.data.colors import distinct_colors
from hat.data.datasets.base import Color, Dataset, Transforms
from hat.data.images import (
    check_same_size,
    image_size,
    path_inside,
    read_image,
    read_mask,
)
from hat.data.masks import Colors
from hat.data.pixels import Mask
from hat.data.sample import Sample

_NOT_LABELLED = 255


class SegmentationList(Dataset):
    """Semantic segmentation by a list file: one line a sample, `picture label`.

    CamVid in SegNet's edition and many others come this way. The two names are divided
    by white space, or by a tab where names hold spaces, and are relative to `root`. Label
    maps hold a class at each pixel, as grey or palette indices, or as a colour of its own.

    Args:
        list_file: The list. Empty lines are skipped.
        classes: The names of the values 0, 1, 2, ... of the label maps, or a text file with
            one a line, `name` or `value name`.
        root: The folder that names are relative to, by default that of the list.
        transform: See `Dataset`.
        ignore_label: The value, or values, of pixels that are not labelled; they become
            255. If these stand among `classes`, later classes move up: classes are
            counted without them. 255 itself is always "not labelled".
        colors: RGB of each class, without those ignored.
        mask_colors: For label maps that are painted: which value each colour stands for,
            as a mapping from RGB or a list with the colour of each value.
        strip_prefix: What to take from the front of each name, such as `/SegNet/CamVid/`
            of SegNet's own lists.

    Raises:
        FileNotFoundError: If the list, or while reading a file of it, is missing.
        ValueError: If a line is not two names, a name leads out of `root`, sizes of a
            picture and its labels differ, or a label map holds a value that is no class;
            the message names the file.
    """

    def __init__(
        self,
        list_file: str | Path,
        classes: Sequence[str] | str | Path,
        *,
        root: str | Path | None = None,
        transform: Transforms = None,
        ignore_label: int | Sequence[int] = _NOT_LABELLED,
        colors: Sequence[Color] | None = None,
        mask_colors: Colors | None = None,
        strip_prefix: str = "",
    ) -> None:
        super().__init__(transform)
        self.list_file = Path(list_file)
        self.root = self.list_file.parent if root is None else Path(root)
        names = _read_classes(Path(classes)) if isinstance(classes, str | Path) else list(classes)
        ignored = {ignore_label} if isinstance(ignore_label, int) else set(ignore_label)
        if not all(0 <= value <= _NOT_LABELLED for value in ignored):
            raise ValueError(f"ignore_label must be from 0 to 255, got {ignore_label}")
        self.seg_classes: Sequence[str] = tuple(
            name for value, name in enumerate(names) if value not in ignored
        )
        if not 0 < len(names) <= _NOT_LABELLED:
            raise ValueError(f"expected 1 to 255 classes, got {len(names)}")
        if colors is not None and len(colors) != len(self.seg_classes):
            raise ValueError(f"{len(self.seg_classes)} classes, but {len(colors)} colors")
        num_classes = len(self.seg_classes)
        self.seg_colors = distinct_colors(num_classes) if colors is None else colors
        self.mask_colors = mask_colors
        self._class_of = np.full(256, _NOT_LABELLED, np.uint8)
        kept = [value for value in range(len(names)) if value not in ignored]
        self._class_of[kept] = np.arange(len(kept))
        self._is_known = np.zeros(256, bool)
        self._is_known[[*kept, *ignored, _NOT_LABELLED]] = True
        pairs = _read_pairs(self.list_file, strip_prefix)
        self.pictures = StringArray(picture for picture, _ in pairs)
        self.labels = StringArray(label for _, label in pairs)

    def __len__(self) -> int:
        return len(self.pictures)

    def load(self, index: int) -> Sample:
        img = read_image(self._path(self.pictures[index]))
        path = self._path(self.labels[index])
        mask = read_mask(path, self.mask_colors).as_subclass(torch.Tensor)
        size = (img.shape[-2], img.shape[-1])
        check_same_size(mask, path, size, self.pictures[index])
        seg = Mask(torch.from_numpy(self._classes_of(mask.numpy(), path)))
        return {"img": img, "gt_seg": seg, **self._identity(index), "ori_shape": size}

    def _classes_of(self, values: NDArray[Any], path: Path) -> NDArray[np.uint8]:
        """The class of each pixel, by the value that is stored for it."""
        if values.dtype != np.uint8:  # stored with 16 bits
            if not 0 <= values.min(initial=0) <= values.max(initial=0) <= _NOT_LABELLED:
                raise ValueError(f"{path}: holds values up to {values.max()}; classes end at 255")
            values = values.astype(np.uint8)
        counts = cv2.calcHist([values], [0], None, [256], [0, 256]).ravel()
        unknown = np.flatnonzero((counts > 0) & ~self._is_known)
        if len(unknown):
            raise ValueError(
                f"{path}: holds {int(counts[unknown[0]])} pixels of value {unknown[0]}, which is "
                f"none of the {len(self.seg_classes)} classes nor in ignore_label"
            )
        return np.asarray(cv2.LUT(values, self._class_of), np.uint8)

    def annotation(self, index: int) -> Sample:
        """The size from the picture's header."""
        size = image_size(self._path(self.pictures[index]))
        return {**self._identity(index), "ori_shape": size}

    def source(self, index: int) -> str:
        return str(self._path(self.pictures[index]))

    def _identity(self, index: int) -> Sample:
        return {"img_id": self.pictures[index], "img_path": self.source(index)}

    def _path(self, name: str) -> Path:
        try:
            return path_inside(self.root, name)
        except ValueError as error:
            raise ValueError(
                f"{self.list_file}: {error}: strip_prefix takes away a prefix such as "
                f"{Path(name).parts[0]!r}"
            ) from None


def _read_lines(path: Path) -> list[tuple[int, str]]:
    """Lines that hold something, with their numbers from 1."""
    try:
        lines = path.read_text("utf-8").splitlines()
    except FileNotFoundError:
        raise FileNotFoundError(f"{path}: no such file") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: cannot be read as text: {error}") from error
    return [(number, line.strip()) for number, line in enumerate(lines, 1) if line.strip()]


def _read_pairs(path: Path, prefix: str) -> list[tuple[str, str]]:
    pairs = []
    for number, line in _read_lines(path):
        names = line.split("\t" if "\t" in line else None)
        if len(names) != 2:
            raise ValueError(
                f"{path}:{number}: expected 'picture label', got {len(names)} names; a tab divides "
                "names that hold spaces, and ImageFiles reads pictures without labels"
            )
        picture, label = (name.strip().removeprefix(prefix) for name in names)
        pairs.append((picture, label))
    if not pairs:
        raise ValueError(f"{path}: lists nothing")
    return pairs


def _read_classes(path: Path) -> list[str]:
    names: list[str] = []
    for number, line in _read_lines(path):
        first, _, rest = line.partition(" ")
        if first.isdecimal() and rest:
            if int(first) != len(names):
                raise ValueError(f"{path}:{number}: expected value {len(names)}, got {first}")
            line = rest.strip()
        names.append(line)
    return names
