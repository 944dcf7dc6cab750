"""COCO's evaluation of detections, by faster-coco-eval."""

import logging
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from hat.metrics.detections import Columns

logger = logging.getLogger(__name__)

Kind = Literal["bbox", "segm"]
Floats = NDArray[np.float64]

#: Where each number stands in `precision`: thresholds, recalls, classes, sizes, most detections.
_PRECISIONS: dict[str, tuple[Any, ...]] = {
    "AP": (..., 0, 2),
    "AP50": (0, ..., 0, 2),
    "AP75": (5, ..., 0, 2),
    "AP_small": (..., 1, 2),
    "AP_medium": (..., 2, 2),
    "AP_large": (..., 3, 2),
}
#: Where in `recall`: thresholds, classes, sizes, most detections.
_RECALLS: dict[str, tuple[Any, ...]] = {
    "AR_1": (..., 0, 0),
    "AR_10": (..., 0, 1),
    "AR_100": (..., 0, 2),
    "AR_small": (..., 1, 2),
    "AR_medium": (..., 2, 2),
    "AR_large": (..., 3, 2),
}
#: The names of COCO's twelve numbers.
COCO_SCORES = (*_PRECISIONS, *_RECALLS)

#: Pairs of a picture and a class that are evaluated at once: each takes about a kilobyte.
_MAX_PAIRS = 500_000


@dataclass(frozen=True)
class CocoEvaluation:
    """What COCO's evaluation counts, before it is averaged.

    Args:
        precision: float64, shape (10, 101, K, 4, 3): at IoU 0.50 to 0.95, at recall 0 to 1,
            of each class, for objects of all sizes, small, medium and large ones, with at
            most 1, 10 and 100 detections in a picture; -1 where there is no such object.
        recall: The highest recall, float64, shape (10, K, 4, 3).
        class_ids: The K classes that have objects, rising.
    """

    precision: Floats
    recall: Floats
    class_ids: list[int]

    def scores(self) -> dict[str, float]:
        """The twelve numbers by their names; NaN where there is no such object."""
        return {
            **{name: _mean(self.precision[index]) for name, index in _PRECISIONS.items()},
            **{name: _mean(self.recall[index]) for name, index in _RECALLS.items()},
        }

    def class_ap(self) -> dict[int, float]:
        """AP of each class that has objects."""
        return {
            class_id: _mean(self.precision[:, :, index, 0, 2])
            for index, class_id in enumerate(self.class_ids)
        }


def evaluate_coco(
    truths: Columns, predictions: Columns, num_images: int, kind: Kind = "bbox"
) -> CocoEvaluation:
    """COCO's evaluation of the detections in all pictures.

    Args:
        truths: Of each object `image`, `gt_bboxes` (XYXY), `gt_classes`, `gt_crowd` and `areas`;
            for masks also `rles`, run lengths as COCO's tools have them.
        predictions: Of each detection `image`, `bboxes` (XYXY), `classes`, `scores` and `areas`;
            for masks also `rles`. Of equal scores the first comes first.
        num_images: How many pictures there are; `image` counts them from 0.
        kind: Whether boxes or masks are compared.

    Returns:
        The counts over all of them.

    Example:
        >>> box, one = np.array([[0.0, 0.0, 9.0, 9.0]]), np.array([1])
        >>> truths = {"image": one * 0, "gt_bboxes": box, "gt_classes": one,
        ...           "gt_crowd": one < 0, "areas": one * 81.0}
        >>> found = {"image": one * 0, "bboxes": box, "classes": one, "scores": one * 0.5,
        ...          "areas": one * 81.0}
        >>> float(evaluate_coco(truths, found, num_images=1).class_ap()[1])
        1.0

    Reference:
        Lin et al., Microsoft COCO: Common Objects in Context, ECCV 2014.
    """
    # A class without objects counts nowhere, whatever was predicted of it.
    class_ids = np.unique(truths["gt_classes"][~truths["gt_crowd"]]).tolist()
    size = max(1, _MAX_PAIRS // max(1, num_images))
    blocks = [class_ids[start : start + size] for start in range(0, len(class_ids), size)]
    parts = [_evaluate(truths, predictions, num_images, kind, block) for block in blocks]
    nothing = np.zeros((10, 101, 0, 4, 3)), np.zeros((10, 0, 4, 3))
    return CocoEvaluation(
        np.concatenate([nothing[0], *(precision for precision, _ in parts)], axis=2),
        np.concatenate([nothing[1], *(recall for _, recall in parts)], axis=1),
        class_ids,
    )


def _evaluate(
    truths: Columns, predictions: Columns, num_images: int, kind: Kind, class_ids: list[int]
) -> tuple[Floats, Floats]:
    from faster_coco_eval import COCOeval_faster

    truth = _rows(truths, class_ids, "gt_bboxes", "gt_classes", iscrowd="gt_crowd")
    found = _rows(predictions, class_ids, "bboxes", "classes", score="scores")
    evaluator = COCOeval_faster(
        _Annotations(truth, num_images, class_ids),
        _Annotations(found, num_images, class_ids),
        kind,
        print_function=logger.debug,
    )
    evaluator.evaluate()
    evaluator.accumulate()
    return evaluator.eval["precision"], evaluator.eval["recall"]


def _rows(
    columns: Columns, class_ids: list[int], boxes: str, classes: str, **others: str
) -> list[dict[str, Any]]:
    """Annotations of some classes as COCO's tools have them; ids start at 1, 0 means none."""
    chosen = np.flatnonzero(np.isin(columns[classes], class_ids))
    xywh = columns[boxes][chosen]
    xywh[:, 2:] -= xywh[:, :2]
    if "rles" in columns:
        others["segmentation"] = "rles"
    keys = ("id", "image_id", "category_id", "bbox", "area", *others)
    values = [
        range(1, len(chosen) + 1),
        columns["image"][chosen].tolist(),
        columns[classes][chosen].tolist(),
        xywh.tolist(),
        columns["areas"][chosen].tolist(),
        *(columns[name][chosen].tolist() for name in others.values()),
    ]
    return [dict(zip(keys, row, strict=True)) for row in zip(*values, strict=True)]


def _mean(values: Floats) -> float:
    defined = values[values > -1]
    return float(defined.mean()) if defined.size else float("nan")


class _Annotations:
    """As much of a COCO file as its evaluation asks for, without the file and its index."""

    def __init__(self, rows: list[dict[str, Any]], num_images: int, class_ids: list[int]) -> None:
        self.rows = rows
        self.num_images = num_images
        self.class_ids = class_ids
        #: Only asked for the sizes of pictures that have masks.
        masks = ((row["image_id"], row["segmentation"]) for row in rows if "segmentation" in row)
        self.imgs = {
            image: {"height": mask["size"][0], "width": mask["size"][1]} for image, mask in masks
        }

    def getImgIds(self) -> list[int]:  # noqa: N802
        return list(range(self.num_images))

    def getCatIds(self) -> list[int]:  # noqa: N802
        return self.class_ids

    def getAnnIds(self, **kwargs: Any) -> range:  # noqa: N802
        return range(len(self.rows))

    def loadAnns(self, ids: range) -> list[dict[str, Any]]:  # noqa: N802
        return self.rows
