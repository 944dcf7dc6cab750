"""What each worker of a loader is doing, kept where the main process can read it."""

import ctypes
import multiprocessing
from collections.abc import Callable
from enum import IntEnum
from time import monotonic_ns  # one clock for all processes
from typing import NamedTuple

from hat.data.loaders.sample_maker import SampleKey

_ACTIVITY, _PID, _SINCE, _SAMPLE, _EPOCH, _POSITION, _NUM_FIELDS = range(7)


class Activity(IntEnum):
    """What a worker does; a row that was never written is `STARTING`."""

    STARTING = 0
    IDLE = 1
    LOADING = 2
    COLLATING = 3


class Note(NamedTuple):
    """What a worker wrote down last.

    Args:
        worker: Its number, from 0.
        pid: Its process; 0 before it has started.
        activity: What it does.
        key: The sample at hand, or the first one of the batch that is collated.
        seconds: Since when.
    """

    worker: int
    pid: int
    activity: Activity
    key: SampleKey
    seconds: float

    @property
    def is_busy(self) -> bool:
        return self.activity in (Activity.LOADING, Activity.COLLATING)


class WorkerBoard:
    """A row of shared memory for each worker, which outlives a worker that dies.

    A write is a few hundred nanoseconds; nobody waits for a lock.

    Args:
        num_workers: How many rows.
    """

    def __init__(self, num_workers: int) -> None:
        self.num_workers = num_workers
        self._fields = multiprocessing.RawArray(ctypes.c_int64, _NUM_FIELDS * max(num_workers, 1))

    def write(self, worker: int, pid: int, activity: Activity, key: SampleKey) -> None:
        """Note what a worker begins now."""
        self.writer(worker, pid, activity, key.epoch)(key.sample, key.position)

    def writer(
        self, worker: int, pid: int, activity: Activity, epoch: int
    ) -> Callable[[int, int], None]:
        """What notes (sample, position) one after the other, for a fraction of a microsecond."""
        start = worker * _NUM_FIELDS
        row = memoryview(self._fields).cast("B").cast("q")[start : start + _NUM_FIELDS]
        row[_ACTIVITY], row[_PID], row[_EPOCH] = activity, pid, epoch

        def note(sample: int, position: int) -> None:
            row[_SINCE], row[_SAMPLE], row[_POSITION] = monotonic_ns(), sample, position

        return note

    def clear(self) -> None:
        """Forget what earlier workers wrote."""
        ctypes.memset(self._fields, 0, ctypes.sizeof(self._fields))

    def notes(self) -> list[Note]:
        """What all workers wrote last."""
        return [self._read(worker) for worker in range(self.num_workers)]

    def _read(self, worker: int) -> Note:
        start = worker * _NUM_FIELDS
        activity, pid, since, sample, epoch, position = self._fields[start : start + _NUM_FIELDS]
        seconds = (monotonic_ns() - since) / 1e9
        key = SampleKey(sample, epoch, position, seed=0)  # the seed is the loader's and not noted
        return Note(worker, pid, Activity(activity), key, seconds)
