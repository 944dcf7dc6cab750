"""What the loader itself costs, on samples that are ready: a tensor per index.

    python benchmarks/loader.py

Against torch's own `DataLoader` with `shuffle=True` and its own collate, on the same samples,
interleaved in one process: time per batch of 64, median of several epochs. "boxes" compares a
batch of many small tensors sent from a worker as HAT packs it with how torch sends it.
"""

import statistics
from collections.abc import Callable, Iterable
from time import perf_counter

import torch

from hat.data import DataLoader, ShuffledSampler

NUM_SAMPLES = 12_800
BATCH = 64
ROUNDS = 9


class Ready:
    """A tensor of each index, in a dict."""

    def __init__(self) -> None:
        self.values = torch.rand(NUM_SAMPLES, 256)

    def __len__(self) -> int:
        return NUM_SAMPLES

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        return {"x": self.values[index]}


class Boxes:
    """Five ragged tensors of each index."""

    def __len__(self) -> int:
        return 1280

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        names = ("gt_bboxes", "gt_classes", "gt_crowd", "gt_truncated", "gt_occluded")
        return {name: torch.ones(index % 7, 4) for name in names}


def seconds_per_batch(make_epoch: Callable[[], Iterable[object]]) -> float:
    start = perf_counter()
    count = sum(1 for _ in make_epoch())
    return (perf_counter() - start) / count


def compare(
    name: str, by_hat: Callable[[], Iterable[object]], by_torch: Callable[[], Iterable[object]]
) -> None:
    ways = {"HAT": by_hat, "torch": by_torch}
    for way in ways.values():
        seconds_per_batch(way)  # workers start, caches fill
    times: dict[str, list[float]] = {way: [] for way in ways}
    for _ in range(ROUNDS):
        for way, epoch in ways.items():
            times[way].append(seconds_per_batch(epoch))
    hat, torch_s = (statistics.median(values) for values in times.values())
    print(
        f"{name:22} HAT {hat * 1e6:7.0f} us  torch {torch_s * 1e6:7.0f} us  "
        f"ratio {hat / torch_s:5.2f}"
    )


def torch_list(samples: list[dict[str, torch.Tensor]]) -> dict[str, list[torch.Tensor]]:
    return {key: [sample[key] for sample in samples] for key in samples[0]}


def main() -> None:
    torch.set_num_threads(1)
    for num_workers in (0, 1, 2):
        options = dict(batch_size=BATCH, num_workers=num_workers)
        hat = DataLoader(Ready(), sampler=ShuffledSampler(), **options)  # type: ignore[arg-type]
        plain = torch.utils.data.DataLoader(
            Ready(),  # type: ignore[arg-type]
            shuffle=True,
            persistent_workers=num_workers > 0,
            **options,  # type: ignore[arg-type]
        )
        compare(f"ready, {num_workers} workers", lambda hat=hat: hat, lambda plain=plain: plain)  # type: ignore[misc]
    hat = DataLoader(Boxes(), batch_size=BATCH, num_workers=1)
    plain = torch.utils.data.DataLoader(
        Boxes(),  # type: ignore[arg-type]
        batch_size=BATCH,
        num_workers=1,
        persistent_workers=True,
        collate_fn=torch_list,
    )
    compare("boxes, 1 worker", lambda: hat, lambda: plain)


if __name__ == "__main__":
    main()
