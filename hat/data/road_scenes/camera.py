"""A pinhole camera over a road."""

import functools
import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

#: What lies nearer to the camera than this, in metres, is not drawn.
NEAR = 0.3


@dataclass(frozen=True)
class Camera:
    """Where the camera is and what it sees.

    The world has x forward, y left and z up, its origin on the road under the camera. The
    camera's own frame has x right, y down and z forward.

    Args:
        size: (H, W) of the picture.
        focal: Focal length in pixels.
        height: Metres over the road.
        pitch: Radians that it looks down.
        roll: Radians that it leans to the right.
    """

    size: tuple[int, int]
    focal: float
    height: float
    pitch: float
    roll: float

    @property
    def matrix(self) -> Array:
        """Points of the camera's frame to pixels, shape (3, 3)."""
        height, width = self.size
        return np.array([[self.focal, 0, width / 2], [0, self.focal, height / 2], [0, 0, 1]])

    @functools.cached_property
    def rotation(self) -> Array:
        """Directions of the world to those of the camera's frame, shape (3, 3)."""
        sine, cosine = math.sin(self.pitch), math.cos(self.pitch)
        upright = np.array([[0, -1, 0], [-sine, 0, -cosine], [cosine, 0, -sine]])
        sine, cosine = math.sin(self.roll), math.cos(self.roll)
        return np.array([[cosine, sine, 0], [-sine, cosine, 0], [0, 0, 1]]) @ upright

    @functools.cached_property
    def projection(self) -> Array:
        """Points of the world to pixels, shape (3, 4)."""
        rotation = self.rotation
        shift = -rotation @ (0, 0, self.height)
        return self.matrix @ np.column_stack([rotation, shift])

    def to_camera(self, points: Array) -> Array:
        """Points of the world, shape (..., 3), in the camera's frame."""
        return (points - (0, 0, self.height)) @ self.rotation.T

    def ground_to_pixels(self, xs: Array, ys: Array) -> tuple[Array, Array]:
        """Columns and rows in the picture of points of the road, in front of the camera."""
        a, b, c = self.projection[:, [0, 1, 3]][:, :, *[None] * np.ndim(ys)].swapaxes(0, 1)
        u, v, depth = a * xs + b * ys + c
        return u / depth, v / depth

    def to_pixels(self, points: Array) -> Array:
        """Points of the camera's frame, shape (..., 3), in the picture, shape (..., 2)."""
        height, width = self.size
        return points[..., :2] / points[..., 2:] * self.focal + (width / 2, height / 2)
