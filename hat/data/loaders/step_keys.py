"""Which samples make each batch of an epoch, for one of several processes."""

from collections.abc import Iterator
from itertools import chain, count, pairwise
from typing import Any

import numpy as np

from hat.data.loaders.batch_maker import BatchKey
from hat.data.samplers.share import share

#: A sampler is asked seldom, since the first position costs the most; at first for few
#: positions, so that the first batch is there soon.
_FIRST_POSITIONS, _MORE_POSITIONS = 1024, 32_768


class StepKeys:
    """The keys of the batches of an epoch, from one of its steps to its end, or to no end.

    Args:
        loader: The `DataLoader`: its numbers may change until an epoch begins. Not held in
            a cycle, or workers would end late: those of a loader that the garbage
            collector finds are each waited for 5 s.
        epoch: Which epoch.
        start: The first step.

    Attributes:
        is_endless: Whether the next epochs follow.
    """

    def __init__(self, loader: Any, epoch: int = 0, start: int = 0) -> None:
        self.loader = loader
        self.epoch = epoch
        self.start = start
        self.is_endless = False

    def __len__(self) -> int:
        return sum(len(self.bounds(step)) for step in range(self.start, len(self.loader)))

    def __iter__(self) -> Iterator[BatchKey]:
        seed = self.loader.seed
        keys = self._from(self.epoch, self.start, seed)
        if not self.is_endless:
            return keys
        later = (self._from(epoch, 0, seed) for epoch in count(self.epoch + 1))
        return chain(keys, chain.from_iterable(later))

    def bounds(self, step: int) -> list[tuple[int, int]]:
        """The positions at which this process's batches of a step start and stop, none empty."""
        loader = self.loader
        first = step * loader.batch_size
        last = min(first + loader.batch_size, loader.num_samples)
        start, stop = share(first, last, loader.rank, loader.num_processes)
        if start == stop:
            return []
        # As many on every process, or those with more would wait for the others for ever.
        num_batches = min(loader.batches_per_step, max((last - first) // loader.num_processes, 1))
        edges = [start + (stop - start) * n // num_batches for n in range(num_batches + 1)]
        return list(pairwise(edges))

    def _from(self, epoch: int, start: int, seed: int) -> Iterator[BatchKey]:
        loader = self.loader
        num_positions = _FIRST_POSITIONS
        first_step = start
        while first_step < len(loader):
            num_steps = max(num_positions // loader.batch_size, 1)
            steps = range(first_step, min(first_step + num_steps, len(loader)))
            num_positions = _MORE_POSITIONS
            first_step = steps.stop
            offset = steps.start * loader.batch_size
            end = min(steps.stop * loader.batch_size, loader.num_samples)
            indices = np.asarray(
                loader.sampler.indices(len(loader.dataset), seed, epoch, offset, end)
            ).tolist()
            for step in steps:
                for begin, stop in self.bounds(step):
                    yield BatchKey(indices[begin - offset : stop - offset], epoch, begin, seed)
