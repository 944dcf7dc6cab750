"""Which loaders of several give batches in which step, known for any step at once."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from hat.data.samplers.keyed import keys_at, uniform
from hat.seeding import TASK_STREAM, derive_key

Counts = NDArray[np.int64]

#: Steps that are drawn at once: fewer to begin with, so that the first step is there soon.
_FIRST_STEPS, _MORE_STEPS = 256, 16_384


class TaskSchedule(ABC):
    """Says how many batches of each loader a step has; steps count over all epochs."""

    @abstractmethod
    def counts(self, first: int, last: int) -> Counts:
        """Batches in the steps `first` to `last`, exclusive: shape (steps, loaders)."""

    @abstractmethod
    def before(self, step: int) -> Counts:
        """Batches of each loader in all steps before one: shape (loaders,)."""

    def rows(self, first: int, last: int) -> Iterator[list[int]]:
        """`counts`, step by step."""
        num_steps = _FIRST_STEPS
        while first < last:
            stop = min(first + num_steps, last)
            yield from self.counts(first, stop).tolist()
            first, num_steps = stop, _MORE_STEPS


class EveryStep(TaskSchedule):
    """The same batches in every step.

    Args:
        ratios: Batches of each loader.

    Example:
        >>> EveryStep([2, 1]).before(5).tolist()
        [10, 5]
    """

    def __init__(self, ratios: Sequence[int]) -> None:
        self.ratios = np.asarray(ratios, np.int64)

    def counts(self, first: int, last: int) -> Counts:
        return np.tile(self.ratios, (last - first, 1))

    def before(self, step: int) -> Counts:
        return self.ratios * step


class DrawnSteps(TaskSchedule):
    """Some of the loaders in each step, drawn from (seed, step).

    A step has `sum(rates)` batches. On a line each loader has a stretch as long as its rate,
    in an order drawn for the step, and at u, u + 1, u + 2, ... with one u drawn from 0 to 1
    stands a batch of the loader whose stretch is there (systematic sampling). So the mean
    over steps is each rate exactly; a loader with a rate of up to 1 comes once or not at
    all, one with 2.3 comes two or three times.

    Args:
        rates: Mean number of batches in a step of each loader; their sum is whole.
        seed: Of the draws.

    Example:
        >>> DrawnSteps([0.75, 0.25], seed=0).counts(0, 4).tolist()
        [[1, 0], [1, 0], [0, 1], [1, 0]]

    Reference:
        Madow, On the Theory of Systematic Sampling, II, 1949 (unequal probabilities).
    """

    def __init__(self, rates: Sequence[float], seed: int) -> None:
        self.rates = np.asarray(rates, np.float64)
        self.total = round(float(self.rates.sum()))
        self.seed = seed
        self.base = derive_key(seed, TASK_STREAM)
        self._known = (0, np.zeros(len(rates), np.int64))

    def counts(self, first: int, last: int) -> Counts:
        steps = np.arange(first, last, dtype=np.uint64)
        keys = [
            keys_at(self.base, steps, np.full_like(steps, n)) for n in range(1 + len(self.rates))
        ]
        order = np.argsort(np.stack(keys[1:], axis=1), axis=1)
        ends = np.cumsum(self.rates[order], axis=1)
        ends[:, -1] = self.total  # whatever the sum was rounded to
        edges = np.concatenate([np.zeros((len(steps), 1)), ends], axis=1)
        # The numbers u + j, j = 0, 1, ..., below an edge.
        num_below = np.ceil(edges - uniform(keys[0])[:, None]).astype(np.int64)
        counts = np.empty_like(order)
        np.put_along_axis(counts, order, np.diff(num_below, axis=1), axis=1)
        return counts

    def before(self, step: int) -> Counts:
        known, total = self._known
        if step < known:  # seldom, and steps ahead are what is asked for next
            known, total = 0, np.zeros_like(total)
        while known < step:
            stop = min(known + _MORE_STEPS, step)
            total = total + self.counts(known, stop).sum(axis=0)
            known = stop
        if known > self._known[0]:
            self._known = known, total
        return total
