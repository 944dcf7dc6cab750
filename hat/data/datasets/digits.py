"""1,797 handwritten digits of 8x8 pixels, shipped with scikit-learn."""

from typing import Literal

import numpy as np
import torch

from hat.data.colors import distinct_colors
from hat.data.datasets.base import Dataset, Transforms
from hat.data.pixels import Image
from hat.data.sample import Sample


class DigitsDataset(Dataset):
    """Handwritten digits that need no download, for demonstrations and tests.

    Every fifth picture is held out for validation: 1,438 to train, 359 to validate.

    Args:
        split: `train` or `val`.
        transform: See `Dataset`.

    Raises:
        ImportError: If scikit-learn, which ships the pictures, is not installed.

    Example:
        >>> digits = DigitsDataset("val")
        >>> len(digits), digits[0]["img"].shape
        (359, torch.Size([3, 8, 8]))

    Reference:
        Alpaydin and Kaynak, Optical Recognition of Handwritten Digits, UCI Machine
        Learning Repository, 1998 (its test part).
    """

    classes = tuple("0123456789")
    colors = distinct_colors(10)

    def __init__(
        self,
        split: Literal["train", "val"] = "train",
        transform: Transforms = None,
    ) -> None:
        super().__init__(transform)
        try:
            from sklearn.datasets import load_digits
        except ImportError as error:
            raise ImportError(
                "DigitsDataset needs scikit-learn: pip install 'hat-framework[digits]'"
            ) from error
        if split not in ("train", "val"):
            raise ValueError(f"split must be 'train' or 'val', got {split!r}")
        digits = load_digits()
        is_held_out = np.arange(len(digits.images)) % 5 == 4
        (self.ids,) = np.nonzero(is_held_out if split == "val" else ~is_held_out)
        scaled = np.rint(digits.images[self.ids] * (255 / 16)).astype(np.uint8)  # from 0..16
        self.images = torch.from_numpy(scaled)
        self.labels = torch.from_numpy(digits.target[self.ids].astype(np.int64))

    def __len__(self) -> int:
        return len(self.ids)

    def load(self, index: int) -> Sample:
        """One digit, grey in all three channels; `img_id` is its row in the whole set."""
        img = self.images[index].expand(3, -1, -1).contiguous()
        return {
            "img": Image(img),
            "label": int(self.labels[index]),
            "img_id": int(self.ids[index]),
            "ori_shape": (8, 8),
        }
