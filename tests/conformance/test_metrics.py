"""Whatever HAT exports as a metric keeps the conventions of one."""

import copy
import io
import math

import pytest
import torch
from metric_batches import classified, detected, segmented, with_depth, with_keypoints
from torchmetrics.classification import MulticlassAUROC, MulticlassF1Score

import hat.metrics
from hat.callbacks import MetricUpdater
from hat.engine.progress import Progress
from hat.engine.scores import Scores
from hat.metrics import (
    F1,
    PCK,
    Accuracy,
    BoundaryF,
    CocoAP,
    ConfusionMatrix,
    DepthErrors,
    KittiAP,
    MeanIoU,
    PixelAccuracy,
    Precision,
    Recall,
    TorchMetric,
    VocAP,
)

CLASSES = ["car", "bus", "cat", "dog"]

#: How a metric is made, and the batches (of `metric_batches`) that it is fed here. The first
#: word of a key is the exported name.
MAKERS = {
    "Accuracy": (lambda: Accuracy(top_k=2), classified),
    "BoundaryF": (lambda: BoundaryF(4, tolerance=0.1), segmented),
    "CocoAP": (lambda: CocoAP(classes=CLASSES), detected),
    "ConfusionMatrix": (lambda: ConfusionMatrix(4), classified),
    "ConfusionMatrix of pixels": (
        lambda: ConfusionMatrix(4, ignore_index=255, pred_key="seg", target_key="gt_seg"),
        segmented,
    ),
    "DepthErrors": (lambda: DepthErrors(max_depth=60), with_depth),
    "F1": (lambda: F1(4), classified),
    "KittiAP": (
        lambda: KittiAP(CLASSES, min_overlaps={"car": 0.7, "bus": 0.5}, neighbours={"car": "cat"}),
        detected,
    ),
    "MeanIoU": (lambda: MeanIoU(4), segmented),
    "MeanIoU of classes": (lambda: MeanIoU(4, classes=CLASSES), segmented),
    "PCK": (lambda: PCK(3), with_keypoints),
    "PCK of keypoints": (
        lambda: PCK(3, reference=(0, 1), names=["nose", "left ear", "right ear"]),
        with_keypoints,
    ),
    "PixelAccuracy": (lambda: PixelAccuracy(4, classes=CLASSES), segmented),
    "Precision": (lambda: Precision(4, classes=CLASSES), classified),
    "Recall": (lambda: Recall(4), classified),
    "TorchMetric": (
        lambda: TorchMetric(MulticlassF1Score(num_classes=4), name="f1"),
        classified,
    ),
    "TorchMetric of lists": (
        lambda: TorchMetric(MulticlassAUROC(num_classes=4), name="auroc"),
        classified,
    ),
    "VocAP": (lambda: VocAP(classes=CLASSES), detected),
    "VocAP of 2007": (lambda: VocAP(2007), detected),
}


@pytest.fixture(params=MAKERS)
def maker(request):
    return MAKERS[request.param]


@pytest.fixture
def make(maker):
    return maker[0]


@pytest.fixture
def whole(maker):
    return maker[1](24)


@pytest.fixture
def other(maker):
    return maker[1](40)


def part(batch_and_preds, rows):
    return tuple({key: value[rows] for key, value in d.items()} for d in batch_and_preds)


def value_of(metric, *batches):
    for batch, preds in batches:
        metric.update(batch, preds)
    return metric.compute()


def same(value, expected):
    torch.testing.assert_close(value, expected, equal_nan=True)
    return True


def tracked(values):
    """The same predictions as they come from a model in training."""
    if isinstance(values, list):
        return [tracked(value) for value in values]
    return values.clone().requires_grad_() if values.is_floating_point() else values


def written(metric):
    """What MetricUpdater writes of a metric."""
    scores = Scores()
    MetricUpdater([metric], "val").on_epoch_end(progress=Progress(), scores=scores)
    return scores


def through_a_file(state):
    file = io.BytesIO()
    torch.save(state, file)
    file.seek(0)
    return torch.load(file, weights_only=True)


def test_every_exported_metric_is_tested_here():
    assert {name.split()[0] for name in MAKERS} == set(hat.metrics.__all__)


def test_parts_of_a_batch_give_the_value_of_the_whole(make, whole):
    parts = part(whole, slice(0, 12)), part(whole, slice(12, 23)), part(whole, slice(23, 24))
    assert same(value_of(make(), *parts), value_of(make(), whole))


def test_the_order_of_batches_does_not_matter(make, whole, other):
    assert same(value_of(make(), whole, other), value_of(make(), other, whole))


def test_what_is_better_high_is_between_zero_and_one_or_nan(make, whole):
    metric = make()
    metric.update(*whole)
    scores = written(metric)
    values = [scores.last(name).value for name in scores if scores.higher_is_better(name)]
    assert all(0 <= value <= 1 or math.isnan(value) for value in values)


def test_what_is_better_low_is_not_below_zero(make, whole):
    metric = make()
    metric.update(*whole)
    scores = written(metric)
    values = [scores.last(name).value for name in scores if not scores.higher_is_better(name)]
    assert all(value >= 0 for value in values)


def test_the_scores_are_those_that_were_announced(make, whole):
    metric = make()
    metric.update(*whole)
    assert list(written(metric)) == MetricUpdater([metric], "val").writes()


def test_the_metric_has_a_name(make):
    assert make().name.isidentifier()


def test_the_metric_says_of_each_score_what_is_better(make, whole):
    metric = make()
    metric.update(*whole)
    scores = written(metric)
    assert {scores.higher_is_better(name) for name in scores} <= {True, False}


def test_after_a_reset_only_later_batches_count(make, whole, other):
    metric = make()
    value_of(metric, other)
    metric.reset()
    assert same(value_of(metric, whole), value_of(make(), whole))


def test_calling_it_counts_a_batch_as_update_does(make, whole, other):
    metric = make()
    metric(*whole)
    metric(*other)
    assert same(metric.compute(), value_of(make(), whole, other))


def test_calling_it_gives_the_value_of_the_batch(make, whole, other):
    metric = make()
    metric.update(*whole)
    assert same(metric(*other), value_of(make(), other))


def test_the_batch_is_left_as_it_was(make, whole):
    before = copy.deepcopy(whole)
    value_of(make(), whole)
    torch.testing.assert_close(whole, before, rtol=0, atol=0)


def test_predictions_that_need_gradients_are_counted(make, whole):
    batch, preds = whole
    in_training = batch, {key: tracked(value) for key, value in preds.items()}
    assert same(value_of(make(), in_training), value_of(make(), whole))


def test_counting_goes_on_from_a_saved_state(make, whole, other):
    metric, resumed = make(), make()
    metric.update(*whole)
    state = through_a_file(MetricUpdater([metric]).state_dict())
    MetricUpdater([resumed]).load_state_dict(state)
    assert same(value_of(resumed, other), value_of(make(), whole, other))


def test_a_saved_state_can_be_evaluated_at_once(make, whole):
    metric, resumed = make(), make()
    metric.update(*whole)
    state = through_a_file(MetricUpdater([metric]).state_dict())
    MetricUpdater([resumed]).load_state_dict(state)
    assert same(resumed.compute(), value_of(make(), whole))


def test_a_loaded_state_replaces_a_value_that_was_computed(make, whole, other):
    metric, used = make(), make()
    metric.update(*whole)
    value_of(used, other)
    MetricUpdater([used]).load_state_dict(through_a_file(MetricUpdater([metric]).state_dict()))
    assert same(used.compute(), value_of(make(), whole))


def test_counting_on_leaves_the_loaded_state_as_it_was(make, whole, other):
    metric, first, second = make(), make(), make()
    metric.update(*whole)
    state = through_a_file(MetricUpdater([metric]).state_dict())
    MetricUpdater([first]).load_state_dict(state)
    value_of(first, other)
    MetricUpdater([second]).load_state_dict(state)
    assert same(second.compute(), value_of(make(), whole))


def count_a_share(rank, folder):
    """One of two processes: most of each metric's pictures, or the others in two batches."""
    torch.set_num_threads(1)
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{folder}/rendezvous", rank=rank, world_size=2
    )
    values = {}
    for name, (make_one, batch_of) in MAKERS.items():
        torch.manual_seed(0)
        pictures, metric = batch_of(24), make_one()
        shares = [[slice(0, 17)], [slice(17, 23), slice(23, 24)]]
        for rows in shares[rank]:
            metric.update(*part(pictures, rows))
        values[name] = metric.compute()
    torch.save(values, f"{folder}/{rank}.pt")
    torch.distributed.destroy_process_group()


@pytest.fixture(scope="module")
def of_two_processes(tmp_path_factory):
    folder = tmp_path_factory.mktemp("processes")
    torch.multiprocessing.spawn(count_a_share, (str(folder),), nprocs=2)
    return [torch.load(folder / f"{rank}.pt", weights_only=True) for rank in (0, 1)]


@pytest.mark.slow
@pytest.mark.parametrize("rank", [0, 1])
@pytest.mark.parametrize("name", MAKERS)
def test_two_processes_with_uneven_shares_have_the_value_of_one(name, rank, of_two_processes):
    make_one, batch_of = MAKERS[name]
    torch.manual_seed(0)
    assert same(of_two_processes[rank][name], value_of(make_one(), batch_of(24)))
