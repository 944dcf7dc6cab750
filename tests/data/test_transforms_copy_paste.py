"""Objects of one picture in another, worked by hand."""

import pytest
import torch
from torchvision import tv_tensors

from hat.data import Compose, CopyPaste
from hat.data.pixels import Image, Mask


def sample(value, boxes, size=(8, 8), **extra):
    masks = torch.zeros(len(boxes), *size, dtype=torch.bool)
    for mask, (left, top, right, bottom) in zip(masks, boxes, strict=True):
        mask[top:bottom, left:right] = True
    rows = torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4)
    return {
        "img": Image(torch.full((3, *size), value, dtype=torch.uint8)),
        "gt_bboxes": tv_tensors.BoundingBoxes(rows, format="XYXY", canvas_size=size),
        "gt_classes": torch.arange(len(boxes)) + value,
        "gt_masks": Mask(masks),
        "gt_seg": Mask(torch.full(size, value, dtype=torch.uint8)),
        "img_id": value,
        **extra,
    }


def pasted(sample, other, max_objects=10):
    return Compose([CopyPaste(p=1, max_objects=max_objects)])(sample, lambda place: other)


def test_pixels_under_the_mask_are_those_of_the_other():
    out = pasted(sample(1, []), sample(5, [(2, 3, 4, 8)]))
    expected = torch.full((8, 8), 1)
    expected[3:8, 2:4] = 5
    assert torch.equal(out["img"][0].long(), expected)
    assert torch.equal(out["gt_seg"].long(), expected)


def test_the_pasted_object_has_all_its_rows():
    out = pasted(sample(1, [(0, 0, 2, 2)]), sample(5, [(2, 3, 4, 8)]))
    assert out["gt_bboxes"].tolist() == [[0, 0, 2, 2], [2, 3, 4, 8]]
    assert out["gt_classes"].tolist() == [1, 5]
    assert out["gt_masks"].flatten(1).sum(1).tolist() == [4, 10]


def test_an_object_that_is_covered_in_part_gets_the_box_of_the_rest():
    out = pasted(sample(1, [(0, 0, 4, 4)]), sample(5, [(2, 0, 8, 8)]))
    assert out["gt_bboxes"].tolist() == [[0, 0, 2, 4], [2, 0, 8, 8]]
    assert out["gt_masks"][0].sum() == 8


def test_an_object_that_is_covered_in_the_middle_keeps_its_box():
    out = pasted(sample(1, [(0, 0, 8, 8)]), sample(5, [(2, 2, 4, 4)]))
    assert out["gt_bboxes"].tolist()[0] == [0, 0, 8, 8]
    assert out["gt_masks"][0].sum() == 60


def test_an_object_that_is_covered_whole_is_dropped():
    out = pasted(sample(1, [(2, 2, 4, 4), (6, 6, 8, 8)]), sample(5, [(1, 1, 5, 5)]))
    assert out["gt_classes"].tolist() == [2, 5]


def test_an_object_that_nothing_covers_keeps_its_box_though_it_is_not_the_masks():
    loose = sample(1, [(0, 0, 2, 2)])
    loose["gt_bboxes"] = tv_tensors.wrap(
        torch.tensor([[0.0, 0.0, 2.5, 2.5]]), like=loose["gt_bboxes"]
    )
    assert pasted(loose, sample(5, [(4, 4, 8, 8)]))["gt_bboxes"].tolist()[0] == [0, 0, 2.5, 2.5]


def test_key_points_that_are_covered_become_hidden():
    points = tv_tensors.KeyPoints([[[0.5, 0.5], [3.5, 3.5]]], canvas_size=(8, 8))
    keys = dict(gt_keypoints=points, gt_visibility=torch.tensor([[2, 2]]))
    out = pasted(sample(1, [(0, 0, 5, 5)], **keys), sample(5, [(3, 3, 4, 4)], **keys))
    assert out["gt_visibility"].tolist() == [[2, 1], [2, 2]]


def test_crowds_are_not_pasted():
    other = sample(5, [(0, 0, 2, 2), (4, 4, 6, 6)], gt_crowd=torch.tensor([True, False]))
    out = pasted(sample(1, [], gt_crowd=torch.zeros(0, dtype=torch.bool)), other)
    assert out["gt_classes"].tolist() == [6]


def test_no_more_than_so_many_objects_are_pasted():
    other = sample(5, [(x, 0, x + 1, 8) for x in range(8)])
    counts = {len(pasted(sample(1, []), other, max_objects=3)["gt_classes"]) for _ in range(50)}
    assert counts == {1, 2, 3}


def test_a_larger_picture_is_cut():
    out = pasted(sample(1, []), sample(5, [(6, 6, 12, 12), (9, 9, 12, 12)], size=(12, 12)))
    assert out["gt_bboxes"].tolist() == [[6, 6, 8, 8]]
    assert out["gt_bboxes"].canvas_size == (8, 8)


def test_a_smaller_picture_is_pasted_where_it_is():
    out = pasted(sample(1, []), sample(5, [(1, 1, 3, 3)], size=(4, 4)))
    assert out["gt_bboxes"].tolist() == [[1, 1, 3, 3]]
    assert out["img"].shape == (3, 8, 8)


def test_a_picture_without_objects_gives_nothing():
    before = sample(1, [(0, 0, 2, 2)])
    assert torch.equal(pasted(before, sample(5, []))["img"], before["img"])


def test_a_sample_without_masks_is_refused():
    bare = sample(1, [])
    del bare["gt_masks"]
    with pytest.raises(RuntimeError, match="needs gt_masks; sample 1 has none"):
        pasted(bare, sample(5, []))


def test_boxes_in_3d_are_refused():
    solid = dict(gt_bboxes_3d=torch.zeros(0, 7))
    with pytest.raises(RuntimeError, match=r"DropKeys\(\['gt_bboxes_3d'\]\)"):
        pasted(sample(1, [], **solid), sample(5, [], **solid))


@pytest.mark.parametrize("wrong", [dict(p=-0.1), dict(max_objects=0)])
def test_arguments_out_of_range_are_refused(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        CopyPaste(**wrong)
