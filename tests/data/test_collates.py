"""Samples packed into a batch."""

import numpy as np
import pytest
import torch
from torchvision import tv_tensors

from hat.data import StackCollate


def collate(*samples):
    return StackCollate()(list(samples))


def test_tensors_are_stacked():
    batch = collate({"x": torch.tensor([1.0, 2.0])}, {"x": torch.tensor([3.0, 4.0])})
    assert batch["x"].tolist() == [[1, 2], [3, 4]]


def test_stacking_keeps_the_dtype():
    img = torch.zeros(3, 2, 2, dtype=torch.uint8)
    assert collate({"img": img}, {"img": img})["img"].dtype == torch.uint8


def test_pictures_become_a_plain_tensor():
    img = tv_tensors.Image(torch.zeros(3, 2, 2))
    assert type(collate({"img": img}, {"img": img})["img"]) is torch.Tensor


@pytest.mark.parametrize(
    ("values", "dtype"),
    [((1, 2), torch.int64), ((0.5, 2.0), torch.float32), ((True, False), torch.bool)],
)
def test_numbers_become_one_tensor(values, dtype):
    batch = collate(*[{"label": value} for value in values])
    assert batch["label"].tolist() == list(values)
    assert batch["label"].dtype == dtype


def test_numpy_numbers_become_one_tensor():
    batch = collate({"label": np.int64(3)}, {"label": np.int64(1)})
    assert torch.equal(batch["label"], torch.tensor([3, 1]))


def test_labels_of_tensors_and_of_numbers_meet_in_one_batch():
    batch = collate({"label": torch.tensor(3)}, {"label": 1})
    assert torch.equal(batch["label"], torch.tensor([3, 1]))


@pytest.mark.parametrize("values", [("a", "b"), (None, None), ((1, 2), (3,)), ([1], [])])
def test_anything_else_is_listed(values):
    assert collate(*[{"note": value} for value in values])["note"] == list(values)


@pytest.mark.parametrize("key", ["gt_bboxes", "gt_classes", "gt_masks"])
def test_ragged_tensors_are_listed(key):
    batch = collate({key: torch.zeros(2, 4)}, {key: torch.zeros(0, 4)})
    assert [tuple(value.shape) for value in batch[key]] == [(2, 4), (0, 4)]


@pytest.mark.parametrize(
    ("key", "values"),
    [("img_id", [4, 7]), ("img_path", ["a.jpg", "b.jpg"]), ("ori_shape", [(2, 3), (4, 5)])],
)
def test_what_belongs_to_a_picture_is_listed(key, values):
    assert collate({key: values[0]}, {key: values[1]})[key] == values


def test_a_ragged_key_is_listed_even_where_shapes_agree():
    assert isinstance(collate({"gt_bboxes": torch.zeros(2, 4)})["gt_bboxes"], list)


def test_one_sample_is_a_batch_of_one():
    assert collate({"x": torch.zeros(3)})["x"].shape == (1, 3)


def test_samples_are_left_as_they_were():
    sample = {"x": torch.zeros(2), "img_id": 3}
    collate(sample)["x"].add_(1)
    assert sample["x"].tolist() == [0, 0]


def test_the_order_of_keys_does_not_matter():
    batch = collate({"x": 1, "y": 2}, {"y": 4, "x": 3})
    assert [batch["x"].tolist(), batch["y"].tolist()] == [[1, 3], [2, 4]]


def test_unlike_shapes_are_refused_by_key_and_sample():
    first = {"img": torch.zeros(3, 4, 4), "img_id": 7}
    second = {"img": torch.zeros(3, 5, 4), "img_id": 9}
    with pytest.raises(
        ValueError, match=r"'img' of sample 7 has shape \(3, 4, 4\), of sample 9 \(3, 5, 4\)"
    ):
        collate(first, second)


def test_a_sample_is_named_by_its_file_where_it_has_one():
    first = {"img": torch.zeros(1), "img_id": 0, "img_path": "a.jpg"}
    second = {"img": torch.zeros(2), "img_id": 1, "img_path": "b.jpg"}
    with pytest.raises(ValueError, match=r"sample a\.jpg .* sample b\.jpg"):
        collate(first, second)


def test_unlike_keys_are_refused_by_sample():
    with pytest.raises(ValueError, match=r"sample 1 has \['img_id'\], sample 2 has .*'label'"):
        collate({"img_id": 1}, {"img_id": 2, "label": 0})


def test_samples_that_are_no_dicts_are_refused_by_what_they_are():
    with pytest.raises(TypeError, match="tuple"):
        collate((torch.zeros(3), 1))
