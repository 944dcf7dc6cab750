"""Data sets one behind the other."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from hat.data.arrays import offsets_of
from hat.data.datasets.base import Transforms
from hat.data.datasets.wrapper import WrapperDataset


class ConcatDataset(WrapperDataset):
    """Puts data sets one behind the other.

    Args:
        datasets: Whatever has `__len__` and `__getitem__` that returns a dict. Those that
            have names of classes must have the same.
        keep_ids: Whether `img_id` stays as it is, for data sets that have no id in common.
            Otherwise the number of the data set is put before it, such as `1/37`.
        transform: Called with the samples as the data sets give them; see `Dataset`.

    Raises:
        ValueError: If there is no data set, or they differ in the names of their classes.

    Example:
        >>> both = ConcatDataset([DigitsDataset("train"), DigitsDataset("val")])
        >>> len(both), both[1438]["img_id"]
        (1797, '1/4')
    """

    def __init__(
        self, datasets: Sequence[Any], *, keep_ids: bool = False, transform: Transforms = None
    ) -> None:
        super().__init__(datasets, keep_ids=keep_ids, transform=transform)
        self._offsets = offsets_of(len(dataset) for dataset in self.datasets)

    def __len__(self) -> int:
        return int(self._offsets[-1])

    def locate(self, index: int) -> tuple[int, int]:
        number = int(np.searchsorted(self._offsets, index, side="right")) - 1
        return number, index - int(self._offsets[number])
