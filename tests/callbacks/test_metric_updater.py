"""Metrics over each epoch of training."""

import math
from typing import ClassVar

import pytest
import torch
from helpers import Points, TinyModel, make_trainer
from torchmetrics import MeanMetric
from torchmetrics.classification import MulticlassF1Score

from hat.callbacks import Callback, Checkpoint, MetricUpdater
from hat.data import DataLoader
from hat.metrics import Accuracy, TorchMetric


class Predictions(Callback):
    """The predicted and the true classes of every epoch."""

    def __init__(self):
        self.epochs = []

    def on_epoch_begin(self, **kwargs):
        self.epochs.append(([], []))

    def on_batch_end(self, *, batch, preds, **kwargs):
        predicted, true = self.epochs[-1]
        predicted += preds["logits"].argmax(dim=1).tolist()
        true += batch["label"].tolist()


class Each(Callback):
    """The value of a score after each epoch."""

    def __init__(self, name="train/acc"):
        self.name = name
        self.values = []

    def on_epoch_end(self, *, scores, **kwargs):
        self.values.append(scores.last(self.name).value)


def accuracy(predicted, true):
    return sum(p == t for p, t in zip(predicted, true, strict=True)) / len(true)


def test_each_epoch_is_counted_on_its_own():
    seen, values = Predictions(), Each()
    make_trainer(callbacks=[MetricUpdater([Accuracy()]), values, seen], batch_size=7).fit()
    assert values.values == pytest.approx([accuracy(*epoch) for epoch in seen.epochs])


def test_a_metric_of_torchmetrics_is_counted():
    f1 = TorchMetric(MulticlassF1Score(num_classes=2), name="f1")
    seen, values = Predictions(), Each("train/f1")
    make_trainer(callbacks=[MetricUpdater([f1]), values, seen], num_epochs=1).fit()
    from sklearn.metrics import f1_score

    predicted, true = seen.epochs[0]
    assert values.values == pytest.approx([f1_score(true, predicted, average="macro")])


def test_the_value_belongs_to_the_last_step_of_its_epoch():
    scores = make_trainer(callbacks=[MetricUpdater([Accuracy()])]).fit()
    assert scores.last("train/acc").step == 8
    assert scores.higher_is_better("train/acc") is True


def test_where_names_the_scores():
    updater = MetricUpdater([Accuracy(), Accuracy(top_k=2)], where="fit")
    assert updater.writes() == ["fit/acc", "fit/acc_top2"]
    assert set(make_trainer(callbacks=[updater]).fit()) == {"fit/acc", "fit/acc_top2"}


class TwoValues(Accuracy):
    def compute(self):
        return {"hit": super().compute(), "miss": 1 - super().compute()}


def test_a_metric_may_have_several_values():
    scores = make_trainer(callbacks=[MetricUpdater([TwoValues()])]).fit()
    total = scores.last("train/hit").value + scores.last("train/miss").value
    assert total == pytest.approx(1)


def test_nothing_is_written_when_a_run_ends_inside_an_epoch():
    scores = make_trainer(callbacks=[MetricUpdater([Accuracy()])], num_steps=3).fit()
    assert "train/acc" not in scores


@pytest.mark.parametrize("step", [1, 3, 4, 6])
def test_counting_goes_on_after_a_resume_inside_an_epoch(tmp_path, step):
    def run(checkpoint):
        values = Each()
        f1 = TorchMetric(MulticlassF1Score(num_classes=2), name="f1")
        mean = TorchMetric(MeanMetric(), name="mean", pred_key="logits", target_key="weight")
        updater = MetricUpdater([Accuracy(), f1, mean])
        loader = DataLoader(Weighted(), batch_size=5)
        trainer = make_trainer(data_loader=loader, callbacks=[updater, values, checkpoint])
        return trainer.fit().summary(), values.values

    whole, _ = run(Checkpoint(by="step", keep_last=9, folder=tmp_path))
    (path,) = tmp_path.glob(f"epoch-*{(step - 1) // 4}-step-{step:08d}")
    rest, _ = run(Checkpoint(resume=path, folder=tmp_path / "rest"))
    assert rest == whole


class Weighted(Points):
    def __getitem__(self, index):
        return {**super().__getitem__(index), "weight": torch.full((2,), float(index + 1))}


def test_metrics_do_not_change_training():
    plain, counted = make_trainer(), make_trainer(callbacks=[MetricUpdater([Accuracy()])])
    plain.fit()
    counted.fit()
    assert torch.equal(counted.model.head.weight, plain.model.head.weight)


def test_two_metrics_of_one_name_are_refused():
    with pytest.raises(ValueError, match=r"different names, got \['acc', 'acc'\]: set name="):
        MetricUpdater([Accuracy(), Accuracy()])


def test_no_metrics_write_nothing():
    updater = MetricUpdater([])
    assert updater.writes() == []
    assert list(make_trainer(model=TinyModel(), callbacks=[updater]).fit()) == []


class WithoutScores(Accuracy):
    score_names = ()


def test_a_metric_without_scores_is_updated_and_kept():
    metric = WithoutScores()
    scores = make_trainer(callbacks=[MetricUpdater([metric])], num_epochs=1).fit()
    assert list(scores) == []
    assert 0 < metric.compute() <= 1


class Errors(TwoValues):
    score_names = ("hit", "miss")
    higher_is_better: ClassVar = {"hit": True, "miss": False}


def test_each_score_may_be_better_another_way():
    scores = make_trainer(callbacks=[MetricUpdater([Errors()])]).fit()
    assert scores.higher_is_better("train/hit") is True
    assert scores.higher_is_better("train/miss") is False


class Nothing(Accuracy):
    def compute(self):
        return super().compute() * torch.nan


def test_a_score_that_is_not_a_number_is_written_and_named_in_the_log(caplog):
    scores = make_trainer(callbacks=[MetricUpdater([Nothing()])], num_epochs=1).fit()
    assert math.isnan(scores.last("train/acc").value)
    assert scores.best("train/acc") is None
    assert "train/acc: NaN, as the epoch had nothing to count for it" in caplog.text


def test_two_scores_of_one_name_are_refused():
    with pytest.raises(ValueError, match=r"'train/hit', 'train/miss', 'train/hit'"):
        MetricUpdater([Errors(), Accuracy(name="hit")])
