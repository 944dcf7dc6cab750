"""Tells when a score has stopped getting better."""

from collections.abc import Mapping
from typing import Any, Literal

from hat.engine.scores import Scores, is_better


class Patience:
    """Counts the writings of a score that were no improvement.

    Args:
        owner: Who asks, for messages.
        score: Which.
        patience: Writings without improvement before it is over.
        min_delta: How much better than the best counts as improvement.
        mode: Whether larger or smaller is better; by default as the writer says.

    Raises:
        ValueError: If a setting is out of range.
    """

    def __init__(
        self,
        owner: str,
        score: str,
        patience: int,
        min_delta: float,
        mode: Literal["max", "min"] | None,
    ) -> None:
        if patience < 1 or min_delta < 0:
            raise ValueError(
                f"needs patience >= 1 and min_delta >= 0, got {patience=} {min_delta=}"
            )
        if mode not in ("max", "min", None):
            raise ValueError(f"mode must be 'max', 'min' or None, got {mode!r}")
        self.owner = owner
        self.score = score
        self.patience = patience
        self.min_delta = min_delta
        self.mode = mode
        self.best: float | None = None
        self.num_bad = 0
        self._seen_at = -1

    @property
    def is_over(self) -> bool:
        """Whether the score has not improved for as long as was waited."""
        return self.num_bad >= self.patience

    def look(self, scores: Scores) -> None:
        """Count the newest value, unless it was counted already."""
        if self.score not in scores or scores.last(self.score).step == self._seen_at:
            return
        value, self._seen_at = scores.last(self.score)
        higher = self._higher(scores)
        margin = self.min_delta if higher else -self.min_delta
        if is_better(value - margin, self.best, higher):
            self.best, self.num_bad = value, 0
        else:
            self.num_bad += 1

    def reason(self) -> str:
        """Why it is over, as a sentence for the log."""
        if self.best is None:
            return f"{self.score} was NaN in its last {self.num_bad} values"
        return f"{self.score} has not improved on {self.best:g} in its last {self.num_bad} values"

    def state_dict(self) -> dict[str, Any]:
        return {"best": self.best, "num_bad": self.num_bad, "seen_at": self._seen_at}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.best, self.num_bad, self._seen_at = state["best"], state["num_bad"], state["seen_at"]

    def _higher(self, scores: Scores) -> bool:
        higher = scores.higher_is_better(self.score) if self.mode is None else self.mode == "max"
        if higher is None:
            raise ValueError(
                f"{self.owner}: nobody says whether '{self.score}' is better high or low: set mode="
            )
        return higher
