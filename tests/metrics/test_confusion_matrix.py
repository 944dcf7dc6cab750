"""The confusion matrix and its plot."""

import sys

import pytest
import torch
from sklearn.metrics import confusion_matrix as by_scikit_learn

from hat.callbacks import MetricUpdater
from hat.metrics import ConfusionMatrix

LABELS = torch.tensor([0, 0, 0, 0, 1, 1])
PREDS = torch.tensor([0, 0, 0, 1, 1, 1])


def counted(labels=LABELS, preds=PREDS, num_classes=3, **kwargs):
    metric = ConfusionMatrix(num_classes, **kwargs)
    logits = torch.nn.functional.one_hot(preds, num_classes).float()
    metric.update({"label": labels}, {"logits": logits})
    return metric


def texts_of(axes):
    return [text.get_text() for text in axes.texts]


def test_rows_are_true_classes_and_columns_predicted_ones():
    assert counted().compute().tolist() == [[3, 1, 0], [0, 2, 0], [0, 0, 0]]


def test_the_counts_are_those_of_scikit_learn():
    labels, preds = torch.randint(7, (2, 500)).unbind()
    expected = by_scikit_learn(labels, preds, labels=range(7)).tolist()
    assert counted(labels, preds, 7).compute().tolist() == expected


def test_it_has_no_scores_to_write():
    assert MetricUpdater([ConfusionMatrix(3)]).writes() == []


def test_the_plot_shows_shares_of_the_true_class():
    _, axes = counted().plot()
    assert texts_of(axes) == ["0.75", "0.25", "1.00"]
    shares = axes.images[0].get_array()
    assert shares[0].tolist() == [0.75, 0.25, 0]


def test_a_class_that_does_not_occur_is_an_empty_row():
    _, axes = counted().plot()
    assert axes.images[0].get_array()[2].mask.all()


def test_the_plot_names_the_classes():
    _, axes = counted(classes=["car", "bus", "dog"]).plot()
    assert [label.get_text() for label in axes.get_xticklabels()] == ["car", "bus", "dog"]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["car", "bus", "dog"]


def test_classes_without_names_are_numbered():
    _, axes = counted().plot()
    assert [label.get_text() for label in axes.get_yticklabels()] == ["0", "1", "2"]


def test_many_classes_are_drawn_without_numbers():
    _, axes = counted(num_classes=21).plot()
    assert texts_of(axes) == []


def test_it_can_be_drawn_into_given_axes():
    figure, axes = counted().plot()
    assert counted().plot(axes) == (figure, axes)


def test_the_plot_can_be_written(tmp_path):
    figure, _ = counted().plot()
    figure.savefig(tmp_path / "confusion.png")
    assert (tmp_path / "confusion.png").stat().st_size > 1000


def test_a_missing_matplotlib_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(ImportError, match=r"pip install 'hat-framework\[plot\]'"):
        counted().plot()
