"""Writes every score where TensorBoard finds it."""

from pathlib import Path
from typing import Any

from hat.callbacks.base import Callback
from hat.engine.progress import Progress
from hat.engine.scores import ScoreFeed, Scores


class TensorBoard(Callback):
    """Writes scores as scalars, at the step they belong to.

    Args:
        folder: Where to; by default `tensorboard` in the run's folder.

    Raises:
        ImportError: If tensorboard is not installed.
        ValueError: When the engine is built, if there is no folder to write to.
    """

    def __init__(self, folder: str | Path | None = None) -> None:
        try:
            import torch.utils.tensorboard as tensorboard
        except ImportError as error:
            raise ImportError(
                "TensorBoard needs one more package: pip install 'hat-framework[tensorboard]'"
            ) from error
        self._make_writer = tensorboard.SummaryWriter
        self.folder = None if folder is None else Path(folder)
        self._writer: Any = None
        self._feed: ScoreFeed | None = None

    def check(self, *, run_dir: Path | None, **kwargs: Any) -> None:
        if self.folder is None:
            if run_dir is None:
                raise ValueError(
                    "TensorBoard has no folder: give it folder=, or the Trainer run_dir="
                )
            self.folder = run_dir / "tensorboard"

    def on_loop_begin(self, *, progress: Progress, scores: Scores, **kwargs: Any) -> None:
        # What an earlier run left of the steps that are done again is not shown.
        step = progress.num_steps_done + 1
        self._writer = self._make_writer(str(self.folder), purge_step=step)
        self._feed = ScoreFeed(scores)

    def on_step_end(self, **kwargs: Any) -> None:
        self._write_new()

    def on_epoch_end(self, **kwargs: Any) -> None:
        self._write_new()

    def on_close(self, **kwargs: Any) -> None:
        if self._writer is not None:
            self._write_new()
            self._writer.close()
            self._writer = self._feed = None

    def _write_new(self) -> None:
        assert self._feed is not None
        for name, score in self._feed.take():
            self._writer.add_scalar(name, score.value, score.step)
