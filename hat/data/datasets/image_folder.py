"""A folder with one folder of pictures per class."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from hat.data.datasets.base import Dataset
from hat.data.datasets.image_files import find_images
from hat.data.images import read_image
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
        transform: Callable[[Any], Any] | Sequence[Callable[[Any], Any]] | None = None,
    ) -> None:
        super().__init__(transform)
        self.root = Path(root)
        if not self.root.is_dir():
            raise FileNotFoundError(f"{root}: no such folder{_nearest(self.root)}")
        folders = sorted(p.name for p in self.root.iterdir() if p.is_dir())
        if not folders:
            raise FileNotFoundError(f"{root}: holds no class folders (root/<class>/<picture>)")
        self.classes = tuple(classes) if classes is not None else tuple(folders)
        unknown = sorted(set(folders) - set(self.classes))
        if unknown:
            raise ValueError(f"{root}: folders {unknown} are not in classes {list(self.classes)}")
        self.items = [
            (path, class_id)
            for class_id, name in enumerate(self.classes)
            if name in folders
            for path in find_images(self.root / name)
        ]

    def __len__(self) -> int:
        return len(self.items)

    def load(self, index: int) -> Sample:
        path, class_id = self.items[index]
        img = read_image(path)
        return {
            "img": img,
            "label": class_id,
            "img_id": str(path.relative_to(self.root)),
            "img_path": str(path),
            "ori_shape": tuple(img.shape[-2:]),
        }


def _nearest(path: Path) -> str:
    """Up to where a missing path exists, which is often what the reader needs to know."""
    existing = next(parent for parent in path.absolute().parents if parent.is_dir())
    return f" ({existing} exists)"
