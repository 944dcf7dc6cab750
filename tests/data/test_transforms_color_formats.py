"""Colour formats, against OpenCV and the tables of the standards."""

import cv2
import numpy as np
import pytest
import torch

from hat.data import (
    ConvertColor,
    SimulateNv12,
    nv12_to_rgb,
    rgb_to_nv12,
    rgb_to_yuv444,
    yuv444_to_rgb,
)
from hat.data.pixels import Image


def noise(size=(16, 24)):
    pixels = np.random.default_rng(0).integers(256, size=(*size, 3), dtype=np.uint8)
    return Image.from_hwc(pixels)


def color(*values):
    return torch.tensor(values, dtype=torch.uint8).reshape(3, 1, 1)


def difference(first, second):
    return (torch.as_tensor(first).int() - torch.as_tensor(second).int()).abs().max().item()


# 75 % and 100 % bars as ITU-R BT.601 and BT.709 define their 8-bit codes.
@pytest.mark.parametrize(
    ("standard", "full_range", "rgb", "yuv"),
    [
        ("bt601", False, (255, 255, 255), (235, 128, 128)),
        ("bt601", False, (0, 0, 0), (16, 128, 128)),
        ("bt601", False, (255, 0, 0), (81, 90, 240)),
        ("bt601", False, (0, 255, 0), (145, 54, 34)),
        ("bt601", False, (0, 0, 255), (41, 240, 110)),
        ("bt709", False, (255, 0, 0), (63, 102, 240)),
        ("bt709", False, (0, 255, 0), (173, 42, 26)),
        ("bt709", False, (0, 0, 255), (32, 240, 118)),
        ("bt601", True, (255, 255, 255), (255, 128, 128)),
        # 0.299 * 255 = 76.245; 128 - 0.168736 * 255 = 84.97; 128 + 127.5, cut at 255
        ("bt601", True, (255, 0, 0), (76, 85, 255)),
    ],
)
def test_known_colours(standard, full_range, rgb, yuv):
    assert rgb_to_yuv444(color(*rgb), standard, full_range).flatten().tolist() == list(yuv)


def test_full_range_is_the_ycrcb_of_opencv():
    img = noise()
    y, cr, cb = cv2.split(cv2.cvtColor(img.hwc(), cv2.COLOR_RGB2YCrCb))
    expected = torch.from_numpy(np.stack([y, cb, cr]))
    assert difference(rgb_to_yuv444(img, full_range=True), expected) <= 1


def test_luma_of_nv12_is_that_of_opencv():
    img = noise()
    expected = cv2.cvtColor(img.hwc(), cv2.COLOR_RGB2YUV_I420)[:16]
    assert difference(rgb_to_nv12(img)[0, :16], expected) <= 1


def test_nv12_is_decoded_as_opencv_does():
    plane = np.random.default_rng(1).integers(16, 236, size=(24, 24), dtype=np.uint8)
    expected = cv2.cvtColor(plane, cv2.COLOR_YUV2RGB_NV12)
    assert difference(nv12_to_rgb(torch.from_numpy(plane)[None]).permute(1, 2, 0), expected) <= 2


@pytest.mark.parametrize("standard", ["bt601", "bt709"])
@pytest.mark.parametrize("full_range", [False, True])
def test_yuv444_comes_back_within_rounding(standard, full_range):
    img = noise()
    back = yuv444_to_rgb(rgb_to_yuv444(img, standard, full_range), standard, full_range)
    assert difference(back, img) <= (2 if full_range else 3)


def test_nv12_is_luma_then_pairs_of_chroma():
    # Two columns red and two blue: U and V alternate, one pair for 2 x 2 pixels
    img = torch.zeros(3, 2, 4, dtype=torch.uint8)
    img[0, :, :2] = 255
    img[2, :, 2:] = 255
    assert rgb_to_nv12(img)[0].tolist() == [
        [81, 81, 41, 41],
        [81, 81, 41, 41],
        [90, 240, 240, 110],
    ]


def test_chroma_of_nv12_is_the_mean_of_four_pixels():
    img = noise((2, 2))
    mean = rgb_to_yuv444(img).float().flatten(1).mean(1)[1:]
    chroma = rgb_to_nv12(img)[0, 2].float()
    assert (chroma - mean).abs().max() <= 1


def test_nv12_of_a_flat_picture_comes_back():
    img = Image(torch.full((3, 4, 6), 90, dtype=torch.uint8))
    back = nv12_to_rgb(rgb_to_nv12(img))
    assert torch.equal(back, img)
    assert type(back) is Image


def test_pictures_of_several_cameras_are_converted_each():
    imgs = torch.stack([noise(), noise().flip(-1)])
    assert rgb_to_nv12(imgs).shape == (2, 1, 24, 24)
    assert torch.equal(rgb_to_nv12(imgs)[1], rgb_to_nv12(imgs[1]))


@pytest.mark.parametrize("size", [(3, 4), (4, 3)])
def test_odd_sides_are_refused(size):
    with pytest.raises(ValueError, match="NV12 needs even sides, got"):
        rgb_to_nv12(noise(size))


@pytest.mark.parametrize("shape", [(3, 6, 4), (1, 4, 4), (1, 6, 3)])
def test_what_is_not_nv12_is_refused(shape):
    with pytest.raises(ValueError, match=r"NV12 has shape \(1, 3 \* H / 2, W\)"):
        nv12_to_rgb(torch.zeros(shape, dtype=torch.uint8))


def test_floats_are_refused():
    with pytest.raises(TypeError, match="uint8"):
        rgb_to_yuv444(torch.zeros(3, 2, 2))


def test_bgr_is_rgb_backwards():
    assert ConvertColor("bgr")(color(1, 2, 3)).flatten().tolist() == [3, 2, 1]


@pytest.mark.parametrize("to", ["rgb", "bgr", "yuv444", "nv12"])
def test_every_format_comes_back(to):
    img = Image(torch.full((3, 4, 4), 90, dtype=torch.uint8))
    assert difference(ConvertColor("rgb", to)(ConvertColor(to)(img)), img) <= 1


def test_one_camera_format_becomes_another():
    img = noise()
    assert torch.equal(ConvertColor("nv12", "bgr")(ConvertColor("bgr")(img)), rgb_to_nv12(img))


def test_a_simulation_is_the_way_there_and_back():
    img = noise()
    assert torch.equal(SimulateNv12("bt709")(img), nv12_to_rgb(rgb_to_nv12(img, "bt709"), "bt709"))


def test_a_simulation_takes_odd_sides():
    img = noise((5, 7))
    out = SimulateNv12()(img)
    assert out.shape == img.shape
    assert torch.equal(out[:, :4, :6], SimulateNv12()(Image(img[:, :4, :6])))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ConvertColor("yuv"), "to must be one of rgb, bgr, yuv444, nv12, got 'yuv'"),
        (lambda: ConvertColor("rgb", "hsv"), "source must be one of"),
        (lambda: ConvertColor("nv12", standard="601"), "standard must be bt601 or bt709"),
        (lambda: SimulateNv12("bt2020"), "standard must be bt601 or bt709"),
    ],
)
def test_unknown_names_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()
