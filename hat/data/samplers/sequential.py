"""The order of the data set itself."""

import numpy as np
from numpy.typing import NDArray


class SequentialSampler:
    """Visits every sample once, in the order of the data set."""

    def length(self, dataset_length: int) -> int:
        return dataset_length

    def indices(
        self, dataset_length: int, seed: int, epoch: int, start: int, stop: int
    ) -> NDArray[np.int64]:
        return np.arange(start, stop, dtype=np.int64)
