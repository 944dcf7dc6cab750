"""Points in the picture, which follow it through the transforms of torchvision."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torchvision import tv_tensors
from torchvision.transforms.v2 import functional as F


class KeyPoints(tv_tensors.KeyPoints):
    """Points of shape (..., 2), x and y, where (0, 0) is the outer corner of the first pixel.

    torchvision's own class crops, pads, resizes and turns points by that convention, but
    mirrors them as numbers of pixels, to W - 1 - x: after a flip they are a pixel beside
    what they mark, and beside the boxes. This one mirrors to W - x, as boxes are.

    Args:
        data: Anything that `torch.as_tensor` takes, shape (..., 2).
        canvas_size: (H, W) of the picture.
        dtype: The type of its numbers.
        device: Where to hold it, by default where `data` is.
        requires_grad: Whether gradients are computed for it.

    Raises:
        ValueError: If the last dimension is not 2.

    Example:
        >>> from torchvision.transforms.v2 import functional as F
        >>> F.horizontal_flip(KeyPoints([[1.0, 2.0]], canvas_size=(4, 10))).tolist()
        [[9.0, 2.0]]
    """

    def __new__(
        cls,
        data: Any,
        *,
        canvas_size: tuple[int, int],
        dtype: torch.dtype | None = None,
        device: torch.device | str | int | None = None,
        requires_grad: bool | None = None,
    ) -> "KeyPoints":
        tensor = cls._to_tensor(data, dtype=dtype, device=device, requires_grad=requires_grad)
        if tensor.shape[-1:] != (2,):
            raise ValueError(f"points have shape (..., 2), got {tuple(tensor.shape)}")
        return cls._with_size(tensor, canvas_size)

    @classmethod
    def wrap(cls, tensor: torch.Tensor, like: tv_tensors.KeyPoints, **metadata: Any) -> "KeyPoints":
        """A tensor as points in the picture of others: how torchvision makes them."""
        return cls._with_size(tensor, metadata.get("canvas_size", like.canvas_size))

    @classmethod
    def _with_size(cls, tensor: torch.Tensor, canvas_size: Sequence[int]) -> "KeyPoints":
        points = tensor.as_subclass(cls)
        height, width = canvas_size
        points.canvas_size = (int(height), int(width))
        return points

    @classmethod
    def _wrap_output(
        cls, output: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        # torchvision's would give its own class for what must stay points, such as `clone`.
        output = super()._wrap_output(output, args, kwargs)
        if isinstance(output, tv_tensors.KeyPoints):
            return cls._with_size(output.as_subclass(torch.Tensor), output.canvas_size)
        if isinstance(output, tuple | list):
            return type(output)(
                cls._with_size(part.as_subclass(torch.Tensor), part.canvas_size) for part in output
            )
        return output


def _mirrored(points: KeyPoints, axis: int, length: int) -> KeyPoints:
    plain = points.as_subclass(torch.Tensor).clone()
    plain[..., axis] = length - plain[..., axis]
    return KeyPoints.wrap(plain, points)


def _horizontal_flip(points: KeyPoints) -> KeyPoints:
    return _mirrored(points, 0, points.canvas_size[1])


def _vertical_flip(points: KeyPoints) -> KeyPoints:
    return _mirrored(points, 1, points.canvas_size[0])


F.register_kernel(F.horizontal_flip, KeyPoints)(_horizontal_flip)
F.register_kernel(F.vertical_flip, KeyPoints)(_vertical_flip)
