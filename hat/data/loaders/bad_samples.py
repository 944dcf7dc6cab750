"""What to do about samples that cannot be loaded: replace a few, and keep a list of them."""

import json
import logging
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from hat.data.loaders.sample_maker import SampleError

logger = logging.getLogger(__name__)

#: The list in the folder of a run, one JSON object a line.
QUARANTINE_FILE = "quarantine.jsonl"


@dataclass(frozen=True)
class BadSample:
    """A sample that could not be loaded, and where that was first seen."""

    index: int
    file: str | None
    error: str
    epoch: int
    position: int


class SkipBadSamples:
    """Lets a run go on past a few samples that cannot be loaded.

    The sample at a position that fails is replaced by that of the next index that loads:
    of n samples i + 1, i + 2, ... modulo n. The stand-in is made with the draws of the
    position it stands at. So what stands in depends on the index and its key alone, and
    neither on what failed before nor on the number of workers; order, length and resume
    stay exact. Each bad sample is logged once and listed in `quarantine.jsonl` in the
    folder of the run.

    A lack of memory is not the sample's fault and ends the run. In an evaluation a
    stand-in counts twice and the bad sample not at all: read the log before the score.

    Args:
        budget: How many different samples may be bad, in all epochs and, with a run
            folder, over all continuations of the run; one more ends the run.
        max_tries: How many indices in a row to try as a stand-in.

    Raises:
        ValueError: If a number is out of range.

    Example:
        >>> SkipBadSamples(budget=10).stand_ins(8, 10)
        [9, 0, 1, 2, 3, 4, 5, 6, 7]
    """

    def __init__(self, budget: int = 100, max_tries: int = 20) -> None:
        if budget < 0 or max_tries < 1:
            raise ValueError(
                f"budget must be at least 0 and max_tries at least 1, got {budget} and {max_tries}"
            )
        self.budget = budget
        self.max_tries = max_tries

    def stand_ins(self, index: int, length: int) -> list[int]:
        """The indices to try in place of a bad one, in order."""
        return [(index + n) % length for n in range(1, min(self.max_tries, length - 1) + 1)]


class Quarantine:
    """The bad samples of a run, each once.

    Args:
        budget: How many there may be.
        folder: Where the list is kept; None keeps none.
    """

    def __init__(self, budget: int, folder: Path | None) -> None:
        self.budget = budget
        self.path = None if folder is None else folder / QUARANTINE_FILE
        self.known = {(bad.index, bad.file): bad for bad in self._read()}

    def add(self, samples: list[BadSample]) -> None:
        """Log and list those that are new.

        Raises:
            SampleError: If there are more than the budget allows.
        """
        for bad in samples:
            if (bad.index, bad.file) in self.known:
                continue
            self.known[bad.index, bad.file] = bad
            count = f"{len(self.known)} of at most {self.budget}"
            logger.warning("left out bad sample %s (%s)", _named(bad), count)
            self._append(bad)
        if len(self.known) > self.budget:
            listed = "\n".join(f"  {_named(bad)}" for bad in self.known.values())
            where = "" if self.path is None else f", listed in {self.path}"
            raise SampleError(
                f"{len(self.known)} bad samples, and the budget is {self.budget}{where}: mend or "
                f"remove them, or allow more\n{listed}"
            )

    def _append(self, bad: BadSample) -> None:
        if self.path is None:
            return
        self.path.parent.mkdir(parents=True, exist_ok=True)
        line = json.dumps(asdict(bad)) + "\n"  # in ASCII, whatever the name of the file
        descriptor = os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o644)
        try:
            size = os.fstat(descriptor).st_size
            if size and os.pread(descriptor, 1, size - 1) != b"\n":
                line = "\n" + line  # a crash cut the line before short
            os.write(descriptor, line.encode())  # at once, so that processes may share the file
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def _read(self) -> Iterator[BadSample]:
        if self.path is None or not self.path.exists():
            return
        for line in self.path.read_text("utf-8", "replace").splitlines():
            if (bad := _parsed(line)) is not None:
                yield bad


def _parsed(line: str) -> BadSample | None:
    """What a line says; None if it is empty or was cut short by a crash."""
    try:
        values: Any = json.loads(line)
        return BadSample(**{field.name: values[field.name] for field in fields(BadSample)})
    except (ValueError, KeyError, TypeError):
        return None


def _named(bad: BadSample) -> str:
    file = "" if bad.file is None else f" ({bad.file})"
    return f"{bad.index}{file} (epoch {bad.epoch}, position {bad.position}): {bad.error}"
