"""What COCO AP of a data set costs.

    python benchmarks/coco_ap.py

5,000 pictures with 20 objects and 20 detections each, 80 classes: `CocoAP` (a batch of 50 at a
time, then the twelve numbers) against pycocotools (index, results, evaluate, accumulate,
summarize; its dicts are made before the clock starts). Then the share of the metric in a
validation of RoadScenes by a small convolutional network with 50 canned detections a picture:
a real detector takes longer, so that its share is smaller. One thread.
"""

import contextlib
import io
from collections.abc import Callable
from statistics import median
from time import perf_counter
from typing import Any

import numpy as np
import torch
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from hat.data import RoadScenes
from hat.metrics import CocoAP

NUM_IMAGES, NUM_BOXES, NUM_CLASSES, BATCH = 5_000, 20, 80, 50
Case = list[tuple[dict[str, Any], dict[str, Any]]]


def make_case() -> Case:
    generator = torch.Generator().manual_seed(0)
    shape = NUM_IMAGES, NUM_BOXES, 2
    corners = 400 * torch.rand(shape, generator=generator)
    extents = 4 + 200 * torch.rand(shape, generator=generator) ** 2
    boxes = torch.cat([corners, corners + extents], dim=2)
    noise = torch.randn(boxes.shape, generator=generator)
    found = boxes + 0.08 * torch.cat([extents, extents], dim=2) * noise
    classes = torch.randint(NUM_CLASSES, shape[:2], generator=generator)
    scores = torch.rand(shape[:2], generator=generator)
    return [
        (
            {"gt_bboxes": list(boxes[part]), "gt_classes": list(classes[part])},
            {
                "bboxes": list(found[part]),
                "classes": list(classes[part]),
                "scores": list(scores[part]),
            },
        )
        for part in (slice(at, at + BATCH) for at in range(0, NUM_IMAGES, BATCH))
    ]


def by_hat(case: Case) -> np.ndarray[Any, Any]:
    metric = CocoAP()
    for batch, preds in case:
        metric.update(batch, preds)
    return np.array([float(value) for value in metric.compute().values()])


def coco_rows(case: Case) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    truths: list[dict[str, Any]] = []
    found: list[dict[str, Any]] = []
    image = 0
    for batch, preds in case:
        for row in range(len(batch["gt_bboxes"])):
            for boxes, classes, rows in (
                (batch["gt_bboxes"], batch["gt_classes"], truths),
                (preds["bboxes"], preds["classes"], found),
            ):
                for box, number in zip(boxes[row].tolist(), classes[row].tolist(), strict=True):
                    width, height = box[2] - box[0], box[3] - box[1]
                    rows.append(
                        {
                            "id": len(rows) + 1,
                            "image_id": image,
                            "category_id": number,
                            "bbox": [box[0], box[1], width, height],
                            "area": width * height,
                            "iscrowd": 0,
                        }
                    )
            image += 1
    scores = torch.cat([score for _, preds in case for score in preds["scores"]])
    for each, score in zip(found, scores.tolist(), strict=True):
        each["score"] = score
    dataset = {
        "images": [{"id": number} for number in range(image)],
        "categories": [{"id": number} for number in range(NUM_CLASSES)],
        "annotations": truths,
    }
    return dataset, found


def by_pycocotools(dataset: dict[str, Any], found: list[dict[str, Any]]) -> np.ndarray[Any, Any]:
    truth = COCO()
    with contextlib.redirect_stdout(io.StringIO()):
        truth.dataset = dataset
        truth.createIndex()
        evaluator = COCOeval(truth, truth.loadRes(found), "bbox")
        evaluator.evaluate()
        evaluator.accumulate()
        evaluator.summarize()
    return evaluator.stats


def timed(way: Callable[..., Any], *args: Any) -> tuple[float, Any]:
    begun = perf_counter()
    result = way(*args)
    return perf_counter() - begun, result


def share_of_validation(num_batches: int = 16, batch_size: int = 8) -> float:
    """Of a validation: drawing the scenes, a network of three layers, and the metric."""
    size = 128, 256
    scenes = RoadScenes(length=num_batches * batch_size, size=size, split="val", keys=["gt_bboxes"])
    layers = [(3, 16), (16, 32), (32, 64)]
    network = torch.nn.Sequential(
        *(torch.nn.Conv2d(given, made, 3, stride=2, padding=1) for given, made in layers)
    )
    metric = CocoAP(classes=scenes.classes)
    in_metric, begun = 0.0, perf_counter()
    for start in range(0, len(scenes), batch_size):
        samples = [scenes[index] for index in range(start, start + batch_size)]
        batch = {key: [sample[key] for sample in samples] for key in samples[0]}
        with torch.inference_mode():
            network(torch.stack(batch["img"]).float())
        corners = 100 * torch.rand(batch_size, 50, 2)
        preds = {
            "bboxes": list(torch.cat([corners, corners + 20], dim=2)),
            "classes": list(torch.randint(len(scenes.classes), (batch_size, 50))),
            "scores": list(torch.rand(batch_size, 50)),
        }
        in_metric += timed(metric.update, batch, preds)[0]
    in_metric += timed(metric.compute)[0]
    return in_metric / (perf_counter() - begun)


def main() -> None:
    torch.set_num_threads(1)
    case = make_case()
    dataset, found = coco_rows(case)
    ours, theirs = [], []
    for _ in range(2):
        seconds, numbers = timed(by_hat, case)
        ours.append(seconds)
        seconds, expected = timed(by_pycocotools, dataset, found)
        theirs.append(seconds)
    print(f"CocoAP       {median(ours):6.2f} s   {' '.join(f'{x:.4f}' for x in numbers)}")
    print(f"pycocotools  {median(theirs):6.2f} s   {' '.join(f'{x:.4f}' for x in expected)}")
    print(f"{median(theirs) / median(ours):.1f} times as fast; ", end="")
    print(f"largest difference {np.abs(numbers - expected).max():.1e}")
    print(f"share of the metric in a validation of RoadScenes {share_of_validation():.1%}")


if __name__ == "__main__":
    main()
