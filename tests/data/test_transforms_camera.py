"""What cameras do to pictures, by numbers that can be worked out."""

import cv2
import numpy as np
import pytest
import torch

from hat.data import DefocusBlur, MotionBlur, Rain, SensorNoise
from hat.data.pixels import Image, Mask


def dot(size=15):
    img = torch.zeros(3, size, size, dtype=torch.uint8)
    img[:, size // 2, size // 2] = 255
    return Image(img)


def flat(value, size=(64, 64)):
    return Image(torch.full((3, *size), value, dtype=torch.uint8))


def test_motion_along_x_smears_a_dot_over_its_length():
    # Five pixels of 255 / 5, within what the ends share with their neighbours
    row = MotionBlur((5, 5), (0, 0))(dot())[0, 7].int()
    assert row[5:10].sum() == pytest.approx(255, abs=3)
    assert row[6:9].float().mean() == pytest.approx(255 / 5, rel=0.3)
    assert row[:5].sum() == row[10:].sum() == 0


def test_motion_along_y_is_motion_along_x_turned():
    along_x = MotionBlur((6, 6), (0, 0))(dot())
    along_y = MotionBlur((6, 6), (90, 90))(dot())
    assert torch.equal(along_x.mT, along_y.as_subclass(torch.Tensor))


def test_a_diagonal_runs_downwards():
    img = MotionBlur((9, 9), (45, 45))(dot())[0]
    assert img[9, 9] > 0
    assert img[9, 5] == 0


@pytest.mark.parametrize("length", [0, 0.5, 1])
def test_no_motion_changes_nothing(length):
    assert torch.equal(MotionBlur((length, length))(dot()), dot())


def test_defocus_spreads_a_dot_over_a_disk():
    img = DefocusBlur((4, 4))(dot())[0].float()
    y, x = np.mgrid[:15, :15]
    distance = torch.from_numpy(np.hypot(y - 7, x - 7))
    assert img[distance > 5].sum() == 0
    assert bool((img[distance < 3] > 0).all())
    assert img[distance < 3].unique().numel() == 1
    assert img[7, 7] == pytest.approx(255 / (np.pi * 16), abs=1)


@pytest.mark.parametrize("blur", [MotionBlur((9, 9)), DefocusBlur((4, 4))])
def test_blur_keeps_what_is_flat_up_to_the_border(blur):
    assert blur(flat(77)).unique().tolist() == [77]


def test_blur_keeps_the_mean():
    noise = np.random.default_rng(0).integers(256, size=(64, 64, 3), dtype=np.uint8)
    picture = Image.from_hwc(cv2.GaussianBlur(noise, (5, 5), 1.0))
    assert DefocusBlur((3, 3))(picture).float().mean() == pytest.approx(
        picture.float().mean().item(), abs=1
    )


@pytest.mark.parametrize("value", [40, 128, 200])
def test_noise_has_the_variance_that_was_asked_for(value):
    torch.manual_seed(0)
    noisy = SensorNoise((0.002, 0.002), (0.01, 0.01))(flat(value, (256, 256))).float() / 255
    # shot * x + read ** 2, and 1 / 12 of a grey level squared for rounding
    expected = 0.002 * value / 255 + 0.01**2 + 1 / 12 / 255**2
    assert noisy.var().item() == pytest.approx(expected, rel=0.02)
    assert noisy.mean().item() == pytest.approx(value / 255, abs=1e-3)


def test_noise_differs_between_channels():
    noisy = SensorNoise((0.01, 0.01), (0.02, 0.02))(flat(128))
    assert not torch.equal(noisy[0], noisy[1])


def test_rain_without_streaks_and_haze_changes_nothing():
    assert torch.equal(Rain((0, 0), haze=(0, 0))(dot()), dot())


def test_haze_pulls_towards_grey():
    # The light is 64 + 50 / 2 = 89, and 0.8 * 50 + 0.2 * 89 = 57.8
    assert Rain((0, 0), haze=(0.2, 0.2))(flat(50)).unique().tolist() == [58]


def test_streaks_brighten_what_is_dark_and_fall_straight():
    torch.manual_seed(0)
    rain = Rain((3000, 3000), (0.2, 0.2), angle=(0, 0), haze=(0, 0))
    img = rain(flat(0, (100, 100)))[0]
    assert 0.01 < (img > 0).float().mean() < 0.5
    assert img.max() <= 62  # half of 64 + 60
    wet = (img > 0).float()
    along = (wet[6:] * wet[:-6]).mean()
    across = (wet[:, 6:] * wet[:, :-6]).mean()
    assert along > 2 * across


def test_masks_and_labels_stay_as_they_are():
    sample = {"img": flat(9), "gt_seg": Mask(torch.ones(64, 64, dtype=torch.uint8)), "label": 3}
    for transform in (MotionBlur(), DefocusBlur(), SensorNoise(), Rain()):
        out = transform(sample)
        assert torch.equal(out["gt_seg"], sample["gt_seg"])
        assert out["label"] == 3


def test_pictures_of_several_cameras_are_changed_each():
    imgs = Image(torch.stack([dot(), flat(9, (15, 15))]))
    out = DefocusBlur((3, 3))(imgs)
    assert torch.equal(out[0], DefocusBlur((3, 3))(dot()))
    assert out[1].unique().tolist() == [9]


def test_floats_are_refused():
    with pytest.raises(TypeError, match="expected pictures of uint8, got"):
        SensorNoise()(Image(torch.zeros(3, 4, 4)))


@pytest.mark.parametrize(
    "make",
    [
        lambda: MotionBlur(length=(5, 3)),
        lambda: MotionBlur(angle=(0, 900)),
        lambda: DefocusBlur(radius=(-1, 3)),
        lambda: SensorNoise(shot=(0, 2)),
        lambda: SensorNoise(read=(0.1,)),
        lambda: Rain(opacity=(0, 2)),
    ],
)
def test_ranges_out_of_limits_are_refused(make):
    with pytest.raises(ValueError, match=r"must be \(least, most\) within"):
        make()
