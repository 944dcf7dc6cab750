"""Whether batches are identical however they are made: SHA-256 of each step.

    python benchmarks/determinism.py

Compares 0, 1, 2 and 4 workers, a resume in mid-epoch, 2 and 4 processes with their shares
joined, and a packed file, with augmented digits and with augmented road scenes and their boxes.
"""

import hashlib
import tempfile
import warnings
from pathlib import Path
from typing import Any

import torch
from torchvision.transforms import v2

from hat.data import (
    DataLoader,
    Dataset,
    DigitsDataset,
    FilterBoxes,
    PackedDataset,
    RoadScenes,
    ShuffledSampler,
    pack,
)

BATCH, EPOCH, RESUMED_AT = 32, 3, 5


def digest(batches: list[dict[str, Any]]) -> str:
    """Of one step: of each key what its batches hold, joined in the order of the processes."""
    state = hashlib.sha256()
    for key in batches[0]:
        state.update(key.encode())
        for batch in batches:
            for value in batch[key]:  # of each sample
                is_tensor = isinstance(value, torch.Tensor)
                state.update(bytes_of(value) if is_tensor else repr(value).encode())
    return state.hexdigest()


def bytes_of(tensor: torch.Tensor) -> bytes:
    return tensor.as_subclass(torch.Tensor).contiguous().numpy().tobytes()


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


def check(name: str, dataset: Dataset, folder: Path) -> None:
    print(name)
    expected = digests(dataset)
    for num_workers in (1, 2, 4):
        compare(f"  {num_workers} workers", expected, digests(dataset, num_workers=num_workers))
        resumed = digests(dataset, num_workers=num_workers, start=RESUMED_AT)
        compare(f"  {num_workers} workers, resumed", expected[RESUMED_AT:], resumed)
    for num_processes in (2, 4):
        got = digests(dataset, num_processes=num_processes)
        compare(f"  {num_processes} processes", expected, got)
    path = folder / f"{type(dataset).__name__}.lmdb"
    pack(dataset, path)
    packed = PackedDataset(path, dataset.transform)
    for num_workers in (0, 2):
        got = digests(packed, num_workers=num_workers)
        compare(f"  packed, {num_workers} workers", expected, got)


def main() -> None:
    warnings.filterwarnings("ignore", "This DataLoader will create")
    torch.set_num_threads(1)
    flip_and_turn = [v2.RandomHorizontalFlip(), v2.RandomAffine(5), v2.ColorJitter(0.3, 0.3, 0.3)]
    with tempfile.TemporaryDirectory() as name:
        digits = DigitsDataset("train", [v2.RandomAffine(20), v2.RandomCrop(6)])
        check("digits", digits, Path(name))
        scenes = RoadScenes(320, (64, 128), transform=[*flip_and_turn, FilterBoxes()])
        check("road scenes", scenes, Path(name))


if __name__ == "__main__":
    main()
