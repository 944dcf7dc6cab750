"""Samples side by side, nothing stacked."""

from collections.abc import Sequence
from typing import Any

import torch

from hat.data.collates.stack import Packer, common_keys, pack
from hat.data.sample import Batch, Sample


class RaggedCollate:
    """Lists every value, for models that take pictures of any size, such as torchvision's.

    A key becomes a list of N, whether or not shapes agree, so a batch of one looks as
    any other. Numbers alone, such as `label`, become one tensor.

    Raises:
        BatchError: When called, if samples have different keys. It is a ValueError.
        TypeError: When called, if a sample is no dict.

    Example:
        >>> small, large = torch.zeros(3, 4, 4), torch.zeros(3, 6, 5)
        >>> batch = RaggedCollate()([{"img": small, "label": 0}, {"img": large, "label": 1}])
        >>> [img.shape[-1] for img in batch["img"]], batch["label"]
        ([4, 5], tensor([0, 1]))
    """

    def __call__(self, samples: list[Sample]) -> Batch:
        return {key: _listed(key, samples) for key in common_keys(samples)}

    def packer(self, samples: Sequence[Sample]) -> Packer:
        """How one key of some of these samples is packed; see `PartialCollate`."""
        return _listed


def _listed(key: str, samples: Sequence[Sample]) -> Any:
    values = [sample[key] for sample in samples]
    is_sized = isinstance(values[0], torch.Tensor) and values[0].ndim > 0
    return values if is_sized else pack(key, samples)
