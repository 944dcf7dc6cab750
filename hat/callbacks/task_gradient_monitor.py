"""Watches how strongly tasks pull at what they share, and whether in the same direction."""

from typing import Any

from torch import Tensor, nn

from hat.callbacks.base import Callback
from hat.callbacks.task_gradients import StepGradients, dot, on_common, pairs
from hat.engine.progress import Progress, StepOutcome
from hat.engine.scores import Scores


class TaskGradientMonitor(Callback):
    """Writes norms and cosines of the tasks' gradients on shared parameters, every few steps.

    Scores, of the tasks that a step has: `train/det/grad_norm`, the norm of the gradient of
    det's losses by the parameters that det shares with any other task; `train/grad_cos/det-seg`,
    the cosine between the gradients of two tasks on the parameters that both use, -1 to 1, below
    0 where they work against each other. A pair of which one gradient is 0 has no cosine.

    The gradients are those of the whole step, each batch counted as the batch processor
    counts it, before `GradientSurgery` and clipping; with several processes, those of this one.
    A step that is looked at costs a backward pass more for each task; the others cost nothing.

    Args:
        interval_steps: Committed steps between writings.

    Raises:
        ValueError: If the interval is below 1; when the engine is built, if the model is no
            `GraphModel`, no two of its tasks share parameters, or the loss is scaled for
            float16.
    """

    def __init__(self, interval_steps: int = 50) -> None:
        if interval_steps < 1:
            raise ValueError(f"interval_steps must be at least 1, got {interval_steps}")
        self.interval_steps = interval_steps
        self._gradients: StepGradients | None = None
        self._is_due = False

    def writes(self) -> list[str]:
        return ["train/*/grad_norm", "train/grad_cos/*"]

    def check(self, *, model: nn.Module, state: Any, **kwargs: Any) -> None:
        if state is not None and state.processor.scaler is not None:
            raise ValueError(
                "TaskGradientMonitor takes gradients before they are scaled back, which float16 "
                "is too narrow for: train with precision='bf16' or 'fp32'"
            )
        self._gradients = StepGradients(model)

    def on_step_begin(self, *, progress: Progress, **kwargs: Any) -> None:
        self._is_due = (progress.num_steps_done + 1) % self.interval_steps == 0
        if self._is_due:
            self._step().begin_step()

    def on_backward_begin(self, *, losses: dict[str, Tensor], **kwargs: Any) -> None:
        if self._is_due:
            self._step().begin_backward(losses)

    def on_backward_end(self, **kwargs: Any) -> None:
        if self._is_due:
            self._step().end_backward()

    def on_step_end(
        self, *, progress: Progress, scores: Scores, outcome: StepOutcome, **kwargs: Any
    ) -> None:
        if not (self._is_due and outcome.is_committed):
            return
        tasks, step = self._step().tasks, progress.num_steps_done
        for task, gradient in tasks.items():
            norm = dot(gradient, gradient).sqrt().item()
            scores.write(f"train/{task}/grad_norm", norm, step)
        for one, other in pairs(tasks):
            left = on_common(tasks[one], tasks[other])
            right = on_common(tasks[other], tasks[one])
            norms = (dot(left, left).sqrt() * dot(right, right).sqrt()).item()
            if norms:
                cosine = dot(left, right).item() / norms
                scores.write(f"train/grad_cos/{one}-{other}", cosine, step)

    def _step(self) -> StepGradients:
        assert self._gradients is not None
        return self._gradients
