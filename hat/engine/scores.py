"""Named values of a run, each with the step that it belongs to."""

import math
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import takewhile
from typing import Any, NamedTuple

from hat.registry import did_you_mean

#: Writings that a reader may be behind; loggers read at every step.
_NUM_KEPT = 10_000


class Score(NamedTuple):
    """A value and the number of committed steps after which it was taken."""

    value: float
    step: int


@dataclass
class _Record:
    last: Score
    best: Score | None
    higher_is_better: bool | None


class Scores:
    """What metrics, validation and monitors write; checkpoints, stopping and logs read it.

    Names are `<where>/<task>/<metric>`, with one task `<where>/<metric>`: `train/loss`,
    `val/acc`, `val/det/AP`.

    Example:
        >>> scores = Scores()
        >>> scores.write("val/acc", 0.9, step=10, higher_is_better=True)
        >>> scores.write("val/acc", 0.8, step=20)
        >>> scores.last("val/acc"), scores.best("val/acc").step
        (Score(value=0.8, step=20), 10)
    """

    def __init__(self) -> None:
        self._records: dict[str, _Record] = {}
        self.num_written = 0
        self._newest: deque[tuple[int, str, Score]] = deque(maxlen=_NUM_KEPT)

    def write(
        self, name: str, value: float, step: int, higher_is_better: bool | None = None
    ) -> None:
        """Note a value; the best so far is kept where it is known what better means.

        Args:
            name: `<where>/<metric>` or `<where>/<task>/<metric>`.
            value: A Python number.
            step: Committed steps after which it was taken.
            higher_is_better: Which way is better; None for what has no better. It
                need not be repeated.
        """
        score = Score(float(value), step)
        record = self._records.get(name)
        if record is None:
            self._records[name] = record = _Record(score, None, higher_is_better)
        record.last = score
        if record.higher_is_better is None:
            record.higher_is_better = higher_is_better
        if record.higher_is_better is not None and is_better(
            score.value, record.best and record.best.value, record.higher_is_better
        ):
            record.best = score
        self.num_written += 1
        self._newest.append((self.num_written, name, score))

    def last(self, name: str) -> Score:
        """The newest value of a name; compare its step to see whether it is stale.

        Raises:
            LookupError: If nothing was written under this name.
        """
        return self._record(name).last

    def best(self, name: str) -> Score | None:
        """The best value of a name, or None where nobody said what better means."""
        return self._record(name).best

    def higher_is_better(self, name: str) -> bool | None:
        """Which way is better, as the writer said."""
        return self._record(name).higher_is_better

    def __contains__(self, name: str) -> bool:
        return name in self._records

    def __iter__(self) -> Iterator[str]:
        return iter(self._records)

    def summary(self) -> dict[str, dict[str, Any]]:
        """For every score: last, best, and their steps, as JSON values."""
        return {
            name: {
                "last": _plain(record.last),
                "best": record.best and _plain(record.best),
                "higher_is_better": record.higher_is_better,
            }
            for name, record in sorted(self._records.items())
        }

    def state_dict(self) -> dict[str, Any]:
        return {
            name: [
                list(record.last),
                record.best and list(record.best),
                record.higher_is_better,
            ]
            for name, record in self._records.items()
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._newest.clear()
        self._records = {
            name: _Record(Score(*last), best and Score(*best), higher_is_better)
            for name, (last, best, higher_is_better) in state.items()
        }

    def _record(self, name: str) -> _Record:
        if name not in self._records:
            hint = did_you_mean(name, self._records)
            known = ", ".join(sorted(self._records)) or "nothing"
            raise LookupError(f"no score '{name}' was written yet.{hint} Written: {known}")
        return self._records[name]


class ScoreFeed:
    """Gives a reader what was written since it last asked."""

    def __init__(self, scores: Scores) -> None:
        self.scores = scores
        self._num_seen = scores.num_written

    def take(self) -> list[tuple[str, Score]]:
        """Names and values that are new, in the order of writing."""
        if self.scores.num_written == self._num_seen:
            return []
        newest = reversed(self.scores._newest)
        new = [(name, score) for _, name, score in takewhile(self._is_new, newest)]
        self._num_seen = self.scores.num_written
        return new[::-1]

    def _is_new(self, written: tuple[int, str, Score]) -> bool:
        return written[0] > self._num_seen


def is_better(value: float, best: float | None, higher_is_better: bool) -> bool:
    """Whether a value beats the best so far; NaN never does, anything beats None."""
    if math.isnan(value):
        return False
    if best is None:
        return True
    return value > best if higher_is_better else value < best


def _plain(score: Score) -> dict[str, Any]:
    return {"value": score.value, "step": score.step}
