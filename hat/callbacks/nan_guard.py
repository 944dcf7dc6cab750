"""Stops a run before a loss or a gradient that is not finite reaches the weights."""

import logging
import math
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, nn

from hat.callbacks.base import Callback
from hat.engine.progress import Progress, StepOutcome
from hat.errors import HatError

logger = logging.getLogger(__name__)


class NonFiniteError(HatError, FloatingPointError):
    """A loss or a gradient is NaN or infinite; the message names step and samples."""


class _Flag(NamedTuple):
    """A step whose verdict is still on its way from the device."""

    description: str
    is_bad: Tensor
    event: torch.cuda.Event | None


class NanGuard(Callback):
    """Checks loss and gradients of every step before the weights change.

    On the CPU the check is immediate. On a GPU a bad step is left out by the fused
    optimizer kernel itself, so nothing waits for the device, and the error follows as
    soon as the verdict arrives, a few steps later. Optimizers without a fused kernel,
    loss scaling and the policy `skip` need the verdict at once and wait for it.

    Args:
        policy: `stop` raises; `skip` leaves the step out, puts the running statistics of
            normalisation layers back, and counts.
        max_skips: How many steps may be left out before the run ends all the same.

    Raises:
        NonFiniteError: While training, by policy.
    """

    def __init__(self, policy: Literal["stop", "skip"] = "stop", max_skips: int = 10) -> None:
        if policy not in ("stop", "skip"):
            raise ValueError(f"policy must be 'stop' or 'skip', got {policy!r}")
        self.policy = policy
        self.max_skips = max_skips
        self.num_skips = 0
        self._parameters: list[nn.Parameter] = []
        self._buffers: list[Tensor] = []
        self._saved: list[Tensor] = []
        self._pending: deque[_Flag] = deque()
        self._can_defer = False

    def on_loop_begin(
        self, *, model: nn.Module, optimizer: torch.optim.Optimizer, **kwargs: Any
    ) -> None:
        self._parameters = [p for group in optimizer.param_groups for p in group["params"]]
        dtypes = {parameter.dtype for parameter in self._parameters}
        self._by_dtype = [[p for p in self._parameters if p.dtype == d] for d in dtypes]
        device = self._parameters[0].device
        # Without a dimension, as fused optimizers want the mark.
        self._is_bad, self._one = torch.zeros((), device=device), torch.ones((), device=device)
        self._buffers = list(model.buffers())
        self._pending.clear()
        is_on_gpu = any(parameter.is_cuda for parameter in self._parameters)
        is_fused = getattr(optimizer, "_step_supports_amp_scaling", False)
        self._can_defer = is_on_gpu and is_fused and self.policy == "stop"

    def on_step_begin(self, **kwargs: Any) -> None:
        if self.policy == "skip":
            self._saved = [buffer.clone() for buffer in self._buffers]
        if self._pending:
            self._collect(wait=False)

    def on_optimizer_step_begin(
        self,
        *,
        optimizer: torch.optim.Optimizer,
        progress: Progress,
        batches: Sequence[Any],
        outcome: StepOutcome,
        **kwargs: Any,
    ) -> None:
        assert outcome.loss is not None
        is_deferred = self._can_defer and not outcome.is_scaled
        is_fine = is_deferred or math.isfinite(outcome.loss.item())
        if not outcome.is_scaled:  # an overflow of scaled gradients is the scaler's affair
            self._find_non_finite_gradients()
        if is_deferred:
            find_non_finite([outcome.loss], self._is_bad, self._one)
            self._defer(optimizer, progress, batches)
            return
        if is_fine and not self._is_bad.item():
            return
        self._is_bad.zero_()
        message = f"{_values(outcome, self._parameters)} in {describe_step(progress, batches)}"
        if self.policy == "stop":
            raise NonFiniteError(f"{message}. The weights are as the step before left them")
        self._skip(outcome, message)

    def on_epoch_end(self, **kwargs: Any) -> None:
        self._collect(wait=True)

    def on_loop_end(self, **kwargs: Any) -> None:
        self._collect(wait=True)

    def on_close(self, *, optimizer: torch.optim.Optimizer, **kwargs: Any) -> None:
        self._pending.clear()
        if self._can_defer and hasattr(optimizer, "found_inf"):
            del optimizer.found_inf

    def state_dict(self) -> dict[str, Any]:
        self._collect(wait=True)  # a checkpoint of a bad step must not be written
        return {"num_skips": self.num_skips}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.num_skips = state["num_skips"]

    def _skip(self, outcome: StepOutcome, message: str) -> None:
        self.num_skips += 1
        if self.num_skips > self.max_skips:
            raise NonFiniteError(f"{message}. {self.max_skips} such steps were left out before")
        logger.warning("left a step out (%d of %d): %s", self.num_skips, self.max_skips, message)
        for buffer, saved in zip(self._buffers, self._saved, strict=True):
            buffer.copy_(saved)
        outcome.skip(message)

    def _find_non_finite_gradients(self) -> None:
        for parameters in self._by_dtype:
            grads = [_entries(p.grad) for p in parameters if p.grad is not None]
            if grads:
                find_non_finite(grads, self._is_bad, self._one)

    def _defer(
        self, optimizer: torch.optim.Optimizer, progress: Progress, batches: Sequence[Any]
    ) -> None:
        """Let the fused kernel leave a bad step out, and ask for the verdict later.

        The mark stays set, so that the weights stay as they are from the bad step on.
        """
        optimizer.found_inf = self._is_bad  # type: ignore[attr-defined]
        event = torch.cuda.Event() if self._is_bad.is_cuda else None
        verdict = self._is_bad.to("cpu", non_blocking=True, copy=True)
        if event is not None:
            event.record()
        self._pending.append(_Flag(describe_step(progress, batches), verdict, event))

    def _collect(self, wait: bool) -> None:
        while self._pending:
            flag = self._pending[0]
            if flag.event is not None:
                if wait:
                    flag.event.synchronize()
                elif not flag.event.query():
                    return
            self._pending.popleft()
            if flag.is_bad.item():
                self._pending.clear()
                raise NonFiniteError(
                    f"loss or gradient is not finite in {flag.description}. The weights are as "
                    "the step before left them"
                )


def find_non_finite(tensors: list[Tensor], mark: Tensor, one: Tensor) -> None:
    """Set a mark to 1.0 if any entry of any tensor is NaN or infinite.

    This is the kernel with which `torch.amp.GradScaler` looks for overflows, at a scale of
    1, which changes no bit: one pass, and one launch for all tensors.

    Args:
        tensors: Of one dtype and on one device.
        mark: float32, a scalar; left as it is if all entries are finite.
        one: 1.0 in the same form.
    """
    torch._amp_foreach_non_finite_check_and_unscale_(tensors, mark, one)


def _entries(grad: Tensor) -> Tensor:
    return grad._values() if grad.is_sparse else grad


def describe_step(progress: Progress, batches: Sequence[Any]) -> str:
    """The step at hand, and the samples that it is made of."""
    ids = [i for batch in batches for i in _ids(batch)]
    shown = ", ".join(map(str, ids[:16])) + (f" and {len(ids) - 16} more" if len(ids) > 16 else "")
    return (
        f"step {progress.num_steps_tried} (step {progress.num_epoch_steps_done} of epoch "
        f"{progress.num_epochs_done}), samples: {shown or 'without img_id'}"
    )


def _ids(batch: Any) -> list[Any]:
    return list(batch.get("img_id", [])) if isinstance(batch, dict) else []


def _values(outcome: StepOutcome, parameters: Sequence[nn.Parameter]) -> str:
    grads = [_entries(p.grad) for p in parameters if p.grad is not None]
    losses = ", ".join(f"{name} {value.item():g}" for name, value in outcome.losses.items())
    norm = f", gradient norm {torch.nn.utils.get_total_norm(grads).item():g}" if grads else ""
    return f"not finite: loss {losses}{norm}"
