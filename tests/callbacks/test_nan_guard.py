"""Nothing that is not finite reaches the weights."""

import functools
import logging

import pytest
import torch
from helpers import Points, TinyModel, make_trainer
from torch import nn

from hat import store
from hat.callbacks import Callback, Checkpoint, ExponentialMovingAverage, NanGuard
from hat.callbacks.nan_guard import NonFiniteError
from hat.data import DataLoader
from hat.engine.processors import BatchProcessor
from hat.models import ModelOutput

NAN, INF = float("nan"), float("inf")


class NormedModel(TinyModel):
    """With running statistics that a bad batch would spoil."""

    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(2, 8), nn.BatchNorm1d(8), nn.ReLU())


def points_with(value, *indices):
    """Points of which some have a coordinate that is not finite."""
    points = Points()
    for index in indices:
        points.points[index, 0] = value
    return points


def guarded_trainer(*indices, value=NAN, callbacks=(), batch_size=5, **kwargs):
    """In the order of the data: steps of the samples 0..4, 5..9, 10..14, 15..19."""
    torch.manual_seed(0)
    loader = DataLoader(points_with(value, *indices), batch_size=batch_size)
    return make_trainer(
        model=NormedModel(), data_loader=loader, callbacks=list(callbacks), **kwargs
    )


class InfiniteGradient(Callback):
    """Spoils one gradient of one step; the loss stays finite."""

    def __init__(self, step, value=INF):
        self.step = step
        self.value = value

    def on_backward_end(self, *, model, progress, **kwargs):
        if progress.num_steps_tried == self.step:
            model.head.weight.grad[0, 0] = self.value


class Snapshots(Callback):
    """The whole state of the model and of its optimizer before every step."""

    def __init__(self):
        self.models = []
        self.optimizers = []

    def on_step_begin(self, *, model, optimizer, **kwargs):
        self.models.append(copied(model.state_dict()))
        self.optimizers.append(copied(optimizer.state_dict()["state"]))


def copied(value):
    if isinstance(value, dict):
        return {key: copied(item) for key, item in value.items()}
    return value.tolist() if isinstance(value, torch.Tensor) else value


def parameters_of(trainer):
    return {name: value.tolist() for name, value in trainer.model.named_parameters()}


@pytest.mark.parametrize("value", [NAN, INF, -INF])
def test_a_loss_that_is_not_finite_names_step_and_samples(value):
    trainer = guarded_trainer(7, value=value)
    with pytest.raises(
        NonFiniteError, match=r"step 1 \(step 1 of epoch 0\), samples: 5, 6, 7, 8, 9\."
    ):
        trainer.fit()


def test_a_step_of_a_later_epoch_is_named_by_both_counts():
    trainer = guarded_trainer(callbacks=[InfiniteGradient(6)])
    with pytest.raises(NonFiniteError, match=r"step 6 \(step 2 of epoch 1\), samples: 10, 11"):
        trainer.fit()


def test_a_loss_that_is_not_finite_stops_before_the_weights_change():
    snapshots = Snapshots()
    trainer = guarded_trainer(7, callbacks=[snapshots])
    with pytest.raises(NonFiniteError):
        trainer.fit()
    weights = {name: snapshots.models[1][name] for name in parameters_of(trainer)}
    assert parameters_of(trainer) == weights
    assert copied(trainer.optimizer.state_dict()["state"]) == snapshots.optimizers[1]


@pytest.mark.parametrize("value", [NAN, INF, -INF])
def test_an_infinite_gradient_under_a_finite_loss_stops_before_the_weights_change(value):
    snapshots = Snapshots()
    trainer = guarded_trainer(callbacks=[InfiniteGradient(2, value), snapshots])
    with pytest.raises(NonFiniteError, match=r"loss ce 0\.\d+, gradient norm (inf|nan) in step 2"):
        trainer.fit()
    assert parameters_of(trainer) == {
        name: snapshots.models[2][name] for name in parameters_of(trainer)
    }


def test_large_but_finite_gradients_are_no_error():
    trainer = make_trainer(callbacks=[InfiniteGradient(0, value=1e30)], num_steps=1)
    trainer.fit()
    assert trainer.progress.num_steps_done == 1


def test_a_bad_batch_among_those_of_a_step_is_found():
    loader = DataLoader(points_with(NAN, 1), batch_size=10, batches_per_step=2)
    trainer = make_trainer(model=NormedModel(), data_loader=loader)
    with pytest.raises(NonFiniteError, match="samples: 0, 1, 2, 3, 4, 5, 6, 7, 8, 9"):
        trainer.fit()


def test_a_long_list_of_samples_is_cut():
    with pytest.raises(NonFiniteError, match="14, 15 and 4 more"):
        guarded_trainer(0, batch_size=20).fit()


def test_batches_without_img_id_are_named_by_their_step():
    batch = {"x": torch.full((2, 2), NAN), "label": torch.tensor([0, 1])}
    with pytest.raises(NonFiniteError, match=r"step 0 .*without img_id"):
        make_trainer(data_loader=[batch]).fit()


def test_the_guard_is_there_without_asking():
    with pytest.raises(NonFiniteError):
        guarded_trainer(0).fit()


def test_without_a_guard_the_weights_are_spoilt():
    trainer = guarded_trainer(0, nan_guard=False, num_epochs=1)
    trainer.fit()
    assert not torch.isfinite(trainer.model.head.weight).any()


@pytest.mark.parametrize("value", [NAN, INF])
def test_skipping_leaves_weights_optimizer_and_statistics_as_they_were(value):
    snapshots = Snapshots()
    guarded_trainer(7, value=value, callbacks=[NanGuard("skip"), snapshots], num_epochs=1).fit()
    before, after = 1, 2  # the step that starts with sample 5 is the one of number 1
    assert snapshots.models[after] == snapshots.models[before]
    assert snapshots.optimizers[after] == snapshots.optimizers[before]


def test_skipping_counts_and_warns(caplog):
    guard = NanGuard("skip")
    trainer = guarded_trainer(7, callbacks=[guard], num_epochs=2)
    with caplog.at_level(logging.WARNING, "hat"):
        trainer.fit()
    assert guard.num_skips == 2
    assert (trainer.progress.num_steps_done, trainer.progress.num_steps_skipped) == (6, 2)
    assert "left a step out (2 of 10): not finite: loss ce nan" in caplog.text


def test_a_skipped_step_advances_no_average():
    average = ExponentialMovingAverage()
    guarded_trainer(7, callbacks=[NanGuard("skip"), average], num_epochs=1).fit()
    assert average.num_updates == 3


def test_more_steps_than_may_be_skipped_end_the_run():
    trainer = guarded_trainer(2, 7, 12, callbacks=[NanGuard("skip", max_skips=2)])
    with pytest.raises(NonFiniteError, match=r"step 2 .* 2 such steps were left out before"):
        trainer.fit()
    assert torch.isfinite(trainer.model.head.weight).all()


def test_no_step_may_be_skipped_with_a_budget_of_none():
    trainer = guarded_trainer(2, callbacks=[NanGuard("skip", max_skips=0)])
    with pytest.raises(NonFiniteError):
        trainer.fit()


def test_skips_are_counted_across_a_resume(tmp_path):
    def trainer(resume=None):
        guard = NanGuard("skip", max_skips=2)
        checkpoint = Checkpoint(folder=tmp_path, resume=resume)
        return guard, guarded_trainer(2, callbacks=[guard, checkpoint], num_epochs=3)

    _, first = trainer()
    with pytest.raises(NonFiniteError):
        first.fit()
    guard, second = trainer("auto")
    with pytest.raises(NonFiniteError, match="step 8"):
        second.fit()
    assert guard.num_skips == 3


@pytest.mark.parametrize("name", ["w32", "w64"])
def test_gradients_of_several_dtypes_are_watched(name):
    class Mixed(nn.Module):
        def __init__(self):
            super().__init__()
            self.w32 = nn.Parameter(torch.ones(1))
            self.w64 = nn.Parameter(torch.ones(1, dtype=torch.float64))

        def forward(self, batch):
            return ModelOutput({"sum": (self.w32 * 2 + self.w64 * batch["x"]).sum()}, {})

    class Spoil(Callback):
        def __init__(self, name):
            self.name = name

        def on_backward_end(self, *, model, **kwargs):
            getattr(model, self.name).grad.fill_(INF)

    with pytest.raises(NonFiniteError, match="step 0"):
        make_trainer(
            model=Mixed(), data_loader=[{"x": torch.ones(1)}], callbacks=[Spoil(name)]
        ).fit()


def test_parameters_without_a_gradient_are_passed_over():
    class Unused(TinyModel):
        def __init__(self):
            super().__init__()
            self.unused = nn.Linear(2, 2)

    trainer = make_trainer(model=Unused(), num_epochs=1)
    trainer.fit()
    assert trainer.progress.num_steps_done == 4


def test_sparse_gradients_are_watched():
    class Lookup(nn.Module):
        def __init__(self):
            super().__init__()
            self.table = nn.Embedding(4, 2, sparse=True)

        def forward(self, batch):
            return ModelOutput({"sum": (self.table(batch["x"]) * batch["factor"]).sum()}, {})

    batches = [
        {"x": torch.tensor([0, 1]), "factor": torch.tensor(1.0)},
        {"x": torch.tensor([0, 1]), "factor": torch.tensor(INF)},
    ]
    optimizer = functools.partial(torch.optim.SGD, lr=0.1)
    trainer = make_trainer(model=Lookup(), data_loader=batches, optimizer=optimizer)
    with pytest.raises(NonFiniteError, match="step 1"):
        trainer.fit()


def test_an_overflow_of_scaled_gradients_is_left_to_the_scaler():
    trainer = make_trainer(batch_processor=BatchProcessor(precision="fp16"), num_epochs=1)
    trainer.processor.scaler = torch.amp.GradScaler("cpu", init_scale=2.0**40)
    trainer.fit()
    assert trainer.progress.num_steps_skipped == 4


def test_a_loss_that_is_not_finite_stops_under_loss_scaling_too():
    trainer = guarded_trainer(7, batch_processor=BatchProcessor(precision="fp16"))
    with pytest.raises(NonFiniteError):
        trainer.fit()


@pytest.mark.parametrize("policy", ["warn", None])
def test_an_unknown_policy_is_refused(policy):
    with pytest.raises(ValueError, match="'stop' or 'skip', got"):
        NanGuard(policy)


# On a GPU the verdict comes later, and the fused kernel leaves bad steps out itself. The
# fused optimizers of the CPU do the same, so the path can be tried here.


class Defer(Callback):
    """Lets the guard in front of it defer, as it would on a GPU."""

    def __init__(self, guard):
        self.guard = guard

    def on_loop_begin(self, **kwargs):
        self.guard._can_defer = True


FUSED = [
    functools.partial(torch.optim.SGD, lr=0.1, momentum=0.9, fused=True),
    functools.partial(torch.optim.Adam, lr=0.01, fused=True),
    functools.partial(torch.optim.AdamW, lr=0.01, fused=True),
]


def deferring_trainer(optimizer=FUSED[0], bad=(), callbacks=(), **kwargs):
    guard = NanGuard()
    callbacks = [guard, Defer(guard), *callbacks]
    return guarded_trainer(*bad, callbacks=callbacks, optimizer=optimizer, **kwargs)


@pytest.mark.parametrize("optimizer", FUSED, ids=lambda maker: maker.func.__name__)
@pytest.mark.parametrize("bad", [{"bad": [7]}, {"callbacks": [InfiniteGradient(1)]}])
def test_deferred_a_bad_step_changes_neither_weights_nor_momentum(optimizer, bad):
    good = guarded_trainer(optimizer=optimizer, num_steps=1)
    good.fit()
    trainer = deferring_trainer(optimizer, **bad)
    with pytest.raises(NonFiniteError):
        trainer.fit()
    assert parameters_of(trainer) == parameters_of(good)
    found, expected = (copied(t.optimizer.state_dict()["state"]) for t in (trainer, good))
    assert found == expected


def test_deferred_the_error_is_raised_at_the_next_look_and_names_the_bad_step():
    trainer = deferring_trainer(bad=[7])
    with pytest.raises(NonFiniteError, match=r"step 1 \(step 1 of epoch 0\), samples: 5, 6, 7"):
        trainer.fit()
    assert trainer.progress.num_steps_tried == 2  # it was noticed when step 2 began


def test_deferred_a_bad_last_step_of_an_epoch_is_noticed_at_its_end():
    trainer = deferring_trainer(bad=[17])
    with pytest.raises(NonFiniteError, match=r"step 3 \(step 3 of epoch 0\)"):
        trainer.fit()
    assert trainer.progress.num_epochs_done == 1


def test_deferred_a_good_run_is_that_without_deferring():
    expected, trainer = guarded_trainer(optimizer=FUSED[0]), deferring_trainer()
    expected.fit()
    trainer.fit()
    assert parameters_of(trainer) == parameters_of(expected)


def test_deferred_no_checkpoint_is_saved_of_a_bad_step(tmp_path):
    # Its running statistics may be spoilt, and a resumed run would pass over the bad step.
    checkpoint = Checkpoint(by="step", keep_last=9, folder=tmp_path)
    with pytest.raises(NonFiniteError):
        deferring_trainer(bad=[7], callbacks=[checkpoint]).fit()
    assert store.newest_checkpoint(tmp_path).step == 1


def test_deferred_an_optimizer_that_was_stopped_can_be_used_again():
    trainer = deferring_trainer(bad=[7])
    with pytest.raises(NonFiniteError):
        trainer.fit()
    before = parameters_of(trainer)
    trainer.model.head.weight.grad = torch.ones_like(trainer.model.head.weight)
    trainer.optimizer.step()
    assert parameters_of(trainer)["head.weight"] != before["head.weight"]


def test_deferred_a_loss_that_is_not_finite_stops_under_loss_scaling_too():
    trainer = deferring_trainer(bad=[7], batch_processor=BatchProcessor(precision="fp16"))
    with pytest.raises(NonFiniteError, match="step 1"):
        trainer.fit()


def test_on_the_cpu_nothing_is_deferred():
    guard = NanGuard()
    guarded_trainer(callbacks=[guard], optimizer=FUSED[0], num_epochs=1).fit()
    assert guard._can_defer is False
