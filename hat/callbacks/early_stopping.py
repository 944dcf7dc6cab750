"""Ends a run that has stopped getting better."""

from collections.abc import Mapping
from typing import Any, Literal

from hat.callbacks.base import Callback
from hat.callbacks.patience import Patience
from hat.engine.progress import Progress
from hat.engine.scores import Scores


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
        self._patience = Patience("EarlyStopping", score, patience, min_delta, mode)

    def reads(self) -> list[str]:
        return [self._patience.score]

    def on_loop_begin(self, *, progress: Progress, **kwargs: Any) -> None:
        if self._patience.is_over:  # it had stopped already, and is resumed
            progress.stop(self._patience.reason())

    def on_step_end(self, *, progress: Progress, scores: Scores, **kwargs: Any) -> None:
        self._look(progress, scores)

    def on_epoch_end(self, *, progress: Progress, scores: Scores, **kwargs: Any) -> None:
        self._look(progress, scores)

    def state_dict(self) -> dict[str, Any]:
        return self._patience.state_dict()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self._patience.load_state_dict(state)

    def _look(self, progress: Progress, scores: Scores) -> None:
        self._patience.look(scores)
        if self._patience.is_over:
            progress.stop(self._patience.reason())
