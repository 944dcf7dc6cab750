"""What one step of prediction does with its batches: forward, nothing else."""

import contextlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import nn

from hat.data.sample import Batch
from hat.engine.processors.inputs import InputPreparation
from hat.engine.progress import StepOutcome

_DTYPES = {"fp32": None, "bf16": torch.bfloat16, "fp16": torch.float16}


class InferenceProcessor:
    """Forward passes over the batches of a step.

    Args:
        inputs: Prepares each batch.
        precision: `fp32`, or the type that the forward pass autocasts to.
    """

    def __init__(self, inputs: InputPreparation, precision: str = "fp32") -> None:
        if precision not in _DTYPES:
            raise ValueError(f"precision must be one of {', '.join(_DTYPES)}, got {precision!r}")
        self.inputs = inputs
        dtype = _DTYPES[precision]
        self._autocast: contextlib.AbstractContextManager[Any] = (
            contextlib.nullcontext() if dtype is None else torch.autocast(inputs.device.type, dtype)
        )

    def __call__(
        self,
        batches: Sequence[Batch],
        model: nn.Module,
        optimizer: None,
        hooks: Mapping[str, Sequence[Callable[..., None]]],
    ) -> StepOutcome:
        for batch in batches:
            batch = self.inputs(batch)
            for call in hooks["on_batch_begin"]:
                call(batch=batch)
            with self._autocast:
                losses, preds = model(batch)
            loss = sum(losses.values()) if losses else None
            for call in hooks["on_batch_end"]:
                call(batch=batch, losses=losses, loss=loss, preds=preds)
        return StepOutcome()
