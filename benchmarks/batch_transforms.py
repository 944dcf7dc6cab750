"""What flips and colour changes cost on a whole batch, against sample by sample.

    python benchmarks/batch_transforms.py
    python benchmarks/batch_transforms.py --device cuda

A batch of 32 pictures of 224x224. "samples" runs v2.RandomHorizontalFlip and v2.ColorJitter
on each uint8 picture in this process, as a worker would, by torchvision's own kernels
(tv_tensors.Image) and by HAT's (hat.data.pixels.Image). "batch" runs BatchHorizontalFlip and
BatchColorJitter on the normalised batch, on the device. One thread; medians of runs that
take turns.
"""

import argparse
import statistics
from collections.abc import Callable
from time import perf_counter

import torch
from torchvision import tv_tensors
from torchvision.transforms import v2

from hat.data import BatchColorJitter, BatchHorizontalFlip
from hat.data.pixels import Image

COUNT, SIZE, RUNS = 32, 224, 9
STRENGTH = (0.4, 0.4, 0.4, 0.1)


def pictures(make: Callable[[torch.Tensor], torch.Tensor]) -> list[torch.Tensor]:
    draw = torch.Generator().manual_seed(0)
    shape = (SIZE, SIZE, 3)  # channels innermost, as decoders leave them
    return [
        make(torch.randint(256, shape, generator=draw, dtype=torch.uint8).permute(2, 0, 1))
        for _ in range(COUNT)
    ]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--device", default="cpu")
    device = torch.device(parser.parse_args().device)
    torch.set_num_threads(1)
    per_sample = v2.Compose([v2.RandomHorizontalFlip(), v2.ColorJitter(*STRENGTH)])
    flip, jitter = BatchHorizontalFlip(), BatchColorJitter(*STRENGTH)
    plain, ours = pictures(tv_tensors.Image), pictures(Image)
    batch = {"img": torch.rand(COUNT, 3, SIZE, SIZE, device=device)}

    def wait() -> None:
        if device.type == "cuda":
            torch.cuda.synchronize()

    def on_batch() -> None:
        jitter(flip(batch))
        wait()

    ways: dict[str, Callable[[], object]] = {
        "samples, torchvision's kernels": lambda: [per_sample(img) for img in plain],
        "samples, HAT's kernels": lambda: [per_sample(img) for img in ours],
        f"batch, {device.type}": on_batch,
    }
    times: dict[str, list[float]] = {name: [] for name in ways}
    for run in range(RUNS + 1):
        for name, way in ways.items():
            start = perf_counter()
            way()
            if run:  # the first warms up
                times[name].append(perf_counter() - start)
    first = statistics.median(times["samples, torchvision's kernels"])
    for name, values in times.items():
        median = statistics.median(values)
        print(f"{name:32} {COUNT / median:9.0f} pictures/s   {first / median:6.1f} x")


if __name__ == "__main__":
    main()
