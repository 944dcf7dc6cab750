"""A batch goes to the device and becomes what the model takes; the same to train and to predict."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torchvision import tv_tensors

from hat.data.sample import Batch
from hat.data.transforms.batch import BatchTransform
from hat.data.transforms.normalize import Normalize


class InputPreparation:
    """Moves a batch, transforms it as a batch, and makes `img` a normalised float.

    Args:
        normalize: Called with a uint8 `img` (N, 3, H, W).
        batch_transforms: Transforms of `torchvision.transforms.v2` over whole batches,
            such as `MixUp`; they see the normalised `img` and `label`, and change both
            together. A `BatchTransform` sees all keys.
        device: Where to.
        channels_last: Store `img` with channels innermost, as fast convolutions like it.
    """

    def __init__(
        self,
        normalize: Callable[[torch.Tensor], torch.Tensor] | None = None,
        batch_transforms: Sequence[Callable[..., Any]] = (),
        device: torch.device | None = None,
        channels_last: bool = False,
    ) -> None:
        self.normalize = Normalize() if normalize is None else normalize
        self.batch_transforms = tuple(batch_transforms)
        self.move_to(torch.device("cpu") if device is None else device)
        self.channels_last = channels_last

    def move_to(self, device: torch.device) -> None:
        """Move batches to this device from now on."""
        self.device = device
        self._is_elsewhere = device.type != "cpu"  # asked at every step

    def __call__(self, batch: Batch) -> Batch:
        """The batch on the device; the given one is not changed."""
        if self._is_elsewhere:
            batch = _moved(batch, self.device)
        img = batch.get("img") if isinstance(batch, dict) else None
        if img is None:
            return batch
        batch = dict(batch, img=img.as_subclass(torch.Tensor))
        if img.dtype == torch.uint8:
            batch["img"] = self.normalize(batch["img"])
        for transform in self.batch_transforms:
            takes_all = isinstance(transform, BatchTransform)
            batch |= transform(batch if takes_all else _picture_part(batch))
            batch["img"] = batch["img"].as_subclass(torch.Tensor)
        if self.channels_last:
            batch["img"] = batch["img"].contiguous(memory_format=torch.channels_last)
        return batch


def _picture_part(batch: Batch) -> dict[str, Any]:
    """What batch transforms may mix: everything else would be taken for pictures too."""
    part: dict[str, Any] = {"img": tv_tensors.Image(batch["img"])}
    if "label" in batch:
        part["label"] = batch["label"]
    return part


def _moved(value: Any, device: torch.device) -> Any:
    if isinstance(value, torch.Tensor):
        return value.to(device, non_blocking=True)
    if isinstance(value, dict):
        return {key: _moved(item, device) for key, item in value.items()}
    if isinstance(value, list):
        return [_moved(item, device) for item in value]
    return value
