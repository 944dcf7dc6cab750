"""Averages the weights over training: the average usually validates better."""

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from hat.callbacks.base import Callback
from hat.engine.progress import StepOutcome


class ExponentialMovingAverage(Callback):
    """Keeps `average = decay * average + (1 - decay) * weights`, updated by committed steps.

    Weights and the running statistics of normalisation layers are averaged; counters
    are copied. Give it to `Validation(weights=...)` to validate with the average, which
    checkpoints hold beside the weights.

    Args:
        decay: 0 to below 1; about 1 - 1/n averages over the last n steps.
        warmup: Start with a smaller decay, `(1 + n) / (10 + n)` after n updates, so that
            the first random weights are soon forgotten.

    Reference:
        Polyak and Juditsky, Acceleration of Stochastic Approximation by Averaging, 1992;
        the warm-up is that of TensorFlow's ExponentialMovingAverage.
    """

    def __init__(self, decay: float = 0.999, warmup: bool = True) -> None:
        if not 0 <= decay < 1:
            raise ValueError(f"decay must be in [0, 1), got {decay}")
        self.decay = decay
        self.warmup = warmup
        self.num_updates = 0
        self._average: dict[str, Tensor] | None = None

    def on_setup(self, *, model: nn.Module, **kwargs: Any) -> None:
        if self._average is None:
            self._average = {n: v.detach().clone() for n, v in model.state_dict().items()}

    def on_step_end(self, *, model: nn.Module, outcome: StepOutcome, **kwargs: Any) -> None:
        if outcome.skip_reason is not None:
            return
        decay = self.decay
        if self.warmup:
            decay = min(decay, (1 + self.num_updates) / (10 + self.num_updates))
        self.num_updates += 1
        averages, values = self._pairs(model)
        with torch.no_grad():
            torch._foreach_lerp_(averages, values, 1 - decay)

    def averaged_weights(self) -> dict[str, Tensor] | None:
        """The average under the names of the model's `state_dict`."""
        return self._average

    def load_averaged_weights(self, weights: Mapping[str, Tensor]) -> None:
        assert self._average is not None
        for name, value in self._average.items():
            value.copy_(weights[name])

    def state_dict(self) -> dict[str, Any]:
        return {"num_updates": self.num_updates}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.num_updates = state["num_updates"]

    @contextlib.contextmanager
    def applied(self, model: nn.Module) -> Iterator[None]:
        """The model with the average as its weights, for a block; then its own again."""
        assert self._average is not None
        own = {name: value.detach().clone() for name, value in model.state_dict().items()}
        model.load_state_dict(self._average)
        try:
            yield
        finally:
            model.load_state_dict(own)

    def _pairs(self, model: nn.Module) -> tuple[list[Tensor], list[Tensor]]:
        assert self._average is not None
        averages, values = [], []
        for name, value in model.state_dict().items():
            if value.is_floating_point():
                averages.append(self._average[name])
                values.append(value)
            else:
                self._average[name].copy_(value)
        return averages, values
