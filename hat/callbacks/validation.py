"""Validates the model while it is trained."""

import contextlib
from pathlib import Path
from typing import Any, Literal, Protocol

from torch import nn

from hat.callbacks.base import Callback
from hat.callbacks.exponential_moving_average import ExponentialMovingAverage
from hat.engine.progress import Progress, StepOutcome
from hat.engine.scores import Scores
from hat.engine.state import TrainingState


class Evaluator(Protocol):
    """What validates: HAT's `Predictor`, or anything alike."""

    model: nn.Module
    score_names: list[str]

    def fit(self) -> Scores:
        """Run over the data once and return scores."""
        ...


class Validation(Callback):
    """Runs a predictor every few epochs or steps, and at the planned end; writes its scores.

    Args:
        predictor: On the model that is trained; in a config, give both the same dict.
        every: After how many epochs or steps.
        by: The unit of `every`.
        weights: The averaged weights to validate with, in place of the model's.

    Raises:
        ValueError: If `every` is below 1, or the predictor has another model than the trainer.
    """

    def __init__(
        self,
        predictor: Evaluator,
        every: int = 1,
        by: Literal["epoch", "step"] = "epoch",
        weights: ExponentialMovingAverage | None = None,
    ) -> None:
        if every < 1:
            raise ValueError(f"every must be at least 1, got {every}")
        if by not in ("epoch", "step"):
            raise ValueError(f"by must be 'epoch' or 'step', got {by!r}")
        self.predictor = predictor
        self.every = every
        self.by = by
        self.weights = weights
        self._validated_at: int | None = None

    def writes(self) -> list[str]:
        return list(self.predictor.score_names)

    def check(
        self,
        *,
        model: nn.Module,
        state: TrainingState | None,
        run_dir: Path | None,
        **kwargs: Any,
    ) -> None:
        if self.weights is not None and state is not None:
            others = list(state.callbacks.values())
            if self.weights not in others:
                raise ValueError(
                    "Validation: the averaged weights to validate with are not among the callbacks"
                )
            if others.index(self.weights) > others.index(self):
                name = type(self.weights).__name__
                raise ValueError(
                    f"Validation would use averaged weights that are a step old: list {name} "
                    "before Validation"
                )
        if self.predictor.model is not model:
            raise ValueError(
                "Validation: the predictor has another model than the trainer; in a config, "
                "write the model's dict once and give both the same name"
            )
        if hasattr(self.predictor, "lend_run_dir"):
            self.predictor.lend_run_dir(run_dir)

    def on_step_end(
        self, *, progress: Progress, scores: Scores, outcome: StepOutcome, **kwargs: Any
    ) -> None:
        is_due = self.by == "step" and progress.num_steps_done % self.every == 0
        if is_due and outcome.is_committed:
            self._validate(progress, scores)

    def on_epoch_end(self, *, progress: Progress, scores: Scores, **kwargs: Any) -> None:
        is_due = self.by == "epoch" and progress.num_epochs_done % self.every == 0
        if is_due and progress.is_between_epochs:
            self._validate(progress, scores)

    def on_loop_end(self, *, progress: Progress, scores: Scores, **kwargs: Any) -> None:
        if progress.stop_reason is None and self._validated_at != progress.num_steps_done:
            self._validate(progress, scores)

    def state_dict(self) -> dict[str, Any]:
        return {"validated_at": self._validated_at}

    def load_state_dict(self, state: Any) -> None:
        self._validated_at = state["validated_at"]

    def _validate(self, progress: Progress, scores: Scores) -> None:
        averaged = (
            contextlib.nullcontext()
            if self.weights is None
            else self.weights.applied(self.predictor.model)
        )
        with averaged:
            found = self.predictor.fit()
        self._validated_at = progress.num_steps_done
        for name in found:
            value = found.last(name).value
            scores.write(name, value, progress.num_steps_done, found.higher_is_better(name))
