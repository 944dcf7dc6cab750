"""What each worker of a loader is doing, kept where the main process can read it."""

import ctypes
import multiprocessing
import struct
import time
from enum import IntEnum
from typing import NamedTuple

from hat.data.loaders.sample_maker import SampleKey

_ROW = struct.Struct("=6q")


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
        self._rows = multiprocessing.RawArray(ctypes.c_char, _ROW.size * max(num_workers, 1))

    def write(self, worker: int, pid: int, activity: Activity, key: SampleKey) -> None:
        """Note what a worker begins now."""
        _ROW.pack_into(
            self._rows,
            worker * _ROW.size,
            activity,
            pid,
            time.monotonic_ns(),  # one clock for all processes
            key.sample,
            key.epoch,
            key.position,
        )

    def clear(self) -> None:
        """Forget what earlier workers wrote."""
        ctypes.memset(self._rows, 0, len(self._rows))

    def notes(self) -> list[Note]:
        """What all workers wrote last."""
        return [self._read(worker) for worker in range(self.num_workers)]

    def _read(self, worker: int) -> Note:
        activity, pid, since, sample, epoch, position = _ROW.unpack_from(
            self._rows, worker * _ROW.size
        )
        seconds = (time.monotonic_ns() - since) / 1e9
        key = SampleKey(sample, epoch, position, seed=0)  # the seed is the loader's and not noted
        return Note(worker, pid, Activity(activity), key, seconds)
