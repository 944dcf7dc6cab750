"""Data sets that can only be gone through: batches in the order in which samples come."""

import os
import random
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any

import numpy as np
import torch

from hat.data.loaders.batch_maker import Failure, MadeBatch, failure_of
from hat.data.loaders.sample_maker import SampleError, SampleKey, error_text, sample_text
from hat.data.loaders.transport import PackedBatch
from hat.data.loaders.worker_board import Activity, WorkerBoard
from hat.data.sample import Batch, Sample
from hat.data.samplers.share import share
from hat.seeding import SAMPLE_STREAM, derive_key, preserved_random_state, seed_everything


def is_iterable_only(dataset: Any) -> bool:
    """Whether a data set has no samples by index, only an order of its own."""
    kind = type(dataset)
    get = getattr(kind, "__getitem__", None)  # torch's base has one that only raises
    has_index = get is not None and get is not torch.utils.data.Dataset.__getitem__
    return hasattr(kind, "__iter__") and not (has_index and hasattr(kind, "__len__"))


class IterableBatches(torch.utils.data.IterableDataset[Any]):
    """The steps of an iterable data set, each a list of batches.

    Each worker goes through the data set by itself and gives whole steps; torch takes
    them from the workers in turn.

    Args:
        dataset: Shares itself among workers by `torch.utils.data.get_worker_info`.
        collate: Packs samples.
        batches_per_step: Into how many batches a step is cut.
        drop_last: Whether a worker's last step is left out if it is short.
        board: Where workers note what they do.
    """

    def __init__(
        self,
        dataset: Any,
        collate: Callable[[list[Sample]], Batch],
        *,
        batches_per_step: int,
        drop_last: bool,
        board: WorkerBoard,
    ) -> None:
        self.dataset = dataset
        self.collate = collate
        self.batches_per_step = batches_per_step
        self.drop_last = drop_last
        self.board = board
        self.epoch = self.seed = self.rank = 0
        self.step_size = 1

    def set_up(
        self, epoch: int, seed: int, *, batch_size: int, rank: int, num_processes: int
    ) -> None:
        """What the next iteration depends on."""
        start, stop = share(0, batch_size, rank, num_processes)
        self.epoch, self.seed, self.rank, self.step_size = epoch, seed, rank, stop - start
        if hasattr(self.dataset, "set_epoch"):
            self.dataset.set_epoch(epoch)

    def __iter__(self) -> Iterator[MadeBatch | Failure]:
        info = torch.utils.data.get_worker_info()
        if info is None:
            return self._here()
        return self._in_worker(info.id)

    def _here(self) -> Iterator[MadeBatch]:
        """The steps with generators of their own, so that the caller's stay as they are."""
        with preserved_random_state():
            self._seed(0)
            steps = self._steps(None)
            states = _states()
        while True:
            with preserved_random_state():
                _restore(states)
                step = next(steps, None)
                states = _states()
            if step is None:
                return
            yield MadeBatch(step, [])

    def _in_worker(self, worker: int) -> Iterator[MadeBatch | Failure]:
        self._seed(worker)
        try:
            for step in self._steps(worker):
                yield MadeBatch(PackedBatch(step), [])
        except GeneratorExit:
            raise
        except BaseException as error:  # SystemExit too would end the worker without a word
            yield failure_of(error)

    def _seed(self, worker: int) -> None:
        seed_everything(derive_key(self.seed, SAMPLE_STREAM, self.epoch, self.rank, worker))

    def _steps(self, worker: int | None) -> Iterator[list[Batch]]:
        samples = self._samples(worker)
        while step := list(islice(samples, self.step_size)):
            if self.drop_last and len(step) < self.step_size:
                return
            count = min(self.batches_per_step, len(step))
            edges = [len(step) * number // count for number in range(count + 1)]
            yield [self.collate(step[edges[n] : edges[n + 1]]) for n in range(count)]
            if worker is not None:
                self._note_idle(worker)

    def _note_idle(self, worker: int) -> None:
        self.board.write(worker, os.getpid(), Activity.IDLE, SampleKey(0, self.epoch, 0, 0))

    def _samples(self, worker: int | None) -> Iterator[Sample]:
        number = 0
        samples = None
        while True:
            key = SampleKey(number, self.epoch, number, self.seed)
            if worker is not None:
                self.board.write(worker, os.getpid(), Activity.LOADING, key)
            try:
                samples = iter(self.dataset) if samples is None else samples
                sample = next(samples)
            except StopIteration:
                if worker is not None:
                    self._note_idle(worker)
                return
            except BaseException as error:
                if worker is None and not isinstance(error, Exception):
                    raise
                text = sample_text(self.dataset, key, worker)
                raise SampleError(f"{text}: {error_text(error)}") from error
            yield sample
            number += 1


def _states() -> tuple[Any, ...]:
    return torch.default_generator.get_state(), np.random.get_state(), random.getstate()


def _restore(states: tuple[Any, ...]) -> None:
    torch.default_generator.set_state(states[0])
    np.random.set_state(states[1])
    random.setstate(states[2])
