"""Several data sets in fixed proportions."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hat.data.arrays import offsets_of
from hat.data.datasets.base import Transforms
from hat.data.datasets.wrapper import WrapperDataset


class MixedDataset(WrapperDataset):
    """Interleaves data sets so that each has a fixed share of every stretch.

    Of `length` samples each data set has its share, rounded by the largest remainder.
    These are spread evenly: the n-th of c draws from a data set stands at (n + 1/2) / c of
    the way, so every stretch keeps the ratios to within a sample or two. The draws from a
    data set go through it in order, again and again; the last time round, if it is not
    whole, takes samples at equal distances. Nothing is drawn at random: shuffling is left
    to the sampler.

    Args:
        datasets: Whatever has `__len__` and `__getitem__` that returns a dict. Those that
            have names of classes must have the same.
        ratios: The share of each data set; their sum need not be 1.
        length: How many samples there are, and so how long an epoch is. By default as many
            as it takes to see every sample of every data set; smaller data sets are
            repeated. With a smaller one, some samples are never seen.
        keep_ids: Whether `img_id` stays as it is, for data sets that have no id in common.
            Otherwise the number of the data set is put before it, such as `1/37`.
        transform: Called with the samples as the data sets give them; see `Dataset`.

    Raises:
        ValueError: If there is not one positive ratio for each data set, a data set is
            empty, or data sets differ in the names of their classes.

    Example:
        >>> mixed = MixedDataset([DigitsDataset("val"), DigitsDataset("train")], [3, 1])
        >>> [sample["img_id"] for sample in SubsetDataset(mixed, stop=6)]
        ['0/4', '0/9', '1/0', '0/14', '0/19', '0/24']
    """

    def __init__(
        self,
        datasets: Sequence[Any],
        ratios: Sequence[float],
        *,
        length: int | None = None,
        keep_ids: bool = False,
        transform: Transforms = None,
    ) -> None:
        super().__init__(datasets, keep_ids=keep_ids, transform=transform)
        shares = np.asarray(ratios, np.float64)
        if len(shares) != len(datasets) or not (np.isfinite(shares) & (shares > 0)).all():
            raise ValueError(
                f"ratios must be one positive number for each of {len(datasets)} data sets, "
                f"got {list(ratios)}"
            )
        lengths = [len(dataset) for dataset in self.datasets]
        if 0 in lengths:
            raise ValueError(f"data set {lengths.index(0)} is empty")
        shares /= shares.sum()
        if length is None:
            length = _enough(lengths, shares)
        elif length < 1:
            raise ValueError(f"length must be at least 1, got {length}")
        counts = apportion(length, shares)
        self._offsets = offsets_of(counts)
        self._order = _interleaved(counts)

    def __len__(self) -> int:
        return len(self._order)

    def locate(self, index: int) -> tuple[int, int]:
        place = int(self._order[index])
        number = int(np.searchsorted(self._offsets, place, side="right")) - 1
        num_draws = int(self._offsets[number + 1] - self._offsets[number])
        return number, _draw(
            place - int(self._offsets[number]), num_draws, len(self.datasets[number])
        )


def apportion(length: int, shares: NDArray[np.float64]) -> NDArray[np.int64]:
    """How many of `length` each has whose shares are these, by the largest remainder.

    Example:
        >>> apportion(10, np.array([0.45, 0.34, 0.21])).tolist()
        [5, 3, 2]
    """
    exact = length * shares
    counts = np.floor(exact + 1e-9).astype(np.int64)  # 0.29 * 100 is 28.999...
    largest = np.argsort(counts - exact, kind="stable")
    counts[largest[: length - counts.sum()]] += 1
    return counts


def _enough(lengths: Sequence[int], shares: NDArray[np.float64]) -> int:
    """The least length at which every data set has as many draws as samples."""
    length = int(np.ceil(np.max(np.asarray(lengths) / shares) - 1e-9))
    while (apportion(length, shares) < lengths).any():
        length += 1
    return length


def _interleaved(counts: NDArray[np.int64]) -> NDArray[np.int64]:
    """All draws, numbered data set after data set, in the order of their ideal places."""
    ideal = np.concatenate([(np.arange(count) + 0.5) / count for count in counts if count])
    order = np.argsort(ideal, kind="stable")
    return order.astype(np.int32) if len(order) < 2**31 else order


def _draw(number: int, num_draws: int, length: int) -> int:
    """The index of a draw: round and round, and evenly over the last, shorter round."""
    num_whole = num_draws // length * length
    if number < num_whole:
        return number % length
    return (number - num_whole) * length // (num_draws - num_whole)
