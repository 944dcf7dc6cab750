"""What cameras do to a picture: blur by motion and focus, rain, the noise of a sensor."""

import math
from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torchvision.transforms import v2

from hat.data.transforms.canvas import canvas_size, is_picture, map_pictures, require_range, uniform


class _CameraTransform(v2.Transform):
    """Changes pictures alone: boxes, masks and all else stay as they are."""

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        if not is_picture(inpt):
            return inpt
        return map_pictures(inpt, lambda pixels: self._change(pixels, params))

    def _change(self, pixels: NDArray[np.uint8], params: dict[str, Any]) -> NDArray[np.uint8]:
        raise NotImplementedError


class MotionBlur(_CameraTransform):
    """Blurs along a line, as a camera that moves while its shutter is open.

    For some pictures only: `v2.RandomApply([MotionBlur()], p=0.2)`.

    Args:
        length: Least and most pixels of the movement; up to 1 changes nothing.
        angle: Least and most of its direction in degrees, from the x axis downwards.

    Raises:
        ValueError: If a range is reversed or out of limits.

    Example:
        >>> MotionBlur((9, 9), (0, 0))(torch.zeros(3, 8, 8, dtype=torch.uint8)).shape
        torch.Size([3, 8, 8])
    """

    def __init__(
        self, length: Sequence[float] = (3, 15), angle: Sequence[float] = (0, 180)
    ) -> None:
        super().__init__()
        require_range("length", length, 0, 1000)
        require_range("angle", angle, -360, 360)
        self.length = length
        self.angle = angle

    def make_params(self, flat_inputs: list[Any]) -> dict[str, Any]:
        return {"length": uniform(*self.length), "angle": uniform(*self.angle)}

    def _change(self, pixels: NDArray[np.uint8], params: dict[str, Any]) -> NDArray[np.uint8]:
        return _filtered(pixels, _line_kernel(params["length"], params["angle"]))


class DefocusBlur(_CameraTransform):
    """Blurs with a disk, as a lens that is out of focus.

    Args:
        radius: Least and most pixels of the disk's radius; up to 0.5 changes nothing.

    Raises:
        ValueError: If the range is reversed or negative.

    Example:
        >>> DefocusBlur((2, 2))(torch.full((3, 8, 8), 9, dtype=torch.uint8)).unique()
        tensor([9], dtype=torch.uint8)
    """

    def __init__(self, radius: Sequence[float] = (1, 4)) -> None:
        super().__init__()
        require_range("radius", radius, 0, 500)
        self.radius = radius

    def make_params(self, flat_inputs: list[Any]) -> dict[str, Any]:
        return {"radius": uniform(*self.radius)}

    def _change(self, pixels: NDArray[np.uint8], params: dict[str, Any]) -> NDArray[np.uint8]:
        return _filtered(pixels, _disk_kernel(params["radius"]))


class SensorNoise(_CameraTransform):
    """Adds the noise of a sensor: that of light, which grows with it, and that of reading out.

    On a scale of 0 to 1 the variance at brightness x is shot * x + read ** 2: a Poisson
    process by its normal approximation, and a Gaussian, independent in each pixel and
    channel.

    Args:
        shot: Least and most of the gain of the light's noise.
        read: Least and most of the deviation of the read noise.

    Raises:
        ValueError: If a range is reversed or beyond 0 to 1.

    Example:
        >>> SensorNoise((0, 0), (0, 0))(torch.full((3, 2, 2), 9, dtype=torch.uint8)).unique()
        tensor([9], dtype=torch.uint8)

    Reference:
        Foi et al., Practical Poissonian-Gaussian Noise Modeling and Fitting for
        Single-Image Raw-Data, IEEE TIP 2008, eq. 1 to 5.
    """

    def __init__(
        self, shot: Sequence[float] = (0, 0.01), read: Sequence[float] = (0, 0.02)
    ) -> None:
        super().__init__()
        require_range("shot", shot, 0, 1)
        require_range("read", read, 0, 1)
        self.shot = shot
        self.read = read

    def make_params(self, flat_inputs: list[Any]) -> dict[str, Any]:
        return {"shot": uniform(*self.shot), "read": uniform(*self.read)}

    def _change(self, pixels: NDArray[np.uint8], params: dict[str, Any]) -> NDArray[np.uint8]:
        brightness = torch.arange(256) / 255
        deviation = 255 * (params["shot"] * brightness + params["read"] ** 2).sqrt()
        values = torch.from_numpy(pixels)
        noise = torch.randn(values.shape) * deviation[values.int()]
        noisy: NDArray[np.uint8] = (noise + values).round_().clamp_(0, 255).byte().numpy()
        return noisy


class Rain(_CameraTransform):
    """Draws streaks of rain and the haze that comes with them.

    Args:
        density: Least and most streaks per million pixels.
        length: Least and most of the longest streak, as a share of the picture's height.
        angle: Least and most degrees from the vertical.
        opacity: Least and most of how far a streak covers what is behind it, 0 to 1.
        haze: Least and most of how far the whole picture turns grey, 0 to 1.

    Raises:
        ValueError: If a range is reversed or out of limits.

    Example:
        >>> Rain()(torch.zeros(3, 64, 64, dtype=torch.uint8)).float().mean() > 0
        tensor(True)
    """

    def __init__(
        self,
        density: Sequence[float] = (500, 3000),
        length: Sequence[float] = (0.03, 0.1),
        *,
        angle: Sequence[float] = (-20, 20),
        opacity: Sequence[float] = (0.2, 0.5),
        haze: Sequence[float] = (0.05, 0.25),
    ) -> None:
        super().__init__()
        require_range("density", density, 0, 1e6)
        require_range("length", length, 0, 1)
        require_range("angle", angle, -90, 90)
        require_range("opacity", opacity, 0, 1)
        require_range("haze", haze, 0, 1)
        self.density = density
        self.length = length
        self.angle = angle
        self.opacity = opacity
        self.haze = haze

    def make_params(self, flat_inputs: list[Any]) -> dict[str, Any]:
        height, width = canvas_size(flat_inputs)
        count = round(uniform(*self.density) * height * width / 1e6)
        return {
            "angle": uniform(*self.angle),
            "length": uniform(*self.length),
            "opacity": uniform(*self.opacity),
            "haze": uniform(*self.haze),
            # Of each streak: x and y of its end and its length, as shares.
            "streaks": torch.rand(count, 3),
        }

    def _change(self, pixels: NDArray[np.uint8], params: dict[str, Any]) -> NDArray[np.uint8]:
        cover = _streaks(pixels.shape[:2], params).astype(np.float32)
        cover *= params["opacity"] / 255
        haze = params["haze"]
        # Drops show the light around them, which is little at night; streaks are brighter.
        light = 64 + 0.5 * float(pixels.mean())
        dull = pixels.astype(np.float32) * (1 - haze) + light * haze
        dull += cover[:, :, None] * (light + 60 - dull)
        return np.rint(dull).clip(0, 255).astype(np.uint8)


def _streaks(size: tuple[int, ...], params: dict[str, Any]) -> NDArray[np.uint8]:
    """How far streaks cover each pixel, 0 to 255."""
    height, width = size
    layer = np.zeros((height, width), np.uint8)
    slope = math.tan(math.radians(params["angle"]))
    streaks: Tensor = params["streaks"]
    # A margin at both sides, from which slanting streaks reach in.
    x, y, share = (streaks * torch.tensor([width * 1.2, height * 1.2, 1.0])).unbind(dim=1)
    x = x - 0.1 * width
    long = (0.5 + 0.5 * share) * params["length"] * height
    ends = torch.stack([x, y, x - slope * long, y - long], dim=1)
    for x1, y1, x2, y2 in ends.mul(16).int().tolist():  # 16ths of a pixel, as `shift` says
        cv2.line(layer, (x1, y1), (x2, y2), 255, 1, cv2.LINE_AA, 4)
    return layer


def _filtered(pixels: NDArray[np.uint8], kernel: NDArray[np.float32]) -> NDArray[np.uint8]:
    if kernel.size == 1:
        return pixels
    blurred = cv2.filter2D(pixels, -1, kernel, borderType=cv2.BORDER_REPLICATE)
    return blurred.reshape(pixels.shape).astype(np.uint8, copy=False)


def _line_kernel(length: float, angle: float) -> NDArray[np.float32]:
    """Weights of the pixels that a point crosses; they sum to 1."""
    half = max(0.0, length - 1) / 2
    reach = math.ceil(half)
    places = np.linspace(-half, half, 16 * reach + 1)
    x = reach + np.cos(math.radians(angle)) * places
    y = reach + np.sin(math.radians(angle)) * places
    kernel = np.zeros((2 * reach + 2, 2 * reach + 2))  # one more than needed, for the far corner
    left, top = np.floor(x).astype(int), np.floor(y).astype(int)
    for dx in (0, 1):
        for dy in (0, 1):
            weight = np.abs(1 - dx - (x - left)) * np.abs(1 - dy - (y - top))
            np.add.at(kernel, (top + dy, left + dx), weight)
    kernel = kernel[:-1, :-1]
    return (kernel / kernel.sum()).astype(np.float32)


def _disk_kernel(radius: float) -> NDArray[np.float32]:
    """Shares of a disk in the pixels around its centre, from an 8 x 8 grid in each."""
    reach = max(0, math.ceil(radius - 0.5))
    side = 2 * reach + 1
    places = (np.arange(side * 8) + 0.5) / 8 - side / 2
    inside = (places[:, None] ** 2 + places[None, :] ** 2 <= max(radius, 0.5) ** 2).astype(float)
    kernel = inside.reshape(side, 8, side, 8).mean(axis=(1, 3))
    return (kernel / kernel.sum()).astype(np.float32)
