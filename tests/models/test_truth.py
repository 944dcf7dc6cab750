"""Objects and sizes of the pictures in a batch."""

import pytest
import torch
from torchvision import tv_tensors

from hat.models import image_sizes, objects_of

SIZE = (20, 30)


def boxes(rows):
    return tv_tensors.BoundingBoxes(
        torch.tensor(rows, dtype=torch.float32).reshape(-1, 4), format="XYXY", canvas_size=SIZE
    )


@pytest.fixture
def batch():
    return {
        "img": torch.zeros(2, 3, *SIZE),
        "gt_bboxes": [boxes([[0, 0, 4, 4], [1, 1, 9, 9]]), boxes([])],
        "gt_classes": [torch.tensor([2, 0]), torch.zeros(0, dtype=torch.int64)],
    }


def test_boxes_and_classes_are_those_of_the_batch(batch):
    first, _ = objects_of(batch)
    assert first.boxes.tolist() == [[0, 0, 4, 4], [1, 1, 9, 9]]
    assert first.classes.tolist() == [2, 0]


def test_boxes_are_plain_tensors(batch):
    assert type(objects_of(batch)[0].boxes) is torch.Tensor


def test_a_picture_without_objects_has_empty_boxes(batch):
    assert objects_of(batch)[1].boxes.shape == (0, 4)


def test_without_crowds_and_regions_nothing_is_ignored(batch):
    assert [found.ignored.shape for found in objects_of(batch)] == [(0, 4), (0, 4)]


def test_a_crowd_is_ignored_and_no_object(batch):
    batch["gt_crowd"] = [torch.tensor([True, False]), torch.zeros(0, dtype=torch.bool)]
    first, _ = objects_of(batch)
    assert first.boxes.tolist() == [[1, 1, 9, 9]]
    assert first.classes.tolist() == [0]
    assert first.ignored.tolist() == [[0, 0, 4, 4]]


def test_rows_of_objects_are_told(batch):
    batch["gt_crowd"] = [torch.tensor([True, False]), torch.zeros(0, dtype=torch.bool)]
    assert objects_of(batch)[0].kept.tolist() == [False, True]


def test_regions_without_labels_come_before_crowds(batch):
    batch["gt_crowd"] = [torch.tensor([True, False]), torch.zeros(0, dtype=torch.bool)]
    batch["gt_ignore_bboxes"] = [boxes([[5, 5, 6, 6]]), boxes([[7, 7, 8, 8]])]
    first, second = objects_of(batch)
    assert first.ignored.tolist() == [[5, 5, 6, 6], [0, 0, 4, 4]]
    assert second.ignored.tolist() == [[7, 7, 8, 8]]


def test_boxes_without_a_class_each_are_refused(batch):
    batch["gt_classes"][0] = torch.tensor([1])
    with pytest.raises(ValueError, match="picture 0 of the batch has 2 gt_bboxes and 1 gt_classes"):
        objects_of(batch)


def test_sizes_are_those_of_the_pictures(batch):
    assert image_sizes(batch) == [SIZE, SIZE]


def test_sizes_leave_padding_out(batch):
    batch["img_shape"] = [(20, 30), torch.tensor([10, 12])]
    assert image_sizes(batch) == [(20, 30), (10, 12)]
