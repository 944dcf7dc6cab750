"""Mean intersection over union, by hand and against the plain definition."""

import numpy as np
import pytest
import torch
from torchmetrics.classification import MulticlassJaccardIndex

from hat.metrics import MeanIoU
from hat.metrics.confusion import confusion_matrix
from hat.metrics.mean_iou import iou_of_classes

#: Class 0: 2 of 3 found, nothing taken for it. Class 1: its pixel found, another taken for it.
LABELS = torch.tensor([[[0, 0, 0, 1, 255]]])
PREDS = torch.tensor([[[0, 0, 1, 1, 1]]])


def value_of(metric, *batches):
    for labels, preds in batches:
        metric.update({"gt_seg": labels}, {"seg": preds})
    return metric.compute()


def random_batch(num_pictures=5, num_classes=7, size=(33, 21)):
    labels = torch.randint(num_classes, (num_pictures, *size))
    preds = torch.randint(num_classes, (num_pictures, *size))
    preds = torch.where(torch.rand(labels.shape) < 0.6, labels, preds)
    labels[torch.rand(labels.shape) < 0.1] = 255
    return labels, preds


def plain_iou(labels, preds, num_classes):
    """Sets of pixels, as the definition says."""
    labels, preds = labels.numpy(), preds.numpy()
    valid = labels != 255
    values = []
    for each in range(num_classes):
        true, found = valid & (labels == each), valid & (preds == each)
        union = np.logical_or(true, found).sum()
        values.append(np.logical_and(true, found).sum() / union if union else np.nan)
    return values


def test_a_case_worked_by_hand():
    # class 0: 2 / (3 + 2 - 2); class 1: 1 / (1 + 2 - 1); the pixel of no class does not count
    assert value_of(MeanIoU(2), (LABELS, PREDS)).item() == (2 / 3 + 1 / 2) / 2


@pytest.mark.parametrize("size", [(33, 21), (1, 1), (65, 97)])
def test_the_mean_is_that_of_the_plain_definition(size):
    labels, preds = random_batch(size=size)
    expected = np.nanmean(plain_iou(labels, preds, 7))
    assert value_of(MeanIoU(7), (labels, preds)).item() == pytest.approx(expected, abs=1e-12)


def test_each_class_is_that_of_the_plain_definition():
    labels, preds = random_batch()
    values = value_of(MeanIoU(7, classes=list("abcdefg")), (labels, preds))
    found = [values[f"IoU_{each}"].item() for each in "abcdefg"]
    assert found == pytest.approx(plain_iou(labels, preds, 7), abs=1e-12)


def test_the_mean_is_that_of_torchmetrics():
    labels, preds = random_batch()
    expected = MulticlassJaccardIndex(7, ignore_index=255)(preds, labels)
    assert value_of(MeanIoU(7), (labels, preds)).item() == pytest.approx(expected.item(), abs=1e-6)


def test_it_is_the_iou_of_the_data_set_and_not_the_mean_of_pictures():
    right = torch.zeros(1, 1, 3).long(), torch.zeros(1, 1, 3).long()
    wrong = torch.zeros(1, 1, 1).long(), torch.ones(1, 1, 1).long()
    # class 0: 3 of 4 pixels, where the pictures' mean is (1 + 0) / 2; class 1: 0
    assert value_of(MeanIoU(2), right, wrong).item() == (3 / 4 + 0) / 2


def test_a_class_that_neither_occurs_nor_is_predicted_is_left_out():
    values = value_of(MeanIoU(3, classes=["a", "b", "c"]), (LABELS, PREDS))
    assert values["mIoU"].item() == (2 / 3 + 1 / 2) / 2
    assert values["IoU_c"].isnan()


def test_a_class_that_is_only_predicted_counts_as_zero():
    assert value_of(MeanIoU(3), (LABELS, PREDS.where(LABELS != 0, 2))).item() == 1 / 3


@pytest.mark.parametrize("num_pictures", [0, 2])
def test_it_is_nan_where_nothing_is_labelled(num_pictures):
    nothing = torch.full((num_pictures, 3, 4), 255)
    assert value_of(MeanIoU(2), (nothing, torch.zeros_like(nothing))).isnan()


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int32, torch.int64])
def test_labels_may_have_any_integer_type(dtype):
    labels, preds = torch.tensor([[[99, 98, 255]]]), torch.tensor([[[99, 99, 0]]])
    value = value_of(MeanIoU(100), (labels.to(dtype), preds.to(dtype)))
    assert value.item() == (1 / 2 + 0) / 2


def test_memory_may_lie_in_any_order():
    labels, preds = random_batch()
    turned = labels.transpose(1, 2).contiguous().transpose(1, 2)
    assert value_of(MeanIoU(7), (turned, preds)) == value_of(MeanIoU(7), (labels, preds))


def test_another_value_may_mean_not_labelled():
    labels = LABELS.where(LABELS != 255, 2)
    assert value_of(MeanIoU(2, ignore_index=2), (labels, PREDS)).item() == (2 / 3 + 1 / 2) / 2


def test_the_scores_are_named_after_the_classes():
    metric = MeanIoU(2, classes=["road", "sky"], name="seg/mIoU")
    assert metric.score_names == ["seg/mIoU", "seg/IoU_road", "seg/IoU_sky"]
    assert list(value_of(metric, (LABELS, PREDS))) == metric.score_names


def test_counts_beyond_the_whole_numbers_of_float32_are_exact():
    counts = torch.tensor([[2**25 + 1, 1], [0, 1]])
    assert iou_of_classes(counts)[0].item() == (2**25 + 1) / (2**25 + 2)


def test_rows_are_true_classes():
    assert confusion_matrix(LABELS, PREDS, num_classes=2, ignore_index=255).tolist() == [
        [2, 1],
        [0, 1],
    ]


@pytest.mark.parametrize("value", [2, 254, 256, -1])
def test_a_label_that_is_no_class_is_refused(value):
    with pytest.raises(ValueError, match=f"labels hold {value}, which is none of the 2 classes"):
        value_of(MeanIoU(2), (LABELS.where(LABELS != 1, value), PREDS))


@pytest.mark.parametrize("value", [2, 255, -1])
def test_a_prediction_that_is_no_class_is_refused(value):
    with pytest.raises(ValueError, match=f"predicted classes hold {value}, which is none"):
        value_of(MeanIoU(2), (LABELS, PREDS.where(PREDS != 1, value)))


def test_a_prediction_of_another_size_is_refused():
    with pytest.raises(ValueError, match=r"one shape, got \(1, 1, 5\) and \(1, 1, 4\)"):
        value_of(MeanIoU(2), (LABELS, PREDS[..., 1:]))


@pytest.mark.parametrize(("num_classes", "ignore_index"), [(256, 255), (2, 1), (2, -1)])
def test_a_class_cannot_mean_not_labelled(num_classes, ignore_index):
    with pytest.raises(ValueError, match=f"ignore_index is {ignore_index}, a class or negative"):
        MeanIoU(num_classes, ignore_index)


def test_names_of_other_than_all_classes_are_refused():
    with pytest.raises(ValueError, match="got 1 names in classes for 2 classes"):
        MeanIoU(2, classes=["road"])
