"""What HAT adds to a step, in function calls: a number that does not depend on the machine.

Wall time would be noise on a shared machine. Calls are counted by cProfile, those into
C included, against a loop that is written by hand.
"""

import cProfile
import functools
import io
import pstats
from itertools import repeat

import torch
from rich.console import Console
from torch import nn

from hat.callbacks import Checkpoint, LrUpdater, NanGuard, ProgressBar, StatsMonitor
from hat.callbacks.schedules import CosineLr
from hat.engine import Trainer
from hat.models import ModelOutput

NUM_STEPS = 400


class Mlp(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(16, 16), nn.ReLU(), nn.Linear(16, 2))

    def forward(self, batch):
        logits = self.layers(batch["x"])
        losses = {"ce": nn.functional.cross_entropy(logits, batch["label"])}
        return ModelOutput(losses, {"logits": logits.detach()})


def ready_batches():
    batch = {"x": torch.rand(8, 16), "label": torch.randint(0, 2, (8,))}
    return [batch] * NUM_STEPS


def calls_per_step(function):
    profile = cProfile.Profile()
    profile.runcall(function)
    return pstats.Stats(profile).total_calls / NUM_STEPS


def loop_by_hand():
    model = Mlp()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    batches = ready_batches()

    def loop():
        for batch in batches:
            losses, _ = model(batch)
            loss = losses["ce"]
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()

    loop()  # what is done once is no part of a step
    return calls_per_step(loop)


def extra_calls(**kwargs):
    """Calls of HAT's step beyond those of the step by hand."""
    trainer = Trainer(
        Mlp(),
        ready_batches(),
        functools.partial(torch.optim.SGD, lr=0.1, momentum=0.9),
        num_epochs=2,
        device="cpu",
        **kwargs,
    )
    return calls_per_step(trainer.fit) / 2 - loop_by_hand()


def test_a_step_without_callbacks_adds_at_most_60_calls():
    extra = extra_calls(nan_guard=False)
    assert extra <= 60, f"{extra:.1f} calls per step"


def test_a_step_with_the_usual_callbacks_adds_at_most_200_calls(tmp_path):
    extra = extra_calls(
        callbacks=[
            NanGuard(),
            LrUpdater(CosineLr()),
            StatsMonitor(),
            ProgressBar(console=Console(file=io.StringIO())),
            Checkpoint(folder=tmp_path),
        ]
    )
    assert extra <= 200, f"{extra:.1f} calls per step"


def test_the_loop_by_hand_is_counted():
    # zero_grad, forward, loss, backward and step: some calls, and not a handful.
    assert 20 < loop_by_hand() < 1000


def test_counting_counts():
    def function():
        for _ in repeat(None, NUM_STEPS):
            len(())

    assert 1 <= calls_per_step(function) < 1.1
