"""Metrics of torchmetrics, fed with the keys of a batch."""

import pytest
import torch
from torchmetrics.classification import MulticlassF1Score
from torchmetrics.regression import MeanSquaredError

from hat.metrics import TorchMetric


@pytest.fixture
def batches():
    return [
        ({"label": torch.randint(3, (size,))}, {"logits": torch.randn(size, 3)})
        for size in (20, 30, 1)
    ]


@pytest.fixture
def expected(batches):
    metric = MulticlassF1Score(num_classes=3)
    labels = torch.cat([batch["label"] for batch, _ in batches])
    return metric(torch.cat([preds["logits"] for _, preds in batches]), labels)


@pytest.fixture
def f1():
    return TorchMetric(MulticlassF1Score(num_classes=3), name="f1")


def test_the_value_is_that_of_the_wrapped_metric_over_all_batches(f1, batches, expected):
    for batch, preds in batches:
        f1.update(batch, preds)
    torch.testing.assert_close(f1.compute(), expected)


def test_calling_it_counts_a_batch_as_update_does(f1, batches, expected):
    for batch, preds in batches:
        f1(batch, preds)
    torch.testing.assert_close(f1.compute(), expected)


def test_after_a_reset_the_batches_before_do_not_count(f1, batches, expected):
    f1.update({"label": torch.zeros(50).long()}, {"logits": torch.randn(50, 3)})
    f1.compute()
    f1.reset()
    for batch, preds in batches:
        f1.update(batch, preds)
    torch.testing.assert_close(f1.compute(), expected)


def test_a_value_that_was_computed_is_replaced_by_the_next_batch(f1, batches, expected):
    for batch, preds in batches:
        f1.update(batch, preds)
        f1.compute()
    torch.testing.assert_close(f1.compute(), expected)


def test_other_keys_may_be_compared():
    metric = TorchMetric(MeanSquaredError(), "mse", pred_key="depth", target_key="gt_depth")
    metric.update({"gt_depth": torch.tensor([1.0, 2.0])}, {"depth": torch.tensor([1.0, 4.0])})
    assert metric.compute().item() == 2  # (0 + 2 * 2) / 2


@pytest.mark.parametrize(
    ("wrapped", "is_higher"),
    [(MulticlassF1Score(num_classes=3), True), (MeanSquaredError(), False)],
)
def test_what_is_better_is_as_the_wrapped_metric_says(wrapped, is_higher):
    assert TorchMetric(wrapped, "value").higher_is_better is is_higher


def test_the_wrapped_metric_moves_with_it(f1):
    assert f1.to("meta").metric.device.type == "meta"


def test_a_missing_key_is_named(f1):
    with pytest.raises(KeyError, match="logits"):
        f1.update({"label": torch.zeros(1)}, {"classes": torch.zeros(1)})
