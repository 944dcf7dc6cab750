"""Data set, order and packing joined: the batches of each step, from any step on."""

import re
import signal
import weakref
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

import numpy as np
import torch

from hat.data.collates.stack import StackCollate
from hat.data.loaders.sample_maker import SampleError, SampleKey
from hat.data.loaders.sample_maker import make_sample as make_sample_of
from hat.data.sample import Batch, Sample
from hat.data.samplers.sampler import Sampler
from hat.data.samplers.sequential import SequentialSampler
from hat.seeding import preserved_random_state


class DataLoader:
    """Yields, step by step, the batches of an epoch.

    Every sample is made from (seed, epoch, position in the epoch's order), so the
    batches do not depend on the number of workers, and an epoch can be started at any
    step at no cost. The engine gives the seed, the epoch and the process's share.

    Args:
        dataset: Anything with `__len__` and `__getitem__` that returns a dict.
        batch_size: Samples per step, over all batches of the step and all processes.
        sampler: The order; by default that of the data set.
        batches_per_step: Into how many batches a step is cut, for gradient
            accumulation. With more than one, a step is a list of batches.
        drop_last: Leave out the last step of an epoch if it is short.
        collate: Packs a list of samples; by default `StackCollate`.
        num_workers: Processes that make samples; 0 makes them in this one.
        prefetch_factor: Batches that each worker prepares ahead.
        timeout_s: How long to wait for a worker's batch before giving up.
        pin_memory: Copy batches to memory that a GPU reads fast; by default where
            there is one.

    Raises:
        ValueError: If a number is out of range, or the data set is empty.
        SampleError: While iterating, when the data set or a transform fails.

    Example:
        >>> loader = DataLoader([{"x": n} for n in range(5)], batch_size=2)
        >>> [batch["x"].tolist() for batch in loader]
        [[0, 1], [2, 3], [4]]
    """

    def __init__(
        self,
        dataset: Any,
        batch_size: int,
        *,
        sampler: Sampler | None = None,
        batches_per_step: int = 1,
        drop_last: bool = False,
        collate: Callable[[list[Sample]], Batch] | None = None,
        num_workers: int = 0,
        prefetch_factor: int = 2,
        timeout_s: float = 300.0,
        pin_memory: bool | None = None,
    ) -> None:
        for name, value, least in (
            ("batch_size", batch_size, 1),
            ("batches_per_step", batches_per_step, 1),
            ("num_workers", num_workers, 0),
            ("prefetch_factor", prefetch_factor, 1),
        ):
            if value < least:
                raise ValueError(f"{name} must be at least {least}, got {value}")
        self.dataset = dataset
        self.batch_size = batch_size
        self.sampler: Sampler = SequentialSampler() if sampler is None else sampler
        self.batches_per_step = batches_per_step
        self.drop_last = drop_last
        self.seed = 0
        self.num_samples = self.sampler.length(len(dataset))
        if len(self) == 0:
            short = f" fewer than one batch of {batch_size} with drop_last" if drop_last else ""
            raise ValueError(f"the data set has {len(dataset)} samples:{short or ' it is empty'}")
        self._keys = _StepKeys(self)
        self._num_open = 0
        self._options: dict[str, Any] = dict(
            collate_fn=StackCollate() if collate is None else collate,
            num_workers=num_workers,
            prefetch_factor=prefetch_factor if num_workers else None,
            timeout=timeout_s if num_workers else 0,
            pin_memory=torch.cuda.is_available() if pin_memory is None else pin_memory,
            worker_init_fn=_ignore_interrupts,
        )
        self._torch_loader = self._make_torch_loader(self._keys, persistent=num_workers > 0)

    def __len__(self) -> int:
        """Steps in an epoch."""
        if self.drop_last:
            return self.num_samples // self.batch_size
        return -(-self.num_samples // self.batch_size)

    def __iter__(self) -> Iterator[Any]:
        """The steps of the first epoch."""
        return self.steps(epoch=0)

    def steps(self, epoch: int, start: int = 0) -> Iterator[Any]:
        """The steps of an epoch from step `start` on: a batch each, or a list of batches."""
        batches = self._batches(epoch, start)
        if self.batches_per_step == 1:
            return batches
        return self._grouped(batches, start)

    def key(self, epoch: int, position: int) -> SampleKey:
        """What the sample at a position of an epoch is made from."""
        return self._keys.of_positions(epoch, position, position + 1)[0]

    def make_sample(self, key: SampleKey) -> Sample:
        """The sample of a key, as a worker makes it; seeds the generators of this process.

        Raises:
            SampleError: If the data set or a transform fails.
        """
        return make_sample_of(self.dataset, key)

    def _grouped(self, batches: Iterator[Batch], start: int) -> Iterator[list[Batch]]:
        for step in range(start, len(self)):
            yield [next(batches) for _ in self._keys.batch_bounds(step)]

    def _make_torch_loader(
        self, keys: "_StepKeys", persistent: bool
    ) -> "torch.utils.data.DataLoader[Any]":
        return torch.utils.data.DataLoader(
            _KeyedSamples(self.dataset),
            batch_sampler=keys,
            persistent_workers=persistent,
            generator=torch.Generator(),  # its own: torch's default would draw from the global one
            **self._options,
        )

    def _batches(self, epoch: int, start: int) -> Iterator[Batch]:
        keys, loader = self._keys, self._torch_loader
        if self._num_open:  # validation on the training data, say: workers of its own
            keys = _StepKeys(self)
            loader = self._make_torch_loader(keys, persistent=False)
        keys.epoch, keys.start = epoch, start
        self._num_open += 1
        try:
            yield from self._batches_of(loader)
        finally:
            self._num_open -= 1

    def _batches_of(self, loader: "torch.utils.data.DataLoader[Any]") -> Iterator[Batch]:
        if loader.num_workers:
            try:
                yield from loader
            except SampleError as error:  # torch puts the worker's whole traceback into the text
                text = re.split(r"^[\w.]+\.SampleError: ", str(error), flags=re.MULTILINE)[-1]
                raise SampleError(text.rstrip()) from error.with_traceback(None)
            return
        # Samples made in this process seed its generators; the caller must not notice.
        with preserved_random_state():
            iterator = iter(loader)
        while True:
            with preserved_random_state():
                batch = next(iterator, None)
            if batch is None:
                return
            yield batch


class _StepKeys:
    """The keys of the samples of each batch, from one step of an epoch to its end."""

    def __init__(self, loader: DataLoader) -> None:
        # Not a cycle: workers of a loader that the garbage collector finds end 5 s late each.
        self.loader = weakref.proxy(loader)
        self.epoch = 0
        self.start = 0

    def __len__(self) -> int:
        return sum(len(self.batch_bounds(step)) for step in range(self.start, len(self.loader)))

    def __iter__(self) -> Iterator[list[SampleKey]]:
        epoch = self.epoch
        for step in range(self.start, len(self.loader)):
            for start, stop in self.batch_bounds(step):
                yield self.of_positions(epoch, start, stop)

    def batch_bounds(self, step: int) -> list[tuple[int, int]]:
        """The positions at which the batches of a step start and stop, none empty."""
        start = step * self.loader.batch_size
        stop = min(start + self.loader.batch_size, self.loader.num_samples)
        count = min(self.loader.batches_per_step, stop - start)
        edges = [start + (stop - start) * number // count for number in range(count + 1)]
        return list(pairwise(edges))

    def of_positions(self, epoch: int, start: int, stop: int) -> list[SampleKey]:
        """The keys of the samples at some positions of an epoch."""
        loader = self.loader
        indices = loader.sampler.indices(len(loader.dataset), loader.seed, epoch, start, stop)
        return [
            SampleKey(index, epoch, position, loader.seed)
            for position, index in enumerate(np.asarray(indices).tolist(), start)
        ]


class _KeyedSamples(torch.utils.data.Dataset[Sample]):
    """Makes a sample with every generator seeded from its key."""

    def __init__(self, dataset: Any) -> None:
        self.dataset = dataset

    def __getitem__(self, key: SampleKey) -> Sample:
        return make_sample_of(self.dataset, key)


def _ignore_interrupts(worker_id: int) -> None:
    """Ctrl-C reaches the whole process group; the main process decides when workers end."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
