"""Any classification data set of torchvision, as HAT's samples."""

from typing import Any

import numpy as np
import torch
from PIL import Image as PILImage

from hat.data.colors import distinct_colors
from hat.data.datasets.base import Dataset, Transforms
from hat.data.images import pil_to_image
from hat.data.pixels import Image
from hat.data.sample import Sample


class TorchvisionDataset(Dataset):
    """Wraps a data set that gives (picture, class), such as MNIST or CIFAR10.

    Args:
        dataset: The data set, built without transforms of its own.
        transform: See `Dataset`.

    Raises:
        TypeError: When a sample is read whose picture is neither a PIL picture nor an
            array, or whose target is not a class number.

    Example:
        >>> from torchvision.datasets import FakeData
        >>> TorchvisionDataset(FakeData(4, (3, 16, 16)))[1]["img"].shape
        torch.Size([3, 16, 16])
    """

    def __init__(
        self,
        dataset: torch.utils.data.Dataset[Any],
        transform: Transforms = None,
    ) -> None:
        super().__init__(transform)
        self.dataset = dataset
        self.classes = getattr(dataset, "classes", None)
        self.colors = None if self.classes is None else distinct_colors(len(self.classes))

    def __len__(self) -> int:
        return len(self.dataset)  # type: ignore[arg-type]

    def load(self, index: int) -> Sample:
        picture, target = self.dataset[index]
        is_class = isinstance(target, int | np.integer) or (
            isinstance(target, torch.Tensor) and target.ndim == 0 and not target.is_floating_point()
        )
        if not is_class:
            raise TypeError(
                f"{type(self.dataset).__name__}[{index}]: expected a class number as target, "
                f"got {type(target).__name__}"
            )
        img = self._to_image(picture, index)
        return {"img": img, "label": int(target), "ori_shape": tuple(img.shape[-2:])}

    def _to_image(self, picture: Any, index: int) -> Image:
        if isinstance(picture, PILImage.Image):
            return pil_to_image(picture)
        if isinstance(picture, np.ndarray) and picture.dtype == np.uint8:
            return pil_to_image(PILImage.fromarray(picture))
        if isinstance(picture, torch.Tensor) and picture.dtype == torch.uint8:
            grey_or_rgb = picture[None] if picture.ndim == 2 else picture
            if grey_or_rgb.ndim == 3 and len(grey_or_rgb) in (1, 3):
                return Image(grey_or_rgb.expand(3, -1, -1).clone())
        raise TypeError(
            f"{type(self.dataset).__name__}[{index}]: expected a PIL picture or a uint8 tensor, "
            f"got {type(picture).__name__} {tuple(getattr(picture, 'shape', ()))}. "
            "Give the data set no transform of its own."
        )
