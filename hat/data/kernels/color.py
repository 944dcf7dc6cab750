"""Brightness, contrast, saturation, hue and what else changes a pixel by its colour alone."""

from collections.abc import Sequence

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torchvision.transforms.v2 import functional as F

from hat.data.kernels.dispatch import Pixels, UnsupportedError

#: The shares of red, green and blue in a grey, as torchvision has them.
_GREY = (0.2989, 0.587, 0.114)

#: torchvision cuts fractions off where OpenCV rounds. A little less than a half, so that a
#: whole number does not become the one below it.
_CUT = -0.499

#: torchvision's way from [0, 1] to 8 bits: times a little less than 256, fractions cut off.
_TO_BYTE = 255.999 / 255

#: So many pixels are turned into floats at a time, to stay in the processor's cache.
_CHUNK = 65_536

_LEVELS = torch.arange(256, dtype=torch.uint8).reshape(1, 1, 256)


def adjust_brightness(pixels: Pixels, brightness_factor: float) -> Pixels:
    if brightness_factor < 0:
        raise UnsupportedError
    return cv2.convertScaleAbs(pixels, alpha=brightness_factor, beta=_CUT)


def adjust_contrast(pixels: Pixels, contrast_factor: float) -> Pixels:
    if contrast_factor < 0:
        raise UnsupportedError
    # torchvision cuts the fraction off each pixel's grey: half a level on average.
    mean = float(np.dot(_GREY, cv2.mean(pixels)[:3])) - 0.5
    offset = (1 - contrast_factor) * mean + _CUT
    return cv2.addWeighted(pixels, contrast_factor, pixels, 0, offset)


def adjust_saturation(pixels: Pixels, saturation_factor: float) -> Pixels:
    """Towards or away from grey in one step, the grey's fraction kept, less half a level."""
    if saturation_factor < 0:
        raise UnsupportedError
    grey_share = 1 - saturation_factor
    matrix = saturation_factor * np.eye(3, 4) + grey_share * np.array([*_GREY, -0.5])
    matrix[:, 3] += _CUT
    return cv2.transform(pixels, matrix.astype(np.float32))


def adjust_hue(pixels: Pixels, hue_factor: float) -> Pixels:
    """In floats: OpenCV's hue of 8 bits is off by half a level on average, by eleven at most."""
    if not -0.5 <= hue_factor <= 0.5:
        raise UnsupportedError
    height, width = pixels.shape[:2]
    num_rows = min(height, max(1, _CHUNK // width))
    turn = np.zeros((num_rows, width, 3), np.float32)
    turn[:, :, 0] = 360 * (hue_factor % 1)
    buffer = np.empty_like(turn)
    result = np.empty((height, width, 3), np.uint8)
    for start in range(0, height, num_rows):
        rows = pixels[start : start + num_rows]
        floats = buffer[: len(rows)]
        np.copyto(floats, rows)
        cv2.cvtColor(floats, cv2.COLOR_RGB2HSV, dst=floats)
        cv2.add(floats, turn[: len(rows)], dst=floats)
        cv2.cvtColor(floats, cv2.COLOR_HSV2RGB, dst=floats)
        target = result[start : start + num_rows]
        cv2.convertScaleAbs(floats, alpha=_TO_BYTE, beta=_CUT, dst=target)
    return result


def adjust_gamma(pixels: Pixels, gamma: float, gain: float = 1) -> Pixels:
    return _look_up(pixels, F.adjust_gamma_image(_LEVELS, gamma=gamma, gain=gain))


def solarize(pixels: Pixels, threshold: float) -> Pixels:
    return _look_up(pixels, F.solarize_image(_LEVELS, threshold=threshold))


def autocontrast(pixels: Pixels) -> Pixels:
    """Spread each channel over all 256 levels; one that is of one level stays."""
    levels = np.arange(256, dtype=np.float32)
    tables = []
    for histogram in _histograms(pixels):
        lowest, highest = np.flatnonzero(histogram)[[0, -1]].astype(np.float32)
        scale = (highest - lowest) * np.float32(1 / 255)
        table = (levels - lowest) / scale if scale else levels
        tables.append(table.clip(0, 255).astype(np.uint8))
    return cv2.LUT(pixels, np.stack(tables, axis=1)[None])


def equalize(pixels: Pixels) -> Pixels:
    """Even out each channel's histogram as Pillow does, whose whole-number steps these are."""
    tables = []
    for histogram in _histograms(pixels):
        below = np.cumsum(histogram) - histogram
        step = int(below[-1] + histogram[-1] - histogram[np.flatnonzero(histogram)[-1]]) // 255
        table = (below + step // 2) // step if step else np.arange(256)
        tables.append(table.clip(0, 255).astype(np.uint8))
    return cv2.LUT(pixels, np.stack(tables, axis=1)[None])


def rgb_to_grayscale(pixels: Pixels, num_output_channels: int = 1) -> Pixels:
    if num_output_channels == 3:
        return _grey_rgb(pixels)
    if num_output_channels != 1:
        raise UnsupportedError
    return cv2.transform(pixels, np.array([[*_GREY, _CUT]], np.float32))[:, :, None]


def permute_channels(pixels: Pixels, permutation: Sequence[int]) -> Pixels:
    if sorted(permutation) != [0, 1, 2]:
        raise UnsupportedError
    return cv2.transform(pixels, np.eye(3, dtype=np.float32)[list(permutation)])


def _grey_rgb(pixels: Pixels) -> Pixels:
    """Grey in three channels, fractions cut off; OpenCV makes three faster than one."""
    return cv2.transform(pixels, np.array([[*_GREY, _CUT]] * 3, np.float32))


def _look_up(pixels: Pixels, table: torch.Tensor) -> Pixels:
    return cv2.LUT(pixels, table.flatten().numpy())


def _histograms(pixels: Pixels) -> list[NDArray[np.int64]]:
    if pixels.shape[0] * pixels.shape[1] > 2**24:
        raise UnsupportedError  # OpenCV counts in floats
    return [
        cv2.calcHist([pixels], [channel], None, [256], [0, 256]).ravel().astype(np.int64)
        for channel in range(3)
    ]
