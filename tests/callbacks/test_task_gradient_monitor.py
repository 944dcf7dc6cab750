"""Norms and cosines of tasks' gradients, worked out by hand."""

import math

import pytest
import torch
from helpers import TinyModel, make_trainer, tiny_graph
from pull_tasks import Pull, Scale, Vector, batch, pulling, train

import hat.callbacks.task_gradients
from hat.callbacks import Callback, EarlyStopping, GradientSurgery, TaskGradientMonitor
from hat.engine.processors import BatchProcessor, MultiTaskBatchProcessor
from hat.models import GraphModel

CONFLICT = dict(det=(1.0, 0.0), seg=(-1.0, 1.0))


def written(model, steps, *callbacks, interval=1, **kwargs):
    trainer = train(model, [*callbacks, TaskGradientMonitor(interval)], steps, **kwargs)
    return {name: trainer.scores.last(name).value for name in trainer.scores}


def test_norms_and_cosine_are_those_of_the_gradients():
    # (1, 0) and (-1, 1), twice as long
    assert written(pulling(**CONFLICT), [batch(2.0)]) == {
        "train/det/grad_norm": pytest.approx(2),
        "train/seg/grad_norm": pytest.approx(2 * math.sqrt(2)),
        "train/grad_cos/det-seg": pytest.approx(-1 / math.sqrt(2)),
    }


def test_each_pair_is_named_in_the_order_of_the_tasks():
    model = pulling(c=(1.0, 0.0), a=(0.0, 1.0), b=(1.0, 1.0))
    found = {n: v for n, v in written(model, [batch()]).items() if "cos" in n}
    half = pytest.approx(1 / math.sqrt(2))
    assert found == {
        "train/grad_cos/c-a": 0,
        "train/grad_cos/c-b": half,
        "train/grad_cos/a-b": half,
    }


def test_tasks_with_batches_of_their_own_are_compared_over_the_step():
    # det: 1/3 of size 6 and 2/3 of size -1.5
    step = [batch(6.0, ("det",), 2), batch(1.0, ("seg",), 3), batch(-1.5, ("det",), 4)]
    found = written(pulling(**CONFLICT), [step], batch_processor=MultiTaskBatchProcessor())
    assert found["train/det/grad_norm"] == pytest.approx(1)
    assert found["train/grad_cos/det-seg"] == pytest.approx(-1 / math.sqrt(2))


def test_tasks_are_compared_on_what_both_use():
    # det pulls at trunk + neck, seg and scene at the trunk, and neck is of det and seg.
    model = GraphModel(
        nodes=dict(trunk=Vector(1.0, 1.0), neck=Scale(), det=Scale(), seg=Scale(), scene=Scale()),
        topology=dict(trunk="x", neck="trunk", det="neck", seg="neck", scene="trunk"),
        outputs=dict(det_="det", seg_="seg", scene_="scene"),
        inputs=["x"],
        tasks=dict(det_=Pull(1.0, 0.0), seg_=Pull(0.0, 1.0), scene_=Pull(1.0, 0.0)),
    )
    # By the neck's factor det is (1, 0) . (1, 1) = 1, seg 1: with the trunk (1, 0, 1), (0, 1, 1).
    assert written(model, [batch()]) == {
        "train/det_/grad_norm": pytest.approx(math.sqrt(2)),
        "train/seg_/grad_norm": pytest.approx(math.sqrt(2)),
        "train/scene_/grad_norm": pytest.approx(1),
        "train/grad_cos/det_-seg_": pytest.approx(0.5),
        "train/grad_cos/det_-scene_": pytest.approx(1),
        "train/grad_cos/seg_-scene_": pytest.approx(0),
    }


def test_a_gradient_of_zero_has_no_cosine():
    found = written(pulling(det=(1.0, 0.0), seg=(0.0, 0.0)), [batch()])
    assert found == {"train/det/grad_norm": 1, "train/seg/grad_norm": 0}


def test_a_task_that_a_step_lacks_is_not_written():
    assert set(written(pulling(**CONFLICT), [batch(tasks=("seg",))])) == {"train/seg/grad_norm"}


@pytest.mark.parametrize("is_first", [True, False])
def test_surgery_does_not_change_what_is_measured(is_first):
    monitor, surgery = TaskGradientMonitor(1), GradientSurgery()
    callbacks = [surgery, monitor] if is_first else [monitor, surgery]
    trainer = train(pulling(**CONFLICT), callbacks, [[batch(), batch()]])
    assert trainer.scores.last("train/grad_cos/det-seg").value == pytest.approx(-1 / math.sqrt(2))
    assert trainer.model.trunk.values.grad.tolist() == [0.5, 1.5]


class At(Callback):
    """The steps at which scores of gradients were written."""

    def __init__(self):
        self.steps = []

    def on_step_end(self, *, progress, scores, **kwargs):
        if "train/det/grad_norm" in scores:
            self.steps.append(scores.last("train/det/grad_norm").step)


def test_it_looks_every_few_steps_and_differentiates_in_no_other(monkeypatch):
    calls = []
    real = hat.callbacks.task_gradients.task_gradients

    def counted(*args):
        calls.append(args)
        return real(*args)

    monkeypatch.setattr(hat.callbacks.task_gradients, "task_gradients", counted)
    at = At()
    train(pulling(**CONFLICT), [TaskGradientMonitor(3), at], [batch()] * 7)
    assert at.steps == [3, 3, 3, 6, 6]
    assert len(calls) == 2


def test_a_step_that_is_skipped_is_looked_at_again():
    class SkipSecond(Callback):
        def on_optimizer_step_begin(self, *, progress, outcome, **kwargs):
            if progress.num_steps_tried == 1:
                outcome.skip("because")

    at = At()
    train(pulling(**CONFLICT), [SkipSecond(), TaskGradientMonitor(2), at], [batch()] * 3)
    assert at.steps == [2]


def test_training_is_not_changed():
    def weights(*callbacks):
        torch.manual_seed(3)
        model = tiny_graph()
        make_trainer(model=model, callbacks=list(callbacks)).fit()
        return {name: value.tolist() for name, value in model.state_dict().items()}

    assert weights(TaskGradientMonitor(2)) == weights()


def test_a_reader_in_front_of_it_is_refused():
    callbacks = [EarlyStopping("train/grad_cos/side-other", mode="max"), TaskGradientMonitor()]
    with pytest.raises(ValueError, match="list TaskGradientMonitor before EarlyStopping"):
        make_trainer(model=tiny_graph(), callbacks=callbacks)


def test_an_interval_below_one_is_refused():
    with pytest.raises(ValueError, match="at least 1, got 0"):
        TaskGradientMonitor(0)


def test_a_model_without_tasks_is_refused():
    with pytest.raises(ValueError, match="the model is a TinyModel"):
        make_trainer(model=TinyModel(), callbacks=[TaskGradientMonitor()])


def test_scaled_losses_are_refused_by_name():
    processor = BatchProcessor(precision="fp16")
    with pytest.raises(ValueError, match=r"TaskGradientMonitor .* precision='bf16'"):
        make_trainer(
            model=tiny_graph(), callbacks=[TaskGradientMonitor()], batch_processor=processor
        )
