"""Between torchvision's functionals on tensors and kernels on arrays."""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torchvision import tv_tensors
from torchvision.transforms.v2 import InterpolationMode
from torchvision.transforms.v2 import functional as F

#: The pixels of one picture, shape (H, W, 3), or one plane of a mask, shape (H, W).
Pixels = NDArray[Any]
#: Takes pixels and the functional's arguments, by position or name as transforms happen to
#: hand them over; must not write into the pixels.
Kernel = Callable[..., Pixels]

#: OpenCV holds positions in 16 bits.
MAX_SIDE = 32_766

#: For each size of a mask's values, a type of that size that OpenCV moves about unchanged.
_CARRIERS = {1: np.uint8, 2: np.int16, 4: np.float32, 8: np.float64}
_MASK_DTYPES = frozenset(
    {torch.bool, torch.uint8, torch.int16, torch.int32, torch.int64, torch.float32, torch.float64}
)


class UnsupportedError(Exception):
    """A kernel's word for "torchvision's own kernel must do this one"."""


def register_image_kernel(name: str, kernel: Kernel, *, image_type: type[torch.Tensor]) -> None:
    """Run `kernel` for the functional of this name where it can, else torchvision's own."""
    functional = getattr(F, name)

    @functools.wraps(kernel)
    def dispatch(image: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
        try:
            result = _run_on_image(kernel, image.as_subclass(torch.Tensor), args, kwargs)
        except UnsupportedError:
            result = functional(image.as_subclass(tv_tensors.Image), *args, **kwargs)
        return result.as_subclass(type(image))

    F.register_kernel(functional, image_type)(dispatch)


def register_mask_kernel(name: str, kernel: Kernel, *, mask_type: type[torch.Tensor]) -> None:
    """The same for masks; the kernel takes one plane and the type of the mask's values."""
    functional = getattr(F, name)

    @functools.wraps(kernel)
    def dispatch(mask: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
        try:
            result = _run_on_mask(kernel, mask.as_subclass(torch.Tensor), args, kwargs)
        except UnsupportedError:
            result = functional(mask.as_subclass(tv_tensors.Mask), *args, **kwargs)
        return result.as_subclass(type(mask))

    F.register_kernel(functional, mask_type)(dispatch)


def _run_on_image(
    kernel: Kernel, image: torch.Tensor, args: Sequence[Any], kwargs: dict[str, Any]
) -> torch.Tensor:
    if image.dtype != torch.uint8 or image.device.type != "cpu":
        raise UnsupportedError
    planes = image.numpy()  # an array answers questions sooner than a tensor
    if planes.ndim < 3 or planes.shape[-3] != 3 or not planes.size:
        raise UnsupportedError
    if planes.ndim == 3:
        return torch.from_numpy(kernel(as_hwc(planes), *args, **kwargs).transpose(2, 0, 1))
    pictures = [
        kernel(as_hwc(picture), *args, **kwargs)
        for picture in planes.reshape(-1, *planes.shape[-3:])
    ]
    stacked = torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2)
    return stacked.unflatten(0, image.shape[:-3])


def _run_on_mask(
    kernel: Kernel, mask: torch.Tensor, args: Sequence[Any], kwargs: dict[str, Any]
) -> torch.Tensor:
    if mask.dtype not in _MASK_DTYPES or mask.device.type != "cpu" or not mask.numel():
        raise UnsupportedError
    if mask.requires_grad or mask.ndim < 2:
        raise UnsupportedError
    array = mask.numpy()
    carrier = _CARRIERS[array.itemsize]
    planes = array.reshape(-1, *array.shape[-2:])
    moved = [kernel(plane.view(carrier), array.dtype, *args, **kwargs) for plane in planes]
    result = moved[0][None] if len(moved) == 1 else np.stack(moved)
    return torch.from_numpy(result.view(array.dtype).reshape(*mask.shape[:-2], *result.shape[1:]))


def as_hwc(planes: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The pixels of a uint8 picture, shape (3, H, W), as OpenCV takes them.

    A view if the channels are innermost in memory, even if there are gaps between rows.
    """
    pixels = planes.transpose(1, 2, 0)
    if pixels.strides[1:] == (3, 1):
        return pixels
    return cv2.merge(list(planes))  # ten times as fast as NumPy's copy


def mode_of(interpolation: str | InterpolationMode | int) -> str:
    """The name of a mode of interpolation, as torchvision spells it."""
    try:
        return str(InterpolationMode(interpolation).value)
    except ValueError:  # a constant of Pillow's, or no mode at all
        raise UnsupportedError from None


def fill_of(fill: float | Sequence[float] | None, size: int) -> list[float]:
    """One value for each of so many channels; one value alone is for all."""
    if fill is None:
        return [0.0] * size
    values = [fill] if isinstance(fill, (int, float)) else list(fill)
    if len(values) not in (1, size):
        raise UnsupportedError  # torchvision says what is wrong
    return [float(value) for value in (values * size if len(values) == 1 else values)]


def image_fill(fill: float | Sequence[float] | None) -> list[float]:
    """The colour that a fill is in an 8-bit picture."""
    colors = fill_of(fill, 3)
    if not all(0 <= value <= 255 for value in colors):
        raise UnsupportedError
    return colors


def mask_fill(fill: float | Sequence[float] | None, dtype: np.dtype[Any]) -> float:
    """The value of the carrier that has the bits which `fill` has in a mask of this type."""
    (value,) = fill_of(fill, 1)
    limits = np.iinfo(dtype) if dtype.kind in "iu" else None
    if limits and not limits.min <= value <= limits.max:
        raise UnsupportedError
    typed = np.asarray(round(value) if limits else value, dtype)
    return float(typed.reshape(1).view(_CARRIERS[dtype.itemsize])[0])
