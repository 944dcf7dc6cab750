"""A folder with one folder of pictures per class."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from hat.data.arrays import StringArray
from hat.data.colors import distinct_colors
from hat.data.datasets.base import Dataset, Transforms
from hat.data.datasets.image_files import find_images
from hat.data.images import image_size, read_image
from hat.data.sample import Sample


class ImageFolder(Dataset):
    """Pictures whose folder says their class: `root/<class>/<picture>`.

    Args:
        root: The folder of class folders.
        classes: The class names in the order of their numbers; by default the names of
            the folders, sorted. Give them where a split may lack a class: numbers that
            depend on which folders are present differ between splits.
        transform: See `Dataset`.

    Raises:
        FileNotFoundError: If `root` is missing, has no class folder, or a class folder
            holds no picture.
        ValueError: If a folder is none of `classes`.
    """

    def __init__(
        self,
        root: str | Path,
        classes: Sequence[str] | None = None,
        transform: Transforms = None,
    ) -> None:
        super().__init__(transform)
        self.root = Path(root)
        if not self.root.is_dir():
            raise FileNotFoundError(f"{root}: no such folder{_nearest(self.root)}")
        folders = sorted(p.name for p in self.root.iterdir() if p.is_dir())
        if not folders:
            raise FileNotFoundError(f"{root}: holds no class folders (root/<class>/<picture>)")
        self.classes = tuple(classes) if classes is not None else tuple(folders)
        self.colors = distinct_colors(len(self.classes))
        unknown = sorted(set(folders) - set(self.classes))
        if unknown:
            raise ValueError(f"{root}: folders {unknown} are not in classes {list(self.classes)}")
        found = [find_images(self.root / name) if name in folders else [] for name in self.classes]
        self.names = StringArray(
            path.relative_to(self.root).as_posix() for paths in found for path in paths
        )
        self.labels = np.repeat(np.arange(len(found)), [len(paths) for paths in found])

    def __len__(self) -> int:
        return len(self.names)

    def load(self, index: int) -> Sample:
        img = read_image(self.source(index))
        return {"img": img, **self._known(index), "ori_shape": tuple(img.shape[-2:])}

    def annotation(self, index: int) -> Sample:
        """All but the picture, of which only the header is read."""
        return {**self._known(index), "ori_shape": image_size(self.source(index))}

    def source(self, index: int) -> str:
        """The picture's file."""
        return str(self.root / self.names[index])

    def _known(self, index: int) -> Sample:
        return {
            "label": int(self.labels[index]),
            "img_id": self.names[index],
            "img_path": self.source(index),
        }


def _nearest(path: Path) -> str:
    """Up to where a missing path exists, which is often what the reader needs to know."""
    existing = next(parent for parent in path.absolute().parents if parent.is_dir())
    return f" ({existing} exists)"
