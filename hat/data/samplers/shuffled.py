"""A new order every epoch that needs no memory and starts anywhere."""

import numpy as np
from numpy.typing import NDArray

from hat.data.samplers.keyed import permute
from hat.seeding import ORDER_STREAM, derive_key


class ShuffledSampler:
    """Visits every sample once, in an order that depends on seed and epoch alone.

    The order is a permutation that is computed, not stored: a set of 50 million
    samples costs the same as one of 50, and so does starting in the middle.

    Example:
        >>> ShuffledSampler().indices(10, seed=0, epoch=0, start=8, stop=10).shape
        (2,)
    """

    def length(self, dataset_length: int) -> int:
        return dataset_length

    def indices(
        self, dataset_length: int, seed: int, epoch: int, start: int, stop: int
    ) -> NDArray[np.int64]:
        positions = np.arange(start, stop, dtype=np.uint64)
        key = derive_key(seed, ORDER_STREAM, epoch)
        return permute(positions, dataset_length, key).astype(np.int64)
