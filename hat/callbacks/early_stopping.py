"""Ends a run that has stopped getting better."""

import logging
from collections.abc import Mapping
from typing import Any, Literal

from hat.callbacks.base import Callback
from hat.engine.progress import Progress
from hat.engine.scores import Scores, is_better

logger = logging.getLogger(__name__)


class EarlyStopping(Callback):
    """Asks the loop to end when a score has not improved for some writings of it.

    Args:
        score: Which; list this behind the callback that writes it.
        patience: Writings without improvement before the run ends.
        min_delta: How much better than the best counts as improvement.
        mode: Whether larger or smaller is better; by default as the writer says.
    """

    def __init__(
        self,
        score: str,
        patience: int = 5,
        min_delta: float = 0.0,
        mode: Literal["max", "min"] | None = None,
    ) -> None:
        if patience < 1 or min_delta < 0:
            raise ValueError(
                f"needs patience >= 1 and min_delta >= 0, got {patience=} {min_delta=}"
            )
        if mode not in ("max", "min", None):
            raise ValueError(f"mode must be 'max', 'min' or None, got {mode!r}")
        self.score = score
        self.patience = patience
        self.min_delta = min_delta
        self.mode = mode
        self.best: float | None = None
        self.num_bad = 0
        self._seen_at = -1

    def reads(self) -> list[str]:
        return [self.score]

    def on_loop_begin(self, *, progress: Progress, **kwargs: Any) -> None:
        if self.num_bad >= self.patience:  # it had stopped already, and is resumed
            self._stop(progress)

    def on_step_end(self, *, progress: Progress, scores: Scores, **kwargs: Any) -> None:
        self._look(progress, scores)

    def on_epoch_end(self, *, progress: Progress, scores: Scores, **kwargs: Any) -> None:
        self._look(progress, scores)

    def state_dict(self) -> dict[str, Any]:
        return {"best": self.best, "num_bad": self.num_bad, "seen_at": self._seen_at}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.best, self.num_bad, self._seen_at = state["best"], state["num_bad"], state["seen_at"]

    def _look(self, progress: Progress, scores: Scores) -> None:
        if self.score not in scores or scores.last(self.score).step == self._seen_at:
            return
        value, self._seen_at = scores.last(self.score)
        higher = self._higher(scores)
        margin = self.min_delta if higher else -self.min_delta
        if is_better(value - margin, self.best, higher):
            self.best, self.num_bad = value, 0
            return
        self.num_bad += 1
        if self.num_bad >= self.patience:
            self._stop(progress)

    def _stop(self, progress: Progress) -> None:
        progress.stop(
            f"{self.score} has not improved on {self.best:g} in its last {self.num_bad} values"
            if self.best is not None
            else f"{self.score} was NaN in its last {self.num_bad} values"
        )

    def _higher(self, scores: Scores) -> bool:
        higher = scores.higher_is_better(self.score) if self.mode is None else self.mode == "max"
        if higher is None:
            raise ValueError(
                f"EarlyStopping: nobody says whether '{self.score}' is better high or "
                "low: set mode="
            )
        return higher
