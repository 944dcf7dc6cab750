"""Letterbox and padding, by numbers worked by hand."""

import pytest
import torch
from torchvision import tv_tensors

from hat.data import Letterbox, PadToMultiple, Projection
from hat.data.pixels import Image, Mask


def sample(size, boxes=((0.0, 0.0, 4.0, 2.0),)):
    return {
        "img": Image(torch.full((3, *size), 9, dtype=torch.uint8)),
        "gt_bboxes": tv_tensors.BoundingBoxes(torch.tensor(boxes), format="XYXY", canvas_size=size),
        "gt_masks": Mask(torch.ones(1, *size, dtype=torch.bool)),
        "gt_seg": Mask(torch.ones(size, dtype=torch.uint8)),
        "gt_depth": Mask(torch.full(size, 5.0)),
        "camera_matrix": Projection(torch.eye(3), canvas_size=size),
    }


def test_a_wide_picture_is_centred_between_bars():
    # (4, 8) into (16, 16): scale 2, so (8, 16) with 4 rows above and below.
    out = Letterbox(16)(sample((4, 8)))
    rows = out["img"][0, :, 0].tolist()
    assert rows == [114] * 4 + [9] * 8 + [114] * 4
    assert out["gt_bboxes"].tolist() == [[0, 4, 8, 8]]


def test_without_centre_the_bar_is_below():
    out = Letterbox(16, centre=False)(sample((4, 8)))
    assert out["img"][0, :, 0].tolist() == [9] * 8 + [114] * 8
    assert out["gt_bboxes"].tolist() == [[0, 0, 8, 4]]


def test_bars_are_not_labelled():
    out = Letterbox(16)(sample((4, 8)))
    assert out["gt_seg"][0, 0] == 255
    assert not out["gt_masks"][0, 0, 0]
    assert out["gt_depth"][0, 0] == 0
    assert out["gt_seg"][4:12].unique().tolist() == [1]


def test_a_camera_follows():
    # u' = 2 u, v' = 2 v + 4
    out = Letterbox(16)(sample((4, 8)))
    assert out["camera_matrix"].tolist() == [[2, 0, 0], [0, 2, 4], [0, 0, 1]]


def test_without_upscale_a_small_picture_is_only_padded():
    out = Letterbox((8, 16), upscale=False)(sample((4, 8)))
    assert out["gt_bboxes"].tolist() == [[4, 2, 8, 4]]
    assert out["img"][0].eq(9).sum() == 32


def test_without_upscale_a_large_picture_is_still_scaled():
    out = Letterbox((4, 4), upscale=False)(sample((4, 8)))
    assert out["gt_bboxes"].tolist() == [[0, 1, 2, 2]]


def test_an_odd_space_has_its_larger_half_behind():
    out = Letterbox((7, 8))(sample((4, 8)))
    assert out["img"][0, :, 0].tolist() == [114] + [9] * 4 + [114] * 2


def test_a_picture_of_the_size_stays_as_it_is():
    before = sample((4, 8))
    assert torch.equal(Letterbox((4, 8))(before)["img"], before["img"])


@pytest.mark.parametrize("size", [0, (4, 0)])
def test_a_size_below_one_is_refused(size):
    with pytest.raises(ValueError, match="size must be at least 1"):
        Letterbox(size)


def test_parts_of_several_sizes_are_refused():
    mixed = {**sample((4, 8)), "gt_seg": Mask(torch.zeros(4, 9, dtype=torch.uint8))}
    with pytest.raises(ValueError, match=r"of one \(H, W\), got a sample of sizes"):
        Letterbox(8)(mixed)


def test_padding_goes_to_the_next_multiple():
    out = PadToMultiple(8)(sample((9, 16)))
    assert out["img"].shape == (3, 16, 16)
    assert out["img"][0, :, 0].tolist() == [9] * 9 + [114] * 7
    assert out["gt_bboxes"].tolist() == [[0, 0, 4, 2]]
    assert out["gt_seg"][9:].unique().tolist() == [255]


def test_what_a_divisor_divides_is_left_alone():
    before = sample((8, 16))
    assert PadToMultiple(8)(before)["img"] is before["img"]


def test_a_divisor_below_one_is_refused():
    with pytest.raises(ValueError, match="divisor must be at least 1, got 0"):
        PadToMultiple(0)
