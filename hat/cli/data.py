"""`hat pack` and `hat data`."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from hat.cli.data_part import build_dataset
from hat.config.errors import ConfigError, Location, Mistake


def run_packing(target: str, overrides: list[str], out: Path, num_workers: int) -> int:
    """Pack the data set that CONFIG.PART names; return the exit code."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

    if out.is_dir():
        raise _refusal("--out", f"{out} is a folder: name a file")
    if num_workers < 0:
        raise _refusal("--workers", f"must be at least 0, got {num_workers}")
    dataset = build_dataset(target, overrides)
    from hat.data.packing import pack

    columns = (BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, disable=not sys.stderr.isatty()) as progress:
        bar = progress.add_task("packing", total=len(dataset))
        pack(
            dataset,
            out,
            num_workers=num_workers,
            on_progress=lambda done, _: progress.update(bar, completed=done),
        )
    print(f"{out}: {len(dataset):,} samples, {out.stat().st_size / 2**20:,.1f} MiB")
    return 0


def print_info(target: str, overrides: list[str]) -> int:
    """Print what is in a packed file or in a config's data set."""
    path = Path(target)
    if path.is_file() and path.suffix != ".py":
        from hat.data.datasets.packed import PackedDataset

        dataset: Any = PackedDataset(path)
        size = path.stat().st_size / 2**20
        print(f"{path}: {size:,.1f} MiB, packed from a {dataset.packed_from}")
    else:
        dataset = build_dataset(target, overrides)
    if not hasattr(dataset, "describe"):
        from hat.data.datasets.description import describe

        print(describe(dataset))
        return 0
    print(dataset.describe())
    return 0


def verify(path: Path) -> int:
    """Read every record of a packed file; return 0 if all are whole.

    It is done in a process of its own: a page of LMDB that is damaged can end the
    process that reads it.
    """
    command = [sys.executable, "-m", "hat.cli.verify_pack", str(path)]
    # What the parent can import, the child must.
    paths = os.pathsep.join(filter(None, sys.path))
    done = subprocess.run(command, env={**os.environ, "PYTHONPATH": paths})
    if done.returncode < 0:
        text = f"hat: {path}: damaged: reading it ended with signal {-done.returncode}"
        print(text, file=sys.stderr)
        return 1
    return done.returncode


def show(target: str, overrides: list[str], out: Path, count: int, seed: int) -> int:
    """Draw some samples of a data set, with their truth, into one picture."""
    if count < 1:
        raise _refusal("--count", f"must be at least 1, got {count}")
    dataset = build_dataset(target, overrides)
    from hat.data.samplers.shuffled import ShuffledSampler
    from hat.seeding import SAMPLE_STREAM, derive_key, seed_everything
    from hat.visualize import draw_sample, picture_grid, write_png

    count = min(count, len(dataset))
    pictures = []
    for index in ShuffledSampler().indices(len(dataset), seed, 0, 0, count).tolist():
        seed_everything(derive_key(seed, SAMPLE_STREAM, 0, index))
        pictures.append(draw_sample(dataset[index], dataset))
    write_png(out, picture_grid(pictures))
    print(f"{out}: {count} of {len(dataset):,} samples")
    return 0


def _refusal(option: str, message: str) -> ConfigError:
    return ConfigError("hat", [Mistake(option, Location("command line"), message)])
