"""Pixel accuracy and its mean over classes."""

import pytest
import torch
from sklearn.metrics import accuracy_score, balanced_accuracy_score

from hat.metrics import PixelAccuracy

#: Class 0: 3 of 4 found; class 1: 1 of 1; class 2 is only predicted, class 3 never.
LABELS = torch.tensor([[[0, 0, 0, 0, 1, 255]]])
PREDS = torch.tensor([[[0, 0, 0, 2, 1, 1]]])


def values_of(metric, labels, preds):
    metric.update({"gt_seg": labels}, {"seg": preds})
    return {name: value.item() for name, value in metric.compute().items()}


def test_a_case_worked_by_hand():
    values = values_of(PixelAccuracy(4), LABELS, PREDS)
    assert values == {"pixel_acc": 4 / 5, "mean_acc": (3 / 4 + 1) / 2}


def test_each_class_has_a_score_if_it_has_a_name():
    values = values_of(PixelAccuracy(4, classes=list("abcd")), LABELS, PREDS)
    of_classes = [values[f"acc_{each}"] for each in "abcd"]
    assert of_classes == pytest.approx([3 / 4, 1, torch.nan, torch.nan], nan_ok=True)


def test_both_are_those_of_scikit_learn():
    labels, preds = torch.randint(5, (2, 3, 20, 30)).unbind()
    values = values_of(PixelAccuracy(5), labels, preds)
    arrays = labels.flatten().numpy(), preds.flatten().numpy()
    assert values["pixel_acc"] == pytest.approx(accuracy_score(*arrays), abs=1e-12)
    assert values["mean_acc"] == pytest.approx(balanced_accuracy_score(*arrays), abs=1e-12)


def test_the_scores_are_named_with_their_task():
    names = PixelAccuracy(2, classes=["a", "b"], name="seg/pixel_acc").score_names
    assert names == ["seg/pixel_acc", "seg/mean_acc", "seg/acc_a", "seg/acc_b"]
