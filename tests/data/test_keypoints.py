"""Points stay on what they mark, and of our class, through the transforms of torchvision."""

import copy
import pickle

import pytest
import torch
from torchvision import tv_tensors
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as F

from hat.data import decode_sample, encode_sample
from hat.data.keypoints import KeyPoints
from hat.data.pixels import Image

SIZE = (24, 40)
TRANSFORMS = [
    v2.RandomHorizontalFlip(p=1),
    v2.RandomVerticalFlip(p=1),
    v2.RandomCrop((20, 30)),
    v2.Pad((3, 1, 2, 4)),
    v2.Resize((48, 60)),
    v2.Compose([v2.Resize((48, 80)), v2.RandomHorizontalFlip(p=1), v2.RandomVerticalFlip(p=1)]),
    v2.Compose([v2.RandomHorizontalFlip(p=1), v2.Pad(2), v2.RandomHorizontalFlip(p=1)]),
]


def marked(column, row):
    """A picture with one bright pixel, its centre as a point, and its box."""
    img = torch.zeros(3, *SIZE, dtype=torch.uint8)
    img[:, row, column] = 255
    return {
        "img": Image(img),
        "gt_keypoints": KeyPoints([[[column + 0.5, row + 0.5]]], canvas_size=SIZE),
        "gt_bboxes": tv_tensors.BoundingBoxes(
            [[column, row, column + 1.0, row + 1.0]], format="XYXY", canvas_size=SIZE
        ),
    }


@pytest.mark.parametrize("transform", TRANSFORMS)
def test_points_stay_on_what_they_mark(transform):
    sample = transform(marked(12, 9))
    weights = sample["img"].as_subclass(torch.Tensor)[0].float()
    rows = (weights.sum(1) * (torch.arange(len(weights)) + 0.5)).sum() / weights.sum()
    columns = (weights.sum(0) * (torch.arange(weights.shape[1]) + 0.5)).sum() / weights.sum()
    seen = sample["gt_keypoints"].flatten().tolist()
    assert seen == pytest.approx([float(columns), float(rows)], abs=0.05)  # grey levels are whole


@pytest.mark.parametrize("transform", TRANSFORMS)
def test_points_stay_in_the_middle_of_their_box(transform):
    sample = transform(marked(12, 9))
    left, top, right, bottom = sample["gt_bboxes"].flatten().tolist()
    x, y = sample["gt_keypoints"].flatten().tolist()
    assert ((left + right) / 2, (top + bottom) / 2) == pytest.approx((x, y))


@pytest.mark.parametrize("transform", TRANSFORMS)
def test_points_keep_their_class_and_the_size_of_the_picture(transform):
    sample = transform(marked(12, 9))
    assert type(sample["gt_keypoints"]) is KeyPoints
    assert sample["gt_keypoints"].canvas_size == tuple(sample["img"].shape[-2:])


@pytest.mark.parametrize(
    "change",
    [
        copy.deepcopy,
        lambda points: pickle.loads(pickle.dumps(points)),
        torch.Tensor.clone,
        lambda points: points.to(torch.float64),
        lambda points: decode_sample(encode_sample({"a": points}), "record")["a"],
    ],
    ids=["deepcopy", "pickle", "clone", "to", "record"],
)
def test_a_copy_is_of_the_same_class(change):
    points = KeyPoints(torch.rand(3, 5, 2), canvas_size=SIZE)
    copied = change(points)
    assert type(copied) is KeyPoints
    assert copied.canvas_size == SIZE


def test_points_are_left_as_they_were():
    points = KeyPoints([[1.0, 2.0]], canvas_size=SIZE)
    F.horizontal_flip(points)
    assert points.tolist() == [[1, 2]]


def test_no_points_are_mirrored():
    points = KeyPoints(torch.zeros(0, 17, 2), canvas_size=SIZE)
    assert F.horizontal_flip(points).shape == (0, 17, 2)


def test_a_shape_without_two_coordinates_is_refused():
    with pytest.raises(ValueError, match=r"points have shape \(..., 2\), got \(4, 3\)"):
        KeyPoints(torch.zeros(4, 3), canvas_size=SIZE)
