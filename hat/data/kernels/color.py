"""Brightness, contrast, saturation, hue and what else changes a pixel by its colour alone."""

import operator
from collections.abc import Sequence

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torchvision.transforms.v2 import functional as F

from hat.data.kernels.dispatch import Pixels, UnsupportedError

#: The shares of red, green and blue in a grey, as torchvision has them.
_GREY = (0.2989, 0.587, 0.114)

#: Takes red, green, blue and 1 to red, green and blue.
_SAME = np.eye(3, 4)

#: torchvision cuts fractions off where OpenCV rounds. A little less than a half, so that a
#: whole number does not become the one below it.
_CUT = -0.499

#: The hue of so many pixels is turned at a time, to stay in the processor's cache.
_CHUNK = 262_144

_LEVELS = torch.arange(256, dtype=torch.uint8).reshape(1, 1, 256)


def adjust_brightness(pixels: Pixels, brightness_factor: float) -> Pixels:
    if brightness_factor < 0:
        raise UnsupportedError
    return cv2.convertScaleAbs(pixels, alpha=brightness_factor, beta=_CUT)


def adjust_contrast(pixels: Pixels, contrast_factor: float) -> Pixels:
    if contrast_factor < 0:
        raise UnsupportedError
    # torchvision cuts the fraction off each pixel's grey: half a level on average.
    sums = cv2.sumElems(pixels)  # a quarter of the time of its mean
    num_pixels = pixels.shape[0] * pixels.shape[1]
    mean = sum(map(operator.mul, _GREY, sums)) / num_pixels - 0.5
    offset = (1 - contrast_factor) * mean + _CUT
    if offset >= 0:  # no value is below 0, which the quicker of the two would mirror
        return cv2.convertScaleAbs(pixels, alpha=contrast_factor, beta=offset)
    matrix = contrast_factor * _SAME + [0, 0, 0, offset]
    return cv2.transform(pixels, matrix.astype(np.float32))


def adjust_saturation(pixels: Pixels, saturation_factor: float) -> Pixels:
    """Towards or away from grey in one step, the grey's fraction kept, less half a level."""
    if saturation_factor < 0:
        raise UnsupportedError
    grey_share = 1 - saturation_factor
    row = [grey_share * share for share in _GREY] + [_CUT - 0.5 * grey_share]
    matrix = saturation_factor * _SAME + row
    return cv2.transform(pixels, matrix.astype(np.float32))


def adjust_hue(pixels: Pixels, hue_factor: float) -> Pixels:
    """Turn the hue without ever computing it, in whole numbers.

    Colours with one largest channel and one smallest form a hexagon, whose sides are all as
    long as the two are apart. Along a side only one channel changes. To turn the hue by a
    sixth is to walk the length of a side.
    """
    if not -0.5 <= hue_factor <= 0.5:
        raise UnsupportedError
    pairs = round(3 * hue_factor)
    part = 6 * hue_factor - 2 * pairs
    result = np.empty(pixels.shape, np.uint8)
    num_rows = max(1, _CHUNK // pixels.shape[1])
    for start in range(0, len(pixels), num_rows):
        rows = np.s_[start : start + num_rows]
        turned = _turn(_split(pixels[rows]), part)
        # Two sides make the next channel what this one was.
        shifted = [turned[(channel - pairs) % 3] for channel in range(3)]
        cv2.merge(shifted, dst=result[rows])
    return result


def _split(pixels: Pixels) -> Pixels:
    """The planes in one array, which OpenCV fills three times as fast as lists of its own."""
    planes = np.empty((3, *pixels.shape[:2]), np.uint8)
    cv2.split(pixels, mv=list(planes))
    return planes


def _turn(planes: Pixels, part: float) -> Pixels:
    """Walk a part of a side, from red towards green towards blue, or back if it is negative.

    OpenCV makes differences below 0 a 0, which stands for every choice here.
    """
    lowest = cv2.min(cv2.min(planes[0], planes[1]), planes[2])
    heights = np.subtract(planes, lowest, out=planes)
    side = cv2.max(cv2.max(heights[0], heights[1]), heights[2])
    rest = cv2.convertScaleAbs(side, alpha=1 - abs(part))
    ahead = 1 if part >= 0 else -1
    # What the step has left once the channel ahead has risen to the side's full height.
    left = np.empty_like(heights)
    for channel, height in enumerate(heights):
        cv2.subtract(height, rest, dst=left[(channel - ahead) % 3])
    # With that a channel falls. The one behind rises by it, once this one has fallen to 0.
    fallen = _subtract(heights, left)
    rise = _subtract(left, heights)
    for channel, plane in enumerate(fallen):
        cv2.add(plane, rise[(channel + ahead) % 3], dst=plane)
    turned = np.minimum(fallen, side, out=fallen)
    return np.add(turned, lowest, out=turned)


def _subtract(planes: Pixels, others: Pixels) -> Pixels:
    width = planes.shape[-1]
    difference = cv2.subtract(planes.reshape(-1, width), others.reshape(-1, width))
    return difference.reshape(planes.shape)


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
