"""Pictures and masks as samples hold them: torchvision's TVTensors, with fast CPU kernels.

They are subclasses, so every transform of `torchvision.transforms.v2` takes them, and runs
the kernels of `hat.data.kernels` on them.
"""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torchvision import tv_tensors

from hat.data.kernels import register_kernels
from hat.data.kernels.dispatch import as_hwc


class Image(tv_tensors.Image):
    """A picture, shape (..., C, H, W), uint8 until the device normalises it.

    Example:
        >>> Image(torch.zeros(3, 4, 6, dtype=torch.uint8)).shape
        torch.Size([3, 4, 6])
    """

    @classmethod
    def from_hwc(cls, pixels: NDArray[Any]) -> "Image":
        """A picture over an array of shape (H, W, C), without a copy.

        The memory keeps its order, channels innermost, as OpenCV wants it.
        """
        return cls(torch.from_numpy(pixels).permute(2, 0, 1))

    def hwc(self) -> NDArray[Any]:
        """The pixels as a contiguous array, shape (H, W, C); a copy only where it must be one."""
        image = self.as_subclass(torch.Tensor)
        if image.dtype == torch.uint8 and len(image) == 3 and image.numel():
            return np.ascontiguousarray(as_hwc(image.numpy()))
        return np.ascontiguousarray(image.permute(1, 2, 0).numpy())


class Mask(tv_tensors.Mask):
    """A map over the pixels of a picture, shape (..., H, W): classes, instances or depth."""


register_kernels(Image, Mask)
