"""The first twenty losses of a fixed run: a refactor reproduces them.

`python tests/golden/test_points_losses.py` writes them anew; say in the commit why they changed.
"""

import sys
from pathlib import Path

import numpy
import pytest
import torch

sys.path.append(str(Path(__file__).parents[1]))  # for running this file itself

from helpers import make_trainer

from hat.callbacks import Callback, LrUpdater, Warmup
from hat.callbacks.schedules import CosineLr

GOLDEN = Path(__file__).with_name("points_losses.txt")
NUM_LOSSES = 20


class Losses(Callback):
    def __init__(self):
        self.values = []

    def on_step_end(self, *, outcome, **kwargs):
        self.values.append(outcome.loss.item())


def first_losses():
    losses = Losses()
    updater = LrUpdater(CosineLr(), warmup=Warmup(4))
    make_trainer(
        noise=0.05, dropout=0.2, callbacks=[updater, losses], num_steps=NUM_LOSSES, device="cpu"
    ).fit()
    return losses.values


def write_golden():
    torch.set_num_threads(1)
    header = f"# torch {torch.__version__}, numpy {numpy.__version__}, float32, 1 thread, CPU"
    lines = [header, *(f"{loss!r}" for loss in first_losses())]
    GOLDEN.write_text("\n".join(lines) + "\n", encoding="utf-8")


def test_the_first_losses_of_a_fixed_run_are_those_of_the_golden_file():
    lines = GOLDEN.read_text(encoding="utf-8").splitlines()
    golden = [float(line) for line in lines if not line.startswith("#")]
    # Exact on the machine of the first line; elsewhere sums may be taken in another order.
    assert first_losses() == pytest.approx(golden, rel=1e-5)


def test_the_golden_file_names_its_versions():
    first = GOLDEN.read_text(encoding="utf-8").splitlines()[0]
    assert first.startswith("# torch ")
    assert "numpy" in first


if __name__ == "__main__":
    write_golden()
