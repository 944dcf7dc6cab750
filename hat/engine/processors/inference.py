"""What one step of prediction does with its batches: forward, nothing else."""

import contextlib
from collections.abc import Callable, Sequence
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
        notify: Callable[..., None],
    ) -> StepOutcome:
        for batch in batches:
            batch = self.inputs(batch)
            notify("on_batch_begin", batch=batch)
            with self._autocast:
                losses, preds = model(batch)
            loss = sum(losses.values()) if losses else None
            notify("on_batch_end", batch=batch, losses=losses, loss=loss, preds=preds)
        return StepOutcome()
