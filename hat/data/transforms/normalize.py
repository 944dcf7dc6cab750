"""uint8 pictures become centred floats, on the device that trains."""

from collections.abc import Sequence

import torch
from torch import Tensor


class Normalize:
    """Scales pictures from 0..255 to 0..1, then subtracts a mean and divides by a deviation.

    It runs on the batch, inside the batch processor: workers hand over a quarter of
    the bytes, and the arithmetic is done where it is cheap.

    Args:
        mean: Of each channel, of pictures scaled to 0..1; one number for all channels.
        std: Likewise; above 0.

    Raises:
        ValueError: If a deviation is not above 0.

    Example:
        >>> Normalize(0.5, 0.5)(torch.tensor([[[[0, 255]]]], dtype=torch.uint8))
        tensor([[[[-1.,  1.]]]])
    """

    def __init__(
        self, mean: float | Sequence[float] = 0.0, std: float | Sequence[float] = 1.0
    ) -> None:
        self.mean = torch.as_tensor(mean, dtype=torch.float32).reshape(-1, 1, 1) * 255
        self.std = torch.as_tensor(std, dtype=torch.float32).reshape(-1, 1, 1) * 255
        if not bool((self.std > 0).all()):
            raise ValueError(f"std must be above 0, got {std}")

    def __call__(self, img: Tensor) -> Tensor:
        """Normalise a batch, shape (N, C, H, W), values 0..255; returns float32.

        Raises:
            ValueError: If the batch has another number of channels than `mean` or `std`.
        """
        for name, values in (("mean", self.mean), ("std", self.std)):
            if len(values) not in (1, img.shape[1]):
                raise ValueError(
                    f"Normalize: {name} has {len(values)} channels, img has {img.shape[1]}"
                )
        if self.mean.device != img.device:
            self.mean, self.std = self.mean.to(img.device), self.std.to(img.device)
        return (img.float() - self.mean).div_(self.std)
