"""What the engine costs over a hand-written loop, per step.

    python benchmarks/overhead.py            # one thread, interleaved, medians

Three pairs, measured in one process, in turn, several times; each figure is the median
over the rounds of (HAT - raw). Calls are Python and C calls as cProfile counts them.

- bare: an MLP 16-16-2, batch 8, ready batches, no callbacks, no NaN guard
- full: the same with StatsMonitor, LrUpdater, ProgressBar, NanGuard, Checkpoint per epoch
- cnn:  a small CNN at 32x32, batch 64, with the callbacks of `full`
"""

import argparse
import contextlib
import cProfile
import ctypes
import functools
import io
import os
import pstats
import statistics
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from time import perf_counter
from typing import Any

import torch
from rich.console import Console
from torch import nn

from hat.callbacks import Checkpoint, LrUpdater, NanGuard, ProgressBar, StatsMonitor
from hat.callbacks.schedules import CosineLr
from hat.engine import Trainer
from hat.engine.processors import BatchProcessor
from hat.models import ModelOutput

Batch = dict[str, Any]

#: Of glibc's mallopt. Memory given back after each step costs up to 40 % by chance, both sides.
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3


class ReadyBatches:
    """Batches that cost nothing to get: the first one, again and again."""

    def __init__(self, batch: Batch, num_steps: int) -> None:
        self.batch = batch
        self.num_steps = num_steps

    def __len__(self) -> int:
        return self.num_steps

    def __iter__(self):
        for _ in range(self.num_steps):
            yield self.batch


class Structure(nn.Sequential):
    """The same layers as HAT wants them: a batch in, losses and predictions out."""

    def forward(self, batch: Batch) -> ModelOutput:
        logits = super().forward(batch["x"])
        loss = nn.functional.cross_entropy(logits, batch["label"])
        return ModelOutput({"ce": loss}, {"logits": logits})


def mlp() -> nn.Sequential:
    return nn.Sequential(nn.Linear(16, 16), nn.ReLU(), nn.Linear(16, 2))


def cnn() -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(3, 16, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(16, 32, 3, padding=1),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(32, 10),
    )


def mlp_batch() -> Batch:
    return {"x": torch.randn(8, 16), "label": torch.randint(2, (8,))}


def cnn_batch() -> Batch:
    return {"x": torch.randn(64, 3, 32, 32), "label": torch.randint(10, (64,))}


optimizer_of = functools.partial(torch.optim.SGD, lr=0.01, momentum=0.9)


def raw_run(make: Callable[[], nn.Sequential], batch: Batch, num_steps: int) -> Callable[[], None]:
    """The loop that one writes by hand."""
    model = make()
    optimizer = optimizer_of(model.parameters())
    batches = ReadyBatches(batch, num_steps)

    def run() -> None:
        model.train()
        for ready in batches:
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(model(ready["x"]), ready["label"])
            loss.backward()
            optimizer.step()

    return run


def hat_run(
    make: Callable[[], nn.Sequential], batch: Batch, num_steps: int, folder: Path | None
) -> Callable[[], None]:
    """The same by HAT; with a folder, with the five callbacks."""
    callbacks: list[Any] = []
    if folder is not None:
        callbacks = [
            NanGuard(),
            LrUpdater(CosineLr()),
            StatsMonitor(),
            ProgressBar(console=Console(file=io.StringIO())),
            Checkpoint(folder=folder),
        ]
    trainer = Trainer(
        Structure(*make()),
        ReadyBatches(batch, num_steps),
        optimizer_of,
        num_epochs=1,
        callbacks=callbacks,
        nan_guard=False,
        batch_processor=BatchProcessor(),
        device="cpu",
    )

    def run() -> None:
        trainer.fit()

    return run


def num_calls(run: Callable[[], None]) -> int:
    profile = cProfile.Profile()
    profile.enable()
    run()
    profile.disable()
    return pstats.Stats(profile).total_calls  # type: ignore[attr-defined]


def timed(run: Callable[[], None]) -> float:
    start = perf_counter()
    run()
    return perf_counter() - start


def measure(
    name: str,
    make: Callable[[], nn.Sequential],
    batch: Batch,
    has_callbacks: bool,
    num_steps: int,
    num_rounds: int,
) -> None:
    raw_s, hat_s = [], []
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stderr(io.StringIO()):

        def hat(num_steps: int = num_steps) -> Callable[[], None]:
            where = Path(tempfile.mkdtemp(dir=folder)) if has_callbacks else None
            return hat_run(make, batch, num_steps, where)

        timed(raw_run(make, batch, num_steps)), timed(hat())  # warm up
        for number in range(num_rounds):
            pair = [(raw_s, raw_run(make, batch, num_steps)), (hat_s, hat())]
            for seconds, run in pair if number % 2 else reversed(pair):
                seconds.append(timed(run) / num_steps)
        counted = min(num_steps, 1000)
        raw_calls = num_calls(raw_run(make, batch, counted)) / counted
        hat_calls = num_calls(hat(counted)) / counted
    over = [hat - raw for hat, raw in zip(hat_s, raw_s, strict=True)]
    ratio = [hat / raw - 1 for hat, raw in zip(hat_s, raw_s, strict=True)]
    print(
        f"{name:5} raw {statistics.median(raw_s) * 1e6:8.1f} us {raw_calls:6.1f} calls   "
        f"hat +{statistics.median(over) * 1e6:6.1f} us (min {min(over) * 1e6:.1f}) "
        f"+{hat_calls - raw_calls:6.1f} calls  +{statistics.median(ratio):.2%}"
    )


def keep_memory() -> None:
    """Tell glibc to keep freed memory; MALLOC_*_THRESHOLD_ of the environment do the same."""
    if sys.platform == "linux":
        with contextlib.suppress(OSError, AttributeError):
            libc = ctypes.CDLL("libc.so.6")
            libc.mallopt(_M_TRIM_THRESHOLD, 1 << 30)
            libc.mallopt(_M_MMAP_THRESHOLD, 1 << 30)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--steps", type=int, default=3000)
    parser.add_argument("--rounds", type=int, default=9)
    arguments = parser.parse_args()
    keep_memory()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    print(f"torch {torch.__version__}, {os.cpu_count()} cores, 1 thread, {arguments.rounds} rounds")
    measure("bare", mlp, mlp_batch(), False, arguments.steps, arguments.rounds)
    measure("full", mlp, mlp_batch(), True, arguments.steps, arguments.rounds)
    # A third of the steps: the checkpoint at the end of the epoch still counts in full.
    measure("cnn", cnn, cnn_batch(), True, arguments.steps // 3, arguments.rounds // 2)


if __name__ == "__main__":
    main()
