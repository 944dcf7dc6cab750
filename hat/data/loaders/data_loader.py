"""Data set, order and packing joined: the batches of each step, from any step on."""

import logging
import weakref
from collections.abc import Callable, Iterable, Iterator
from itertools import chain, cycle, islice
from pathlib import Path
from typing import Any, Literal

import torch

from hat.data.collates.stack import StackCollate
from hat.data.loaders.bad_samples import BadSample, Quarantine, SkipBadSamples
from hat.data.loaders.batch_maker import BatchMaker, MadeBatch
from hat.data.loaders.iterable import IterableBatches, is_iterable_only
from hat.data.loaders.pipeline import Pipeline
from hat.data.loaders.sample_maker import SampleKey
from hat.data.loaders.step_keys import StepKeys
from hat.data.loaders.worker_board import WorkerBoard
from hat.data.loaders.workers import WorkerWatch
from hat.data.sample import Batch, Sample
from hat.data.samplers.sampler import Sampler
from hat.data.samplers.sequential import SequentialSampler

logger = logging.getLogger(__name__)


class DataLoader:
    """Yields, step by step, the batches of an epoch.

    Every sample is made from (seed, epoch, position in the epoch's order), so the
    batches do not depend on the number of workers or processes, and an epoch can be
    started at any step at no cost. The engine gives the seed, the epoch, the folder of
    the run and the process's share.

    Draws from torch's CPU generator, NumPy's and Python's global ones come from the key
    of the sample. A data set may not read those generators without drawing
    (`torch.initial_seed`), nor put back a state that it drew from.

    Args:
        dataset: Anything with `__len__` and `__getitem__` that returns a dict; or, with
            fewer guarantees, an iterable such as a `torch.utils.data.IterableDataset`.
        batch_size: Samples per step, over all batches of the step and all processes.
        sampler: The order; by default that of the data set.
        batches_per_step: Into how many batches a step is cut, for gradient
            accumulation. With more than one, a step is a list of batches.
        drop_last: Leave out the last step of an epoch if it is short.
        exact: Give every sample once whatever the number of processes, some of which may
            then have one step less than others: for evaluation. Otherwise a last step
            that has fewer samples than there are processes is left out.
        collate: Packs a list of samples; by default `StackCollate`.
        on_bad_sample: "raise", or `SkipBadSamples` to replace a few of them.
        num_workers: Processes that make samples; 0 makes them in this one.
        prefetch_factor: Batches that each worker prepares ahead.
        timeout_s: How long to wait for a worker's batch before giving up. Samples made
            in this process are waited for without end.
        pin_memory: Copy batches to memory that a GPU reads fast; by default where
            there is one.

    Attributes:
        seed: Of the order and of all draws.
        rank: Which of several processes this is.
        num_processes: How many processes share each step.
        run_dir: Where the list of bad samples is kept.

    Raises:
        ValueError: If a number is out of range, the data set is empty, or an iterable is
            given what only works with samples by index.
        TypeError: Of `len`, where nobody knows the number of steps.
        SampleError: While iterating, when the data set or a transform fails, or a worker
            dies or hangs.

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
        exact: bool = False,
        collate: Callable[[list[Sample]], Batch] | None = None,
        on_bad_sample: Literal["raise"] | SkipBadSamples = "raise",
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
        if not timeout_s > 0:
            raise ValueError(f"timeout_s must be above 0, got {timeout_s}")
        if not (on_bad_sample == "raise" or isinstance(on_bad_sample, SkipBadSamples)):
            raise ValueError(
                f"on_bad_sample must be 'raise' or SkipBadSamples, got {on_bad_sample!r}"
            )
        self.dataset = dataset
        self.batch_size = batch_size
        self.batches_per_step = batches_per_step
        self.drop_last = drop_last
        self.exact = exact
        self.num_workers = num_workers
        self.timeout_s = timeout_s
        self.seed = 0
        self.rank = 0
        self.num_processes = 1
        self.run_dir: str | Path | None = None
        self.collate = StackCollate() if collate is None else collate
        self.on_bad_sample = on_bad_sample
        self.is_iterable = is_iterable_only(dataset)
        if self.is_iterable:
            _check_iterable(dataset, sampler, on_bad_sample, num_workers)
        self.sampler: Sampler = SequentialSampler() if sampler is None else sampler
        self.num_samples = None if self.is_iterable else self.sampler.length(len(dataset))
        if self.num_samples is not None and len(self) == 0:
            short = f" fewer than one batch of {batch_size} with drop_last" if drop_last else ""
            raise ValueError(f"the data set has {len(dataset)} samples:{short or ' it is empty'}")
        self._options: dict[str, Any] = dict(
            num_workers=num_workers,
            prefetch_factor=prefetch_factor if num_workers else None,
            timeout=timeout_s if num_workers else 0,
            pin_memory=torch.cuda.is_available() if pin_memory is None else pin_memory,
        )
        self._pipeline: Pipeline | None = None
        self._quarantine: Quarantine | None = None
        self._is_short_step_told = False

    def __len__(self) -> int:
        """Steps in an epoch, of this process."""
        if self.num_samples is None:
            raise TypeError("the number of steps of an iterable data set is not known")
        num_whole, rest = divmod(self.num_samples, self.batch_size)
        if rest == 0 or self.drop_last:
            return num_whole
        if self.exact:
            has_part = rest * (self.rank + 1) // self.num_processes > (
                rest * self.rank // self.num_processes
            )
            return num_whole + has_part
        return num_whole + (rest >= self.num_processes)

    def __iter__(self) -> Iterator[Any]:
        """The steps of the first epoch."""
        return self.steps(epoch=0)

    def steps(self, epoch: int, start: int = 0) -> Iterator[Any]:
        """The steps of an epoch from step `start` on: a batch each, or a list of batches.

        An iterable data set is gone through from its start and what stands before
        `start` is thrown away.
        """
        self._check_processes()
        if self.is_iterable:
            return self._iterated(epoch, start)
        self._tell_of_short_step()
        batches = self._batches(epoch, start)
        if self.batches_per_step == 1:
            return batches
        return self._grouped(batches, range(start, len(self)))

    def stream(self, epoch: int, start: int = 0) -> Iterator[Any]:
        """The steps from one of an epoch on and those of all later epochs, without an end.

        Workers go on from epoch to epoch without a pause.

        Raises:
            TypeError: If the data set is an iterable.
            ValueError: If an epoch has no step for this process.
        """
        self._check_processes()
        length = len(self)
        if length == 0:
            raise ValueError(
                f"an epoch of {self.num_samples} samples has no step for {self.num_processes} "
                "processes"
            )
        self._tell_of_short_step()
        batches = self._batches(epoch, start, is_endless=True)
        if self.batches_per_step == 1:
            return batches
        return self._grouped(batches, chain(range(start, length), cycle(range(length))))

    def key(self, epoch: int, position: int) -> SampleKey:
        """What the sample at a position of an epoch is made from.

        Raises:
            TypeError: If the data set is an iterable.
        """
        if self.is_iterable:
            raise TypeError("the samples of an iterable data set have no keys")
        length = len(self.dataset)
        (index,) = self.sampler.indices(length, self.seed, epoch, position, position + 1)
        return SampleKey(int(index), epoch, position, self.seed)

    def make_sample(self, key: SampleKey, bad: list[BadSample] | None = None) -> Sample:
        """The sample of a key, or what stands in for it, as a worker makes it.

        The generators of this process are seeded.

        Args:
            key: Which sample, and what its draws come from.
            bad: Gets those that could not be made, in the order in which they were tried.

        Raises:
            SampleError: If the data set or a transform fails.
        """
        return self._make_batch_maker(WorkerBoard(0)).sample(key, None, [] if bad is None else bad)

    def _check_processes(self) -> None:
        if self.batch_size < self.num_processes:
            raise ValueError(
                f"batch_size is the number of samples over all processes: {self.batch_size} "
                f"cannot be shared by {self.num_processes}"
            )

    def _batches(self, epoch: int, start: int, is_endless: bool = False) -> Iterator[Batch]:
        pipeline = self._pipeline
        if pipeline is None or pipeline.is_broken:
            pipeline = self._pipeline = self._make_pipeline(persistent=self.num_workers > 0)
        elif pipeline.is_open:  # validation on the training data, say: workers of its own
            pipeline = self._make_pipeline(persistent=False)
        pipeline.keys.epoch, pipeline.keys.start = epoch, start
        pipeline.keys.is_endless = is_endless
        for made in pipeline.batches():
            if made.bad:
                self._set_aside(made)
            yield made.batch

    def _grouped(self, batches: Iterator[Batch], steps: Iterable[int]) -> Iterator[list[Batch]]:
        bounds = StepKeys(self).bounds
        for step in steps:
            yield [next(batches) for _ in bounds(step)]

    def _iterated(self, epoch: int, start: int) -> Iterator[Any]:
        board = WorkerBoard(self.num_workers)
        source = IterableBatches(
            self.dataset,
            self.collate,
            batches_per_step=self.batches_per_step,
            drop_last=self.drop_last,
            board=board,
        )
        source.set_up(
            epoch,
            self.seed,
            batch_size=self.batch_size,
            rank=self.rank,
            num_processes=self.num_processes,
        )
        watch = WorkerWatch(self.dataset, board, self.timeout_s)
        pipeline = Pipeline(source, None, watch, self._options)
        for made in islice(pipeline.batches(), start, None):
            yield made.batch[0] if self.batches_per_step == 1 else made.batch

    def _make_pipeline(self, persistent: bool) -> Pipeline:
        board = WorkerBoard(self.num_workers)
        watch = WorkerWatch(self.dataset, board, self.timeout_s)
        # Not a cycle: workers of a loader that the garbage collector finds end 5 s late each.
        keys = StepKeys(weakref.proxy(self))
        options = self._options | dict(persistent_workers=persistent)
        return Pipeline(self._make_batch_maker(board), keys, watch, options)

    def _make_batch_maker(self, board: WorkerBoard) -> BatchMaker:
        policy = self.on_bad_sample if isinstance(self.on_bad_sample, SkipBadSamples) else None
        return BatchMaker(self.dataset, self.collate, policy, board)

    def _set_aside(self, made: MadeBatch) -> None:
        if self._quarantine is None:
            assert isinstance(self.on_bad_sample, SkipBadSamples)
            folder = None if self.run_dir is None else Path(self.run_dir)
            self._quarantine = Quarantine(self.on_bad_sample.budget, folder)
        self._quarantine.add(made.bad)

    def _tell_of_short_step(self) -> None:
        assert self.num_samples is not None
        rest = self.num_samples % self.batch_size
        is_left_out = 0 < rest < self.num_processes and not (self.drop_last or self.exact)
        if is_left_out and not self._is_short_step_told:
            self._is_short_step_told = True
            logger.warning(
                "the last step of an epoch has %d samples for %d processes and is left out; "
                "exact=True keeps it, for evaluation",
                rest,
                self.num_processes,
            )


def _check_iterable(dataset: Any, sampler: Any, on_bad_sample: Any, num_workers: int) -> None:
    name = type(dataset).__name__
    if sampler is not None:
        raise ValueError(f"{name} can only be iterated and has its own order: leave out sampler")
    if on_bad_sample != "raise":
        raise ValueError(
            f"{name} can only be iterated, so no other sample can stand in for a bad one: leave "
            "out on_bad_sample"
        )
    if num_workers > 1 and not isinstance(dataset, torch.utils.data.IterableDataset):
        raise ValueError(
            f"{name} is no torch.utils.data.IterableDataset, so each of {num_workers} workers "
            "would repeat all its samples: give num_workers=1, or share it out by "
            "torch.utils.data.get_worker_info"
        )
