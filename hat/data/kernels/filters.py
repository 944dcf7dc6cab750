"""Blurring and sharpening."""

from collections.abc import Sequence

import cv2
import numpy as np

from hat.data.kernels.dispatch import Pixels, UnsupportedError

#: The blurred picture that `adjust_sharpness` moves away from or towards.
_SMOOTH = np.array([[1, 1, 1], [1, 5, 1], [1, 1, 1]], np.float32) / 13


def gaussian_blur(
    pixels: Pixels,
    kernel_size: int | Sequence[int],
    sigma: float | Sequence[float] | None = None,
) -> Pixels:
    sizes = [kernel_size] * 2 if isinstance(kernel_size, int) else list(kernel_size)
    if sigma is None:
        sigmas = [size * 0.15 + 0.35 for size in sizes]
    else:
        sigmas = [sigma] * 2 if isinstance(sigma, (int, float)) else list(sigma)
        sigmas = sigmas * 2 if len(sigmas) == 1 else sigmas
    height, width = pixels.shape[:2]
    is_valid = len(sizes) == len(sigmas) == 2 and min(sigmas) > 0
    if not is_valid or any(size < 0 or size % 2 == 0 for size in sizes):
        raise UnsupportedError
    if sizes[0] // 2 >= width or sizes[1] // 2 >= height:
        raise UnsupportedError  # torchvision refuses to reflect so few pixels
    across, down = (
        cv2.getGaussianKernel(size, value, cv2.CV_32F)
        for size, value in zip(sizes, sigmas, strict=True)
    )
    return cv2.sepFilter2D(pixels, -1, across, down, borderType=cv2.BORDER_REFLECT_101)


def adjust_sharpness(pixels: Pixels, sharpness_factor: float) -> Pixels:
    if sharpness_factor < 0 or min(pixels.shape[:2]) <= 2:
        raise UnsupportedError
    smooth = cv2.filter2D(pixels, -1, _SMOOTH)
    result = cv2.addWeighted(pixels, sharpness_factor, smooth, 1 - sharpness_factor, -0.499)
    for border in (np.s_[0], np.s_[-1], np.s_[:, 0], np.s_[:, -1]):
        result[border] = pixels[border]
    return result
