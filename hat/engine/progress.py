"""Where a run stands, how long it will be, and what became of a step."""

from dataclasses import dataclass, field
from typing import Literal

from torch import Tensor


@dataclass
class Progress:
    """How far the run has come. Only finished work is counted, before the `_end` hooks.

    Args:
        num_epochs_done: Whole epochs.
        num_steps_done: Steps that changed the weights.
        num_steps_skipped: Steps that did not: overflow, not finite by policy, or no truth.
        num_epoch_steps_done: Steps taken of the running epoch, skipped ones too; 0
            between epochs. It is the position from which a resumed epoch goes on.
        stop_reason: Why this call to `fit` should end; not saved.
    """

    num_epochs_done: int = 0
    num_steps_done: int = 0
    num_steps_skipped: int = 0
    num_epoch_steps_done: int = 0
    stop_reason: str | None = None

    @property
    def is_between_epochs(self) -> bool:
        """Whether no epoch has been begun and left unfinished."""
        return self.num_epoch_steps_done == 0

    @property
    def num_steps_tried(self) -> int:
        """Steps taken in all: the position of the model's randomness."""
        return self.num_steps_done + self.num_steps_skipped

    def stop(self, reason: str) -> None:
        """Ask the loop to end after the current step. The first reason is kept."""
        self.stop_reason = self.stop_reason or reason

    def state_dict(self) -> dict[str, int]:
        return {
            "num_epochs_done": self.num_epochs_done,
            "num_steps_done": self.num_steps_done,
            "num_steps_skipped": self.num_steps_skipped,
            "num_epoch_steps_done": self.num_epoch_steps_done,
        }

    def load_state_dict(self, state: dict[str, int]) -> None:
        for name in self.state_dict():
            setattr(self, name, state[name])


@dataclass(frozen=True)
class Plan:
    """How long a run will be.

    Args:
        stop_by: What `num_epochs` or `num_steps` ends the run.
        num_epochs: Epochs to do, where they end the run.
        num_steps: Steps to do in all; None if the data has no length to tell by.
        steps_per_epoch: Steps in an epoch; None if the data has no length.
        seed: From which every random draw of the run comes.
    """

    stop_by: Literal["epoch", "step"]
    num_epochs: int | None
    num_steps: int | None
    steps_per_epoch: int | None
    seed: int = 0

    @property
    def end_step(self) -> int | None:
        """The committed step after which the run ends, even inside an epoch."""
        return self.num_steps if self.stop_by == "step" else None

    def is_done(self, progress: Progress) -> bool:
        """Whether a run that stands there has come to its planned end."""
        if self.stop_by == "epoch":
            return progress.num_epochs_done >= (self.num_epochs or 0)
        return progress.num_steps_done >= (self.num_steps or 0)


@dataclass(slots=True)
class StepOutcome:
    """What becomes of one step: committed, unless something has asked to skip it.

    Args:
        losses: Named losses of the step, means over its samples, detached scalars on
            the device.
        loss: Their sum.
        skip_reason: Why the weights stay as they are.
        is_scaled: Whether the gradients may have overflowed because the loss was
            scaled up; the scaler then skips the step and scales less.
    """

    losses: dict[str, Tensor] = field(default_factory=dict)
    loss: Tensor | None = None
    skip_reason: str | None = None
    is_scaled: bool = False

    @property
    def is_committed(self) -> bool:
        return self.skip_reason is None

    def skip(self, reason: str) -> None:
        """Leave the weights unchanged in this step. The first reason is kept."""
        self.skip_reason = self.skip_reason or reason
