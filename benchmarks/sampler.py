"""What an order over 50 million samples costs.

    python benchmarks/sampler.py

Against the usual way, `torch.randperm` kept as a list, as torch's RandomSampler keeps it.
Memory is the peak that the process adds, each in a process of its own. Then what a batch costs
from the other orders at the start and near the end of an epoch of a million samples.
"""

import multiprocessing
import resource
from collections.abc import Callable
from statistics import median
from time import perf_counter

import numpy as np
import torch

from hat.data import (
    AspectRatioSampler,
    ClassBalancedSampler,
    RepeatedSampler,
    Sampler,
    ShuffledSampler,
    WeightedSampler,
)

LENGTH = 50_000_000
BATCH = 64
NUM_OTHERS = 1_000_000


def by_hat() -> tuple[float, float]:
    start = perf_counter()
    sampler = ShuffledSampler()
    sampler.indices(LENGTH, seed=0, epoch=0, start=0, stop=BATCH)
    first = perf_counter() - start
    start = perf_counter()
    sampler.indices(LENGTH, seed=0, epoch=3, start=LENGTH // 2, stop=LENGTH // 2 + BATCH)
    return first, perf_counter() - start


def by_list() -> tuple[float, float]:
    start = perf_counter()
    order = torch.randperm(LENGTH).tolist()
    order[:BATCH]
    first = perf_counter() - start
    start = perf_counter()
    order = torch.randperm(LENGTH).tolist()  # a later epoch: its order must be drawn first
    order[LENGTH // 2 : LENGTH // 2 + BATCH]
    return first, perf_counter() - start


def run(way: Callable[[], tuple[float, float]], results: "multiprocessing.Queue[object]") -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    seconds = way()
    added = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    results.put((added / 1024, *seconds))


def main() -> None:
    context = multiprocessing.get_context("spawn")
    for name, way in (("ShuffledSampler", by_hat), ("randperm list", by_list)):
        results: multiprocessing.Queue[object] = context.Queue()
        process = context.Process(target=run, args=(way, results))
        process.start()
        memory, first, seek = results.get()  # type: ignore[misc]
        process.join()
        print(
            f"{name:16} memory +{memory:7.1f} MiB   first batch {first * 1e3:9.2f} ms   "
            f"seek to the middle {seek * 1e3:9.2f} ms"
        )
    for sampler in others():
        start, end = (
            batch_ms(sampler, epoch, at) for epoch, at in ((0, 0), (3, NUM_OTHERS - BATCH))
        )
        print(
            f"{type(sampler).__name__:20} batch at the start {start:5.2f} ms   "
            f"near the end {end:5.2f} ms"
        )


def others() -> list[Sampler]:
    numbers = np.arange(NUM_OTHERS)
    return [
        ShuffledSampler(),
        ClassBalancedSampler(labels=numbers % 1000),
        WeightedSampler(1.0 + numbers % 7),
        AspectRatioSampler(ratios=0.5 + numbers % 3, batch_size=BATCH),
        RepeatedSampler(3),
    ]


def batch_ms(sampler: Sampler, epoch: int, at: int) -> float:
    seconds = []
    for _ in range(21):
        begun = perf_counter()
        sampler.indices(NUM_OTHERS, 0, epoch, at, at + BATCH)
        seconds.append(perf_counter() - begun)
    return 1e3 * median(seconds)


if __name__ == "__main__":
    main()
