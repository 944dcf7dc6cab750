"""Precision, recall and F1, by hand and against scikit-learn."""

import pytest
import torch
from sklearn.metrics import f1_score, precision_score, recall_score

from hat.metrics import F1, Precision, Recall

#: True, then predicted: class 0 is right 2 times of 3, and taken for 1 once; class 2 occurs
#: and is never predicted; class 3 is predicted and never occurs; class 4 neither.
LABELS = torch.tensor([0, 0, 0, 1, 2, 1])
PREDS = torch.tensor([0, 0, 1, 1, 3, 1])
BY_HAND = [
    (Precision, [1, 2 / 3, 0, 0, torch.nan]),
    (Recall, [2 / 3, 1, 0, 0, torch.nan]),
    (F1, [4 / 5, 4 / 5, 0, 0, torch.nan]),
]
OTHERS = [(Precision, precision_score), (Recall, recall_score), (F1, f1_score)]


def logits_of(classes, num_classes=5):
    return torch.nn.functional.one_hot(classes, num_classes).float()


def value_of(metric, labels=LABELS, preds=PREDS):
    metric.update({"label": labels}, {"logits": logits_of(preds)})
    return metric.compute()


@pytest.mark.parametrize(("metric_class", "expected"), BY_HAND)
def test_each_class_is_as_worked_by_hand(metric_class, expected):
    metric = metric_class(5, classes=list("abcde"))
    values = [value.item() for value in value_of(metric).values()]
    assert values[1:] == pytest.approx(expected, nan_ok=True)


@pytest.mark.parametrize(("metric_class", "expected"), BY_HAND)
def test_the_mean_is_over_classes_that_occur_or_are_predicted(metric_class, expected):
    assert value_of(metric_class(5)).item() == pytest.approx(sum(expected[:4]) / 4)


@pytest.mark.parametrize(("metric_class", "function"), OTHERS)
def test_the_mean_is_the_macro_average_of_scikit_learn(metric_class, function):
    labels, preds = torch.randint(4, (300,)), torch.randint(1, 5, (300,))
    expected = function(labels, preds, average="macro", zero_division=0)
    assert value_of(metric_class(5), labels, preds).item() == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(("metric_class", "function"), OTHERS)
def test_each_class_is_that_of_scikit_learn(metric_class, function):
    labels, preds = torch.randint(5, (300,)), torch.randint(5, (300,))
    values = value_of(metric_class(5, classes=list("abcde")), labels, preds)
    expected = function(labels, preds, average=None)
    assert [v.item() for v in values.values()][1:] == pytest.approx(expected.tolist(), abs=1e-12)


def test_a_label_of_more_than_255_classes_is_no_special_one():
    labels = torch.tensor([255, 256, 299])
    metric = Recall(300)
    metric.update({"label": labels}, {"logits": logits_of(labels, 300)})
    assert metric.compute().item() == 1


def test_mixed_labels_count_by_their_largest_share():
    shares = 0.7 * logits_of(LABELS) + 0.3 * logits_of(PREDS)
    assert value_of(F1(5), labels=shares) == value_of(F1(5))


def test_pixels_can_be_counted():
    metric = F1(5, ignore_index=255, pred_key="seg", target_key="gt_seg")
    labels = torch.cat([LABELS, torch.tensor([255])])
    preds = torch.cat([PREDS, torch.tensor([4])])
    metric.update({"gt_seg": labels.view(1, 1, 7)}, {"seg": preds.view(1, 1, 7)})
    assert metric.compute() == value_of(F1(5))


@pytest.mark.parametrize(
    ("metric", "names"),
    [
        (Precision(1, classes=["a"]), ["precision", "precision_a"]),
        (Recall(1, classes=["a"]), ["recall", "recall_a"]),
        (F1(1, classes=["a"], name="cls/macro"), ["cls/macro", "cls/f1_a"]),
    ],
    ids=["Precision", "Recall", "F1"],
)
def test_the_scores_are_named_after_the_classes(metric, names):
    assert metric.score_names == names
