"""Takes a task out of training while the others go on."""

import logging
from collections.abc import Mapping
from typing import Any, Literal

from torch import nn

from hat.callbacks.base import Callback
from hat.callbacks.patience import Patience
from hat.engine.progress import Progress
from hat.engine.scores import Scores
from hat.models.graph.ownership import as_graph, own_modules

logger = logging.getLogger(__name__)


class StopTask(Callback):
    """Stops one task of a `GraphModel`: after a while, or when its score gets no better.

    From the next step on its nodes do not run in training, so that what it alone uses stays
    bit for bit as it is, running statistics, momentum and weight decay included. Validation
    goes on and still scores it. When the last task is stopped, the run ends.

    Args:
        task: Its name.
        after_steps: Stop it after so many committed steps.
        after_epochs: Stop it after so many epochs.
        score: Or stop it when this score has not improved; list this behind the callback that
            writes it.
        patience: Writings of the score without improvement before the task stops.
        min_delta: How much better than the best counts as improvement.
        mode: Whether a larger or smaller score is better; by default as the writer says.

    Raises:
        ValueError: If not exactly one of `after_steps`, `after_epochs` and `score` is given,
            or a number is out of range; when the engine is built, if there is no such task.
    """

    def __init__(
        self,
        task: str,
        *,
        after_steps: int | None = None,
        after_epochs: int | None = None,
        score: str | None = None,
        patience: int = 5,
        min_delta: float = 0.0,
        mode: Literal["max", "min"] | None = None,
    ) -> None:
        given = [value for value in (after_steps, after_epochs, score) if value is not None]
        if len(given) != 1:
            raise ValueError(
                "StopTask needs one of after_steps, after_epochs and score, got "
                f"{after_steps=}, {after_epochs=}, {score=}"
            )
        if score is None and given[0] < 0:  # type: ignore[operator]
            raise ValueError(f"a task is stopped after 0 or more, got {given[0]}")
        self.task = task
        self.after_steps = after_steps
        self.after_epochs = after_epochs
        self._patience = (
            None if score is None else Patience("StopTask", score, patience, min_delta, mode)
        )
        self.is_stopped = False

    def reads(self) -> list[str]:
        return [] if self._patience is None else [self._patience.score]

    def check(self, *, model: nn.Module, **kwargs: Any) -> None:
        own_modules(model, self.task)

    def on_loop_begin(
        self, *, model: nn.Module, progress: Progress, scores: Scores, **kwargs: Any
    ) -> None:
        if self.is_stopped:  # it was, and the run is resumed
            self._stop(model, progress)
        else:
            self._look(model, progress, scores)

    def on_step_end(
        self, *, model: nn.Module, progress: Progress, scores: Scores, **kwargs: Any
    ) -> None:
        self._look(model, progress, scores)

    def on_epoch_end(
        self, *, model: nn.Module, progress: Progress, scores: Scores, **kwargs: Any
    ) -> None:
        self._look(model, progress, scores)

    def state_dict(self) -> dict[str, Any]:
        patience = None if self._patience is None else self._patience.state_dict()
        return {"is_stopped": self.is_stopped, "patience": patience}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.is_stopped = state["is_stopped"]
        if self._patience is not None and state["patience"] is not None:
            self._patience.load_state_dict(state["patience"])

    def _look(self, model: nn.Module, progress: Progress, scores: Scores) -> None:
        if self.is_stopped:
            return
        reason = self._reason(progress, scores)
        if reason is not None:
            self.is_stopped = True
            logger.info(
                "task '%s' is trained no more after step %d: %s",
                self.task,
                progress.num_steps_done,
                reason,
            )
            self._stop(model, progress)

    def _reason(self, progress: Progress, scores: Scores) -> str | None:
        if self._patience is not None:
            self._patience.look(scores)
            return self._patience.reason() if self._patience.is_over else None
        if self.after_steps is not None and progress.num_steps_done >= self.after_steps:
            return f"{self.after_steps} steps are done"
        if self.after_epochs is not None and progress.num_epochs_done >= self.after_epochs:
            return f"{self.after_epochs} epochs are done"
        return None

    def _stop(self, model: nn.Module, progress: Progress) -> None:
        graph = as_graph(model)
        graph.active_tasks = tuple(name for name in graph.active_tasks if name != self.task)
        if not graph.active_tasks:
            progress.stop("all tasks are stopped")
