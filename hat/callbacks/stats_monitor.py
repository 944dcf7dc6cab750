"""Watches losses, learning rate, speed and memory."""

import sys
from collections.abc import Mapping, Sequence
from time import perf_counter
from typing import Any

import torch
from torch import Tensor

from hat.callbacks.base import Callback
from hat.data.sample import num_samples
from hat.engine.progress import Plan, Progress, StepOutcome
from hat.engine.scores import Scores


class StatsMonitor(Callback):
    """Writes means over every few steps, and over what is left at the end of an epoch.

    Scores: `train/loss` and, if there are several or they are of tasks, each loss by its name,
    a mean over the steps that had it; `train/lr` of the first parameter group;
    `train/samples_per_s`; `train/data_wait`, the share of the time spent waiting for data;
    `train/eta_s`, seconds left; `train/memory_mib`, the peak of the device, or of this process
    on the CPU. Only committed steps count.

    Losses stay on the device until they are written.

    Args:
        interval_steps: Committed steps between writings.

    Raises:
        ValueError: If the interval is below 1.
    """

    def __init__(self, interval_steps: int = 50) -> None:
        if interval_steps < 1:
            raise ValueError(f"interval_steps must be at least 1, got {interval_steps}")
        self.interval_steps = interval_steps
        self._outcomes: list[StepOutcome] = []
        self._restart_clock()

    def writes(self) -> list[str]:
        return ["train/*"]

    def on_loop_begin(self, *, progress: Progress, **kwargs: Any) -> None:
        self._restart_clock()
        self._begun_at = (perf_counter(), progress.num_steps_done)

    def on_step_begin(self, *, data_wait_s: float, **kwargs: Any) -> None:
        self._step_wait_s = data_wait_s
        self._step_begun_s = perf_counter() - data_wait_s

    def on_step_end(
        self,
        *,
        optimizer: torch.optim.Optimizer,
        progress: Progress,
        plan: Plan,
        scores: Scores,
        batches: Sequence[Any],
        outcome: StepOutcome,
        **kwargs: Any,
    ) -> None:
        if outcome.skip_reason is not None:
            return
        self._outcomes.append(outcome)
        # Summed over steps: validation and saving in between are no part of the speed.
        self._elapsed_s += perf_counter() - self._step_begun_s
        self._data_wait_s += self._step_wait_s
        for batch in batches:
            self._num_samples += num_samples(batch)
        if len(self._outcomes) >= self.interval_steps:
            self._write(optimizer, progress, plan, scores)

    def on_epoch_end(
        self,
        *,
        optimizer: torch.optim.Optimizer,
        progress: Progress,
        plan: Plan,
        scores: Scores,
        **kwargs: Any,
    ) -> None:
        if progress.is_between_epochs and self._outcomes:
            self._write(optimizer, progress, plan, scores)

    def state_dict(self) -> dict[str, Any]:
        return {
            "loss": [outcome.loss for outcome in self._outcomes],
            "losses": [outcome.losses for outcome in self._outcomes],
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self._outcomes = [
            StepOutcome(losses, loss)
            for loss, losses in zip(state["loss"], state["losses"], strict=True)
        ]

    def _write(
        self, optimizer: torch.optim.Optimizer, progress: Progress, plan: Plan, scores: Scores
    ) -> None:
        step, now = progress.num_steps_done, perf_counter()
        for name, losses in self._collected().items():
            mean = torch.stack(losses).double().mean().item()
            scores.write(f"train/{name}", mean, step, higher_is_better=False)
        scores.write("train/lr", float(optimizer.param_groups[0]["lr"]), step)
        if self._num_samples:  # not when a run is resumed just before it writes
            scores.write("train/samples_per_s", self._num_samples / self._elapsed_s, step)
            scores.write("train/data_wait", self._data_wait_s / self._elapsed_s, step)
        begun_s, begun_steps = self._begun_at
        if plan.num_steps is not None and step > begun_steps:
            step_s = (now - begun_s) / (step - begun_steps)
            scores.write("train/eta_s", max(0, plan.num_steps - step) * step_s, step)
        scores.write("train/memory_mib", peak_memory_mib(), step)
        self._outcomes = []
        self._restart_clock()

    def _collected(self) -> dict[str, list[Tensor]]:
        """The sum, and the losses by name where there are several or they are of tasks."""
        collected: dict[str, list[Tensor]] = {}
        names = {name for outcome in self._outcomes for name in outcome.losses}
        has_parts = len(names) > 1 or any("/" in name for name in names)
        for outcome in self._outcomes:
            assert outcome.loss is not None
            parts = outcome.losses if has_parts else {}
            for name, loss in {**parts, "loss": outcome.loss}.items():
                collected.setdefault(name, []).append(loss)
        for losses in collected.values():
            if losses[0].device != losses[-1].device:  # those of a checkpoint are on the CPU
                losses[:] = [loss.to(losses[-1].device) for loss in losses]
        return collected

    def _restart_clock(self) -> None:
        self._elapsed_s = 0.0
        self._num_samples = 0
        self._data_wait_s = 0.0


def peak_memory_mib() -> float:
    """The most memory that was in use so far: the GPU's if one is in use, else this process's."""
    if torch.cuda.is_initialized():
        return torch.cuda.max_memory_allocated() / 2**20
    if sys.platform == "win32":
        return 0.0
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2**20 if sys.platform == "darwin" else peak / 2**10
