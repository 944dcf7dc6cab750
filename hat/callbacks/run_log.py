"""Writes what is known of a run into its folder: a line per step, the scores in one file."""

import json
from pathlib import Path
from typing import IO, Any

from hat.callbacks.base import Callback
from hat.callbacks.plain_json import json_values
from hat.engine.progress import Progress
from hat.engine.scores import ScoreFeed, Scores
from hat.files import replacing

LOG_NAME = "log.jsonl"
SCORES_NAME = "scores.json"


class RunLog(Callback):
    """Keeps `log.jsonl`, every score as it is written, and `scores.json`, last and best of each.

    A resumed run goes on in the same file; lines of steps that are done again are
    dropped first.

    Args:
        folder: Where to; by default the run's folder.

    Raises:
        ValueError: When the engine is built, if there is no folder to write to.
    """

    def __init__(self, folder: str | Path | None = None) -> None:
        self.folder = None if folder is None else Path(folder)
        self._file: IO[str] | None = None
        self._feed: ScoreFeed | None = None

    def check(self, *, run_dir: Path | None, **kwargs: Any) -> None:
        self.folder = self.folder or run_dir
        if self.folder is None:
            raise ValueError("RunLog has no folder: give it folder=, or the Trainer run_dir=")

    def on_loop_begin(self, *, progress: Progress, scores: Scores, **kwargs: Any) -> None:
        assert self.folder is not None
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / LOG_NAME
        _drop_lines_after(path, progress.num_steps_done)
        self._file = path.open("a", encoding="utf-8")
        self._feed = ScoreFeed(scores)

    def on_step_end(self, *, progress: Progress, **kwargs: Any) -> None:
        self._write_new(progress)

    def on_epoch_end(self, *, progress: Progress, scores: Scores, **kwargs: Any) -> None:
        self._write_new(progress)
        self._write_scores(scores)

    def on_close(self, *, progress: Progress, scores: Scores, **kwargs: Any) -> None:
        if self._file is not None:
            self._write_new(progress)
            self._write_scores(scores)
            self._file.close()
            self._file = self._feed = None

    def _write_new(self, progress: Progress) -> None:
        assert self._feed is not None
        assert self._file is not None
        lines: dict[int, dict[str, Any]] = {}
        for name, score in self._feed.take():
            head = {"step": score.step, "epoch": progress.num_epochs_done}
            lines.setdefault(score.step, head)[name] = score.value
        for line in lines.values():
            self._file.write(json.dumps(json_values(line)) + "\n")
        if lines:
            self._file.flush()

    def _write_scores(self, scores: Scores) -> None:
        assert self.folder is not None
        text = json.dumps(json_values(scores.summary()), indent=1) + "\n"
        with replacing(self.folder / SCORES_NAME) as temporary:
            temporary.write_text(text, encoding="utf-8")


def read_log(path: Path) -> list[dict[str, Any]]:
    """The lines of a `log.jsonl`; a last line that was cut short is left out."""
    if not path.exists():
        return []
    lines = []
    for text in path.read_text(encoding="utf-8").splitlines():
        try:
            lines.append(json.loads(text))
        except ValueError:
            break
    return lines


def _drop_lines_after(path: Path, step: int) -> None:
    lines = read_log(path)
    kept = [line for line in lines if line["step"] <= step]
    if path.exists():
        text = "".join(json.dumps(line) + "\n" for line in kept)
        with replacing(path) as temporary:
            temporary.write_text(text, encoding="utf-8")
