"""Metrics and losses of each task of a graph, over the samples that are labelled for it."""

import io
import math

import pytest
import torch
from helpers import TinyModel
from torch import nn

from hat.callbacks import Checkpoint, MetricUpdater, StatsMonitor, Validation
from hat.callbacks.metric_updater import part_of_task
from hat.engine import Predictor, Trainer
from hat.engine.processors import MultiTaskBatchProcessor
from hat.metrics import Accuracy, CocoAP, MeanIoU
from hat.models import ClassificationTask, GraphModel, TaskModule


class Segments(TaskModule):
    """Takes its input for the prediction; the loss is the share of wrong pixels."""

    truth_keys = ("gt_seg",)

    def losses(self, outputs, batch):
        if "gt_seg" not in batch:
            return {}
        return {"wrong": (outputs != batch["gt_seg"]).float().mean()}

    def predictions(self, outputs, batch):
        return {"seg": outputs}


class Shift(nn.Module):
    """Its input, and a parameter that training can move."""

    def __init__(self):
        super().__init__()
        self.w = nn.Parameter(torch.zeros(()))

    def forward(self, x):
        return x + self.w


def topology(nodes, x, maps):
    return {"scene": nodes.scene_head(x), "seg": nodes.seg_head(maps)}


def make_model():
    nodes = {"scene_head": Shift(), "seg_head": nn.Identity()}
    return GraphModel(nodes, topology, {"scene": ClassificationTask(2), "seg": Segments()})


def scores_of(*classes):
    """Logits that are sure of a class."""
    return torch.eye(2)[list(classes)] * 10


#: Two classes: found in pictures 0 and 1 of three, and not in picture 2. Maps of two pixels.
FULL = {
    "x": scores_of(0, 1, 1),
    "maps": torch.tensor([[[0, 0]], [[0, 1]], [[1, 1]]]),
    "label": torch.tensor([0, 1, 0]),
    "gt_seg": torch.tensor([[[0, 0]], [[1, 1]], [[0, 0]]]),
    "img_id": [0, 1, 2],
}
#: The same, but pictures 1 and 2 alone have a label, and 0 and 1 alone a map.
PARTIAL = FULL | {
    "label": torch.tensor([1, 0]),
    "gt_seg": torch.tensor([[[0, 0]], [[1, 1]]]),
    "labelled": {"label": torch.tensor([1, 2]), "gt_seg": torch.tensor([0, 1])},
}


def by_task():
    return {"scene": [Accuracy()], "seg": [MeanIoU(2)]}


def predicted(data, metrics=None, **kwargs):
    metrics = by_task() if metrics is None else metrics
    return Predictor(make_model(), data, metrics, device="cpu", **kwargs).fit()


def values_of(scores):
    return {name: scores.last(name).value for name in scores}


def test_each_metric_counts_the_samples_of_its_task():
    # Of labels 1 of 2 is found. Pixels of pictures 0 and 1: true 0 0 1 1, found 0 0 0 1;
    # class 0 has 2 / 3, class 1 has 1 / 2.
    scores = predicted([PARTIAL])
    assert scores.last("val/scene/acc").value == pytest.approx(1 / 2)
    assert scores.last("val/seg/mIoU").value == pytest.approx((2 / 3 + 1 / 2) / 2)


def test_with_all_labels_all_samples_count():
    # Labels: 2 of 3. Pixels: true 0 0 1 1 0 0, found 0 0 0 1 1 1: 2 / 5 and 1 / 4.
    scores = predicted([FULL])
    assert scores.last("val/scene/acc").value == pytest.approx(2 / 3)
    assert scores.last("val/seg/mIoU").value == pytest.approx((2 / 5 + 1 / 4) / 2)


def cut(rows):
    """Some pictures of the partial batch, labelled in the same way."""
    part = {key: [FULL[key][row] for row in rows] for key in ("x", "maps", "img_id")}
    batch = {"x": torch.stack(part["x"]), "maps": torch.stack(part["maps"]), "labelled": {}}
    batch["img_id"] = part["img_id"]
    for key in ("label", "gt_seg"):
        has = PARTIAL["labelled"][key].tolist()
        own = [place for place, row in enumerate(rows) if row in has]
        if own:
            batch[key] = torch.stack([FULL[key][rows[place]] for place in own])
            batch["labelled"][key] = torch.tensor(own)
    return batch


@pytest.mark.parametrize("cuts", [[[0], [1], [2]], [[0, 1], [2]], [[2, 1, 0]]])
def test_scores_do_not_depend_on_how_batches_are_cut(cuts):
    scores = predicted([cut(rows) for rows in cuts])
    assert values_of(scores) == pytest.approx(values_of(predicted([PARTIAL])), rel=1e-6)


def test_losses_of_each_task_are_means_over_its_samples():
    # Sure and right costs log(1 + e^-10), sure and wrong 10 more. Pictures 0 and 1 are
    # labelled for seg, with 0 of 2 and 1 of 2 wrong pixels; in two batches.
    right = math.log(1 + math.exp(-10))
    scores = predicted([cut([0, 1]), cut([2])])
    assert scores.last("val/scene/loss").value == pytest.approx(right + 5, rel=1e-6)
    assert scores.last("val/seg/loss").value == pytest.approx(1 / 4)
    assert scores.last("val/loss").value == pytest.approx(right + 5 + 1 / 4, rel=1e-6)


def test_a_batch_for_one_task_does_not_count_for_another():
    first = {key: FULL[key] for key in ("x", "label", "img_id")} | {"tasks": ("scene",)}
    second = {key: FULL[key] for key in ("maps", "gt_seg", "img_id")} | {"tasks": ("seg",)}
    assert values_of(predicted([[first, second]])) == values_of(predicted([FULL]))


def test_what_is_announced_is_written():
    predictor = Predictor(make_model(), [FULL], by_task(), device="cpu")
    assert set(predictor.score_names) == set(predictor.fit())


def test_which_way_is_better_stays():
    scores = predicted([FULL])
    assert scores.higher_is_better("val/seg/mIoU") is True
    assert scores.higher_is_better("val/seg/loss") is False


@pytest.mark.parametrize("name", ["mIoU", "seg/mIoU"])
def test_a_name_gets_its_task_once(name):
    updater = MetricUpdater({"seg": [MeanIoU(2, classes=["no", "yes"], name=name)]}, "val")
    assert updater.writes() == ["val/seg/mIoU", "val/seg/IoU_no", "val/seg/IoU_yes"]


def test_the_name_of_another_task_stays_apart():
    updater = MetricUpdater({"seg": [MeanIoU(2, name="road/mIoU")]}, "val")
    assert updater.writes() == ["val/seg/road/mIoU"]


def test_a_metric_in_a_list_keeps_its_name():
    assert MetricUpdater([MeanIoU(2, name="seg/mIoU")], "val").writes() == ["val/seg/mIoU"]


def test_a_task_without_any_truth_has_no_value(caplog):
    batch = {key: FULL[key] for key in ("x", "maps", "label", "img_id")}
    scores = predicted([batch])
    assert math.isnan(scores.last("val/seg/mIoU").value)
    assert scores.last("val/scene/acc").value == pytest.approx(2 / 3)
    assert "val/seg/mIoU: NaN" in caplog.text
    assert "val/seg/loss" not in scores


def test_metrics_of_one_name_in_two_tasks_are_two():
    metrics = {"scene": [Accuracy(name="x")], "seg": [MeanIoU(2, name="x")]}
    scores = predicted([FULL], metrics)
    assert {"val/scene/x", "val/seg/x"} < set(scores)


def test_two_metrics_of_one_name_in_a_task_are_refused():
    with pytest.raises(ValueError, match=r"different names, got \['seg/mIoU', 'seg/mIoU'\]"):
        MetricUpdater({"seg": [MeanIoU(2), MeanIoU(2, name="seg/mIoU")]})


def test_one_metric_for_two_tasks_is_refused():
    metric = Accuracy()
    with pytest.raises(ValueError, match="counts for one task: make another"):
        MetricUpdater({"scene": [metric], "seg": [metric]})


def test_a_metric_outside_a_list_is_refused():
    with pytest.raises(ValueError, match="metrics of the task 'seg' must be a list, got MeanIoU"):
        MetricUpdater({"seg": MeanIoU(2)})


def test_a_task_that_the_model_lacks_is_refused_when_the_engine_is_built():
    match = "metrics has 'segg', but the model has no such task; it has scene, seg.* 'seg'"
    with pytest.raises(ValueError, match=match):
        Predictor(make_model(), [FULL], {"segg": [MeanIoU(2)]})


def test_a_model_without_tasks_is_refused_when_the_engine_is_built():
    with pytest.raises(ValueError, match="the model is a TinyModel"):
        Predictor(TinyModel(), [FULL], {"seg": [MeanIoU(2)]})


def make_trainer(callbacks, model=None, data=(PARTIAL, FULL, PARTIAL)):
    return Trainer(
        make_model() if model is None else model,
        list(data),
        lambda params: torch.optim.SGD(params, lr=0.1),
        num_epochs=1,
        device="cpu",
        batch_processor=MultiTaskBatchProcessor(),
        callbacks=callbacks,
    )


def test_metrics_by_task_are_refused_in_training():
    with pytest.raises(ValueError, match=r"makes no predictions in training; .* to a Predictor"):
        make_trainer([MetricUpdater(by_task())])


def test_a_best_checkpoint_can_be_that_of_a_task(tmp_path):
    model = make_model()
    validation = Validation(Predictor(model, [PARTIAL], by_task(), device="cpu"))
    checkpoint = Checkpoint(folder=tmp_path, best="val/seg/mIoU")
    scores = make_trainer([validation, checkpoint], model).fit()
    assert scores.best("val/seg/mIoU").value == pytest.approx((2 / 3 + 1 / 2) / 2)
    assert scores.last("val/seg/loss").step == 3


def through_a_file(state):
    buffer = io.BytesIO()
    torch.save(state, buffer)
    buffer.seek(0)
    return torch.load(buffer, weights_only=True)


def counted(updater, *batches):
    model = make_model().eval()
    for batch in batches:
        updater.on_batch_end(model=model, batch=batch, preds=model(batch).preds)
    return {name: entry.metric.compute() for name, entry in updater.metrics.items()}


def test_counting_goes_on_from_a_saved_state():
    updater, resumed, whole = (MetricUpdater(by_task()) for _ in range(3))
    counted(updater, PARTIAL)
    resumed.load_state_dict(through_a_file(updater.state_dict()))
    assert set(updater.state_dict()) == {"scene/acc", "seg/mIoU"}
    assert counted(resumed, FULL) == counted(whole, PARTIAL, FULL)


def test_objects_go_with_their_pictures():
    # Picture 1 has no boxes; what is found in it is no mistake, as nobody looked.
    car = torch.tensor([[0.0, 0.0, 10.0, 10.0]])
    batch = {
        "img": torch.zeros(2, 3, 16, 16),
        "gt_bboxes": [car],
        "gt_classes": [torch.tensor([0])],
        "img_id": ["a", "b"],
        "labelled": {"gt_bboxes": torch.tensor([0]), "gt_classes": torch.tensor([0])},
    }
    preds = {
        "det/bboxes": [car, car + 2],
        "det/classes": [torch.tensor([0])] * 2,
        "det/scores": [torch.tensor([0.5]), torch.tensor([0.9])],
    }
    metric = CocoAP(classes=["car"])
    metric.update(*part_of_task("det", ("gt_bboxes", "gt_classes"), batch, preds))
    assert metric.compute()["AP"] == pytest.approx(1)


def test_keys_that_some_samples_lack_do_not_reach_a_metric():
    batch = FULL | {"gt_depth": torch.ones(1, 1, 2), "labelled": {"gt_depth": torch.tensor([2])}}
    seen, _ = part_of_task("seg", ("gt_seg",), batch, {})
    assert "gt_depth" not in seen
    assert len(seen["gt_seg"]) == 3


class Losses(TaskModule):
    truth_keys = ("y",)

    def losses(self, outputs, batch):
        return {"square": (outputs - batch["y"]).square().mean()}

    def predictions(self, outputs, batch):
        return {}


def test_losses_of_tasks_that_come_and_go_are_means_over_their_steps():
    # Weights stay: 3 steps of a with losses 1, 4 and 9, and one of b with 16.
    model = GraphModel(
        {"first": Shift(), "second": Shift()},
        lambda nodes, x: {"a": nodes.first(x), "b": nodes.second(x)},
        {"a": Losses(), "b": Losses()},
    )
    plan = [("a", 1.0), ("a", 2.0), ("b", 4.0), ("a", 3.0)]
    data = [
        {"x": torch.zeros(2), "y": torch.full((2,), value), "tasks": (task,)}
        for task, value in plan
    ]
    trainer = make_trainer([StatsMonitor(50)], model, data)
    trainer.optimizer.param_groups[0]["lr"] = 0.0
    scores = trainer.fit()
    assert scores.last("train/a/square").value == pytest.approx((1 + 4 + 9) / 3)
    assert scores.last("train/b/square").value == pytest.approx(16)
    assert scores.last("train/loss").value == pytest.approx((1 + 4 + 16 + 9) / 4)


def test_the_only_loss_of_an_interval_is_written_by_its_name():
    model = make_model()
    trainer = make_trainer([StatsMonitor(1)], model, [FULL | {"tasks": ("scene",)}])
    assert "train/scene/ce" in trainer.fit()
