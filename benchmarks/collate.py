"""What it costs to put 64 pictures of 224 x 224 into one batch.

    python benchmarks/collate.py

Against torch's own collate, for pictures as a decoder leaves them (channels innermost in
memory) and as torch makes them (planes). The result is contiguous NCHW uint8 in all cases.
Also padding pictures of many sizes, against filling one large tensor and copying each in, as
torchvision's detectors do. One thread, medians of interleaved runs.
"""

from collections.abc import Callable
from statistics import median
from time import perf_counter
from typing import Any

import cv2
import numpy as np
import torch
from torch.utils.data import default_collate

from hat.data import PadCollate, StackCollate
from hat.data.pixels import Image

NUM_RUNS = 21


def pictures(sizes: list[tuple[int, int]]) -> list[torch.Tensor]:
    random = np.random.default_rng(0)
    return [Image.from_hwc(random.integers(256, size=(*size, 3), dtype=np.uint8)) for size in sizes]


def plain(imgs: list[torch.Tensor]) -> list[torch.Tensor]:
    return [img.as_subclass(torch.Tensor) for img in imgs]


def fill_and_copy(imgs: list[torch.Tensor]) -> torch.Tensor:
    height, width = (max(img.shape[side] for img in imgs) for side in (1, 2))
    batch = imgs[0].new_full((len(imgs), 3, height, width), 0)
    for img, place in zip(imgs, batch, strict=True):
        place[:, : img.shape[1], : img.shape[2]].copy_(img)
    return batch


def compare(name: str, ours: Callable[[], Any], theirs: Callable[[], Any]) -> None:
    assert torch.equal(ours(), theirs()), name
    assert ours().is_contiguous()
    times: dict[Callable[[], Any], list[float]] = {ours: [], theirs: []}
    for number in range(NUM_RUNS):
        # In turn, since what memory the allocator has at hand depends on who went before.
        for way, seconds in list(times.items())[:: 1 if number % 2 else -1]:
            start = perf_counter()
            way()
            seconds.append(perf_counter() - start)
    ours_ms, theirs_ms = (1e3 * median(seconds) for seconds in times.values())
    print(
        f"{name:34} HAT {ours_ms:7.2f} ms   other {theirs_ms:7.2f} ms   {theirs_ms / ours_ms:.2f} x"
    )


def main() -> None:
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    decoded = pictures([(224, 224)] * 64)
    planes = [img.contiguous() for img in decoded]
    for name, imgs in (("stack, channels innermost", decoded), ("stack, planes", planes)):
        samples = [{"img": img} for img in imgs]
        others = [{"img": img} for img in plain(imgs)]
        compare(
            name,
            lambda samples=samples: StackCollate()(samples)["img"],
            lambda others=others: default_collate(others)["img"].contiguous(),
        )
    random = np.random.default_rng(1)
    many = pictures([(int(h), int(w)) for h, w in random.integers(320, 640, (16, 2))])
    samples, others = [{"img": img} for img in many], plain(many)
    compare(
        "pad 16 of 320 to 640 pixels",
        lambda: PadCollate()(samples)["img"],
        lambda: fill_and_copy(others),
    )


if __name__ == "__main__":
    main()
