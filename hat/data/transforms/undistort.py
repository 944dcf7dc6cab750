"""Pictures of a real lens become those of a pinhole camera."""

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torchvision import tv_tensors
from torchvision.transforms import v2

from hat.data.projection import Projection
from hat.data.transforms.canvas import canvas_size, fill_for, rewrap

#: Points along each edge of a box, which becomes a curve.
_POINTS_PER_EDGE = 16


class Undistort(v2.Transform):
    """Removes the distortion of a lens from pictures, masks, boxes and key points.

    A box becomes the smallest that encloses where its edges go, within the picture. Camera
    matrices and projections of the sample, which map to pixels of the picture without
    distortion, follow from the old to the new camera matrix. Put it before whatever scales
    or crops: the matrix holds for pictures as the camera gave them.

    Args:
        camera_matrix: 3 x 3, as OpenCV's calibration gives it: centres of pixels are at
            whole numbers.
        distortion: k1, k2, p1, p2, and as many of k3 .. k6, s1 .. s4 as OpenCV's model
            has; for a fisheye k1 .. k4.
        new_camera_matrix: That of the result, such as `cv2.getOptimalNewCameraMatrix`
            proposes; by default the old one.
        fisheye: Use OpenCV's model of fisheye lenses.
        size: (H, W) of the pictures that were calibrated; others are refused.
        fill: Value of pixels that the lens did not see; masks say there that nothing is
            labelled.

    Raises:
        ValueError: If a matrix or the coefficients have another shape.
        ValueError: When called, with a picture of another size than `size` or with
            pictures of several cameras.

    Example:
        >>> matrix = [[50.0, 0.0, 31.5], [0.0, 50.0, 15.5], [0.0, 0.0, 1.0]]
        >>> undistort = Undistort(matrix, [-0.2, 0.0, 0.0, 0.0])
        >>> undistort(torch.zeros(3, 32, 64, dtype=torch.uint8)).shape
        torch.Size([3, 32, 64])
    """

    def __init__(
        self,
        camera_matrix: Sequence[Sequence[float]],
        distortion: Sequence[float],
        *,
        new_camera_matrix: Sequence[Sequence[float]] | None = None,
        fisheye: bool = False,
        size: Sequence[int] | None = None,
        fill: float = 0,
    ) -> None:
        super().__init__()
        new = camera_matrix if new_camera_matrix is None else new_camera_matrix
        self._matrix = np.asarray(camera_matrix, np.float64)
        self._new_matrix = np.asarray(new, np.float64)
        self._distortion = np.asarray(distortion, np.float64)
        for name, matrix in (("camera", self._matrix), ("new_camera", self._new_matrix)):
            if matrix.shape != (3, 3):
                raise ValueError(f"{name}_matrix must be 3 x 3, got shape {matrix.shape}")
        allowed = (4,) if fisheye else (4, 5, 8, 12, 14)
        if self._distortion.shape not in [(count,) for count in allowed]:
            counts = ", ".join(map(str, allowed))
            raise ValueError(
                f"distortion must be a list of {counts} numbers, got shape {self._distortion.shape}"
            )
        self.fisheye = fisheye
        self.size = None if size is None else tuple(size)
        self.fill = fill
        self._maps: dict[tuple[int, int], tuple[NDArray[Any], NDArray[Any]]] = {}

    def __getstate__(self) -> dict[str, Any]:
        return dict(self.__dict__, _maps={})  # large, and made again at no great cost

    def make_params(self, flat_inputs: list[Any]) -> dict[str, Any]:
        size = canvas_size(flat_inputs)
        if self.size is not None and size != self.size:
            raise ValueError(
                f"the camera matrix is that of pictures of {self.size}, got {size}: put Undistort "
                "before what changes the size"
            )
        return {}

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        if isinstance(inpt, Projection):
            return inpt.moved(_continuous(self._new_matrix) @ _inverse_continuous(self._matrix))
        if isinstance(inpt, tv_tensors.BoundingBoxes):
            return self._boxes(inpt)
        if isinstance(inpt, tv_tensors.KeyPoints):
            points = self.points(inpt.as_subclass(Tensor).reshape(-1, 2)).to(inpt.dtype)
            return tv_tensors.wrap(points.reshape(inpt.shape), like=inpt)
        return self._pixels(inpt)

    def points(self, points: Tensor) -> Tensor:
        """Where points of the distorted picture are in the result.

        Args:
            points: Pixels from the outer corner of the first one, shape (N, 2).

        Returns:
            float64, shape (N, 2), likewise.
        """
        if len(points) == 0:
            return points.double()  # OpenCV refuses none
        places = points.double().numpy()[:, None] - 0.5  # OpenCV counts from pixels' centres
        if self.fisheye:
            moved = cv2.fisheye.undistortPoints(
                places, self._matrix, self._distortion, P=self._new_matrix
            )
        else:
            # Its own default stops after 5 rounds, which is a pixel off near the corners.
            stop = (cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, 100, 1e-9)
            moved = cv2.undistortPoints(
                places, self._matrix, self._distortion, P=self._new_matrix, criteria=stop
            )
        return torch.from_numpy(np.asarray(moved, np.float64).reshape(-1, 2)) + 0.5

    def _boxes(self, boxes: tv_tensors.BoundingBoxes) -> tv_tensors.BoundingBoxes:
        if len(boxes) == 0:
            return boxes
        height, width = boxes.canvas_size
        share = torch.linspace(0, 1, _POINTS_PER_EDGE, dtype=torch.float64)
        zero, one = torch.zeros_like(share), torch.ones_like(share)
        along_x = torch.cat([share, share, zero, one])
        along_y = torch.cat([zero, one, share, share])
        left, top, right, bottom = boxes.as_subclass(Tensor).double()[:, :, None].unbind(dim=1)
        edges = torch.stack([left + (right - left) * along_x, top + (bottom - top) * along_y], -1)
        moved = self.points(edges.reshape(-1, 2)).reshape(len(boxes), -1, 2)
        low, high = moved.amin(dim=1), moved.amax(dim=1)
        limits = torch.tensor([width, height], dtype=torch.float64)
        corners = torch.cat([low, high], dim=1).clamp_min(0).minimum(limits.repeat(2))
        return tv_tensors.wrap(corners.to(boxes.dtype), like=boxes)

    def _pixels(self, inpt: Tensor) -> Tensor:
        if isinstance(inpt, tv_tensors.Image) and inpt.ndim > 3:
            raise ValueError("one camera matrix cannot serve the pictures of several cameras")
        is_mask = isinstance(inpt, tv_tensors.Mask)
        fill = fill_for(inpt, self.fill)
        planes = inpt.as_subclass(Tensor)
        if planes.numel() == 0:
            return inpt
        pixels = planes.reshape(-1, *planes.shape[-2:]).permute(1, 2, 0)
        dtype = {torch.bool: torch.uint8, torch.int64: torch.int32}.get(inpt.dtype, inpt.dtype)
        array = np.ascontiguousarray(pixels.to(dtype).numpy())
        moved = self._remapped(array, fill, is_mask).reshape(array.shape)
        result = torch.from_numpy(moved).permute(2, 0, 1).reshape(planes.shape).to(inpt.dtype)
        return rewrap(result, inpt)

    def _remapped(self, array: NDArray[Any], fill: float, is_mask: bool) -> NDArray[Any]:
        size = array.shape[:2]
        if size not in self._maps:
            self._maps[size] = self._make_maps(size)
        x, y = self._maps[size]
        how = cv2.INTER_NEAREST if is_mask else cv2.INTER_LINEAR
        # OpenCV fills and remaps up to four channels at once.
        parts = [
            cv2.remap(
                np.ascontiguousarray(array[:, :, start : start + 4]),
                x,
                y,
                how,
                borderMode=cv2.BORDER_CONSTANT,
                borderValue=[fill] * 4,
            ).reshape(*size, -1)
            for start in range(0, array.shape[2], 4)
        ]
        return np.concatenate(parts, axis=2) if len(parts) > 1 else parts[0]

    def _make_maps(self, size: tuple[int, ...]) -> tuple[NDArray[Any], NDArray[Any]]:
        """Where each pixel of the result is in the picture, x and y."""
        make = cv2.fisheye.initUndistortRectifyMap if self.fisheye else cv2.initUndistortRectifyMap
        x, y = make(
            self._matrix, self._distortion, np.eye(3), self._new_matrix, size[::-1], cv2.CV_32FC1
        )
        return x, y


def _continuous(matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    """A camera matrix to pixels counted from the outer corner of the first one."""
    return np.array([[1, 0, 0.5], [0, 1, 0.5], [0, 0, 1]]) @ matrix


def _inverse_continuous(matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(np.linalg.inv(_continuous(matrix)), np.float64)
