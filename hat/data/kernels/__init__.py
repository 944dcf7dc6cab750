"""Kernels on OpenCV for torchvision's v2 transforms of 8-bit pictures and of masks on the CPU.

`hat.data.pixels` registers them for its classes. A functional that is not named here runs
torchvision's own kernel, because that one is as fast or because nobody needs it faster.
"""

import torch

from hat.data.kernels import color, filters, geometry, warps
from hat.data.kernels.dispatch import Kernel, register_image_kernel, register_mask_kernel

IMAGE_KERNELS: dict[str, Kernel] = {
    "horizontal_flip": geometry.horizontal_flip,
    "vertical_flip": geometry.vertical_flip,
    "resize": geometry.resize,
    "crop": geometry.crop,
    "center_crop": geometry.center_crop,
    "resized_crop": geometry.resized_crop,
    "pad": geometry.pad,
    "affine": warps.affine,
    "rotate": warps.rotate,
    "perspective": warps.perspective,
    "elastic": warps.elastic,
    "adjust_brightness": color.adjust_brightness,
    "adjust_contrast": color.adjust_contrast,
    "adjust_saturation": color.adjust_saturation,
    "adjust_hue": color.adjust_hue,
    "adjust_gamma": color.adjust_gamma,
    "solarize": color.solarize,
    "autocontrast": color.autocontrast,
    "equalize": color.equalize,
    "rgb_to_grayscale": color.rgb_to_grayscale,
    "permute_channels": color.permute_channels,
    "gaussian_blur": filters.gaussian_blur,
    "adjust_sharpness": filters.adjust_sharpness,
}

MASK_KERNELS: dict[str, Kernel] = {
    "resize": geometry.resize_mask,
    "resized_crop": geometry.resized_crop_mask,
    "affine": warps.affine_mask,
    "rotate": warps.rotate_mask,
    "perspective": warps.perspective_mask,
    "elastic": warps.elastic_mask,
}


def register_kernels(image_type: type[torch.Tensor], mask_type: type[torch.Tensor]) -> None:
    """Let v2 transforms of these two classes run the kernels of this package."""
    for name, kernel in IMAGE_KERNELS.items():
        register_image_kernel(name, kernel, image_type=image_type)
    for name, kernel in MASK_KERNELS.items():
        register_mask_kernel(name, kernel, mask_type=mask_type)
