"""What a million annotations cost in memory in each worker, epoch by epoch.

    python benchmarks/worker_memory.py

Four workers read all annotations three times: from the arrays of `hat.data.arrays`, and from
the usual list of dicts. Shown is the memory that is a worker's own (private pages of
/proc/PID/smaps_rollup) at the end of each epoch, the mean over the workers.
"""

import os
import warnings
from typing import Any

import numpy as np
import torch

from hat.data import DataLoader, ShuffledSampler
from hat.data.arrays import RaggedArray, StringArray

NUM_PICTURES, NUM_BOXES, NUM_WORKERS, NUM_EPOCHS = 100_000, 1_000_000, 4, 3
OFFSETS = np.arange(NUM_PICTURES + 1, dtype=np.int64) * (NUM_BOXES // NUM_PICTURES)


def own_mib() -> float:
    with open("/proc/self/smaps_rollup") as file:
        sizes = [int(line.split()[1]) for line in file if line.startswith("Private_")]
    return sum(sizes) / 1024


class Arrays:
    """Annotations in a few arrays."""

    def __init__(self) -> None:
        self.names = StringArray(f"{number:012}.jpg" for number in range(NUM_PICTURES))
        self.boxes = RaggedArray(np.random.rand(NUM_BOXES, 4).astype(np.float32), OFFSETS)

    def __len__(self) -> int:
        return NUM_PICTURES

    def __getitem__(self, index: int) -> dict[str, Any]:
        total = float(self.boxes[index].sum()) + len(self.names[index])
        return {"x": torch.tensor([total, os.getpid(), own_mib() if index % 1000 == 0 else 0.0])}


class Dicts(Arrays):
    """The same in a list of dicts."""

    def __init__(self) -> None:
        self.pictures = [
            {
                "name": f"{n:012}.jpg",
                "boxes": [dict(bbox=[0.1, n, 2.5, 3.5 + n]) for _ in range(10)],
            }
            for n in range(NUM_PICTURES)
        ]

    def __getitem__(self, index: int) -> dict[str, Any]:
        picture = self.pictures[index]
        total = sum(sum(box["bbox"]) for box in picture["boxes"]) + len(picture["name"])  # type: ignore[arg-type, misc, index, attr-defined]
        return {"x": torch.tensor([total, os.getpid(), own_mib() if index % 1000 == 0 else 0.0])}


def main() -> None:
    warnings.filterwarnings("ignore", "This DataLoader will create")
    torch.set_num_threads(1)
    for name, make in (("arrays", Arrays), ("list of dicts", Dicts)):
        loader = DataLoader(
            make(), batch_size=500, sampler=ShuffledSampler(), num_workers=NUM_WORKERS
        )
        shown = []
        for epoch in range(NUM_EPOCHS):
            last: dict[float, float] = {}
            for batch in loader.steps(epoch):
                last.update((pid, mib) for _, pid, mib in batch["x"].tolist() if mib)
            shown.append(sum(last.values()) / len(last))
        print(f"{name:14}" + "".join(f"  epoch {n} {mib:7.1f} MiB" for n, mib in enumerate(shown)))
        del loader


if __name__ == "__main__":
    main()
