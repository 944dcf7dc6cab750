"""Samples of rare classes several times."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from hat.data.annotations import classes_of_samples
from hat.data.arrays import RaggedArray
from hat.data.datasets.base import Transforms
from hat.data.datasets.wrapper import WrapperDataset
from hat.data.samplers.keyed import keys_at, uniform
from hat.seeding import ORDER_STREAM, derive_key


class BalancedDataset(WrapperDataset):
    """A data set in which samples with rare classes come several times.

    A class that a share f of the samples has is repeated r(c) = max(1, sqrt(t / f))
    times, a sample as often as the rarest class in it: classes above the threshold t stay
    as they are, and rarer ones come closer to it. What of r is not whole is made up for
    by chance: of samples with r = 1.3, some 30 % come twice. Those are drawn once, by
    `seed`; the paper draws them again in each epoch.

    A sample keeps its `img_id` each time, so ids are not unique. To see every class
    equally often use `ClassBalancedSampler`.

    Args:
        dataset: A data set whose annotations say the `label` of each sample, or the
            classes in it, `gt_classes`.
        threshold: Classes that a smaller share of the samples has are repeated, 0..1.
        key: Which of the two annotations counts where a sample has both; by default
            `gt_classes`.
        seed: Of the draw.
        transform: Called with the samples as the data set gives them; see `Dataset`.

    Raises:
        ValueError: If `threshold` is not between 0 and 1.
        TypeError: If the data set has no annotations.

    Reference:
        Gupta, Dollar and Girshick, LVIS: A Dataset for Large Vocabulary Instance
        Segmentation, CVPR 2019, appendix B (there t = 0.001).
    """

    def __init__(
        self,
        dataset: Any,
        threshold: float = 0.001,
        *,
        key: str | None = None,
        seed: int = 0,
        transform: Transforms = None,
    ) -> None:
        super().__init__([dataset], transform=transform)
        if not 0 <= threshold <= 1:
            raise ValueError(f"threshold must be between 0 and 1, got {threshold}")
        factors = repeat_factors(classes_of_samples(dataset, key), threshold)
        places = np.arange(len(factors), dtype=np.uint64)
        chance = uniform(keys_at(derive_key(seed, ORDER_STREAM), places))
        num_times = np.floor(factors + chance).astype(np.int64)
        self.indices = np.repeat(np.arange(len(factors)), num_times)

    def __len__(self) -> int:
        return len(self.indices)

    def locate(self, index: int) -> tuple[int, int]:
        return 0, int(self.indices[index])


def repeat_factors(per_sample: RaggedArray, threshold: float) -> NDArray[np.float64]:
    """How often each sample is to come, at least 1.

    Args:
        per_sample: The different classes of each sample.
        threshold: The share of samples below which a class is repeated.
    """
    factors = np.ones(len(per_sample))
    if len(per_sample.values):
        _, rank, counts = np.unique(per_sample.values, return_inverse=True, return_counts=True)
        of_class = np.maximum(1.0, np.sqrt(threshold * len(per_sample) / counts))
        sample = np.repeat(np.arange(len(per_sample)), np.diff(per_sample.offsets))
        np.maximum.at(factors, sample, of_class[rank])
    return factors
