"""One step: the loss, accumulation, precision."""

import functools

import pytest
import torch
from helpers import NUM_SAMPLES, Points, TinyModel, make_trainer
from torch import nn

from hat.callbacks import Callback, ExponentialMovingAverage, LrUpdater
from hat.callbacks.schedules import ExponentialLr
from hat.data import DataLoader, ShuffledSampler
from hat.engine.hooks import HOOK_ARGUMENTS
from hat.engine.processors import BatchProcessor
from hat.engine.processors.batch_processor import total_loss
from hat.models import ModelOutput


class Linear(nn.Module):
    """w * x with a squared error, in float64, worked out by hand below."""

    def __init__(self, w=1.0):
        super().__init__()
        self.w = nn.Parameter(torch.tensor(w, dtype=torch.float64))

    def forward(self, batch):
        error = self.w * batch["x"] - batch["y"]
        return ModelOutput({"square": error.square().mean()}, {})


class Outcomes(Callback):
    def __init__(self):
        self.values = []

    def on_step_end(self, *, outcome, **kwargs):
        self.values.append(outcome)


class Double(nn.Module):
    """The model of the helpers in float64."""

    def __init__(self, dropout=0.0):
        super().__init__()
        self.model = TinyModel(dropout).double()

    def forward(self, batch):
        return self.model({**batch, "x": batch["x"].double()})


def double_trainer(**kwargs):
    torch.manual_seed(0)
    return make_trainer(model=Double(), **kwargs)


def values(*numbers):
    return torch.tensor(numbers, dtype=torch.float64)


def batch_of(x, y):
    return {"x": values(*x), "y": values(*y)}


def weights_of(trainer):
    return torch.cat([p.detach().flatten() for p in trainer.model.parameters()])


def sgd(lr=0.1, **kwargs):
    return functools.partial(torch.optim.SGD, lr=lr, **kwargs)


def test_one_step_of_gradient_descent_by_hand():
    # w = 1, x = 2, y = 0: loss 4, gradient 2 * 2 * 2 = 8, w - 0.1 * 8 = 0.2
    trainer = make_trainer(
        model=Linear(), data_loader=[batch_of([2], [0])], optimizer=sgd(), num_epochs=1
    )
    trainer.fit()
    assert trainer.model.w.item() == pytest.approx(0.2, abs=1e-15)


def test_batches_of_a_step_count_by_their_samples():
    # Of one batch with x = 1, 2, 3 and y = 0: gradient 2 * (1 + 4 + 9) / 3 = 28 / 3,
    # w = 1 - 0.1 * 28 / 3. The mean of the batches' own gradients would be
    # (2 * (1 + 4) / 2 + 2 * 9) / 2 = 11.5.
    step = [batch_of([1, 2], [0, 0]), batch_of([3], [0])]
    trainer = make_trainer(model=Linear(), data_loader=[step], optimizer=sgd(), num_epochs=1)
    trainer.fit()
    assert trainer.model.w.item() == pytest.approx(1 - 2.8 / 3, abs=1e-15)


def test_loss_of_a_step_is_the_mean_over_its_samples():
    # (1 + 4 + 9) / 3
    outcomes = Outcomes()
    step = [batch_of([1, 2], [0, 0]), batch_of([3], [0])]
    make_trainer(
        model=Linear(), data_loader=[step], optimizer=sgd(), num_epochs=1, callbacks=[outcomes]
    ).fit()
    (outcome,) = outcomes.values
    assert outcome.loss.item() == pytest.approx(14 / 3, abs=1e-15)
    assert outcome.losses["square"].item() == pytest.approx(14 / 3, abs=1e-15)


@pytest.mark.parametrize("batches_per_step", [2, 3, 7, 50])
@pytest.mark.parametrize("batch_size", [7, NUM_SAMPLES])  # 20 = 7 + 7 + 6: ragged tails
def test_accumulation_equals_one_big_batch(batch_size, batches_per_step):
    whole = double_trainer(batch_size=batch_size)
    parts = double_trainer(batch_size=batch_size, batches_per_step=batches_per_step)
    whole.fit()
    parts.fit()
    torch.testing.assert_close(weights_of(parts), weights_of(whole), rtol=1e-13, atol=1e-15)


def test_gradients_do_not_leak_into_the_next_step():
    # Two steps with x = 1, y = 0 from w = 1: 1 - 0.1 * 2 = 0.8, 0.8 - 0.1 * 1.6 = 0.64
    data = [batch_of([1], [0])] * 2
    trainer = make_trainer(model=Linear(), data_loader=data, optimizer=sgd(), num_epochs=1)
    trainer.fit()
    assert trainer.model.w.item() == pytest.approx(0.64, abs=1e-15)


def test_total_loss_is_the_plain_sum():
    losses = {"a": torch.tensor(1.0), "b": torch.tensor(2.5), "c": torch.tensor(-1.0)}
    assert total_loss(losses).item() == 2.5


def test_total_loss_of_one_is_that_loss():
    loss = torch.tensor(1.0, requires_grad=True)
    assert total_loss({"ce": loss}) is loss


def test_no_losses_are_refused():
    with pytest.raises(ValueError, match="returned no losses"):
        total_loss({})


def test_a_batch_without_truth_stops_training():
    class Silent(TinyModel):
        def forward(self, batch):
            return ModelOutput({}, {})

    with pytest.raises(ValueError, match="lacks its truth"):
        make_trainer(model=Silent()).fit()


def test_losses_of_an_outcome_are_cut_from_the_graph():
    outcomes = Outcomes()
    make_trainer(callbacks=[outcomes], num_epochs=1).fit()
    assert not outcomes.values[0].loss.requires_grad
    assert not outcomes.values[0].losses["ce"].requires_grad


def test_several_losses_are_reported_by_name_and_as_their_sum():
    class Two(Linear):
        def forward(self, batch):
            return ModelOutput({"det/cls": self.w * 1, "seg/ce": self.w * 2}, {})

    outcomes = Outcomes()
    make_trainer(
        model=Two(), data_loader=[batch_of([1], [1])], num_epochs=1, callbacks=[outcomes]
    ).fit()
    (outcome,) = outcomes.values
    assert {name: loss.item() for name, loss in outcome.losses.items()} == {
        "det/cls": 1.0,
        "seg/ce": 2.0,
    }
    assert outcome.loss.item() == 3.0


def test_a_loss_that_only_some_batches_of_a_step_have_is_reported():
    class Sometimes(Linear):
        def forward(self, batch):
            losses = {"square": (self.w * batch["x"]).square().mean()}
            if batch["x"].max() > 2:
                losses["large"] = self.w * 4
            return ModelOutput(losses, {})

    # Batches of 2 and 1 samples: 'large' comes from the second, 4 * 1/3.
    outcomes = Outcomes()
    step = [batch_of([1, 2], [0, 0]), batch_of([3], [0])]
    make_trainer(model=Sometimes(), data_loader=[step], num_epochs=1, callbacks=[outcomes]).fit()
    assert outcomes.values[0].losses["large"].item() == pytest.approx(4 / 3)


def test_a_skipped_step_leaves_weights_and_momentum_unchanged():
    class Skip(Callback):
        def on_optimizer_step_begin(self, *, outcome, **kwargs):
            outcome.skip("because")

    trainer = make_trainer(callbacks=[Skip()], num_epochs=1)
    before = weights_of(trainer)
    trainer.fit()
    assert torch.equal(weights_of(trainer), before)
    assert trainer.optimizer.state_dict()["state"] == {}
    assert (trainer.progress.num_steps_done, trainer.progress.num_steps_skipped) == (0, 4)


def test_an_unknown_precision_is_refused():
    with pytest.raises(ValueError, match="fp32, bf16 or fp16, got 'fp8'"):
        BatchProcessor(precision="fp8")


def test_bf16_runs_the_forward_pass_in_bfloat16():
    dtypes = []

    class Look(Callback):
        def on_batch_end(self, *, preds, loss, **kwargs):
            dtypes.extend([preds["logits"].dtype, loss.dtype])

    trainer = make_trainer(
        batch_processor=BatchProcessor(precision="bf16"), callbacks=[Look()], num_epochs=1
    )
    trainer.fit()
    assert set(dtypes) == {torch.bfloat16, torch.float32}
    assert trainer.model.head.weight.dtype == torch.float32


def test_bf16_learns_about_what_fp32_learns():
    precise, rough = make_trainer(), make_trainer(batch_processor=BatchProcessor(precision="bf16"))
    precise.fit()
    rough.fit()
    torch.testing.assert_close(weights_of(rough), weights_of(precise), rtol=0, atol=0.02)
    assert not torch.equal(weights_of(rough), weights_of(precise))


def fp16_trainer(scale, **kwargs):
    """With a loss scale of one's choice; 2**40 overflows float16 in every backward pass."""
    trainer = make_trainer(batch_processor=BatchProcessor(precision="fp16"), **kwargs)
    trainer.processor.scaler = torch.amp.GradScaler("cpu", init_scale=scale)
    return trainer


def test_fp16_learns_about_what_fp32_learns():
    precise, rough = make_trainer(), fp16_trainer(2.0**8)
    precise.fit()
    rough.fit()
    torch.testing.assert_close(weights_of(rough), weights_of(precise), rtol=0, atol=0.01)


def test_gradients_are_unscaled_before_callbacks_see_them():
    norms = []

    class Look(Callback):
        def on_optimizer_step_begin(self, *, model, **kwargs):
            norms.append(model.head.bias.grad.norm().item())

    fp16_trainer(2.0**8, callbacks=[Look()], num_epochs=1).fit()
    make_trainer(callbacks=[Look()], num_epochs=1).fit()
    assert norms[:4] == pytest.approx(norms[4:], rel=0.05)


@pytest.mark.parametrize("fused", [False, True])
def test_an_overflow_skips_the_step_and_halves_the_scale(fused):
    outcomes = Outcomes()
    optimizer = sgd(momentum=0.9, fused=fused)
    trainer = fp16_trainer(2.0**40, callbacks=[outcomes], optimizer=optimizer, num_epochs=1)
    before = weights_of(trainer)
    trainer.fit()
    assert torch.equal(weights_of(trainer), before)
    assert "overflowed at loss scale 1.09951e+12" in outcomes.values[0].skip_reason
    assert trainer.processor.scaler.get_scale() == 2.0**36


def test_an_overflow_advances_neither_counter_nor_average():
    average = ExponentialMovingAverage()
    trainer = fp16_trainer(2.0**40, callbacks=[average], num_epochs=1)
    trainer.fit()
    assert trainer.progress.num_steps_done == 0
    assert trainer.progress.num_steps_skipped == 4
    assert average.num_updates == 0


def test_an_overflow_does_not_advance_the_learning_rate():
    lrs = []

    class Look(Callback):
        def on_step_end(self, *, optimizer, **kwargs):
            lrs.append(optimizer.param_groups[0]["lr"])

    updater = LrUpdater(ExponentialLr(0.5))
    trainer = fp16_trainer(2.0**40, callbacks=[updater, Look()], num_epochs=1)
    trainer.fit()
    assert lrs == [0.1] * 4


def test_a_run_by_steps_counts_only_steps_that_did_not_overflow():
    trainer = fp16_trainer(2.0**40, num_steps=3)
    trainer.fit()
    assert trainer.progress.num_steps_done == 3
    assert trainer.progress.num_steps_skipped > 10


def test_a_step_that_a_callback_skips_keeps_the_loss_scale():
    class Skip(Callback):
        def on_optimizer_step_begin(self, *, outcome, **kwargs):
            outcome.skip("because")

    trainer = fp16_trainer(2.0**8, callbacks=[Skip()], num_epochs=1)
    trainer.fit()
    assert trainer.processor.scaler.get_scale() == 2.0**8
    assert trainer.progress.num_steps_skipped == 4


def test_fp16_accumulation_equals_one_big_batch():
    whole, parts = fp16_trainer(2.0**8), fp16_trainer(2.0**8, batches_per_step=2)
    whole.fit()
    parts.fit()
    torch.testing.assert_close(weights_of(parts), weights_of(whole), rtol=0, atol=2e-3)


def test_the_loss_scale_survives_in_the_state():
    processor = BatchProcessor(precision="fp16")
    processor.set_up(torch.device("cpu"))
    processor.load_state_dict({"scaler": {**processor.scaler.state_dict(), "scale": 8.0}})
    assert processor.state_dict()["scaler"]["scale"] == 8.0


def test_fp32_has_no_state():
    assert BatchProcessor().state_dict() == {}


def test_a_step_of_batches_is_one_step_of_progress():
    loader = DataLoader(Points(), batch_size=10, sampler=ShuffledSampler(), batches_per_step=2)
    trainer = make_trainer(data_loader=loader, num_epochs=1)
    trainer.fit()
    assert trainer.progress.num_steps_done == 2


def test_losses_of_a_frozen_model_are_refused_by_name():
    model = Linear()
    model.w.requires_grad_(False)
    processor = BatchProcessor()
    processor.set_up(torch.device("cpu"))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    hooks = dict.fromkeys(HOOK_ARGUMENTS, ())
    with pytest.raises(ValueError, match="losses square depend on nothing that is trained"):
        processor([{"x": torch.ones(1), "y": torch.zeros(1)}], model, optimizer, hooks)
