"""A batch goes to the device and becomes what the model takes; the same to train and to predict."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torchvision import tv_tensors

from hat.data.loaders.device_prefetcher import to_device
from hat.data.sample import Batch
from hat.data.transforms.batch import BatchTransform
from hat.data.transforms.normalize import Normalize


class InputPreparation:
    """Moves a batch, transforms it as a batch, and makes `img` a normalised float.

    Args:
        normalize: Called with a uint8 `img` (N, 3, H, W).
        batch_transforms: Transforms of `torchvision.transforms.v2` over whole batches,
            such as `MixUp`; they see the normalised `img` and `label`, and change both
            together. A `BatchTransform` sees all keys. In a batch of which some pictures lack
            labels, those that could mistake one picture's label for another's are refused.
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
            batch = to_device(batch, self.device)
        img = batch.get("img") if isinstance(batch, dict) else None
        if img is None:
            return batch
        batch = dict(batch, img=img.as_subclass(torch.Tensor))
        if img.dtype == torch.uint8:
            batch["img"] = self.normalize(batch["img"])
        if "labelled" in batch:
            self._refuse_what_counts_on_all(batch)
        for transform in self.batch_transforms:
            takes_all = isinstance(transform, BatchTransform)
            batch |= transform(batch if takes_all else _picture_part(batch))
            batch["img"] = batch["img"].as_subclass(torch.Tensor)
        if self.channels_last:
            batch["img"] = batch["img"].contiguous(memory_format=torch.channels_last)
        return batch

    def _refuse_what_counts_on_all(self, batch: Batch) -> None:
        """Refuse transforms that would take the n-th label for that of the n-th picture.

        Raises:
            ValueError: If there is one.
        """
        labelled = batch["labelled"]
        for transform in self.batch_transforms:
            name = type(transform).__name__
            if isinstance(transform, BatchTransform):
                if not transform.takes_partial:
                    raise ValueError(
                        f"{name} does not say that it minds `labelled`, and some pictures of this "
                        f"batch lack {', '.join(labelled)}: see BatchTransform.takes_partial"
                    )
            elif "label" in labelled:
                raise ValueError(
                    f"{name} takes a label for each picture, and only {len(labelled['label'])} of "
                    f"{len(batch['img'])} in this batch have one: leave it out of "
                    "batch_transforms, or label all pictures"
                )


def _picture_part(batch: Batch) -> dict[str, Any]:
    """What batch transforms may mix: everything else would be taken for pictures too."""
    part: dict[str, Any] = {"img": tv_tensors.Image(batch["img"])}
    if "label" in batch:
        part["label"] = batch["label"]
    return part
