"""The colours of a picture as cameras and codecs deliver them: BGR, YUV 4:4:4 and NV12."""

from typing import Any, Literal

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import avg_pool2d
from torchvision.transforms import v2

from hat.data.transforms.canvas import is_picture, map_pictures, rewrap

Standard = Literal["bt601", "bt709"]
Format = Literal["rgb", "bgr", "yuv444", "nv12"]

#: The weights of red and blue in luma: Recommendations ITU-R BT.601 and BT.709.
_RED_AND_BLUE = {"bt601": (0.299, 0.114), "bt709": (0.2126, 0.0722)}
_FORMATS = ("rgb", "bgr", "yuv444", "nv12")


def rgb_to_yuv444(img: Tensor, standard: Standard = "bt601", full_range: bool = False) -> Tensor:
    """Luma and two chroma planes of full size.

    Args:
        img: uint8, shape (..., 3, H, W), RGB.
        standard: The weights of the colours, of BT.601 or BT.709.
        full_range: Whether luma and chroma take 0..255, as in JPEG; else luma takes
            16..235 and chroma 16..240, as in video.

    Returns:
        uint8, shape (..., 3, H, W): Y, U (Cb) and V (Cr), of the class of `img`.

    Example:
        >>> grey = torch.full((3, 1, 1), 255, dtype=torch.uint8)
        >>> rgb_to_yuv444(grey).flatten().tolist()
        [235, 128, 128]
    """
    matrix = _to_yuv(standard, full_range)
    return map_pictures(img, lambda pixels: _transformed(pixels, matrix))


def yuv444_to_rgb(img: Tensor, standard: Standard = "bt601", full_range: bool = False) -> Tensor:
    """What `rgb_to_yuv444` was given, within rounding.

    Args:
        img: uint8, shape (..., 3, H, W): Y, U and V.
        standard: As for `rgb_to_yuv444`.
        full_range: As for `rgb_to_yuv444`.

    Returns:
        uint8, shape (..., 3, H, W), RGB, of the class of `img`.
    """
    matrix = _to_rgb(standard, full_range)
    return map_pictures(img, lambda pixels: _transformed(pixels, matrix))


def rgb_to_nv12(img: Tensor, standard: Standard = "bt601", full_range: bool = False) -> Tensor:
    """The one plane that a camera delivers as NV12: luma, and below it chroma of half size.

    Rows 0 to H are Y; in each of the H / 2 rows below, U and V of two columns alternate.
    Chroma is the mean of 2 x 2 pixels.

    Args:
        img: uint8, shape (..., 3, H, W), RGB; H and W even.
        standard: As for `rgb_to_yuv444`.
        full_range: As for `rgb_to_yuv444`.

    Returns:
        uint8, shape (..., 1, 3 * H / 2, W), of the class of `img`.

    Raises:
        ValueError: If a side is odd.
    """
    height, width = img.shape[-2:]
    if height % 2 or width % 2:
        raise ValueError(f"NV12 needs even sides, got {height} x {width}: PadToMultiple(2)")
    matrix = _to_yuv(standard, full_range)

    def convert(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        colors = torch.from_numpy(pixels).permute(2, 0, 1).float()
        half = avg_pool2d(colors[None], 2)[0].permute(1, 2, 0).contiguous().numpy()
        luma, chroma = _transformed(pixels, matrix[:1]), _transformed(half, matrix[1:])
        plane = np.concatenate([luma.reshape(height, width), chroma.reshape(height // 2, width)])
        return plane[:, :, None]

    return map_pictures(img, convert)


def nv12_to_rgb(img: Tensor, standard: Standard = "bt601", full_range: bool = False) -> Tensor:
    """The picture of what `rgb_to_nv12` makes; 2 x 2 pixels have the same chroma.

    Args:
        img: uint8, shape (..., 1, 3 * H / 2, W).
        standard: As for `rgb_to_yuv444`.
        full_range: As for `rgb_to_yuv444`.

    Returns:
        uint8, shape (..., 3, H, W), RGB, of the class of `img`.

    Raises:
        ValueError: If the shape is no NV12 picture's.
    """
    rows, width = img.shape[-2:]
    if img.shape[-3] != 1 or rows % 3 or width % 2:
        raise ValueError(f"NV12 has shape (1, 3 * H / 2, W), W even, got {tuple(img.shape[-3:])}")
    height = rows * 2 // 3
    matrix = _to_rgb(standard, full_range)

    def convert(plane: NDArray[np.uint8]) -> NDArray[np.uint8]:
        luma = plane[:height]
        chroma = plane[height:].reshape(height // 2, width // 2, 2)
        full = chroma.repeat(2, axis=0).repeat(2, axis=1)
        return _transformed(np.concatenate([luma, full], axis=2), matrix)

    return map_pictures(img, convert)


class ConvertColor(v2.Transform):
    """Gives pictures the colour format that a camera or an accelerator has.

    Put it last: what else stands in a list of transforms takes pictures for RGB. An NV12
    picture is one plane of shape (1, 3 * H / 2, W); boxes and masks stay those of (H, W).

    Args:
        to: `rgb`, `bgr`, `yuv444` or `nv12`.
        source: What the pictures are, likewise.
        standard: Weights of the colours in luma: `bt601` or `bt709`.
        full_range: Whether YUV takes 0..255, as in JPEG; else 16..235 and 16..240.

    Raises:
        ValueError: If a name is unknown, or when called, if NV12 of odd sides is wanted.

    Example:
        >>> ConvertColor("nv12")(torch.zeros(3, 4, 6, dtype=torch.uint8)).shape
        torch.Size([1, 6, 6])
    """

    def __init__(
        self,
        to: Format,
        source: Format = "rgb",
        *,
        standard: Standard = "bt601",
        full_range: bool = False,
    ) -> None:
        super().__init__()
        for name, value in (("to", to), ("source", source)):
            if value not in _FORMATS:
                raise ValueError(f"{name} must be one of {', '.join(_FORMATS)}, got {value!r}")
        _check(standard)
        self.to = to
        self.source = source
        self.standard: Standard = standard
        self.full_range = full_range

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        if not is_picture(inpt) or self.to == self.source:
            return inpt
        rgb = inpt
        if self.source == "bgr":
            rgb = _reversed(inpt)
        elif self.source != "rgb":
            decode = yuv444_to_rgb if self.source == "yuv444" else nv12_to_rgb
            rgb = decode(inpt, self.standard, self.full_range)
        if self.to == "bgr":
            return _reversed(rgb)
        if self.to == "rgb":
            return rgb
        encode = rgb_to_yuv444 if self.to == "yuv444" else rgb_to_nv12
        return encode(rgb, self.standard, self.full_range)


class SimulateNv12(v2.Transform):
    """Takes pictures to NV12 and back, so that a model sees the chroma that cameras deliver.

    Colours lose half their resolution and a little to rounding; pictures stay RGB.

    Args:
        standard: Weights of the colours in luma: `bt601` or `bt709`.
        full_range: Whether YUV takes 0..255, as in JPEG; else 16..235 and 16..240.

    Raises:
        ValueError: If the standard is unknown.

    Example:
        >>> SimulateNv12()(torch.full((3, 3, 5), 90, dtype=torch.uint8)).unique()
        tensor([90], dtype=torch.uint8)
    """

    def __init__(self, standard: Standard = "bt601", full_range: bool = False) -> None:
        super().__init__()
        _check(standard)
        self.standard: Standard = standard
        self.full_range = full_range

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        if not is_picture(inpt):
            return inpt
        height, width = inpt.shape[-2:]
        even = inpt
        if height % 2 or width % 2:
            right, below = width % 2, height % 2
            even = v2.functional.pad(inpt, [0, 0, right, below], padding_mode="edge")
        plane = rgb_to_nv12(even, self.standard, self.full_range)
        rgb = nv12_to_rgb(plane, self.standard, self.full_range)
        return rgb if even is inpt else v2.functional.crop(rgb, 0, 0, height, width)


def _reversed(img: Tensor) -> Tensor:
    return rewrap(img.as_subclass(Tensor).flip(-3), img)


def _check(standard: str) -> None:
    if standard not in _RED_AND_BLUE:
        raise ValueError(f"standard must be bt601 or bt709, got {standard!r}")


def _to_yuv(standard: str, full_range: bool) -> NDArray[np.float64]:
    """The 3 x 4 matrix from (R, G, B, 1) to (Y, U, V), all in 0..255."""
    _check(standard)
    red, blue = _RED_AND_BLUE[standard]
    luma = np.array([red, 1 - red - blue, blue])
    u = (np.array([0, 0, 1]) - luma) / (2 * (1 - blue))
    v = (np.array([1, 0, 0]) - luma) / (2 * (1 - red))
    luma_span, chroma_span, black = (255, 255, 0) if full_range else (219, 224, 16)
    scales = np.array([luma_span, chroma_span, chroma_span]) / 255
    offsets = np.array([black, 128, 128])
    return np.column_stack([np.stack([luma, u, v]) * scales[:, None], offsets])


def _to_rgb(standard: str, full_range: bool) -> NDArray[np.float64]:
    forward = _to_yuv(standard, full_range)
    inverse = np.linalg.inv(forward[:, :3])
    return np.column_stack([inverse, -inverse @ forward[:, 3]])


def _transformed(pixels: NDArray[Any], matrix: NDArray[np.float64]) -> NDArray[np.uint8]:
    """Each pixel times a matrix, rounded, and cut off at 0 and 255."""
    # In floats: OpenCV's way with uint8 has matrices of 10 bits, and misses by a grey level.
    product = cv2.transform(pixels.astype(np.float32, copy=False), matrix)
    return np.rint(product).clip(0, 255).astype(np.uint8)
