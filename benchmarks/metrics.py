"""What a batch costs in the metrics of segmentation and depth.

    python benchmarks/metrics.py

Batches of 8 pictures of 360 x 480 (as CamVid's) with 11 classes, one thread. MeanIoU against
MulticlassJaccardIndex of torchmetrics, and against the usual way: take out the pixels that are
not labelled, then bincount; the alternatives take turns. Then what the other metrics cost.
"""

from collections.abc import Callable
from statistics import median
from time import perf_counter
from typing import Any

import cv2
import torch
from torchmetrics.classification import MulticlassJaccardIndex

from hat.metrics import BoundaryF, ConfusionMatrix, DepthErrors, MeanIoU, PixelAccuracy

NUM_CLASSES = 11
SHAPE = (8, 360, 480)
NUM_ROUNDS = 15


def make_batch() -> tuple[dict[str, Any], dict[str, Any]]:
    """Blocks of classes, 5 % of the pixels not labelled, one of five predicted at random."""
    blocks = torch.randint(NUM_CLASSES, (SHAPE[0], SHAPE[1] // 20, SHAPE[2] // 20))
    labels = blocks.repeat_interleave(20, 1).repeat_interleave(20, 2)
    preds = labels.where(torch.rand(SHAPE) < 0.8, torch.randint(NUM_CLASSES, SHAPE))
    labels = labels.where(torch.rand(SHAPE) < 0.95, 255)
    depth = 1 + 79 * torch.rand(SHAPE)
    return {"gt_seg": labels, "gt_depth": depth}, {"seg": preds, "depth": depth.flip(0)}


def take_out_and_count(labels: torch.Tensor, preds: torch.Tensor) -> torch.Tensor:
    is_labelled = labels != 255
    pairs = labels[is_labelled] * NUM_CLASSES + preds[is_labelled]
    return torch.bincount(pairs, minlength=NUM_CLASSES**2)


def medians_ms(ways: dict[str, Callable[[], Any]]) -> dict[str, float]:
    """Each way's median, all taking turns."""
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(NUM_ROUNDS):
        for name, way in ways.items():
            begun = perf_counter()
            way()
            seconds[name].append(perf_counter() - begun)
    return {name: 1e3 * median(each) for name, each in seconds.items()}


def main() -> None:
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    torch.manual_seed(0)
    batch, preds = make_batch()
    labels, seg = batch["gt_seg"], preds["seg"]
    jaccard = MulticlassJaccardIndex(NUM_CLASSES, ignore_index=255)
    miou = MeanIoU(NUM_CLASSES)
    times = medians_ms(
        {
            "MeanIoU": lambda: miou.update(batch, preds),
            "take out and bincount": lambda: take_out_and_count(labels, seg),
            "torchmetrics": lambda: jaccard.update(seg, labels),
        }
    )
    for name, each in times.items():
        print(f"{name:24} {each:8.1f} ms   {each / times['MeanIoU']:6.1f} x")
    others = [
        PixelAccuracy(NUM_CLASSES),
        ConfusionMatrix(NUM_CLASSES, 255, pred_key="seg", target_key="gt_seg"),
        BoundaryF(NUM_CLASSES),
        DepthErrors(max_depth=80),
    ]
    ways = {type(each).__name__: lambda each=each: each.update(batch, preds) for each in others}
    for name, milliseconds in medians_ms(ways).items():
        print(f"{name:24} {milliseconds:8.1f} ms")


if __name__ == "__main__":
    main()
