"""Pictures by their paths, without labels: what is given to a model to look at."""

from collections.abc import Sequence
from pathlib import Path

from hat.data.arrays import StringArray
from hat.data.datasets.base import Dataset, Transforms
from hat.data.images import IMAGE_SUFFIXES, image_size, read_image
from hat.data.sample import Sample


class ImageFiles(Dataset):
    """Pictures named one by one, or by folders that are searched through.

    Args:
        paths: Files and folders. Files are taken as they are; folders are searched,
            with all folders in them, for names that end like pictures.
        transform: See `Dataset`.

    Raises:
        FileNotFoundError: If a path does not exist or a folder holds no picture.
    """

    def __init__(self, paths: Sequence[str | Path], transform: Transforms = None) -> None:
        super().__init__(transform)
        if isinstance(paths, str | Path):
            raise TypeError(f"paths must be a list of files and folders, got {paths!r}")
        self.paths = StringArray(str(file) for path in paths for file in find_images(Path(path)))

    def __len__(self) -> int:
        return len(self.paths)

    def load(self, index: int) -> Sample:
        path = self.paths[index]
        img = read_image(path)
        return {"img": img, "img_id": path, "img_path": path, "ori_shape": tuple(img.shape[-2:])}

    def annotation(self, index: int) -> Sample:
        """All but the picture, of which only the header is read."""
        path = self.paths[index]
        return {"img_id": path, "img_path": path, "ori_shape": image_size(path)}

    def source(self, index: int) -> str:
        """The picture's file."""
        return self.paths[index]


def find_images(path: Path) -> list[Path]:
    """The picture files that a path stands for, sorted.

    Raises:
        FileNotFoundError: If there is none.
    """
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise FileNotFoundError(f"{path}: no such file or folder")
    found = sorted(f for f in path.rglob("*") if f.suffix.lower() in IMAGE_SUFFIXES and f.is_file())
    if not found:
        endings = " ".join(sorted(IMAGE_SUFFIXES))
        raise FileNotFoundError(f"{path}: no picture in this folder (looked for {endings})")
    return found
