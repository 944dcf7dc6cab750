"""What `hat pack` wrote, as a data set."""

from pathlib import Path
from typing import Any

import lmdb

from hat.data.datasets.base import Dataset, Transforms
from hat.data.packing import PackError, open_packed, record_key, unsealed
from hat.data.records import EncodedPicture, decode_sample
from hat.data.sample import Sample


class PackedDataset(Dataset):
    """A data set in one file, with the samples of the one that it was packed from.

    Every record is compared with its checksum when it is read, so a damaged file is
    an error, never another picture.

    Args:
        path: What `hat pack` wrote.
        transform: See `Dataset`.

    Raises:
        FileNotFoundError: If there is no such file.
        PackError: If it is not a whole packed file, or, when a sample is read, if its
            record is damaged. It is a ValueError.

    Example:
        >>> from hat.data import DigitsDataset, pack
        >>> pack(DigitsDataset("val"), "digits.lmdb")
        >>> len(PackedDataset("digits.lmdb"))
        359
    """

    def __init__(self, path: str | Path, transform: Transforms = None) -> None:
        super().__init__(transform)
        self.path = Path(path)
        self._environment, header = open_packed(self.path)
        self.packed_from: str = header["dataset"]
        self.length: int = header["length"]
        self.classes = header["classes"]
        self.seg_classes = header["seg_classes"]
        self.colors = _colors(header["colors"])
        self.seg_colors = _colors(header["seg_colors"])
        if header["label_classes"] is not None:
            self.label_classes = header["label_classes"]

    def __len__(self) -> int:
        return self.length

    def load(self, index: int) -> Sample:
        return self._read(index, with_pictures=True)

    def annotation(self, index: int) -> Sample:
        sample = self._read(index, with_pictures=False)
        pictures = [key for key, value in sample.items() if isinstance(value, EncodedPicture)]
        for key in {"img", *pictures}:
            sample.pop(key, None)
        return sample

    def source(self, index: int) -> str:
        return f"{self.path}, record {index}"

    def _read(self, index: int, *, with_pictures: bool) -> Sample:
        name = self.source(index)
        try:
            with self._environment.begin(buffers=True) as transaction:
                value = transaction.get(record_key(index))
                if value is None:
                    raise PackError(f"{name}: is missing, so the file is damaged; pack it again")
                return decode_sample(unsealed(value, name), name, with_pictures=with_pictures)
        except lmdb.Error as error:
            raise PackError(f"{name}: the file is damaged: {error}") from error

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "_environment"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._environment = open_packed(self.path)[0]


def _colors(value: list[list[int]] | None) -> list[tuple[int, int, int]] | None:
    return None if value is None else [(red, green, blue) for red, green, blue in value]
