"""What every sampler is: an order that can be asked for any part of itself."""

from typing import Protocol

import numpy as np
from numpy.typing import NDArray


class Sampler(Protocol):
    """The order of an epoch, computed where it is asked for, never stored.

    A sampler has no position and so no state: whoever iterates keeps a count.
    """

    def length(self, dataset_length: int) -> int:
        """How many samples an epoch has over a data set of this length."""
        ...

    def indices(
        self, dataset_length: int, seed: int, epoch: int, start: int, stop: int
    ) -> NDArray[np.int64]:
        """Which samples stand at the positions `start` to `stop` (exclusive) of an epoch.

        The cost depends on `stop - start` alone.
        """
        ...
