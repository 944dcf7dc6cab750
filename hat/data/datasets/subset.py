"""A part of a data set."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hat.data.datasets.base import Transforms
from hat.data.datasets.wrapper import WrapperDataset
from hat.data.samplers.keyed import permute
from hat.seeding import ORDER_STREAM, derive_key


class SubsetDataset(WrapperDataset):
    """Some of the samples of a data set: listed ones, a stretch, or a share drawn at random.

    Args:
        dataset: Whatever has `__len__` and `__getitem__` that returns a dict.
        indices: The samples, in their new order.
        start: Of a stretch, in place of `indices`: its first sample.
        stop: One behind the last sample of the stretch; by default the end.
        step: Every how manieth sample of the stretch.
        fraction: A share drawn at random, in place of both: 0.1 is a tenth of the samples.
            A pair is a part of the shuffled set: with one seed, (0, 0.9) and (0.9, 1) have
            no sample in common and all of them together.
        seed: Of the draw.
        transform: Called with the samples as the data set gives them; see `Dataset`.

    Raises:
        ValueError: If several ways of choosing are given, or a number is out of range.

    Example:
        >>> digits = DigitsDataset()
        >>> len(SubsetDataset(digits, stop=100)), len(SubsetDataset(digits, fraction=(0.9, 1)))
        (100, 144)
    """

    def __init__(
        self,
        dataset: Any,
        indices: Sequence[int] | NDArray[np.integer[Any]] | None = None,
        *,
        start: int = 0,
        stop: int | None = None,
        step: int = 1,
        fraction: float | tuple[float, float] | None = None,
        seed: int = 0,
        transform: Transforms = None,
    ) -> None:
        super().__init__([dataset], transform=transform)
        is_stretch = (start, stop, step) != (0, None, 1)
        if (indices is not None) + is_stretch + (fraction is not None) > 1:
            raise ValueError("give only one of indices, a stretch (start, stop, step) and fraction")
        length = len(dataset)
        self.indices: range | NDArray[np.int64]
        if fraction is not None:
            self.indices = _drawn(length, fraction, seed)
        elif indices is not None:
            self.indices = _checked(indices, length)
        else:
            for name, value in (("start", start), ("stop", stop or 0), ("step", step - 1)):
                if value < 0:
                    raise ValueError(f"{name} is too small")
            self.indices = range(length)[start:stop:step]

    def __len__(self) -> int:
        return len(self.indices)

    def locate(self, index: int) -> tuple[int, int]:
        return 0, int(self.indices[index])


def _checked(indices: Any, length: int) -> NDArray[np.int64]:
    values = np.asarray(indices, np.int64)
    outside = values[(values < 0) | (values >= length)]
    if outside.size:
        raise ValueError(f"indices has {outside[0]}, but the data set has {length} samples")
    return values


def _drawn(length: int, fraction: float | tuple[float, float], seed: int) -> NDArray[np.int64]:
    low, high = fraction if isinstance(fraction, tuple | list) else (0.0, fraction)
    if not 0 <= low <= high <= 1:
        raise ValueError(f"fraction must be within 0 and 1 and rise, got {fraction}")
    places = np.arange(round(low * length), round(high * length), dtype=np.uint64)
    key = derive_key(seed, ORDER_STREAM)
    return np.sort(permute(places, length, key).astype(np.int64))
