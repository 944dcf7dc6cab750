"""Crops that show more than one class, and the rare ones more often."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torchvision import tv_tensors
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as F

from hat.data.transforms.canvas import UNLABELLED, as_height_width, canvas_size, fill_for, uniform


class ClassAwareCrop(v2.Transform):
    """A random crop, drawn again while one class of `gt_seg` fills too much of it.

    With `focus`, some crops are put so that they show a pixel of a rare class. Everything
    else of the sample is cropped along. A smaller picture is padded at the right and bottom
    first, which is not labelled.

    Args:
        size: (H, W) of the result, or one number for a square.
        max_share: The most that one class may have of the labelled pixels of a crop.
        num_tries: After so many crops the last is taken as it is.
        focus: Classes to be shown: one is drawn of those in the picture, then one of its
            pixels, around which the crop is drawn.
        focus_p: The probability of that, where the picture has one of the classes.
        fill: Value of pixels beyond the picture.

    Raises:
        ValueError: If an argument is out of range.
        ValueError: When called, if the sample has no `gt_seg`.

    Example:
        >>> seg = tv_tensors.Mask(torch.zeros(8, 8, dtype=torch.uint8))
        >>> ClassAwareCrop(4)({"gt_seg": seg})["gt_seg"].shape
        torch.Size([4, 4])

    Reference:
        Isensee et al., nnU-Net, Nature Methods 2021, for crops around classes of interest.
    """

    def __init__(
        self,
        size: int | Sequence[int],
        max_share: float = 0.75,
        *,
        num_tries: int = 10,
        focus: Sequence[int] = (),
        focus_p: float = 0.5,
        fill: float = 114,
    ) -> None:
        super().__init__()
        if not 0 < max_share <= 1:
            raise ValueError(f"max_share must be above 0 and at most 1, got {max_share}")
        if num_tries < 1:
            raise ValueError(f"num_tries must be at least 1, got {num_tries}")
        if not 0 <= focus_p <= 1:
            raise ValueError(f"focus_p must be within 0 to 1, got {focus_p}")
        self.size = as_height_width(size)
        self.max_share = max_share
        self.num_tries = num_tries
        self.focus = tuple(focus)
        self.focus_p = focus_p
        self.fill = fill

    def make_params(self, flat_inputs: list[Any]) -> dict[str, Any]:
        height, width = canvas_size(flat_inputs)
        seg = _class_map(flat_inputs)
        pad = (max(0, self.size[0] - height), max(0, self.size[1] - width))
        spot = self._draw_spot(seg)
        for _ in range(self.num_tries):
            top = _draw_start(height + pad[0], self.size[0], spot and spot[0])
            left = _draw_start(width + pad[1], self.size[1], spot and spot[1])
            crop = seg[top : top + self.size[0], left : left + self.size[1]]
            if _largest_share(crop) <= self.max_share:
                break
        return {"padding": [0, 0, pad[1], pad[0]], "top": top, "left": left, "spot": spot}

    def _draw_spot(self, seg: Tensor) -> tuple[int, int] | None:
        """A pixel to be shown, (y, x), or None where the crop may be anywhere."""
        if not self.focus or uniform(0, 1) >= self.focus_p:
            return None
        present = [c for c in self.focus if bool((seg == c).any())]
        if not present:
            return None
        chosen = present[int(torch.randint(len(present), ()))]
        pixels = (seg == chosen).nonzero()
        y, x = pixels[int(torch.randint(len(pixels), ()))].tolist()
        return y, x

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        if any(params["padding"]):
            inpt = F.pad(inpt, params["padding"], fill=fill_for(inpt, self.fill))
        return F.crop(inpt, params["top"], params["left"], *self.size)


def _class_map(flat_inputs: Sequence[Any]) -> Tensor:
    for part in flat_inputs:
        is_map = isinstance(part, tv_tensors.Mask) and part.ndim == 2
        if is_map and part.dtype != torch.bool and not part.is_floating_point():
            return part.as_subclass(Tensor)
    raise ValueError("a class-aware crop needs the classes of pixels, gt_seg: the sample has none")


def _draw_start(length: int, size: int, spot: int | None) -> int:
    """Where a crop starts along one axis, such that a spot is in it."""
    low, high = 0, length - size
    if spot is not None:
        low, high = max(low, spot - size + 1), min(high, spot)
    return int(torch.randint(low, high + 1, ()))


def _largest_share(seg: Tensor) -> float:
    """The share of the most frequent class in the labelled pixels; 1 where none is labelled."""
    counts = torch.bincount(seg[seg != UNLABELLED].flatten().long())
    total = int(counts.sum())
    return 1.0 if total == 0 else int(counts.max()) / total
