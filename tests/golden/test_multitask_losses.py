"""The first losses of four tasks in steps of several partly labelled batches: see test_points.

`python tests/golden/test_multitask_losses.py` writes them anew; say in the commit why they changed.
"""

import sys
from pathlib import Path

import numpy
import pytest
import torch

sys.path.append(str(Path(__file__).parents[1]))  # for running this file itself

from road_tasks import make_loader, make_model, make_trainer

from hat.callbacks import Callback

GOLDEN = Path(__file__).with_name("multitask_losses.txt")


class Losses(Callback):
    def __init__(self):
        self.lines = []

    def on_step_end(self, *, outcome, **kwargs):
        losses = {"loss": outcome.loss, **outcome.losses}
        self.lines.append(" ".join(f"{name}={losses[name].item():.8g}" for name in sorted(losses)))


def first_losses():
    torch.manual_seed(0)
    losses = Losses()
    loader = make_loader(6, is_training=True, batch_size=2, batches_per_step=2)
    make_trainer(make_model(), loader, [losses], lr=1e-3, num_epochs=3).fit()
    return losses.lines


def parsed(line):
    return {name: float(value) for name, _, value in (p.partition("=") for p in line.split())}


def write_golden():
    torch.set_num_threads(1)
    header = f"# torch {torch.__version__}, numpy {numpy.__version__}, float32, 1 thread, CPU"
    GOLDEN.write_text("\n".join([header, *first_losses()]) + "\n", encoding="utf-8")


@pytest.mark.slow
def test_the_first_losses_of_four_tasks_are_those_of_the_golden_file():
    golden = [line for line in GOLDEN.read_text("utf-8").splitlines() if line[0] != "#"]
    found = first_losses()
    assert len(found) == len(golden)
    for line, expected in zip(found, golden, strict=True):
        # Exact on the machine of the first line; elsewhere sums may be taken in another order.
        assert parsed(line) == pytest.approx(parsed(expected), rel=1e-3)


if __name__ == "__main__":
    write_golden()
