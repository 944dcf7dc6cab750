"""What every data set is: a length, and a sample for each index."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any

import torch

from hat.data.sample import Sample
from hat.data.transforms.compose import Compose


class Dataset(torch.utils.data.Dataset[Sample], ABC):
    """A map from an index to a sample, transformed.

    A subclass writes `__len__` and `load`; any other object with `__len__` and
    `__getitem__` that returns a dict works in a `DataLoader` too.

    Args:
        transform: Called with the sample as `load` made it; several are called in
            order. Any transform of `torchvision.transforms.v2` moves picture, boxes and
            masks of the sample together.

    Attributes:
        classes: The class names, where the data set has classes.
    """

    classes: Sequence[str] | None = None

    def __init__(
        self,
        transform: Callable[[Any], Any] | Sequence[Callable[[Any], Any]] | None = None,
    ) -> None:
        self.transform = Compose(transform) if isinstance(transform, Sequence) else transform

    @abstractmethod
    def __len__(self) -> int:
        """How many samples there are."""

    @abstractmethod
    def load(self, index: int) -> Sample:
        """The sample with this index, by the keys of `hat.data.sample.KEYS`, as it is on disk."""

    def __getitem__(self, index: int) -> Sample:
        if not 0 <= index < len(self):
            raise IndexError(f"{type(self).__name__} has {len(self)} samples, no index {index}")
        sample = self.load(index)
        sample.setdefault("img_id", index)
        return sample if self.transform is None else self.transform(sample)
