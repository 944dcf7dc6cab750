"""Every sample several times in a row, each time changed in another way."""

import numpy as np
from numpy.typing import NDArray

from hat.data.samplers.sampler import Sampler
from hat.data.samplers.shuffled import ShuffledSampler


class RepeatedSampler:
    """Puts every sample several times into one batch, for repeated augmentation.

    Each copy stands at a position of its own and so is augmented in a way of its own.
    All copies are in one step where its `batch_size` is a multiple of `num_repeats`.

    Args:
        num_repeats: How often a sample comes, one copy right behind the other.
        sampler: The order of the samples; shuffled by default.
        keep_length: Whether an epoch stays as long as it is without repeats, as in the
            paper: it then holds only one sample of `num_repeats`, others in each epoch
            when shuffled. Otherwise it is `num_repeats` times as long and holds all.

    Raises:
        ValueError: If `num_repeats` is below 1.

    Example:
        >>> sampler = RepeatedSampler(3, SequentialSampler())
        >>> sampler.indices(7, seed=0, epoch=0, start=0, stop=7).tolist()
        [0, 0, 0, 1, 1, 1, 2]

    Reference:
        Hoffer et al., Augment Your Batch: Improving Generalization Through Instance
        Repetition, CVPR 2020; Touvron et al., Training Data-Efficient Image Transformers,
        ICML 2021, which keeps the length of the epoch. Theirs hands the copies to
        different processes; the step as a whole is the same.
    """

    def __init__(
        self, num_repeats: int, sampler: Sampler | None = None, *, keep_length: bool = True
    ) -> None:
        if num_repeats < 1:
            raise ValueError(f"num_repeats must be at least 1, got {num_repeats}")
        self.num_repeats = num_repeats
        self.sampler: Sampler = ShuffledSampler() if sampler is None else sampler
        self.keep_length = keep_length

    def length(self, dataset_length: int) -> int:
        return self.sampler.length(dataset_length) * (1 if self.keep_length else self.num_repeats)

    def indices(
        self, dataset_length: int, seed: int, epoch: int, start: int, stop: int
    ) -> NDArray[np.int64]:
        first, last = start // self.num_repeats, -(-stop // self.num_repeats)
        drawn = self.sampler.indices(dataset_length, seed, epoch, first, last)
        offset = start - first * self.num_repeats
        return np.repeat(drawn, self.num_repeats)[offset : offset + stop - start]
