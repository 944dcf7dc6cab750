"""Every class equally often."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hat.data.annotations import classes_of_samples
from hat.data.arrays import RaggedArray
from hat.data.samplers.keyed import keys_at, permute_each
from hat.data.samplers.labelled import check_length
from hat.seeding import ORDER_STREAM, derive_key


class ClassBalancedSampler:
    """Draws every class equally often, however many samples it has.

    Positions are cut into blocks of as many as there are classes; in each block every
    class comes once, in a new order. The samples of a class come in a new order each
    time round, so none is drawn again for its class before all others were. An epoch is
    a stretch of one endless order, so this holds from one epoch to the next as well.

    A sample that holds objects of several classes is drawn for each of them. Classes
    without samples take no part, and samples without a class are not drawn.

    Args:
        dataset: The data set that is sampled: its annotations say the `label` of each
            sample, or the classes in it, `gt_classes`.
        labels: The class of each sample, in place of `dataset`.
        key: Which of the two annotations counts where a sample has both; by default
            `gt_classes`.
        num_samples: How many draws make an epoch; by default as many as the data set
            has samples.

    Raises:
        TypeError: If not exactly one of `dataset` and `labels` is given, or the data set
            has no annotations.
        ValueError: If no sample has a class; or, when it is used, if the loader's data
            set has another length.

    Example:
        >>> sampler = ClassBalancedSampler(labels=[0, 0, 0, 1])
        >>> sorted(sampler.indices(4, seed=0, epoch=0, start=0, stop=6).tolist())
        [0, 1, 2, 3, 3, 3]
    """

    def __init__(
        self,
        dataset: Any = None,
        *,
        labels: ArrayLike | None = None,
        key: str | None = None,
        num_samples: int | None = None,
    ) -> None:
        if (dataset is None) == (labels is None):
            raise TypeError("give either dataset or labels")
        if num_samples is not None and num_samples < 1:
            raise ValueError(f"num_samples must be at least 1, got {num_samples}")
        if labels is None:
            per_sample = classes_of_samples(dataset, key)
        else:
            values = np.asarray(labels, np.int64)
            per_sample = RaggedArray(values, np.arange(len(values) + 1))
        if not len(per_sample.values):
            raise ValueError(f"no sample has a class in {key or 'gt_classes or label'}")
        self._num_known = len(per_sample)
        self.num_samples = self._num_known if num_samples is None else num_samples
        self._samples, self._starts, self._counts = _by_class(per_sample)

    def length(self, dataset_length: int) -> int:
        check_length(self, self._num_known, dataset_length)
        return self.num_samples

    def indices(
        self, dataset_length: int, seed: int, epoch: int, start: int, stop: int
    ) -> NDArray[np.int64]:
        check_length(self, self._num_known, dataset_length)
        base = derive_key(seed, ORDER_STREAM)
        num_classes = np.uint64(len(self._counts))
        offset = epoch * self.num_samples
        # Of the endless order: in block n every class is drawn for the n-th time.
        draw, place = np.divmod(
            np.arange(offset + start, offset + stop, dtype=np.uint64), num_classes
        )
        lengths = np.full(len(place), num_classes)
        rank = permute_each(place, lengths, keys_at(derive_key(base, 0), draw))
        counts = self._counts[rank]
        round_number, position = np.divmod(draw, counts)
        order_keys = keys_at(derive_key(base, 1), rank, round_number)
        return self._samples[self._starts[rank] + permute_each(position, counts, order_keys)]


def _by_class(
    per_sample: RaggedArray,
) -> tuple[NDArray[np.int64], NDArray[np.uint64], NDArray[np.uint64]]:
    """Samples class after class, and for each class that has some, its start and count."""
    samples = np.repeat(np.arange(len(per_sample)), np.diff(per_sample.offsets))
    order = np.argsort(per_sample.values, kind="stable")
    _, starts, counts = np.unique(per_sample.values[order], return_index=True, return_counts=True)
    return samples[order], starts.astype(np.uint64), counts.astype(np.uint64)
