"""Samples drawn by weights."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hat.data.samplers.keyed import keys_at, uniform
from hat.data.samplers.labelled import check_length
from hat.seeding import ORDER_STREAM, derive_key


class WeightedSampler:
    """Draws samples with replacement, each as often as its weight says.

    The draw at a position depends on (seed, epoch, position) alone, so an epoch can be
    started anywhere; a draw is a search among the sums of the weights.

    Args:
        weights: One for each sample of the data set, none negative; their sum need not
            be 1.
        num_samples: How many draws make an epoch; by default as many as there are
            weights.

    Raises:
        ValueError: If a weight is negative or not finite, or none is above 0; or, when
            it is used, if the data set has another length.

    Example:
        >>> sampler = WeightedSampler([1.0, 0.0, 3.0])
        >>> drawn = sampler.indices(3, seed=0, epoch=0, start=0, stop=1000)
        >>> np.bincount(drawn).tolist()
        [243, 0, 757]
    """

    def __init__(self, weights: ArrayLike, num_samples: int | None = None) -> None:
        values = np.asarray(weights, np.float64)
        if values.ndim != 1 or not np.isfinite(values).all() or (values < 0).any():
            raise ValueError("weights must be one row of finite numbers, none below 0")
        if not values.sum() > 0:
            raise ValueError("weights must not all be 0")
        if num_samples is not None and num_samples < 1:
            raise ValueError(f"num_samples must be at least 1, got {num_samples}")
        self.num_samples = len(values) if num_samples is None else num_samples
        self._sums = np.cumsum(values)

    def length(self, dataset_length: int) -> int:
        check_length(self, len(self._sums), dataset_length)
        return self.num_samples

    def indices(
        self, dataset_length: int, seed: int, epoch: int, start: int, stop: int
    ) -> NDArray[np.int64]:
        check_length(self, len(self._sums), dataset_length)
        positions = np.arange(start, stop, dtype=np.uint64)
        total = self._sums[-1]
        draws = uniform(keys_at(derive_key(seed, ORDER_STREAM, epoch), positions)) * total
        # A product that was rounded up to the total would fall behind the last weight.
        draws = np.minimum(draws, np.nextafter(total, 0))
        return np.searchsorted(self._sums, draws, side="right").astype(np.int64)
