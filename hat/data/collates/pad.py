"""Pictures of different sizes in one batch, filled up at the right and at the bottom."""

import functools
from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torchvision import tv_tensors

from hat.data.collates.stack import (
    BatchError,
    Packer,
    common_dtype,
    common_keys,
    empty,
    is_channels_last,
    name_of,
    pack,
)
from hat.data.pixels import Mask
from hat.data.sample import Batch, Sample

#: Maps over the pixels of `img`: the type they have in a batch and what margins hold.
_MAPS: dict[str, tuple[torch.dtype, float]] = {
    "gt_seg": (torch.int64, 255),
    "gt_depth": (torch.float32, 0),
}


class PadCollate:
    """Pads the pictures of a batch to the largest height and width among them.

    Margins are at the right and at the bottom, so boxes, points and camera matrices keep
    their values; boxes and points get the new size as their canvas. In margins `gt_seg`
    is 255 (not labelled), `gt_depth` 0 (not known) and `gt_masks` False. The batch gets
    `img_shape`, the (H, W) of each picture without its margins, unless the samples have
    it. Other keys are packed as `StackCollate` does.

    Args:
        size_divisor: The padded height and width are multiples of it, as models with
            strides need.
        fill: What margins of `img` hold: one value, or one for each channel.
        max_size: Batches that would be padded to more than this (H, W) are refused
            before memory is taken for them; by default none are.

    Raises:
        ValueError: If `size_divisor` is below 1.
        BatchError: When called, if samples have different keys or no picture, a map has
            not the size of its picture, or the batch is larger than `max_size`. It is a
            ValueError.

    Example:
        >>> small, large = torch.zeros(3, 4, 9), torch.zeros(3, 6, 5)
        >>> batch = PadCollate(size_divisor=4)([{"img": small}, {"img": large}])
        >>> batch["img"].shape, batch["img_shape"]
        (torch.Size([2, 3, 8, 12]), [(4, 9), (6, 5)])
    """

    def __init__(
        self,
        size_divisor: int = 1,
        fill: float | Sequence[float] = 0,
        *,
        max_size: tuple[int, int] | None = None,
    ) -> None:
        if size_divisor < 1:
            raise ValueError(f"size_divisor must be at least 1, got {size_divisor}")
        self.size_divisor = size_divisor
        self.fill = fill
        self.max_size = max_size

    def __call__(self, samples: list[Sample]) -> Batch:
        keys = common_keys(samples)
        if not {"img", "imgs"} & keys:
            raise BatchError(f"{name_of(samples[0])} has no 'img' to be padded: {sorted(keys)}")
        sizes = [_picture_size(sample) for sample in samples]
        size = self._padded_size(sizes, samples)
        batch = {key: self._packed(key, samples, size) for key in keys}
        batch.setdefault("img_shape", sizes)
        return batch

    def packer(self, samples: Sequence[Sample]) -> Packer:
        """How one key of some of these samples is packed; see `PartialCollate`.

        The canvas is that of all samples.
        """
        size = self._padded_size([_picture_size(sample) for sample in samples], samples)
        return functools.partial(self._packed, size=size)

    def _padded_size(
        self, sizes: Sequence[tuple[int, int]], samples: Sequence[Sample]
    ) -> tuple[int, int]:
        divisor = self.size_divisor
        height, width = (-(-max(sides) // divisor) * divisor for sides in zip(*sizes, strict=True))
        if self.max_size and (height > self.max_size[0] or width > self.max_size[1]):
            place = max(range(len(sizes)), key=lambda n: sizes[n][0] * sizes[n][1])
            raise BatchError(
                f"a batch would be padded to {height} x {width}, more than max_size = "
                f"{self.max_size[0]} x {self.max_size[1]}; the largest is "
                f"{name_of(samples[place])} of {sizes[place][0]} x {sizes[place][1]}: resize it"
            )
        return height, width

    def _packed(
        self,
        key: str,
        samples: Sequence[Sample],
        size: tuple[int, int],
    ) -> Any:
        if key in ("img", "imgs"):
            maps = _checked(key, samples)
            return _padded(key, samples, maps, size, common_dtype(maps), self.fill)
        if key in _MAPS:
            return _padded(key, samples, _checked(key, samples), size, *_MAPS[key])
        if key == "gt_masks":
            return [_padded_masks(masks, size) for masks in _checked(key, samples)]
        return _on_canvas(pack(key, samples), size)


def _size(img: torch.Tensor) -> tuple[int, int]:
    height, width = img.shape[-2:]
    return height, width


def _picture_size(sample: Sample) -> tuple[int, int]:
    return _size(sample["img" if "img" in sample else "imgs"])


def _checked(key: str, samples: Sequence[Sample]) -> list[torch.Tensor]:
    """The values of a key, plain, each with the size of its picture."""
    for sample in samples:
        size = _picture_size(sample)
        if _size(sample[key]) != size:
            raise BatchError(
                f"'{key}' of {name_of(sample)} has shape {tuple(sample[key].shape)}, but its "
                f"picture is of {size[0]} x {size[1]}"
            )
    return [sample[key].as_subclass(torch.Tensor) for sample in samples]


def _padded(
    key: str,
    samples: Sequence[Sample],
    maps: Sequence[torch.Tensor],
    size: tuple[int, int],
    dtype: torch.dtype,
    fill: float | Sequence[float],
) -> torch.Tensor:
    """All maps in one tensor, with margins."""
    leading = maps[0].shape[:-2]
    batch = empty((len(maps), *leading, *size), dtype)
    margin = torch.as_tensor(fill).to(dtype)
    scratch = np.empty((*size, 3), np.uint8)  # not touched, and so no memory, unless used
    for sample, source, target in zip(samples, maps, batch, strict=True):
        if source.shape[:-2] != leading:
            raise BatchError(
                f"'{key}' of {name_of(samples[0])} has shape {tuple(maps[0].shape)}, of "
                f"{name_of(sample)} {tuple(source.shape)}: only heights and widths can be padded"
            )
        if is_channels_last(source) and dtype == torch.uint8:
            _place_pixels(source, target, margin, scratch)
        else:
            _place(source, target, margin)
    return batch


def _place(source: torch.Tensor, target: torch.Tensor, margin: torch.Tensor) -> None:
    height, width = _size(source)
    value = margin.view(-1, 1, 1) if margin.ndim else margin
    target[..., height:, :] = value
    target[..., :height, width:] = value
    target[..., :height, :width] = source


def _place_pixels(
    source: torch.Tensor, target: torch.Tensor, margin: torch.Tensor, scratch: NDArray[np.uint8]
) -> None:
    """The same for a picture whose channels lie innermost, three times as fast."""
    height, width = _size(source)
    bottom, right = target.shape[1] - height, target.shape[2] - width
    value = margin.expand(3).tolist()
    pixels = source.permute(1, 2, 0).numpy()
    cv2.copyMakeBorder(pixels, 0, bottom, 0, right, cv2.BORDER_CONSTANT, dst=scratch, value=value)
    cv2.split(scratch, list(target.numpy()))


def _padded_masks(masks: torch.Tensor, size: tuple[int, int]) -> Mask:
    padded = torch.zeros(len(masks), *size, dtype=masks.dtype)
    padded[:, : masks.shape[1], : masks.shape[2]] = masks
    return Mask(padded)


def _on_canvas(values: Any, size: tuple[int, int]) -> Any:
    """Boxes and points of a list, told the size of their padded picture."""
    if not isinstance(values, list):
        return values
    return [
        tv_tensors.wrap(value.as_subclass(torch.Tensor), like=value, canvas_size=size)
        if isinstance(value, tv_tensors.BoundingBoxes | tv_tensors.KeyPoints)
        else value
        for value in values
    ]
