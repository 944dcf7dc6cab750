"""Takes out of each task's gradient what works against the other tasks."""

from typing import Any

import torch
from torch import Tensor, nn

from hat.callbacks.base import Callback
from hat.callbacks.task_gradients import Gradient, StepGradients, dot, on_common
from hat.engine.progress import Plan, Progress
from hat.engine.state import TrainingState
from hat.seeding import SURGERY_STREAM, derive_key


class GradientSurgery(Callback):
    """Projects the gradients of tasks that conflict on what they share, as PCGrad does.

    On the parameters of a `GraphModel` that two tasks or more use, the gradient g_i of each
    task is compared with that of every other one, in an order drawn for each step: where the
    inner product with g_j is negative, g_i loses its part along g_j,
    `g_i -= (g_i . g_j) / |g_j|^2 * g_j`. g_j is the other task's own gradient, before any
    projection. The step takes the sum of what is left. Without a conflict it is bit for bit the
    plain gradient. Parameters of one task alone are never changed.

    Tasks need not all use the same: two tasks are compared, and projected, on the parameters
    that both use. A step may have several batches: what is compared is the gradient of a
    task over all of them, each counted as the batch processor counts it, so that tasks conflict
    also where each has batches of its own. With several processes each one projects the
    gradients of its own batches, and the results are summed.

    Each task costs a backward pass through what it shares, on top of the usual one, and a
    vector of the size of that. Losses are taken as they are, after `task_weights` and
    `balance`.

    Raises:
        ValueError: When the engine is built, if the model is no `GraphModel`, no two of its
            tasks share parameters, or the loss is scaled for float16.

    Reference:
        Yu et al., Gradient Surgery for Multi-Task Learning, NeurIPS 2020, algorithm 1. There
        all tasks share all parameters of the comparison.
    """

    def __init__(self) -> None:
        self._gradients: StepGradients | None = None
        self._change: Gradient = {}
        self._task_names: tuple[str, ...] = ()

    def check(self, *, model: nn.Module, state: TrainingState | None, **kwargs: Any) -> None:
        if state is not None and state.processor.scaler is not None:
            raise ValueError(
                "GradientSurgery compares gradients before they are scaled back, which float16 "
                "is too narrow for: train with precision='bf16' or 'fp32'"
            )
        self._gradients = StepGradients(model)
        self._task_names = tuple(model.task_names)  # type: ignore[arg-type]

    def on_step_begin(self, **kwargs: Any) -> None:
        self._step().begin_step()
        self._change = {}

    def on_backward_begin(self, *, losses: dict[str, Tensor], **kwargs: Any) -> None:
        self._step().begin_backward(losses)

    def on_backward_end(self, *, progress: Progress, plan: Plan, **kwargs: Any) -> None:
        step = self._step()
        step.end_backward()
        if len(step.tasks) < 2:
            return
        # Nobody says which batch is the last of its step: each brings the gradient to where it
        # would be if it were.
        key = derive_key(plan.seed, SURGERY_STREAM, progress.num_steps_tried)
        change = projection(step.tasks, {task: self._order(task, key) for task in step.tasks})
        before, self._change = self._change, change
        step.add_to_grad({users: v - before.get(users, 0) for users, v in change.items()})

    def _order(self, task: str, key: int) -> list[str]:
        """The other tasks, in the order drawn for this one."""
        own = self._task_names.index(task)
        others = [n for n in range(len(self._task_names)) if n != own]
        return [self._task_names[n] for n in sorted(others, key=lambda n: derive_key(key, own, n))]

    def _step(self) -> StepGradients:
        assert self._gradients is not None
        return self._gradients


def projection(tasks: dict[str, Gradient], orders: dict[str, list[str]]) -> Gradient:
    """What projecting changes in the sum of the tasks' gradients.

    Args:
        tasks: The gradient of each task.
        orders: Of each task, the others in the order in which it is compared with them.

    Returns:
        Vectors to add to the sum; zeros where nothing conflicts.
    """
    change: Gradient = {}
    for task, own in tasks.items():
        projected = dict(own)
        for name in orders[task]:
            other = on_common(tasks.get(name, {}), own)
            if not other:
                continue
            conflict = dot(projected, other).clamp(max=0)
            # 0 / 0 where the other gradient vanishes; no wait for the device to look.
            factor = conflict / dot(other, other).clamp(min=torch.finfo(conflict.dtype).tiny)
            for users, vector in other.items():
                taken = factor * vector
                projected[users] = projected[users] - taken
                change[users] = change[users] - taken if users in change else -taken
    return change
