"""Many samples become one batch: tensors stacked, ragged keys listed."""

from typing import Any

import numpy as np
import torch

from hat.data.sample import KEYS, Batch, Sample
from hat.errors import HatError

_NUMBER = bool | int | float | np.number | np.bool_


class BatchError(HatError, ValueError):
    """Samples that do not make a batch."""


class StackCollate:
    """Stacks what has one shape and lists what may differ.

    A key that `hat.data.sample.KEYS` calls ragged becomes a list of N. Of all other
    keys tensors are stacked, numbers become one tensor, anything else a list.

    Raises:
        BatchError: When called, if samples have different keys, or tensors of one key
            differ in shape; the message names the samples. It is a ValueError.
        TypeError: When called, if a sample is no dict.
    """

    def __call__(self, samples: list[Sample]) -> Batch:
        if not isinstance(samples[0], dict):
            raise TypeError(
                f"a sample must be a dict, got {type(samples[0]).__name__}: wrap a data set of "
                "pairs in TorchvisionDataset"
            )
        keys = samples[0].keys()
        for sample in samples:
            if sample.keys() != keys:
                raise BatchError(
                    f"samples of one batch have different keys: {_name(samples[0])} has "
                    f"{sorted(keys)}, {_name(sample)} has {sorted(sample)}"
                )
        return {key: _pack(key, samples) for key in keys}


def _pack(key: str, samples: list[Sample]) -> Any:
    values = [sample[key] for sample in samples]
    first = values[0]
    if key in KEYS and KEYS[key].is_ragged:
        return values
    if isinstance(first, torch.Tensor | _NUMBER):
        values = [torch.as_tensor(v) if isinstance(v, _NUMBER) else v for v in values]
        first = values[0]
    if isinstance(first, torch.Tensor):
        for sample, value in zip(samples, values, strict=True):
            if value.shape != first.shape:
                raise BatchError(
                    f"'{key}' of {_name(samples[0])} has shape {tuple(first.shape)}, of "
                    f"{_name(sample)} {tuple(value.shape)}: resize or crop them to one shape"
                )
        # A batch is a plain tensor: the dispatch of TVTensors costs time and is not needed.
        return torch.stack([value.as_subclass(torch.Tensor) for value in values])
    return values


def _name(sample: Sample) -> str:
    return f"sample {sample.get('img_path', sample.get('img_id', '(without img_id)'))}"
