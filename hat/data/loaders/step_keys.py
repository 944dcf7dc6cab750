"""Which samples make each batch of an epoch, for one of several processes."""

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import numpy as np

from hat.data.loaders.batch_maker import BatchKey
from hat.data.samplers.share import share

_POSITIONS_AT_ONCE = 2048  # a sampler is asked seldom: the first position costs the most


class StepKeys:
    """The keys of the batches of an epoch, from one of its steps to its end.

    Args:
        loader: The `DataLoader`: its numbers may change until an epoch begins. Not held in
            a cycle, or workers would end late: those of a loader that the garbage
            collector finds are each waited for 5 s.
        epoch: Which epoch.
        start: The first step.
    """

    def __init__(self, loader: Any, epoch: int = 0, start: int = 0) -> None:
        self.loader = loader
        self.epoch = epoch
        self.start = start

    def __len__(self) -> int:
        return sum(len(self.bounds(step)) for step in range(self.start, len(self.loader)))

    def __iter__(self) -> Iterator[BatchKey]:
        return self._from(self.epoch, self.start, self.loader.seed)

    def bounds(self, step: int) -> list[tuple[int, int]]:
        """The positions at which this process's batches of a step start and stop, none empty."""
        loader = self.loader
        first = step * loader.batch_size
        last = min(first + loader.batch_size, loader.num_samples)
        start, stop = share(first, last, loader.rank, loader.num_processes)
        if start == stop:
            return []
        # As many on every process, or those with more would wait for the others for ever.
        count = min(loader.batches_per_step, max((last - first) // loader.num_processes, 1))
        edges = [start + (stop - start) * number // count for number in range(count + 1)]
        return list(pairwise(edges))

    def _from(self, epoch: int, start: int, seed: int) -> Iterator[BatchKey]:
        loader = self.loader
        steps_at_once = max(_POSITIONS_AT_ONCE // loader.batch_size, 1)
        for first_step in range(start, len(loader), steps_at_once):
            steps = range(first_step, min(first_step + steps_at_once, len(loader)))
            offset = steps.start * loader.batch_size
            end = min(steps.stop * loader.batch_size, loader.num_samples)
            indices = np.asarray(
                loader.sampler.indices(len(loader.dataset), seed, epoch, offset, end)
            ).tolist()
            for step in steps:
                for begin, stop in self.bounds(step):
                    yield BatchKey(indices[begin - offset : stop - offset], epoch, begin, seed)
