"""Batches of pictures of like shape."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hat.data.annotations import aspect_ratios
from hat.data.samplers.keyed import permute, permute_each
from hat.data.samplers.labelled import check_length
from hat.seeding import ORDER_STREAM, derive_key


class AspectRatioSampler:
    """Puts pictures of like aspect ratio into one batch, so that little of it is padding.

    Samples are in groups by their width over height. In each epoch every sample comes
    once: each group in a new order is cut into whole batches, and the batches of all
    groups come in a new order. What is left of the groups stands at the end of the
    epoch, group after group, so only those few batches may be mixed.

    Args:
        dataset: The data set that is sampled; its annotations say `ori_shape`.
        batch_size: That of the loader: samples per step over all processes. With
            several batches in a step, or several processes, each has pictures of one
            group too.
        ratios: Width over height of each sample, in place of `dataset`.
        boundaries: Where one group ends and the next begins, rising; by default upright
            pictures are one group, and square and wide ones another.

    Raises:
        TypeError: If not exactly one of `dataset` and `ratios` is given, or the data set
            has no annotations.
        ValueError: If `batch_size` is below 1 or `boundaries` do not rise; or, when it is
            used, if the loader's data set has another length.

    Example:
        >>> sampler = AspectRatioSampler(batch_size=2, ratios=[0.5, 2, 0.5, 2, 2, 2])
        >>> order = sampler.indices(6, seed=0, epoch=0, start=0, stop=6)
        >>> [sorted(batch) for batch in order.reshape(3, 2).tolist()].count([0, 2])
        1
    """

    def __init__(
        self,
        dataset: Any = None,
        *,
        batch_size: int,
        ratios: ArrayLike | None = None,
        boundaries: Sequence[float] = (1.0,),
    ) -> None:
        if (dataset is None) == (ratios is None):
            raise TypeError("give either dataset or ratios")
        if batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, got {batch_size}")
        if any(np.diff(boundaries) <= 0):
            raise ValueError(f"boundaries must rise, got {list(boundaries)}")
        values = aspect_ratios(dataset) if ratios is None else np.asarray(ratios, np.float64)
        groups = np.searchsorted(np.asarray(boundaries), values, side="right")
        self.batch_size = batch_size
        self._members = np.argsort(groups, kind="stable")
        self._counts = np.bincount(groups, minlength=len(boundaries) + 1)
        self._starts = _starts(self._counts)
        self._first_batches = _starts(self._counts // batch_size)
        self._first_left = _starts(self._counts % batch_size)
        self._num_batches = int((self._counts // batch_size).sum())

    def length(self, dataset_length: int) -> int:
        check_length(self, len(self._members), dataset_length)
        return dataset_length

    def indices(
        self, dataset_length: int, seed: int, epoch: int, start: int, stop: int
    ) -> NDArray[np.int64]:
        check_length(self, len(self._members), dataset_length)
        key = derive_key(seed, ORDER_STREAM, epoch)
        positions = np.arange(start, stop)
        num_whole = self._num_batches * self.batch_size
        places = [self._in_batches(positions[positions < num_whole], derive_key(key, 0))]
        places.append(self._left_over(positions[positions >= num_whole] - num_whole))
        group, place = np.concatenate(places, axis=1)
        group_keys = np.array([derive_key(key, 1, n) for n in range(len(self._counts))], np.uint64)
        counts = self._counts[group].astype(np.uint64)
        drawn = permute_each(place.astype(np.uint64), counts, group_keys[group])
        return self._members[self._starts[group] + drawn.astype(np.int64)]

    def _in_batches(self, positions: NDArray[np.int64], key: int) -> NDArray[np.int64]:
        """Group and place in the group's order, shape (2, n), of positions in whole batches."""
        slot, within = np.divmod(positions, self.batch_size)
        slots, place = np.unique(slot, return_inverse=True)
        if not len(slots):
            return np.zeros((2, 0), np.int64)
        batch = permute(slots.astype(np.uint64), self._num_batches, key).astype(np.int64)[place]
        group = np.searchsorted(self._first_batches, batch, side="right") - 1
        return np.stack([group, (batch - self._first_batches[group]) * self.batch_size + within])

    def _left_over(self, positions: NDArray[np.int64]) -> NDArray[np.int64]:
        """The same of positions behind the whole batches: the ends of the groups' orders."""
        group = np.searchsorted(self._first_left, positions, side="right") - 1
        num_in_batches = self._counts[group] // self.batch_size * self.batch_size
        return np.stack([group, num_in_batches + positions - self._first_left[group]])


def _starts(counts: NDArray[np.int64]) -> NDArray[np.int64]:
    """Where each of some stretches starts; empty ones share theirs with the one behind."""
    return np.cumsum(counts) - counts
