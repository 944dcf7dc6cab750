"""The worker processes of a loader: how they start, and how their end is noticed."""

import functools
import gc
import multiprocessing
import os
import signal
import sys
import threading
import time
import weakref
from collections.abc import Callable
from multiprocessing.process import BaseProcess
from types import FrameType
from typing import Any

from hat.data.loaders.sample_maker import SampleError, sample_text
from hat.data.loaders.worker_board import Activity, Note, WorkerBoard

_watches: "weakref.WeakSet[WorkerWatch]" = weakref.WeakSet()


def start_worker(worker_id: int) -> None:
    """What each worker does first.

    The kept objects of the parent are taken out of the garbage collector's sight, which
    would write into each of them and so copy their pages. A worker is one of several, so
    libraries get one thread each. Ctrl-C reaches the whole process group; the main
    process decides when workers end.
    """
    gc.freeze()
    _watches.clear()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if "cv2" in sys.modules:
        sys.modules["cv2"].setNumThreads(0)
    else:  # a worker that never needs it should not pay for importing it
        os.environ["OPENCV_FOR_THREADS_NUM"] = "1"


class WorkerWatch:
    """Notices workers of one loader that die or hang, and says what they worked on.

    Args:
        dataset: Names the files of samples.
        board: Where the workers note what they do.
        timeout_s: After which a worker hangs.
    """

    def __init__(self, dataset: Any, board: WorkerBoard, timeout_s: float) -> None:
        self.dataset = dataset
        self.board = board
        self.timeout_s = timeout_s
        self.processes: list[BaseProcess] = []
        self.waiting_thread: int | None = None
        self.is_closed = False

    def started(self, processes: list[BaseProcess]) -> None:
        """Watch these from now on."""
        self.processes = processes
        _watches.add(self)
        _watch_children()

    def find_dead(self) -> str | None:
        """What is to be said of workers that ended before their time; None if none did."""
        if self.is_closed:
            return None
        notes = {note.pid: note for note in self.board.notes() if note.pid}
        texts = [
            self._of_dead(process, notes.get(process.pid or 0))
            for process in self.processes
            if _has_failed(process, notes.get(process.pid or 0))
        ]
        return "; ".join(texts) or None

    def of_silence(self, error: BaseException, seconds: float) -> str:
        """What is to be said when no batch came and no worker is dead."""
        if seconds < self.timeout_s * 0.9:
            return f"loading failed: {type(error).__name__}: {error}"
        busy = [note for note in self.board.notes() if note.is_busy]
        hanging = [note for note in busy if note.seconds >= self.timeout_s * 0.5] or busy
        if hanging:
            texts = (f"{self._named(note)} for {note.seconds:.1f} s" for note in hanging)
            return (
                f"no batch for {seconds:.1f} s (timeout_s={self.timeout_s:g}): "
                f"{'; '.join(texts)}. If samples take so long, raise timeout_s"
            )
        return (
            f"no batch for {seconds:.1f} s (timeout_s={self.timeout_s:g}), though no worker is at "
            "work: a batch may hold what cannot be sent to another process (see above), or the "
            "workers did not start"
        )

    def end_workers(self) -> None:
        """Kill all workers that are left and wait until they are gone."""
        self.is_closed = True
        for process in self.processes:
            if process.is_alive():
                process.kill()
        for process in self.processes:
            process.join()  # returns at once: no process can refuse SIGKILL

    def _of_dead(self, process: BaseProcess, note: Note | None) -> str:
        end = _how_it_ended(process.exitcode)
        if note is None:
            return f"a worker (pid {process.pid}) {end} before it made anything"
        if note.is_busy:
            return f"worker {note.worker} (pid {note.pid}) {end}: {self._named(note)}"
        return (
            f"worker {note.worker} (pid {note.pid}) {end} between batches; the last it had made "
            f"began at position {note.key.position} of epoch {note.key.epoch}"
        )

    def _named(self, note: Note) -> str:
        name = sample_text(self.dataset, note.key, note.worker)
        if note.activity == Activity.COLLATING:
            return f"it was packing the batch that begins with {name}"
        return f"it was making {name}"


def _has_failed(process: BaseProcess, note: Note | None) -> bool:
    if process.exitcode is None:
        return False
    # Those that are told to go exit with 0, and between batches.
    return process.exitcode != 0 or (note is not None and note.is_busy)


def _how_it_ended(exitcode: int | None) -> str:
    if exitcode is not None and exitcode < 0:
        try:
            name = signal.Signals(-exitcode).name
        except ValueError:
            name = f"signal {-exitcode}"
        hint = ", maybe for lack of memory" if name == "SIGKILL" else ""
        return f"was killed by {name}{hint}"
    return f"exited with status {exitcode}"


def children() -> list[BaseProcess]:
    """The child processes of this process."""
    return list(multiprocessing.active_children())


def _watch_children() -> None:
    """Put a handler of SIGCHLD before torch's, which raises wherever the main thread happens to be.

    Ours raises only where a batch is waited for; elsewhere the next request for one will.
    """
    if threading.current_thread() is not threading.main_thread():
        return  # a death is then noticed at the timeout
    current = signal.getsignal(signal.SIGCHLD)
    if isinstance(current, functools.partial) and current.func is _on_child:
        return
    if callable(current):
        signal.signal(signal.SIGCHLD, functools.partial(_on_child, current))


def _on_child(
    before: Callable[[int, FrameType | None], Any], number: int, frame: FrameType | None
) -> None:
    pids = {process.pid for watch in _watches for process in watch.processes}
    found = [(watch, watch.find_dead()) for watch in _watches]
    try:
        before(number, frame)
    except RuntimeError as error:
        if not any(str(pid) in str(error) for pid in pids):
            raise  # of another loader
    for watch, text in found:
        if text is not None and watch.waiting_thread == threading.get_ident():
            raise SampleError(text)


class Waiting:
    """Marks that the thread waits for a batch, and since when.

    Args:
        watch: Of whose workers.
    """

    def __init__(self, watch: WorkerWatch) -> None:
        self.watch = watch

    def __enter__(self) -> "Waiting":
        self.start = time.monotonic()
        self.watch.waiting_thread = threading.get_ident()
        return self

    def __exit__(self, *error: object) -> None:
        self.watch.waiting_thread = None

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.start
