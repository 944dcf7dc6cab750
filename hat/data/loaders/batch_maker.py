"""One batch from its positions: what a worker does, from keys to what it sends back."""

import os
import pickle
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch

from hat.data.collates.stack import BatchError
from hat.data.loaders.bad_samples import BadSample, SkipBadSamples
from hat.data.loaders.draws import DrawWatch
from hat.data.loaders.sample_maker import (
    SampleError,
    SampleKey,
    error_text,
    file_of,
    sample_text,
    seed_for,
)
from hat.data.loaders.transport import PackedBatch, map_leaves, pinned
from hat.data.loaders.worker_board import Activity, WorkerBoard
from hat.data.sample import Batch, Sample
from hat.seeding import preserved_random_state

_MOST_NAMED = 8


class BatchKey(NamedTuple):
    """What a batch depends on: the samples at `start` and the positions behind it."""

    indices: list[int]
    epoch: int
    start: int
    seed: int

    def samples(self) -> Iterator[SampleKey]:
        """The key of each sample."""
        for position, index in enumerate(self.indices, self.start):
            yield SampleKey(index, self.epoch, position, self.seed)


@dataclass(slots=True)
class MadeBatch:
    """A batch, and the samples that had to be replaced in it."""

    batch: Any
    bad: list[BadSample]

    def pin_memory(self) -> "MadeBatch":
        """Copy the batch to memory that a GPU reads fast."""
        return MadeBatch(map_leaves(self.batch, pinned), self.bad)


@dataclass(slots=True)
class Failure:
    """An error of a worker as it is sent: text, and the first error where it can be sent."""

    text: str
    kind: type[Exception]
    cause: bytes | None
    trace: str

    def to_error(self) -> Exception:
        """The error to raise, with the worker's traceback as a note of its cause."""
        error = self.kind(self.text)
        cause = RuntimeError(self.text) if self.cause is None else pickle.loads(self.cause)
        cause.add_note(f"in a worker process:\n{self.trace}")
        error.__cause__ = cause
        return error


def failure_of(error: BaseException) -> Failure:
    """An error as a worker can send it; errors that no pickle can hold are sent as text."""
    cause = error.__cause__ if isinstance(error, SampleError | BatchError) else error
    cause = error if cause is None else cause
    kind: type[Exception] = BatchError if isinstance(error, BatchError) else SampleError
    text = str(error) if isinstance(error, kind) else error_text(error)
    return Failure(text, kind, _pickled(cause), "".join(traceback.format_exception(cause)))


def _pickled(error: BaseException) -> bytes | None:
    try:
        data = pickle.dumps(error)
        restored = pickle.loads(data)  # fails for errors whose constructor wants more than a text
    except Exception:
        return None
    return data if type(restored) is type(error) else None


class BatchMaker(torch.utils.data.Dataset[Any]):
    """Makes batches, each sample with every generator seeded from its key.

    A batch is first made without seeding where none so far drew anything; if a generator
    has moved, that one is thrown away and made again with seeds, as are all after it. So
    every draw comes from its key, and samples that draw nothing cost nothing more.

    Args:
        dataset: Where samples come from.
        collate: Packs them.
        policy: What to do about bad samples; None raises.
        board: Where workers note what they do.
    """

    def __init__(
        self,
        dataset: Any,
        collate: Callable[[list[Sample]], Batch],
        policy: SkipBadSamples | None,
        board: WorkerBoard,
    ) -> None:
        self.dataset = dataset
        self.collate = collate
        self.policy = policy
        self.board = board
        self._watch = DrawWatch()
        self._draws: bool | None = None  # None until the first batch was looked at

    def __getitem__(self, key: BatchKey) -> MadeBatch | Failure:
        info = torch.utils.data.get_worker_info()
        if info is None:
            return self._made_here(key)
        try:
            made = self._unseeded(key, info.id) or self._seeded(key, info.id)
            made.batch = PackedBatch(made.batch)
            self._note(info.id, Activity.IDLE, SampleKey(key.indices[-1], key.epoch, key.start, 0))
        except BaseException as error:  # SystemExit too would end the worker without a word
            return failure_of(error)
        return made

    def _made_here(self, key: BatchKey) -> MadeBatch:
        made = self._unseeded(key, None)
        if made is None:
            with preserved_random_state():  # the caller must not notice
                made = self._seeded(key, None)
        return made

    def _unseeded(self, key: BatchKey, worker: int | None) -> MadeBatch | None:
        """The batch without seeding; None if that would not do."""
        if self._draws is not False or not self._watch.mark():
            return None
        dataset = self.dataset
        try:
            if worker is None:
                samples = [dataset[index] for index in key.indices]
            else:
                samples = self._noted(key, worker)
                self._note(worker, Activity.COLLATING, next(key.samples()))
            batch = self.collate(samples)
        except BaseException as error:
            if worker is None and not isinstance(error, Exception):
                raise  # Ctrl-C, in this process
            self._watch.restore()
            return None  # told properly by the seeded way
        if self._watch.has_drawn():
            self._draws = True
            self._watch.restore()  # the caller must not notice
            return None
        return MadeBatch(batch, [])

    def _noted(self, key: BatchKey, worker: int) -> list[Sample]:
        note = self.board.writer(worker, os.getpid(), Activity.LOADING, key.epoch)
        samples = []
        for position, index in enumerate(key.indices, key.start):
            note(index, position)
            samples.append(self.dataset[index])
        return samples

    def _seeded(self, key: BatchKey, worker: int | None) -> MadeBatch:
        bad: list[BadSample] = []
        samples = [self.sample(sample_key, worker, bad) for sample_key in key.samples()]
        if worker is not None:
            self._note(worker, Activity.COLLATING, next(key.samples()))
        may_draw = self._draws is None and not self._watch.mark()
        batch = self._collated(key, samples, worker)
        if self._draws is None:
            self._draws = may_draw or self._watch.has_drawn()
        return MadeBatch(batch, bad)

    def sample(self, key: SampleKey, worker: int | None, bad: list[BadSample]) -> Sample:
        """The sample at a position, or what stands in for it; bad ones are noted in `bad`.

        Raises:
            SampleError: If it cannot be made.
        """
        if worker is not None:
            self._note(worker, Activity.LOADING, key)
        try:
            return self._loaded(key, key.sample)
        except BaseException as error:
            if worker is None and not isinstance(error, Exception):
                raise  # Ctrl-C, in this process
            text = f"{sample_text(self.dataset, key, worker)}: {error_text(error)}"
            if self.policy is None or not _is_of_the_sample(error):
                raise SampleError(text) from error
            bad.append(self._bad(key, key.sample, error))
            return self._stand_in(key, worker, bad, SampleError(text))

    def _stand_in(
        self, key: SampleKey, worker: int | None, bad: list[BadSample], failed: SampleError
    ) -> Sample:
        assert self.policy is not None
        tries = self.policy.stand_ins(key.sample, len(self.dataset))
        for index in tries:
            if worker is not None:
                self._note(worker, Activity.LOADING, key._replace(sample=index))
            try:
                return self._loaded(key, index)
            except Exception as error:
                if not _is_of_the_sample(error):
                    raise SampleError(
                        f"{sample_text(self.dataset, key._replace(sample=index), worker)}: "
                        f"{error_text(error)}"
                    ) from error
                bad.append(self._bad(key, index, error))
        raise SampleError(f"{failed}; none of the {len(tries)} samples behind it can stand in")

    def _loaded(self, key: SampleKey, index: int) -> Sample:
        seed_for(key)
        if self._draws is not None:
            return self.dataset[index]
        is_seen = self._watch.mark()
        try:
            return self.dataset[index]
        finally:
            if not is_seen or self._watch.has_drawn():
                self._draws = True

    def _bad(self, key: SampleKey, index: int, error: BaseException) -> BadSample:
        file = file_of(self.dataset, index)
        return BadSample(index, file, error_text(error), key.epoch, key.position)

    def _collated(self, key: BatchKey, samples: list[Sample], worker: int | None) -> Batch:
        try:
            return self.collate(samples)
        except BaseException as error:
            if worker is None and not isinstance(error, Exception):
                raise
            place = f"epoch {key.epoch}, positions {key.start} to {key.start + len(samples) - 1}"
            place = f"({place}{'' if worker is None else f', worker {worker}'})"
            if isinstance(error, BatchError):  # names the samples that do not go together
                raise BatchError(f"{error} {place}") from error
            name = getattr(self.collate, "__name__", type(self.collate).__name__)
            raise SampleError(
                f"collate {name} failed on samples {self._names(key.indices)} {place}: "
                f"{error_text(error)}"
            ) from error

    def _names(self, indices: list[int]) -> str:
        files = [(index, file_of(self.dataset, index)) for index in indices[:_MOST_NAMED]]
        names = [f"{index}{f' ({file})' if file else ''}" for index, file in files]
        return ", ".join(names) + (", ..." if len(indices) > _MOST_NAMED else "")

    def _note(self, worker: int, activity: Activity, key: SampleKey) -> None:
        self.board.write(worker, os.getpid(), activity, key)


def _is_of_the_sample(error: BaseException) -> bool:
    """Whether it may be the sample's fault, rather than that of the machine."""
    return isinstance(error, Exception) and not isinstance(error, MemoryError)
