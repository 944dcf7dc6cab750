"""Sets the learning rate of every step."""

from dataclasses import dataclass
from typing import Any, Literal

import torch

from hat.callbacks.base import Callback
from hat.callbacks.schedules.schedules import Schedule
from hat.engine.progress import Plan, Progress


@dataclass(frozen=True)
class Warmup:
    """A learning rate that starts low: a factor on top of the schedule's.

    Args:
        length: How long it lasts, at least 1.
        start_factor: The factor at the start, above 0.
        mode: `linear` rises to 1; `constant` stays, then jumps to 1.
        by: The unit of `length`.
    """

    length: int
    start_factor: float = 0.01
    mode: Literal["linear", "constant"] = "linear"
    by: Literal["step", "epoch"] = "step"

    def __post_init__(self) -> None:
        if self.length < 1:
            raise ValueError(f"length must be at least 1, got {self.length}")
        if not 0 < self.start_factor <= 1:
            raise ValueError(f"start_factor must be in (0, 1], got {self.start_factor}")
        if self.mode not in ("linear", "constant"):
            raise ValueError(f"mode must be 'linear' or 'constant', got {self.mode!r}")
        if self.by not in ("step", "epoch"):
            raise ValueError(f"by must be 'step' or 'epoch', got {self.by!r}")

    def factor(self, done: int) -> float:
        """The factor after `done` units."""
        if done >= self.length:
            return 1.0
        if self.mode == "constant":
            return self.start_factor
        return self.start_factor + (1 - self.start_factor) * done / self.length


class LrUpdater(Callback):
    """Changes the optimizer's learning rates: the configured ones times a schedule's factor.

    The factor depends on committed steps, or whole epochs, alone: a skipped step does
    not advance it, and a resumed run goes on where it was.

    Args:
        schedule: One of `hat.callbacks.schedules`.
        by: The unit that the schedule counts in.
        warmup: A factor on top, at the beginning.

    Raises:
        ValueError: When the engine is built, if the schedule needs the length of the run
            and the data has none.
    """

    def __init__(
        self,
        schedule: Schedule,
        by: Literal["step", "epoch"] = "step",
        warmup: Warmup | None = None,
    ) -> None:
        if by not in ("step", "epoch"):
            raise ValueError(f"by must be 'step' or 'epoch', got {by!r}")
        self.schedule = schedule
        self.by = by
        self.warmup = warmup
        self._total = 0
        self._groups: list[tuple[dict[str, Any], float]] = []

    def check(self, *, plan: Plan, **kwargs: Any) -> None:
        self._total = self._length(plan)

    def on_loop_begin(self, *, optimizer: torch.optim.Optimizer, **kwargs: Any) -> None:
        for group in optimizer.param_groups:
            group.setdefault("initial_lr", float(group["lr"]))  # torch's own name for it
        self._groups = [(group, group["initial_lr"]) for group in optimizer.param_groups]

    def on_step_begin(self, *, progress: Progress, **kwargs: Any) -> None:
        done = progress.num_steps_done if self.by == "step" else progress.num_epochs_done
        if self._total:  # skipped steps can make a run longer than it was planned
            done = min(done, self._total)
        factor = self.schedule.factor(done, self._total)
        if self.warmup is not None:
            is_by_step = self.warmup.by == "step"
            warm = progress.num_steps_done if is_by_step else progress.num_epochs_done
            factor *= self.warmup.factor(warm)
        for group, lr in self._groups:
            group["lr"] = lr * factor

    def _length(self, plan: Plan) -> int:
        if self.by == "step":
            total = plan.num_steps
        elif plan.num_epochs is not None:
            total = plan.num_epochs
        elif plan.num_steps is not None and plan.steps_per_epoch:
            total = -(-plan.num_steps // plan.steps_per_epoch)
        else:
            total = None
        if total is None and self.schedule.needs_total:
            raise ValueError(
                f"{type(self.schedule).__name__} depends on how long the run is, and the data "
                "loader has no length: end the run by num_steps"
            )
        return total or 0
