"""Limits the size of gradients."""

from typing import Any

import torch

from hat.callbacks.base import Callback


class GradClip(Callback):
    """Changes the gradients of every step: scales them down to a norm, or cuts each entry.

    Args:
        max_norm: Largest norm of all gradients together.
        max_value: Largest absolute value of an entry.
        norm_type: Which norm; 2 is Euclidean.

    Raises:
        ValueError: If not exactly one of the two limits is given, or it is not above 0.
    """

    def __init__(
        self,
        max_norm: float | None = None,
        max_value: float | None = None,
        norm_type: float = 2.0,
    ) -> None:
        limits = [limit for limit in (max_norm, max_value) if limit is not None]
        if len(limits) != 1 or limits[0] <= 0:
            raise ValueError(f"give max_norm or max_value, above 0; got {max_norm=}, {max_value=}")
        self.max_norm = max_norm
        self.max_value = max_value
        self.norm_type = norm_type

    def on_optimizer_step_begin(self, *, optimizer: torch.optim.Optimizer, **kwargs: Any) -> None:
        parameters = [p for group in optimizer.param_groups for p in group["params"]]
        if self.max_norm is not None:
            torch.nn.utils.clip_grad_norm_(parameters, self.max_norm, self.norm_type)
        elif self.max_value is not None:
            torch.nn.utils.clip_grad_value_(parameters, self.max_value)
