"""Averages of weights, worked out by hand."""

import functools

import pytest
import torch
from helpers import Points, TinyModel, make_trainer
from torch import nn

from hat import store
from hat.callbacks import Callback, Checkpoint, ExponentialMovingAverage, Validation
from hat.data import DataLoader
from hat.engine import Predictor
from hat.models import ModelOutput


class Counter(nn.Module):
    """A weight that each step of gradient descent at 1.0 raises by 1: 0, 1, 2, ..."""

    def __init__(self):
        super().__init__()
        self.w = nn.Parameter(torch.zeros(1))

    def forward(self, batch):
        return ModelOutput({"minus": -self.w.sum()}, {})


class NormedModel(TinyModel):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(2, 8), nn.BatchNorm1d(8), nn.ReLU())


class SkipStep(Callback):
    def __init__(self, tried):
        self.tried = tried

    def on_optimizer_step_begin(self, *, progress, outcome, **kwargs):
        if progress.num_steps_tried == self.tried:
            outcome.skip("because")


def average_of_counter(average, *callbacks, num_steps=3):
    """The average after steps that left the weight at 1, 2, 3, ..."""
    make_trainer(
        model=Counter(),
        data_loader=[{"x": torch.zeros(1)}] * 10,
        optimizer=functools.partial(torch.optim.SGD, lr=1.0),
        callbacks=[*callbacks, average],
        num_steps=num_steps,
    ).fit()
    return average.averaged_weights()["w"].item()


def test_average_by_hand():
    # 0; 0.5 * 0 + 0.5 * 1 = 0.5; 0.5 * 0.5 + 0.5 * 2 = 1.25; 0.5 * 1.25 + 0.5 * 3 = 2.125
    found = average_of_counter(ExponentialMovingAverage(0.5, warmup=False))
    assert found == pytest.approx(2.125)


def test_average_with_warmup_by_hand():
    # Decays 1/10, 2/11, 3/12 are below 0.9. 0.9 * 1 = 0.9;
    # 2/11 * 0.9 + 9/11 * 2 = 1.8; 1/4 * 1.8 + 3/4 * 3 = 2.7
    assert average_of_counter(ExponentialMovingAverage(0.9)) == pytest.approx(2.7)


def test_warmup_ends_at_the_decay():
    # Decays min(0.15, 1/10), min(0.15, 2/11): 0.9, then 0.15 * 0.9 + 0.85 * 2 = 1.835
    found = average_of_counter(ExponentialMovingAverage(0.15), num_steps=2)
    assert found == pytest.approx(1.835)


def test_a_decay_of_zero_is_the_weight_itself():
    assert average_of_counter(ExponentialMovingAverage(0.0)) == 3.0


def test_a_skipped_step_does_not_move_the_average():
    # The weight goes 1, (skipped) 1, 2: 0.5, then 0.25 + 1 = 1.25
    average = ExponentialMovingAverage(0.5, warmup=False)
    assert average_of_counter(average, SkipStep(1), num_steps=2) == pytest.approx(1.25)


def test_average_equals_that_of_torch():
    class Torch(Callback):
        def on_setup(self, *, model, **kwargs):
            average = torch.optim.swa_utils.get_ema_multi_avg_fn(0.8)
            self.model = torch.optim.swa_utils.AveragedModel(
                model, multi_avg_fn=average, use_buffers=True
            )
            self.model.update_parameters(model)  # the first call copies

        def on_step_end(self, *, model, **kwargs):
            self.model.update_parameters(model)

    average, reference = ExponentialMovingAverage(0.8, warmup=False), Torch()
    make_trainer(model=NormedModel(), callbacks=[average, reference]).fit()
    expected = reference.model.module.state_dict()
    torch.testing.assert_close(average.averaged_weights()["head.weight"], expected["head.weight"])
    torch.testing.assert_close(
        average.averaged_weights()["body.1.running_var"], expected["body.1.running_var"]
    )


def test_counters_are_copied():
    average = ExponentialMovingAverage(0.9)
    trainer = make_trainer(model=NormedModel(), callbacks=[average])
    trainer.fit()
    assert average.averaged_weights()["body.1.num_batches_tracked"].item() == 8


def test_applied_gives_the_model_the_average_and_then_its_own_weights():
    average = ExponentialMovingAverage(0.9)
    trainer = make_trainer(model=NormedModel(), callbacks=[average])
    trainer.fit()
    own = {name: value.tolist() for name, value in trainer.model.state_dict().items()}
    with average.applied(trainer.model):
        inside = {name: value.tolist() for name, value in trainer.model.state_dict().items()}
    after = {name: value.tolist() for name, value in trainer.model.state_dict().items()}
    assert inside == {n: value.tolist() for n, value in average.averaged_weights().items()}
    assert inside != own
    assert after == own


def test_applied_puts_the_weights_back_after_an_error():
    average = ExponentialMovingAverage(0.9)
    trainer = make_trainer(callbacks=[average])
    trainer.fit()
    own = trainer.model.head.weight.tolist()
    with pytest.raises(RuntimeError), average.applied(trainer.model):
        raise RuntimeError
    assert trainer.model.head.weight.tolist() == own


def test_averaging_does_not_change_training():
    plain, averaged = make_trainer(), make_trainer(callbacks=[ExponentialMovingAverage()])
    plain.fit()
    averaged.fit()
    assert averaged.model.head.weight.tolist() == plain.model.head.weight.tolist()


def test_tied_weights_are_averaged_under_both_names():
    class Tied(TinyModel):
        def __init__(self):
            super().__init__()
            self.copy = self.head

    average = ExponentialMovingAverage(0.5, warmup=False)
    make_trainer(model=Tied(), callbacks=[average]).fit()
    weights = average.averaged_weights()
    assert torch.equal(weights["copy.weight"], weights["head.weight"])


def test_a_checkpoint_holds_the_average_beside_the_weights(tmp_path):
    average = ExponentialMovingAverage(0.5)
    make_trainer(callbacks=[average, Checkpoint(folder=tmp_path)]).fit()
    state = store.read_checkpoint(store.newest_checkpoint(tmp_path).path)
    assert torch.equal(state["ema"]["head.weight"], average.averaged_weights()["head.weight"])
    assert not torch.equal(state["ema"]["head.weight"], state["model"]["head.weight"])


def test_two_averages_are_refused():
    # A checkpoint holds one; the second would come back as a copy of the first.
    callbacks = [ExponentialMovingAverage(0.9), ExponentialMovingAverage(0.99)]
    with pytest.raises(ValueError, match="ExponentialMovingAverage"):
        make_trainer(callbacks=callbacks)


def test_validation_with_an_average_that_is_no_callback_is_refused():
    model = TinyModel()
    predictor = Predictor(model, DataLoader(Points(), batch_size=10))
    validation = Validation(predictor, weights=ExponentialMovingAverage())
    with pytest.raises(ValueError, match="callbacks"):
        make_trainer(model=model, callbacks=[validation])


@pytest.mark.parametrize("decay", [-0.1, 1.0, 2.0])
def test_a_decay_out_of_range_is_refused(decay):
    with pytest.raises(ValueError, match=r"decay must be in \[0, 1\), got"):
        ExponentialMovingAverage(decay)
