"""What it costs to put batches of several loaders into one step.

    python benchmarks/multi_task_loader.py

On samples that are ready, so that the loader itself is what is timed. First two loaders by
`MultiTaskDataLoader` against the same two taken with `zip`, interleaved in one process: CPU
time per step, the least of several epochs. Then the first step after a million that are not
gone through. Last a loader of four batches an epoch with a worker, whose batches take a while to
make: epoch by epoch, each of which the worker begins with nothing prepared, against its endless
stream.
"""

from collections.abc import Callable, Iterable
from itertools import islice
from time import perf_counter, process_time, sleep
from typing import Any

import torch

from hat.data import DataLoader, MultiTaskDataLoader, ShuffledSampler

NUM_SAMPLES, BATCH, ROUNDS = 4096, 8, 7
MAKING_S, STEP_S = 0.03, 0.06


class Ready:
    """A tensor for each index."""

    def __init__(self) -> None:
        self.values = torch.rand(NUM_SAMPLES, 3, 8, 8)

    def __len__(self) -> int:
        return NUM_SAMPLES

    def __getitem__(self, index: int) -> dict[str, Any]:
        return {"img": self.values[index], "img_id": index}


class Slow(Ready):
    """Four batches, each sample a while in the making."""

    def __len__(self) -> int:
        return 4 * BATCH

    def __getitem__(self, index: int) -> dict[str, Any]:
        sleep(MAKING_S / BATCH)
        return super().__getitem__(index)


def loader(dataset: Any, num_workers: int = 0) -> DataLoader:
    return DataLoader(dataset, BATCH, sampler=ShuffledSampler(), num_workers=num_workers)


def us_per_step(steps: Iterable[Any]) -> float:
    start = process_time()
    count = sum(1 for _ in steps)
    return (process_time() - start) / count * 1e6


def overhead() -> None:
    data = Ready()
    many = MultiTaskDataLoader({"a": loader(data), "b": loader(data)})
    drawn = MultiTaskDataLoader(
        {"a": loader(data), "b": loader(data)}, schedule="sample", per_step=2
    )
    pair = loader(data), loader(data)
    ways: dict[str, Callable[[int], Iterable[Any]]] = {
        "zip of two loaders": lambda epoch: zip(*(one.steps(epoch) for one in pair), strict=True),
        'schedule="all"': many.steps,
        'schedule="sample"': drawn.steps,
    }
    times: dict[str, list[float]] = {name: [] for name in ways}
    for epoch in range(ROUNDS):
        for name, way in ways.items():
            times[name].append(us_per_step(way(epoch)))
    for name, values in times.items():
        print(f"{name:20} {min(values):7.1f} us a step")


def far_away() -> None:
    for schedule in ("all", "sample"):
        steps = MultiTaskDataLoader(
            {"a": loader(Ready()), "b": loader(Ready())},
            schedule=schedule,  # type: ignore[arg-type]
            length=1_000_000,
        )
        start = perf_counter()
        next(steps.steps(1))
        print(
            f"step 1,000,000 of {schedule!r:9} there after {1e3 * (perf_counter() - start):.0f} ms"
        )


def small_epochs() -> None:
    def waited_ms(batches: Iterable[Any]) -> float:
        waits = []
        iterator = iter(batches)
        for _ in range(40):
            start = perf_counter()
            next(iterator)
            waits.append(perf_counter() - start)
            sleep(STEP_S)
        return 1e3 * sum(waits[8:]) / len(waits[8:])

    one = loader(Slow(), num_workers=1)
    by_epoch = (batch for epoch in range(10) for batch in one.steps(epoch))
    print(f"epochs of 4 batches  waited {waited_ms(by_epoch):5.2f} ms for a batch")
    print(f"their stream         waited {waited_ms(islice(one.stream(0), 40)):5.2f} ms for a batch")


if __name__ == "__main__":
    overhead()
    far_away()
    small_epochs()
