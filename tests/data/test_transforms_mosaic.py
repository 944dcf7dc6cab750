"""Mosaics with a centre and scales that are known, worked by hand."""

import pytest
import torch
from torchvision import tv_tensors

from hat.data import Compose, Mosaic
from hat.data.pixels import Image, Mask


def sample(value, size=(8, 8), box=(0.0, 0.0, 8.0, 8.0)):
    mask = torch.zeros(1, *size, dtype=torch.bool)
    left, top, right, bottom = map(int, box)
    mask[0, top:bottom, left:right] = True
    return {
        "img": Image(torch.full((3, *size), value, dtype=torch.uint8)),
        "gt_bboxes": tv_tensors.BoundingBoxes([box], format="XYXY", canvas_size=size),
        "gt_classes": torch.tensor([value]),
        "gt_masks": Mask(mask),
        "gt_seg": Mask(torch.full(size, value, dtype=torch.uint8)),
        "gt_keypoints": tv_tensors.KeyPoints([[[1.0, 1.0], [7.0, 7.0]]], canvas_size=size),
        "gt_visibility": torch.full((1, 2), 2),
        "gt_ignore_bboxes": tv_tensors.BoundingBoxes([box], format="XYXY", canvas_size=size),
        "img_id": value,
    }


def mixed(centre=0.5, scale=1.0, size=8, samples=None):
    mosaic = Mosaic(size, scale=(scale, scale), centre=(centre, centre))
    samples = [sample(value) for value in range(4)] if samples is None else samples
    others = iter(samples[1:])
    return Compose([mosaic])(samples[0], lambda place: next(others))


def test_four_pictures_meet_in_the_centre():
    rows = mixed()["img"][0].tolist()
    assert rows == [[0] * 4 + [1] * 4] * 4 + [[2] * 4 + [3] * 4] * 4


def test_boxes_are_cut_at_the_borders_of_their_quarter():
    assert mixed()["gt_bboxes"].tolist() == [[0, 0, 4, 4], [4, 0, 8, 4], [0, 4, 4, 8], [4, 4, 8, 8]]


def test_boxes_and_masks_agree():
    out = mixed(scale=0.75, centre=0.25)
    for mask, (left, top, right, bottom) in zip(
        out["gt_masks"], out["gt_bboxes"].int().tolist(), strict=True
    ):
        assert mask.sum() == mask[top:bottom, left:right].sum() == (bottom - top) * (right - left)


def test_a_picture_shows_what_lies_at_its_corner_to_the_centre():
    # The first picture ends at the centre: of its 8 rows the last 4 are seen.
    first = sample(0)
    first["img"] = Image(torch.arange(8).reshape(1, 8, 1).expand(3, 8, 8).to(torch.uint8))
    out = mixed(samples=[first, *map(sample, (1, 2, 3))])
    assert out["img"][0, :4, 0].tolist() == [4, 5, 6, 7]


def test_what_no_picture_covers_is_filled_and_not_labelled():
    # Pictures of 2 x 2 around the centre at (4, 4)
    out = mixed(scale=0.25)
    assert out["img"][0, 3].tolist() == [114, 114, 0, 0, 1, 1, 114, 114]
    assert out["gt_seg"][3].tolist() == [255, 255, 0, 0, 1, 1, 255, 255]


def test_a_picture_of_other_proportions_is_fitted():
    # (4, 8) into 8 x 8: scale 1, so the picture has 4 of the rows of its quarter
    out = mixed(samples=[sample(0, (4, 8), (0.0, 0.0, 8.0, 4.0)), *map(sample, (1, 2, 3))])
    assert out["gt_bboxes"].tolist()[0] == [0, 0, 4, 4]


def test_objects_that_are_not_seen_are_dropped_with_their_rows():
    # The second picture's object lies in its left half; only the left half is seen with the
    # centre in the middle. That of the first lies there too, and its right half is seen.
    left = [sample(value, box=(0.0, 0.0, 3.0, 8.0)) for value in range(4)]
    out = mixed(samples=left)
    assert out["gt_classes"].tolist() == [1, 3]
    assert len(out["gt_masks"]) == len(out["gt_keypoints"]) == 2
    assert len(out["gt_ignore_bboxes"]) == 2


def test_key_points_beyond_the_quarter_are_not_labelled():
    # (1, 1) and (7, 7) of the first picture, moved by -4: only the second is inside
    assert mixed()["gt_visibility"].tolist() == [[0, 2], [0, 0], [0, 0], [2, 0]]


def test_the_other_keys_are_those_of_the_sample_at_hand():
    assert mixed()["img_id"] == 0


@pytest.mark.parametrize("centre", [0.0, 1.0])
def test_a_centre_at_the_edge_leaves_one_picture(centre):
    out = mixed(centre=centre)
    assert len(out["gt_bboxes"]) == 1
    assert out["gt_bboxes"].canvas_size == (8, 8)


def test_a_sample_without_semantic_mask_is_not_labelled():
    bare = sample(1)
    del bare["gt_seg"]
    out = mixed(samples=[sample(0), bare, sample(2), sample(3)])
    assert out["gt_seg"][0].tolist() == [0] * 4 + [255] * 4


@pytest.mark.parametrize("key", ["label", "camera_matrix", "gt_bboxes_3d"])
def test_what_cannot_be_mixed_is_refused(key):
    samples = [{**sample(value), key: torch.zeros(1, 7)} for value in range(4)]
    with pytest.raises(RuntimeError, match=rf"put DropKeys\(\['{key}'\]\) before the mosaic"):
        mixed(samples=samples)


def test_samples_with_other_keys_of_objects_are_refused():
    bare = sample(1)
    del bare["gt_masks"]
    with pytest.raises(RuntimeError, match=r"of 0 and 1 one lacks \['gt_masks'\]"):
        mixed(samples=[sample(0), bare, sample(2), sample(3)])


def test_the_probability_is_kept():
    torch.manual_seed(0)
    mosaic = Mosaic(8, p=0.25)
    applied = sum(mosaic.num_others() == 3 for _ in range(2000)) / 2000
    assert applied == pytest.approx(0.25, abs=0.03)


@pytest.mark.parametrize(
    "wrong",
    [dict(p=1.5), dict(scale=(2, 1)), dict(scale=(0, 1)), dict(centre=(0, 2)), dict(size=0)],
)
def test_arguments_out_of_range_are_refused(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Mosaic(**(dict(size=8) | wrong))
