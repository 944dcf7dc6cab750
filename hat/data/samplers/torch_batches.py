"""An order of HAT's for torch's own DataLoader."""

from collections.abc import Iterator

import torch

from hat.data.samplers.sampler import Sampler
from hat.data.samplers.share import share


class TorchBatchSampler(torch.utils.data.Sampler[list[int]]):
    """Gives any order of HAT's to torch's `DataLoader`, as its `batch_sampler`.

    With several processes each gets its share of every step, so that the steps are the
    same whatever their number. A process whose share of the last, short step is empty
    has one step less.

    Args:
        sampler: The order.
        dataset_length: How many samples the data set has.
        batch_size: Samples per step, over all processes.
        seed: Of the order.
        rank: Which process this is.
        num_processes: How many there are.

    Raises:
        ValueError: If `batch_size` is below `num_processes`, or `rank` is none of them.

    Example:
        >>> batches = TorchBatchSampler(SequentialSampler(), 10, batch_size=4)
        >>> loader = torch.utils.data.DataLoader(range(10), batch_sampler=batches)
        >>> [batch.tolist() for batch in loader]
        [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
    """

    def __init__(
        self,
        sampler: Sampler,
        dataset_length: int,
        *,
        batch_size: int,
        seed: int = 0,
        rank: int = 0,
        num_processes: int = 1,
    ) -> None:
        share(0, 0, rank, num_processes)  # refuses a rank that is not there
        if batch_size < num_processes:
            raise ValueError(
                f"batch_size must be at least the number of processes, {num_processes}, "
                f"got {batch_size}"
            )
        self.sampler = sampler
        self.dataset_length = dataset_length
        self.batch_size = batch_size
        self.seed = seed
        self.rank = rank
        self.num_processes = num_processes
        self.set_position(epoch=0)

    def set_position(self, epoch: int, step: int = 0) -> None:
        """Where the next iteration begins; every later one begins its epoch at step 0."""
        self.epoch = epoch
        self.step = step

    def __len__(self) -> int:
        steps = self._steps()
        return len(steps) - sum(self._is_empty(step) for step in steps[-1:])

    def __iter__(self) -> Iterator[list[int]]:
        steps, epoch = self._steps(), self.epoch
        self.step = 0
        for step in steps:
            if not self._is_empty(step):
                bounds = self._bounds(step)
                yield self.sampler.indices(self.dataset_length, self.seed, epoch, *bounds).tolist()

    def _steps(self) -> range:
        return range(self.step, -(-self.sampler.length(self.dataset_length) // self.batch_size))

    def _is_empty(self, step: int) -> bool:
        start, stop = self._bounds(step)
        return start == stop

    def _bounds(self, step: int) -> tuple[int, int]:
        start = step * self.batch_size
        stop = min(start + self.batch_size, self.sampler.length(self.dataset_length))
        return share(start, stop, self.rank, self.num_processes)
