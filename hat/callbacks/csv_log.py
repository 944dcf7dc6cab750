"""Writes every score to a table that any program reads."""

import csv
from pathlib import Path
from typing import IO, Any

from hat.callbacks.base import Callback
from hat.engine.progress import Progress
from hat.engine.scores import ScoreFeed, Scores
from hat.files import replacing

_COLUMNS = ("step", "epoch", "name", "value")


class CsvLog(Callback):
    """Keeps a file with the columns step, epoch, name, value: a row for each score written.

    A resumed run goes on in the same file; rows of steps that are done again are dropped
    first.

    Args:
        path: The file; by default `scores.csv` in the run's folder.

    Raises:
        ValueError: When the engine is built, if there is no folder to write to.
    """

    def __init__(self, path: str | Path | None = None) -> None:
        self.path = None if path is None else Path(path)
        self._file: IO[str] | None = None
        self._feed: ScoreFeed | None = None

    def check(self, *, run_dir: Path | None, **kwargs: Any) -> None:
        if self.path is None:
            if run_dir is None:
                raise ValueError("CsvLog has no file: give it path=, or the Trainer run_dir=")
            self.path = run_dir / "scores.csv"

    def on_loop_begin(self, *, progress: Progress, scores: Scores, **kwargs: Any) -> None:
        assert self.path is not None
        self.path.parent.mkdir(parents=True, exist_ok=True)
        _keep_rows_until(self.path, progress.num_steps_done)
        self._file = self.path.open("a", newline="", encoding="utf-8")
        self._feed = ScoreFeed(scores)

    def on_step_end(self, *, progress: Progress, **kwargs: Any) -> None:
        self._write_new(progress)

    def on_epoch_end(self, *, progress: Progress, **kwargs: Any) -> None:
        self._write_new(progress)

    def on_close(self, *, progress: Progress, **kwargs: Any) -> None:
        if self._file is not None:
            self._write_new(progress)
            self._file.close()
            self._file = self._feed = None

    def _write_new(self, progress: Progress) -> None:
        assert self._feed is not None
        assert self._file is not None
        new = self._feed.take()
        writer = csv.writer(self._file)
        for name, score in new:
            writer.writerow([score.step, progress.num_epochs_done, name, repr(score.value)])
        if new:
            self._file.flush()


def _keep_rows_until(path: Path, step: int) -> None:
    rows: list[list[str]] = []
    if path.exists():
        with path.open(newline="", encoding="utf-8") as file:
            rows = [row for row in csv.reader(file) if len(row) == len(_COLUMNS)][1:]
    with replacing(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(_COLUMNS)
        writer.writerows(row for row in rows if int(row[0]) <= step)
