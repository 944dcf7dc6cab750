"""Camera matrices that follow their picture through the transforms of torchvision."""

from collections.abc import Callable, Sequence
from typing import Any, NoReturn, TypeVar

import cv2
import numpy as np
import torch
from torch.utils._pytree import tree_leaves
from torchvision import tv_tensors
from torchvision.transforms.v2 import functional as F

_Kernel = TypeVar("_Kernel", bound=Callable[..., Any])


class Projection(tv_tensors.TVTensor):
    """Matrices from points in space to pixels, which change with the picture.

    A matrix of shape (3, 4) maps (x, y, z, 1), one of (3, 3) maps (x, y, z) of the
    camera's own frame, to (u * w, v * w, w): (u, v) is the place in the picture, in which
    (0, 0) is the outer corner of the first pixel and (0.5, 0.5) its centre, and w the
    depth in metres (until a perspective transform, after which it is a depth times a
    factor). Libraries that count from the centre of the first pixel, OpenCV among them,
    have u and v smaller by 0.5.

    Every geometric transform of `torchvision.transforms.v2` moves it with the picture, by
    a homography from the left. A picture that is mirrored thus has a projection that
    mirrors: points are found where they are seen, and the space they lie in stays as it is.

    Args:
        data: Anything that `torch.as_tensor` takes, shape (..., 3, 3) or (..., 3, 4).
        canvas_size: (H, W) of the picture.
        dtype: The type of its numbers, by default float32.
        device: Where to hold it, by default where `data` is.
        requires_grad: Whether gradients are computed for it.

    Raises:
        ValueError: If the shape is another.

    Example:
        >>> matrix = [[100.0, 0.0, 32.0], [0.0, 100.0, 16.0], [0.0, 0.0, 1.0]]
        >>> camera = Projection(matrix, canvas_size=(32, 64))
        >>> camera.pixels(torch.tensor([[1.0, 0.0, 5.0]]))
        tensor([[52., 16.]])
    """

    canvas_size: tuple[int, int]

    def __new__(
        cls,
        data: Any,
        *,
        canvas_size: Sequence[int],
        dtype: torch.dtype | None = torch.float32,
        device: torch.device | str | int | None = None,
        requires_grad: bool | None = None,
    ) -> "Projection":
        tensor = cls._to_tensor(data, dtype=dtype, device=device, requires_grad=requires_grad)
        if tensor.ndim < 2 or tensor.shape[-2] != 3 or tensor.shape[-1] not in (3, 4):
            raise ValueError(
                f"a projection has shape (..., 3, 3) or (..., 3, 4), got {tuple(tensor.shape)}"
            )
        return cls._with_size(tensor, canvas_size)

    @classmethod
    def wrap(cls, tensor: torch.Tensor, like: tv_tensors.TVTensor, **metadata: Any) -> "Projection":
        """A tensor as a projection into the picture of another: how torchvision makes them."""
        return cls._with_size(tensor, metadata.get("canvas_size", like.canvas_size))

    @classmethod
    def _with_size(cls, tensor: torch.Tensor, canvas_size: Sequence[int]) -> "Projection":
        projection = tensor.as_subclass(cls)
        height, width = canvas_size
        projection.canvas_size = (int(height), int(width))
        return projection

    @classmethod
    def _wrap_output(cls, output: Any, args: Sequence[Any] = (), kwargs: Any = None) -> Any:
        # Called by torchvision for what must stay a projection, such as `clone` and `to`.
        like = next(leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Projection))
        if isinstance(output, torch.Tensor):
            return cls._with_size(output, like.canvas_size)
        if isinstance(output, tuple | list):
            return type(output)(cls._wrap_output(part, args, kwargs) for part in output)
        return output

    def __reduce_ex__(self, protocol: Any) -> Any:
        plain = self.as_subclass(torch.Tensor)
        return _rebuild, (plain, self.canvas_size)

    def __repr__(self, *, tensor_contents: Any = None) -> str:
        return self._make_repr(canvas_size=self.canvas_size)

    def homogeneous(self, points: torch.Tensor) -> torch.Tensor:
        """(u * w, v * w, w) of points.

        Args:
            points: float, shape (N, 3).

        Returns:
            float, shape (..., N, 3), by each matrix. What lies behind a camera has w <= 0.
        """
        matrix = self.as_subclass(torch.Tensor)
        result = points @ matrix[..., :3].mT
        return result if matrix.shape[-1] == 3 else result + matrix[..., None, :, 3]

    def pixels(self, points: torch.Tensor) -> torch.Tensor:
        """(u, v) of points, of shape (..., N, 2): see `homogeneous`, which tells what is behind."""
        result = self.homogeneous(points)
        return result[..., :2] / result[..., 2:]

    def moved(self, homography: Any, canvas_size: Sequence[int] | None = None) -> "Projection":
        """The projection into a picture whose pixels were moved.

        Args:
            homography: The 3x3 matrix from pixels before to pixels after, both counted
                from the outer corner of the first pixel.
            canvas_size: (H, W) after it, by default as before.
        """
        # In double: a crop subtracts large numbers of almost the same size.
        matrix = torch.as_tensor(homography, dtype=torch.float64, device=self.device)
        result = (matrix @ self.as_subclass(torch.Tensor).double()).to(self.dtype)
        return self._with_size(result, self.canvas_size if canvas_size is None else canvas_size)


def _rebuild(tensor: torch.Tensor, canvas_size: tuple[int, int]) -> Projection:
    return Projection(tensor, canvas_size=canvas_size, dtype=None)


def _kernel(name: str) -> Callable[[_Kernel], _Kernel]:
    decorator: Callable[[_Kernel], _Kernel] = F.register_kernel(name, Projection)
    return decorator


def _shift_and_scale(
    x: float = 0.0, y: float = 0.0, scale_x: float = 1.0, scale_y: float = 1.0
) -> list[list[float]]:
    return [[scale_x, 0.0, x], [0.0, scale_y, y], [0.0, 0.0, 1.0]]


def _key_points(projection: Projection) -> tv_tensors.KeyPoints:
    """The origin and a unit along each axis, by which a map that is affine is known."""
    corners = torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]], dtype=torch.float64)
    return tv_tensors.KeyPoints(corners, canvas_size=projection.canvas_size)


def _affine_map(moved: tv_tensors.KeyPoints) -> list[list[float]]:
    """The homography that moved what `_key_points` gives to these places."""
    (x0, y0), (x1, y1), (x2, y2) = moved.tolist()
    return [[x1 - x0, x2 - x0, x0], [y1 - y0, y2 - y0, y0], [0.0, 0.0, 1.0]]


# torchvision turns key points from one edge to the other by W - 1 - x, as numbers of pixels;
# places in a picture go to W - x, as its boxes do.
@_kernel("horizontal_flip")
def _horizontal_flip(projection: Projection) -> Projection:
    return projection.moved(_shift_and_scale(x=projection.canvas_size[1], scale_x=-1.0))


@_kernel("vertical_flip")
def _vertical_flip(projection: Projection) -> Projection:
    return projection.moved(_shift_and_scale(y=projection.canvas_size[0], scale_y=-1.0))


@_kernel("resize")
def _resize(
    projection: Projection, size: list[int] | None, max_size: int | None = None, **kwargs: Any
) -> Projection:
    height, width = projection.canvas_size
    to = F.resize(_key_points(projection), size, max_size=max_size).canvas_size
    scale = _shift_and_scale(scale_x=to[1] / width, scale_y=to[0] / height)
    return projection.moved(scale, to)


@_kernel("crop")
def _crop(projection: Projection, top: int, left: int, height: int, width: int) -> Projection:
    return projection.moved(_shift_and_scale(-left, -top), (height, width))


@_kernel("resized_crop")
def _resized_crop(
    projection: Projection,
    top: int,
    left: int,
    height: int,
    width: int,
    size: list[int],
    **kwargs: Any,
) -> Projection:
    return _resize(_crop(projection, top, left, height, width), size)


@_kernel("center_crop")
def _center_crop(projection: Projection, output_size: list[int]) -> Projection:
    # Where the crop is larger, pictures are padded by half the difference rounded down,
    # and torchvision's key points are moved by it rounded to even.
    to = F.center_crop(_key_points(projection), output_size).canvas_size
    left, top = (
        round((is_now - will_be) / 2) if will_be <= is_now else -((will_be - is_now) // 2)
        for is_now, will_be in zip(projection.canvas_size[::-1], to[::-1], strict=True)
    )
    return projection.moved(_shift_and_scale(-left, -top), to)


@_kernel("pad")
def _pad(projection: Projection, padding: list[int], **kwargs: Any) -> Projection:
    # Whatever the border is filled with.
    moved = F.pad(_key_points(projection), padding)
    return projection.moved(_affine_map(moved), moved.canvas_size)


@_kernel("affine")
def _affine(
    projection: Projection,
    angle: float,
    translate: list[float],
    scale: float,
    shear: list[float],
    center: list[float] | None = None,
    **kwargs: Any,
) -> Projection:
    moved = F.affine(
        _key_points(projection), angle, translate, scale=scale, shear=shear, center=center
    )
    return projection.moved(_affine_map(moved))


@_kernel("rotate")
def _rotate(
    projection: Projection,
    angle: float,
    expand: bool = False,
    center: list[float] | None = None,
    **kwargs: Any,
) -> Projection:
    moved = F.rotate(_key_points(projection), angle, center=center)
    rotated = projection.moved(_affine_map(moved))
    if not expand:
        return rotated
    # The size of the picture is asked of torchvision by one without memory: it differs by a
    # pixel from that of its key points. The middle of the picture stays in the middle.
    height, width = projection.canvas_size
    picture = torch.empty((1, height, width), device="meta")
    to = F.rotate(picture, angle, expand=True, center=center).shape[-2:]
    return rotated.moved(_shift_and_scale((to[1] - width) / 2, (to[0] - height) / 2), to)


@_kernel("perspective")
def _perspective(
    projection: Projection,
    startpoints: list[list[int]] | None,
    endpoints: list[list[int]] | None,
    coefficients: list[float] | None = None,
    **kwargs: Any,
) -> Projection:
    if coefficients is not None:  # these map pixels after to pixels before
        return projection.moved(np.linalg.inv(np.reshape([*coefficients, 1.0], (3, 3))))
    before, after = (np.asarray(points, np.float32) for points in (startpoints, endpoints))
    return projection.moved(cv2.getPerspectiveTransform(before, after))


def _refuse(projection: Projection, *args: Any, **kwargs: Any) -> NoReturn:
    raise TypeError("no matrix follows elastic transforms and crops that give several pictures")


for _name in ("elastic", "five_crop", "ten_crop"):
    _kernel(_name)(_refuse)
