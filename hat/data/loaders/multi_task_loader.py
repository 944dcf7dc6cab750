"""Batches of several loaders in one step, one for each task or set of tasks."""

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

from hat.data.loaders.data_loader import DataLoader
from hat.data.loaders.task_schedule import DrawnSteps, EveryStep, TaskSchedule
from hat.data.sample import Batch
from hat.registry import did_you_mean
from hat.seeding import TASK_STREAM, derive_key, text_key


class StepPart(NamedTuple):
    """What a step takes from one of the loaders: one of its own steps."""

    loader: str
    epoch: int
    step: int


class MultiTaskDataLoader:
    """Yields steps that are lists of batches, each from one of several loaders.

    Every batch has `tasks`, the names of the tasks that it is for. Each loader is a stream
    of its own: it goes through its epochs in its own order, as fast as its batches are
    wanted, whatever the others do and where the epochs of this loader end. Where a stream
    stands at a step, and which loaders run in it, is computed from (seed, epoch, step), so a
    run goes on at any step as if it had never stopped, for any number of workers.

    It is for training. A validation sees every sample once: give it a `DataLoader`, with
    `PartialCollate` where samples lack labels.

    Args:
        loaders: A `DataLoader` for each name, none of them twice, iterable or `exact`. Each
            has its own workers and batch size.
        tasks: For each of these names the tasks that its batches are for; by default, the one
            that is called as the loader.
        ratios: With `schedule="all"` how many steps of each loader make a step, whole
            numbers; with "sample" its share of the batches, up to a common factor. By
            default 1.
        length: How many steps make an epoch: as many as the loader that takes the longest
            needs to be gone through once, "largest", or the one that takes the shortest,
            "smallest" (in the mean, where steps are drawn), or a number.
        schedule: "all" loaders in every step, or "sample": each step draws `per_step` from
            them. A loader whose share is no more than 1 / `per_step` comes at most once.
        per_step: How many loaders run in a step that is drawn; by default 1.

    Attributes:
        seed: Of all draws and orders. Each loader gets one of its own, made from this one and
            its name, so that two loaders over one data set are not in step.
        rank: Which of several processes this is; passed on to the loaders.
        num_processes: How many processes share each batch; passed on.
        run_dir: Passed on.

    Raises:
        ValueError: If a name, number or choice is unknown or out of range, or a loader cannot
            be a stream.
        TypeError: If something is no `DataLoader`; or, while iterating, if a batch is no dict.

    Example:
        >>> boxes = DataLoader([{"x": n} for n in range(4)], batch_size=2)
        >>> masks = DataLoader([{"x": n} for n in range(10, 13)], batch_size=1)
        >>> for step in MultiTaskDataLoader({"det": boxes, "seg": masks}):
        ...     print([(*batch["tasks"], batch["x"].tolist()) for batch in step])
        [('det', [0, 1]), ('seg', [10])]
        [('det', [2, 3]), ('seg', [11])]
        [('det', [0, 1]), ('seg', [12])]
    """

    def __init__(
        self,
        loaders: Mapping[str, DataLoader],
        tasks: Mapping[str, Sequence[str]] | None = None,
        *,
        ratios: Mapping[str, float] | None = None,
        length: Literal["largest", "smallest"] | int = "largest",
        schedule: Literal["all", "sample"] = "all",
        per_step: int | None = None,
    ) -> None:
        _check_loaders(loaders)
        self.loaders = dict(loaders)
        self.tasks = {name: (name,) for name in loaders} | _checked_tasks(loaders, tasks or {})
        if schedule not in ("all", "sample"):
            raise ValueError(f"schedule must be 'all' or 'sample', got {schedule!r}")
        if schedule == "all" and per_step is not None:
            raise ValueError("per_step is for schedule='sample': in 'all' every loader runs")
        if per_step is not None and per_step < 1:
            raise ValueError(f"per_step must be at least 1, got {per_step}")
        is_number = isinstance(length, int) and not isinstance(length, bool) and length >= 1
        if not is_number and length not in ("largest", "smallest"):
            raise ValueError(
                f"length must be 'largest', 'smallest' or a number of steps, got {length!r}"
            )
        self.schedule = schedule
        self.length = length
        self.per_step = 1 if per_step is None else per_step
        self.ratios = dict.fromkeys(loaders, 1) | _checked_ratios(loaders, ratios or {}, schedule)
        self.seed = 0
        self.rank = 0
        self.num_processes = 1
        self.run_dir: str | Path | None = None
        self._drawn: DrawnSteps | None = None
        self._idle: _Streams | None = None

    def __len__(self) -> int:
        """Steps in an epoch."""
        self.pass_on()
        if not isinstance(self.length, str):
            return self.length
        # The least n with n * rate >= length; a rate such as 3 / 10 is not exact.
        needed = [
            math.ceil(len(loader) / rate - 1e-9)
            for loader, rate in zip(self.loaders.values(), self._rates(), strict=True)
        ]
        return max(needed) if self.length == "largest" else min(needed)

    def __iter__(self) -> Iterator[list[Batch]]:
        """The steps of the first epoch."""
        return self.steps(epoch=0)

    def steps(self, epoch: int, start: int = 0) -> Iterator[list[Batch]]:
        """The steps of an epoch from step `start` on, each a list of batches."""
        length = len(self)
        return self._steps(epoch * length + start, (epoch + 1) * length)

    def parts(self, epoch: int, step: int) -> list[StepPart]:
        """What a step is made of, in order: loaders, and which of their own steps."""
        number = epoch * len(self) + step
        schedule = self._schedule()
        (counts,) = schedule.counts(number, number + 1).tolist()
        found = []
        for (name, loader), first, num in zip(
            self.loaders.items(), schedule.before(number).tolist(), counts, strict=True
        ):
            places = (divmod(first + n, len(loader)) for n in range(num))
            found += [StepPart(name, *place) for place in places]
        return found

    def _steps(self, first: int, last: int) -> Iterator[list[Batch]]:
        self.pass_on()
        streams = self._open(first)
        try:
            for counts in self._schedule().rows(first, last):
                yield [
                    batch
                    for name, count in zip(self.loaders, counts, strict=True)
                    for _ in range(count)
                    for batch in self._next(name, streams.iterators[name])
                ]
        except BaseException:
            streams.close()
            raise
        # Workers go on while the engine validates, say; the next epoch takes it from there.
        if self._idle is not None:
            self._idle.close()
        self._idle = streams._replace(step=max(first, last))

    def _next(self, name: str, stream: Iterator[Any]) -> Iterator[Batch]:
        step = next(stream)
        for batch in step if self.loaders[name].batches_per_step > 1 else [step]:
            if not isinstance(batch, dict):
                raise TypeError(
                    f"loader '{name}' gave a batch that is a {type(batch).__name__}: it must be a "
                    "dict, to say in 'tasks' what it is for"
                )
            batch["tasks"] = self.tasks[name]
            yield batch

    def _open(self, step: int) -> "_Streams":
        """All streams where they stand at a step: those that are there already, or new ones."""
        streams, self._idle = self._idle, None
        settings = (self.seed, self.rank, self.num_processes)
        if streams is not None:
            if (streams.step, streams.settings) == (step, settings):
                return streams
            streams.close()
        iterators = {}
        before = self._schedule().before(step).tolist()
        for (name, loader), position in zip(self.loaders.items(), before, strict=True):
            iterators[name] = loader.stream(*divmod(position, len(loader)))
        return _Streams(step, settings, iterators)

    def _schedule(self) -> TaskSchedule:
        if self.schedule == "all":
            return EveryStep([int(ratio) for ratio in self.ratios.values()])
        if self._drawn is None or self._drawn.seed != self.seed:
            self._drawn = DrawnSteps(self._rates(), self.seed)
        return self._drawn

    def _rates(self) -> list[float]:
        """Steps of each loader in a step, in the mean."""
        if self.schedule == "all":
            return list(self.ratios.values())
        total = sum(self.ratios.values())
        return [self.per_step * ratio / total for ratio in self.ratios.values()]

    def pass_on(self) -> None:
        """Tell the loaders what the engine told this one; done whenever steps are asked for.

        Raises:
            ValueError: If there are more processes than a loader has a step for.
        """
        for name, loader in self.loaders.items():
            loader.seed = derive_key(self.seed, TASK_STREAM, text_key(name))
            loader.rank, loader.num_processes = self.rank, self.num_processes
            loader.run_dir = self.run_dir
            if len(loader) == 0:
                raise ValueError(
                    f"loader '{name}' has {loader.num_samples} samples: no step for "
                    f"{self.num_processes} processes"
                )


class _Streams(NamedTuple):
    """Open streams of all loaders, and before which step they stand."""

    step: int
    settings: tuple[int, int, int]
    iterators: dict[str, Any]

    def close(self) -> None:
        for iterator in self.iterators.values():
            iterator.close()


def _check_loaders(loaders: Any) -> None:
    if not isinstance(loaders, Mapping) or not loaders:
        raise TypeError(f"loaders must be a dict of names to DataLoaders, got {loaders!r}")
    owners: dict[int, str] = {}
    for name, loader in loaders.items():
        if not isinstance(loader, DataLoader):
            raise TypeError(f"loader '{name}' must be a DataLoader, got {type(loader).__name__}")
        if loader.is_iterable:
            raise ValueError(
                f"loader '{name}' has a {type(loader.dataset).__name__}, which can only be "
                "iterated: nobody knows where it stands at a step"
            )
        if loader.exact:
            raise ValueError(
                f"loader '{name}' is exact, so some processes may have a step less: that is for "
                "evaluation"
            )
        if id(loader) in owners:
            raise ValueError(
                f"'{owners[id(loader)]}' and '{name}' are one loader, which cannot stand at two "
                "places: give each its own, or one loader both tasks"
            )
        owners[id(loader)] = name


def _check_names(what: str, loaders: Mapping[str, Any], given: Mapping[str, Any]) -> None:
    for name in given:
        if name not in loaders:
            raise ValueError(
                f"{what}: there is no loader '{name}', only {', '.join(loaders)}."
                f"{did_you_mean(name, loaders)}"
            )


def _checked_tasks(
    loaders: Mapping[str, Any], tasks: Mapping[str, Sequence[str]]
) -> dict[str, tuple[str, ...]]:
    _check_names("tasks", loaders, tasks)
    for name, own in tasks.items():
        if isinstance(own, str) or not all(isinstance(task, str) for task in own):
            raise TypeError(f"tasks of loader '{name}' must be a list of names, got {own!r}")
        if not own or len(set(own)) < len(own):
            raise ValueError(f"tasks of loader '{name}' must be one or more names, got {own!r}")
    return {name: tuple(own) for name, own in tasks.items()}


def _checked_ratios(
    loaders: Mapping[str, Any], ratios: Mapping[str, float], schedule: str
) -> dict[str, float]:
    _check_names("ratios", loaders, ratios)
    for name, ratio in ratios.items():
        if not 0 < ratio < math.inf:
            raise ValueError(f"ratios: that of '{name}' must be above 0, got {ratio}")
        if schedule == "all" and ratio != int(ratio):
            raise ValueError(
                f"ratios: with schedule='all' that of '{name}' must be whole, got {ratio}. "
                "schedule='sample' takes any"
            )
    return dict(ratios)
