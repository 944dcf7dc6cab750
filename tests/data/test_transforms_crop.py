"""Crops that look at the classes of their pixels."""

import pytest
import torch
from torchvision import tv_tensors

from hat.data import ClassAwareCrop
from hat.data.pixels import Image, Mask


def sample(seg):
    seg = torch.as_tensor(seg, dtype=torch.uint8)
    return {
        "img": Image(seg.expand(3, *seg.shape).clone()),
        "gt_seg": Mask(seg),
        "gt_bboxes": tv_tensors.BoundingBoxes(
            [[0.0, 0.0, 2.0, 2.0]], format="XYXY", canvas_size=seg.shape
        ),
    }


def stripes():
    """Class 0, but for the last of 32 columns, which is class 1."""
    seg = torch.zeros(8, 32, dtype=torch.uint8)
    seg[:, 24:] = 1
    return sample(seg)


def shares(crop, count=100):
    """The largest share of a class in each of many crops."""
    torch.manual_seed(0)
    crops = [crop(stripes())["gt_seg"].float().mean().item() for _ in range(count)]
    return [max(share, 1 - share) for share in crops]


def test_crops_that_one_class_fills_are_drawn_again():
    assert max(shares(ClassAwareCrop(8, max_share=0.75, num_tries=200))) <= 0.75


def test_with_one_try_they_are_not():
    assert max(shares(ClassAwareCrop(8, max_share=0.75, num_tries=1))) == 1


def test_a_picture_of_one_class_is_cropped_all_the_same():
    assert ClassAwareCrop(4)(sample(torch.zeros(8, 8)))["gt_seg"].shape == (4, 4)


def test_a_picture_without_labels_is_cropped_all_the_same():
    assert ClassAwareCrop(4)(sample(torch.full((8, 8), 255)))["gt_seg"].unique().tolist() == [255]


def test_unlabelled_pixels_do_not_count():
    seg = torch.full((4, 4), 255)
    seg[0, 0], seg[0, 1] = 0, 1
    params = ClassAwareCrop(4, max_share=0.5).make_params(list(sample(seg).values()))
    assert (params["top"], params["left"]) == (0, 0)


def test_a_rare_class_is_shown_when_it_is_in_focus():
    seg = torch.zeros(64, 64)
    seg[50, 3] = 2
    crop = ClassAwareCrop(8, focus=[7, 2], focus_p=1)
    torch.manual_seed(0)
    assert all((crop(sample(seg))["gt_seg"] == 2).any() for _ in range(50))


def test_a_pixel_in_focus_may_be_anywhere_in_the_crop():
    seg = torch.zeros(64, 64)
    seg[30, 30] = 2
    crop = ClassAwareCrop(4, focus=[2], focus_p=1)
    torch.manual_seed(0)
    places = {tuple((crop(sample(seg))["gt_seg"] == 2).nonzero()[0].tolist()) for _ in range(300)}
    assert len(places) == 16


def test_picture_boxes_and_classes_are_cut_alike():
    torch.manual_seed(0)
    seg = torch.arange(64).reshape(8, 8)
    out = ClassAwareCrop(4)(sample(seg))
    assert torch.equal(out["img"][0], out["gt_seg"].as_subclass(torch.Tensor))
    assert out["gt_bboxes"].canvas_size == (4, 4)


def test_a_smaller_picture_is_padded():
    out = ClassAwareCrop((4, 6))(sample(torch.ones(2, 2)))
    assert out["gt_seg"].tolist()[0] == [1, 1, 255, 255, 255, 255]
    assert out["img"][0].tolist()[0] == [1, 1, 114, 114, 114, 114]


def test_a_sample_without_classes_of_pixels_is_refused():
    with pytest.raises(ValueError, match="needs the classes of pixels, gt_seg"):
        ClassAwareCrop(4)({"img": Image(torch.zeros(3, 8, 8, dtype=torch.uint8))})


@pytest.mark.parametrize(
    "wrong", [dict(size=0), dict(max_share=0), dict(num_tries=0), dict(focus_p=2)]
)
def test_arguments_out_of_range_are_refused(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        ClassAwareCrop(**(dict(size=4) | wrong))
