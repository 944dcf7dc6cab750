"""One seed, one result: whatever the number of workers, and whatever watches."""

import numpy as np
import pytest
import torch
from helpers import Points, make_trainer

from hat.callbacks import Callback, ProgressBar, StatsMonitor, Validation
from hat.data import DataLoader
from hat.engine import Predictor


class Losses(Callback):
    def __init__(self):
        self.values = []

    def on_step_end(self, *, outcome, **kwargs):
        self.values.append(outcome.loss.item())


def run(callbacks=(), **kwargs):
    """Losses and weights of a run with dropout and noise, to the last bit."""
    losses = Losses()
    trainer = make_trainer(noise=0.1, dropout=0.5, callbacks=[*callbacks, losses], **kwargs)
    trainer.fit()
    weights = {name: value.tolist() for name, value in trainer.model.state_dict().items()}
    return losses.values, weights


def test_the_same_seed_gives_the_same_run():
    assert run(seed=3) == run(seed=3)


def test_another_seed_gives_another_run():
    assert run(seed=3) != run(seed=4)


def test_what_was_drawn_before_does_not_matter():
    first = run()
    torch.rand(7)
    np.random.rand(7)
    assert run() == first


@pytest.mark.parametrize("num_workers", [1, 2])
def test_the_number_of_workers_does_not_matter(num_workers):
    assert run(num_workers=num_workers) == run()


def test_the_number_of_workers_does_not_matter_when_accumulating():
    assert run(num_workers=2, batches_per_step=2) == run(batches_per_step=2)


def test_callbacks_that_draw_do_not_change_the_run():
    class Draws(Callback):
        def on_step_end(self, **kwargs):
            torch.rand(3)
            np.random.rand(3)

    assert run([Draws()]) == run()


def test_monitors_do_not_change_the_run():
    assert run([StatsMonitor(1), ProgressBar()]) == run()


@pytest.mark.parametrize("num_workers", [0, 1])
def test_validation_in_the_middle_of_epochs_does_not_change_the_run(num_workers):
    losses = Losses()
    trainer = make_trainer(noise=0.1, dropout=0.5)
    loader = DataLoader(Points(noise=0.1), batch_size=7, num_workers=num_workers)
    validation = Validation(Predictor(trainer.model, loader), by="step")
    trainer = make_trainer(
        noise=0.1, dropout=0.5, model=trainer.model, callbacks=[validation, losses]
    )
    trainer.fit()
    assert losses.values == run()[0]


@pytest.mark.parametrize("num_workers", [0, 1])
def test_validation_on_the_training_loader_does_not_change_the_run(num_workers):
    losses = Losses()
    trainer = make_trainer(noise=0.1, dropout=0.5, num_workers=num_workers)
    validation = Validation(Predictor(trainer.model, trainer.data_loader), by="step")
    trainer = make_trainer(
        noise=0.1,
        dropout=0.5,
        model=trainer.model,
        data_loader=trainer.data_loader,
        callbacks=[validation, losses],
    )
    trainer.fit()
    assert losses.values == run()[0]


def test_samples_drawn_in_this_process_leave_its_generators_alone():
    states = []

    class Look(Callback):
        def on_step_begin(self, **kwargs):
            states.append(np.random.get_state()[1].tolist())

    run([Look()])
    assert states[1:] == states[:-1]


def test_dropout_differs_from_step_to_step():
    drawn = []

    class Look(Callback):
        def on_step_begin(self, **kwargs):
            drawn.append(torch.rand(1).item())

    run([Look()])
    assert len(set(drawn)) == 8
