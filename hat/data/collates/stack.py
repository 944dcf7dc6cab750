"""Many samples become one batch: tensors stacked, ragged keys listed."""

from collections.abc import Callable, KeysView, Sequence
from functools import reduce
from operator import itemgetter
from typing import Any

import cv2
import numpy as np
import torch

from hat.data.sample import KEYS, Batch, Sample
from hat.errors import HatError

#: A tensor of up to so many bytes is sent from a worker in a message, which costs less than
#: shared memory.
MESSAGE_BYTES = 1 << 17

#: Packs one key, of samples that have it all.
Packer = Callable[[str, Sequence[Sample]], Any]

_NUMBER = bool | int | float | np.number | np.bool_


class BatchError(HatError, ValueError):
    """Samples that do not make a batch."""


class StackCollate:
    """Stacks what has one shape and lists what may differ.

    A key that `hat.data.sample.KEYS` calls ragged becomes a list of N. Of all other
    keys tensors and arrays of numbers are stacked into a tensor, numbers become one
    tensor, anything else a list. `gt_seg` becomes int64, as losses take it.

    Raises:
        BatchError: When called, if samples have different keys, or tensors of one key
            differ in shape; the message names the samples. It is a ValueError.
        TypeError: When called, if a sample is no dict.
    """

    def __call__(self, samples: list[Sample]) -> Batch:
        return {key: pack(key, samples) for key in common_keys(samples)}

    def packer(self, samples: Sequence[Sample]) -> Packer:
        """How one key of some of these samples is packed; see `PartialCollate`."""
        return pack


def common_keys(samples: Sequence[Sample]) -> KeysView[str]:
    """The keys that all samples have.

    Raises:
        BatchError: If their keys differ.
        TypeError: If a sample is no dict.
    """
    if not isinstance(samples[0], dict):
        raise TypeError(
            f"a sample must be a dict, got {type(samples[0]).__name__}: wrap a data set of "
            "pairs in TorchvisionDataset"
        )
    keys = samples[0].keys()
    if not all(map(keys.__eq__, map(dict.keys, samples))):
        other = next(sample for sample in samples if sample.keys() != keys)
        raise BatchError(
            f"samples of one batch have different keys: {name_of(samples[0])} has "
            f"{sorted(keys)}, {name_of(other)} has {sorted(other)}"
        )
    return keys


def name_of(sample: Sample) -> str:
    """What an error calls a sample."""
    return f"sample {sample.get('img_path', sample.get('img_id', '(without img_id)'))}"


def pack(key: str, samples: Sequence[Sample]) -> Any:
    """What a batch holds under a key: a list, or a tensor.

    Raises:
        BatchError: If tensors that should be stacked differ in shape.
    """
    values = list(map(itemgetter(key), samples))
    if key in KEYS and KEYS[key].is_ragged:
        return values
    if not (isinstance(values[0], torch.Tensor | _NUMBER) or _is_numeric_array(values[0])):
        return values
    if set(map(type, values)) == {torch.Tensor}:
        tensors = values
    else:  # a batch is a plain tensor: the dispatch of TVTensors costs time and is not needed
        tensors = [
            value.as_subclass(torch.Tensor)
            if isinstance(value, torch.Tensor)
            else torch.as_tensor(value)
            for value in values
        ]
    try:
        return stack(tensors, torch.int64 if key == "gt_seg" else None)
    except RuntimeError as error:  # asking all tensors beforehand would take as long as stacking
        shape = tensors[0].shape
        others = [number for number, tensor in enumerate(tensors) if tensor.shape != shape]
        if not others:
            raise
        raise BatchError(
            f"'{key}' of {name_of(samples[0])} has shape {tuple(shape)}, of "
            f"{name_of(samples[others[0]])} {tuple(tensors[others[0]].shape)}: resize or crop "
            "them to one shape, or use PadCollate"
        ) from error


def _is_numeric_array(value: Any) -> bool:
    return isinstance(value, np.ndarray) and value.dtype.kind in "biuf"


def stack(tensors: Sequence[torch.Tensor], dtype: torch.dtype | None = None) -> torch.Tensor:
    """Tensors of one shape as one contiguous tensor, in shared memory when in a worker.

    Args:
        tensors: Plain ones, all of one shape.
        dtype: Of the result; by default that of the tensors.

    Raises:
        RuntimeError: If their shapes differ.
    """
    shape = tensors[0].shape
    if dtype is None and all(is_channels_last(t) and t.shape == shape for t in tensors):
        # Three times as fast as a copy by strides.
        batch = empty((len(tensors), *shape), torch.uint8)
        for tensor, planes in zip(tensors, batch.numpy(), strict=True):
            cv2.split(tensor.permute(1, 2, 0).numpy(), list(planes))
        return batch
    if dtype is None and not _is_to_be_shared(len(tensors) * tensors[0].nbytes):
        return torch.stack(list(tensors))
    batch = empty((len(tensors), *shape), dtype or common_dtype(tensors))
    with torch.no_grad():  # `out` is refused otherwise where a tensor requires a gradient
        return torch.stack(list(tensors), out=batch)


def common_dtype(tensors: Sequence[torch.Tensor]) -> torch.dtype:
    """The type that holds the values of all."""
    dtypes = {tensor.dtype for tensor in tensors}
    return reduce(torch.promote_types, dtypes)


def empty(shape: Sequence[int], dtype: torch.dtype) -> torch.Tensor:
    """A tensor to be filled, in a worker in memory that the main process can read."""
    num_bytes = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
    if not _is_to_be_shared(num_bytes):
        return torch.empty(tuple(shape), dtype=dtype)
    # As torch's own collate does; a tensor that is shared when it is sent is copied for it.
    storage = torch.UntypedStorage._new_shared(num_bytes)
    return torch.empty(0, dtype=dtype).set_(storage).view(tuple(shape))


def _is_to_be_shared(num_bytes: int) -> bool:
    """Whether a tensor of this size is in a worker, and too large for a message."""
    return num_bytes > MESSAGE_BYTES and torch.utils.data.get_worker_info() is not None


def is_channels_last(tensor: torch.Tensor) -> bool:
    """Whether it is a picture of uint8 whose three channels lie side by side in memory."""
    return (
        tensor.dtype == torch.uint8
        and tensor.ndim == 3
        and tensor.shape[0] == 3
        and tensor.numel() > 0
        and tensor.stride(0) == 1
        and tensor.stride(2) == 3
    )
