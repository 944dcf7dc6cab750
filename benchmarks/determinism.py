"""Whether batches are identical however they are made: SHA-256 of each step.

    python benchmarks/determinism.py

Compares 0, 1, 2 and 4 workers, a resume in mid-epoch, and 2 and 4 processes with their shares
joined, all of augmented digits; `digests` takes any data set, such as a
packed one and the one it was packed from.
"""

import hashlib
import warnings
from typing import Any

import torch
from torchvision.transforms import v2

from hat.data import DataLoader, DigitsDataset, ShuffledSampler

BATCH, EPOCH, RESUMED_AT = 32, 3, 5


def digest(batches: list[dict[str, Any]]) -> str:
    state = hashlib.sha256()
    for key in batches[0]:
        values = [batch[key] for batch in batches]
        if isinstance(values[0], torch.Tensor):
            state.update(torch.cat(values).contiguous().numpy().tobytes())
        else:
            state.update(repr([item for value in values for item in value]).encode())
    return state.hexdigest()


def digests(
    dataset: Any, *, num_workers: int = 0, start: int = 0, num_processes: int = 1
) -> list[str]:
    """The hash of each global step."""
    ranks = []
    for rank in range(num_processes):
        loader = DataLoader(
            dataset, BATCH, sampler=ShuffledSampler(), num_workers=num_workers, drop_last=True
        )
        loader.seed, loader.rank, loader.num_processes = 7, rank, num_processes
        ranks.append(loader.steps(EPOCH, start))
    return [digest(list(step)) for step in zip(*ranks, strict=True)]


def compare(name: str, expected: list[str], got: list[str]) -> None:
    num_equal = sum(one == other for one, other in zip(expected, got, strict=True))
    print(f"{name:28} {num_equal} of {len(expected)} steps identical")
    if num_equal != len(expected):
        raise SystemExit(1)


def main() -> None:
    warnings.filterwarnings("ignore", "This DataLoader will create")
    torch.set_num_threads(1)
    dataset = DigitsDataset("train", [v2.RandomAffine(20), v2.RandomCrop(6)])
    expected = digests(dataset)
    for num_workers in (1, 2, 4):
        compare(f"{num_workers} workers", expected, digests(dataset, num_workers=num_workers))
        resumed = digests(dataset, num_workers=num_workers, start=RESUMED_AT)
        compare(f"{num_workers} workers, resumed", expected[RESUMED_AT:], resumed)
    for num_processes in (2, 4):
        got = digests(dataset, num_processes=num_processes)
        compare(f"{num_processes} processes", expected, got)


if __name__ == "__main__":
    main()
