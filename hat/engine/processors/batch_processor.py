"""What one training step does with its batches: forward, backward, update."""

import contextlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn

from hat.data.sample import Batch, num_samples
from hat.engine.processors.inputs import InputPreparation
from hat.engine.progress import StepOutcome

Hooks = Mapping[str, Sequence[Callable[..., None]]]
Precision = Literal["fp32", "bf16", "fp16"]

_DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}


class BatchProcessor:
    """One optimizer step from one or several batches.

    Several batches accumulate: each counts as the share of the step's samples that it
    holds, so their gradient is that of all samples in one batch, however the last
    ones are cut.

    Args:
        normalize: Turns a uint8 `img` into floats on the device; by default into 0..1.
        batch_transforms: See `InputPreparation`.
        precision: `fp32`; `bf16` runs the forward pass under autocast; `fp16` scales
            the loss besides, and skips steps that overflow.

    Raises:
        ValueError: If the precision is unknown.
    """

    def __init__(
        self,
        normalize: Callable[[Tensor], Tensor] | None = None,
        batch_transforms: Sequence[Callable[..., Any]] = (),
        precision: Precision = "fp32",
    ) -> None:
        if precision not in ("fp32", *_DTYPES):
            raise ValueError(f"precision must be fp32, bf16 or fp16, got {precision!r}")
        self.inputs = InputPreparation(normalize, batch_transforms)
        self.precision = precision
        self.scaler: torch.amp.GradScaler | None = None
        self._autocast: contextlib.AbstractContextManager[Any] | None = None

    def set_up(self, device: torch.device, channels_last: bool = False) -> None:
        """Prepare for a device; called once by the engine, before the first step."""
        self.inputs.move_to(device)
        self.inputs.channels_last = channels_last
        if self.precision != "fp32":
            self._autocast = torch.autocast(device.type, _DTYPES[self.precision])
        if self.precision == "fp16":
            self.scaler = torch.amp.GradScaler(device.type)

    def __call__(
        self,
        batches: Sequence[Batch],
        model: nn.Module,
        optimizer: torch.optim.Optimizer,
        hooks: Hooks,
    ) -> StepOutcome:
        """Do one step; the weights change unless a callback or an overflow skips it."""
        outcome = StepOutcome(is_scaled=self.scaler is not None)
        optimizer.zero_grad()
        self._accumulate(batches, model, hooks, outcome)
        if outcome.loss is None:  # nothing to learn from
            return outcome
        if self.scaler is not None:
            self.scaler.unscale_(optimizer)
        for call in hooks["on_optimizer_step_begin"]:
            call(batches=batches, outcome=outcome)
        if self.scaler is not None:
            self._update_scaled(self.scaler, optimizer, outcome)
        elif outcome.skip_reason is None:
            optimizer.step()
        return outcome

    def _accumulate(
        self, batches: Sequence[Batch], model: nn.Module, hooks: Hooks, outcome: StepOutcome
    ) -> None:
        """Give the parameters the gradient of the step, and `outcome` its losses.

        A subclass that finds nothing to learn from leaves `outcome.loss` None and skips it.
        """
        if len(batches) == 1:
            self._batch(batches[0], model, hooks, outcome, None)
            return
        counts = [num_samples(batch) for batch in batches]
        for batch, count in zip(batches, counts, strict=True):
            self._batch(batch, model, hooks, outcome, count / sum(counts))

    def _batch(
        self, batch: Batch, model: nn.Module, hooks: Hooks, outcome: StepOutcome, share: Any
    ) -> None:
        batch = self.inputs(batch)
        for call in hooks["on_batch_begin"]:
            call(batch=batch)
        if self._autocast is None:
            losses, preds = model(batch)
        else:
            with self._autocast:
                losses, preds = model(batch)
        loss = total_loss(losses)
        for call in hooks["on_backward_begin"]:
            call(batch=batch, losses=losses, loss=loss)
        weighted = self._weigh(losses, loss, share, outcome)
        if not weighted.requires_grad:
            raise ValueError(
                f"the losses {', '.join(losses)} depend on nothing that is trained: all that they "
                "go through is frozen. Unfreeze a part, or leave out what they are computed from"
            )
        if self.scaler is not None:
            weighted = self.scaler.scale(weighted)
        weighted.backward()
        for call in hooks["on_backward_end"]:
            call(batch=batch, losses=losses, loss=loss)
        for call in hooks["on_batch_end"]:
            call(batch=batch, losses=losses, loss=loss, preds=preds)

    def _weigh(
        self, losses: dict[str, Tensor], loss: Tensor, share: Any, outcome: StepOutcome
    ) -> Tensor:
        """Add a batch's losses to those of the step, and give the part of it to differentiate.

        Args:
            losses: By name.
            loss: Their sum.
            share: What the batch counts; None if it is the whole step.
            outcome: What to add to.
        """
        if share is None:
            outcome.loss = loss.detach()
            if len(losses) == 1:
                outcome.losses = dict.fromkeys(losses, outcome.loss)
            else:
                outcome.losses = {name: value.detach() for name, value in losses.items()}
            return loss
        part = loss * share
        add_losses(outcome, part, losses, [share] * len(losses))
        return part

    def _update_scaled(
        self,
        scaler: torch.amp.GradScaler,
        optimizer: torch.optim.Optimizer,
        outcome: StepOutcome,
    ) -> None:
        scale = scaler.get_scale()
        if outcome.skip_reason is None:
            scaler.step(optimizer)
        scaler.update()
        if scaler.get_scale() < scale:  # it shrinks only when a gradient overflowed
            outcome.skip(f"float16 gradients overflowed at loss scale {scale:g}")

    def state_dict(self) -> dict[str, Any]:
        return {"scaler": self.scaler.state_dict()} if self.scaler is not None else {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        if self.scaler is not None and "scaler" in state:
            self.scaler.load_state_dict(state["scaler"])


def total_loss(losses: dict[str, Tensor]) -> Tensor:
    """The plain sum of named losses.

    Raises:
        ValueError: If there is none: the batch lacks what the model learns from.
    """
    total: Tensor | None = None
    for loss in losses.values():  # `sum` would start at 0 and pay for one more addition
        total = loss if total is None else total + loss
    if total is None:
        raise ValueError("the model returned no losses: the batch lacks its truth, 'label' say")
    return total


def add_losses(
    outcome: StepOutcome, loss: Tensor, losses: Mapping[str, Tensor], shares: Iterable[float]
) -> None:
    """Add a batch's part of the step's loss, and the share that each of its losses counts."""
    loss = loss.detach()
    outcome.loss = loss if outcome.loss is None else outcome.loss + loss
    for (name, value), share in zip(losses.items(), shares, strict=True):
        part = value.detach() * share
        outcome.losses[name] = outcome.losses[name] + part if name in outcome.losses else part
