"""Whatever HAT exports as a metric keeps the conventions of one."""

import copy
import io

import pytest
import torch
from torchmetrics.classification import MulticlassAUROC, MulticlassF1Score

import hat.metrics
from hat.callbacks import MetricUpdater
from hat.metrics import Accuracy, TorchMetric

MAKERS = {
    "Accuracy": lambda: Accuracy(top_k=2),
    "TorchMetric": lambda: TorchMetric(MulticlassF1Score(num_classes=4), name="f1"),
    "TorchMetric of lists": lambda: TorchMetric(MulticlassAUROC(num_classes=4), name="auroc"),
}


@pytest.fixture(params=MAKERS)
def make(request):
    return MAKERS[request.param]


def batch_of(size):
    return {"label": torch.arange(size) % 4}, {"logits": torch.randn(size, 4)}


def part(batch_and_preds, rows):
    return tuple({key: value[rows] for key, value in d.items()} for d in batch_and_preds)


@pytest.fixture
def whole():
    return batch_of(24)


@pytest.fixture
def other():
    return batch_of(40)


def value_of(metric, *batches):
    for batch, preds in batches:
        metric.update(batch, preds)
    return metric.compute()


def through_a_file(state):
    file = io.BytesIO()
    torch.save(state, file)
    file.seek(0)
    return torch.load(file, weights_only=True)


def test_every_exported_metric_is_tested_here():
    assert {name.split()[0] for name in MAKERS} == set(hat.metrics.__all__)


def test_parts_of_a_batch_give_the_value_of_the_whole(make, whole):
    parts = part(whole, slice(0, 12)), part(whole, slice(12, 23)), part(whole, slice(23, 24))
    torch.testing.assert_close(value_of(make(), *parts), value_of(make(), whole))


def test_the_order_of_batches_does_not_matter(make, whole, other):
    torch.testing.assert_close(value_of(make(), whole, other), value_of(make(), other, whole))


def test_the_value_is_between_zero_and_one(make, whole):
    assert 0 <= value_of(make(), whole) <= 1


def test_the_metric_has_a_name(make):
    assert make().name.isidentifier()


def test_the_metric_says_what_is_better(make):
    assert make().higher_is_better in (True, False)


def test_after_a_reset_only_later_batches_count(make, whole, other):
    metric = make()
    value_of(metric, other)
    metric.reset()
    torch.testing.assert_close(value_of(metric, whole), value_of(make(), whole))


def test_calling_it_counts_a_batch_as_update_does(make, whole, other):
    metric = make()
    metric(*whole)
    metric(*other)
    torch.testing.assert_close(metric.compute(), value_of(make(), whole, other))


def test_calling_it_gives_the_value_of_the_batch(make, whole, other):
    metric = make()
    metric.update(*whole)
    torch.testing.assert_close(metric(*other), value_of(make(), other))


def test_the_batch_is_left_as_it_was(make, whole):
    before = copy.deepcopy(whole)
    value_of(make(), whole)
    assert all(torch.equal(whole[0][key], before[0][key]) for key in before[0])
    assert all(torch.equal(whole[1][key], before[1][key]) for key in before[1])


def test_predictions_that_need_gradients_are_counted(make, whole):
    batch, preds = whole
    tracked = {"logits": preds["logits"].clone().requires_grad_()}
    torch.testing.assert_close(value_of(make(), (batch, tracked)), value_of(make(), whole))


def test_counting_goes_on_from_a_saved_state(make, whole, other):
    metric, resumed = make(), make()
    metric.update(*whole)
    state = through_a_file(MetricUpdater([metric]).state_dict())
    MetricUpdater([resumed]).load_state_dict(state)
    torch.testing.assert_close(value_of(resumed, other), value_of(make(), whole, other))


def test_a_saved_state_can_be_evaluated_at_once(make, whole):
    metric, resumed = make(), make()
    metric.update(*whole)
    state = through_a_file(MetricUpdater([metric]).state_dict())
    MetricUpdater([resumed]).load_state_dict(state)
    torch.testing.assert_close(resumed.compute(), value_of(make(), whole))


def test_a_loaded_state_replaces_a_value_that_was_computed(make, whole, other):
    metric, used = make(), make()
    metric.update(*whole)
    value_of(used, other)
    MetricUpdater([used]).load_state_dict(through_a_file(MetricUpdater([metric]).state_dict()))
    torch.testing.assert_close(used.compute(), value_of(make(), whole))


def test_counting_on_leaves_the_loaded_state_as_it_was(make, whole, other):
    metric, first, second = make(), make(), make()
    metric.update(*whole)
    state = through_a_file(MetricUpdater([metric]).state_dict())
    MetricUpdater([first]).load_state_dict(state)
    value_of(first, other)
    MetricUpdater([second]).load_state_dict(state)
    torch.testing.assert_close(second.compute(), value_of(make(), whole))
