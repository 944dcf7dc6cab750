"""Average precision as COCO counts it, of boxes and of masks."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hat.data.sample import Batch
from hat.metrics.coco_evaluation import COCO_SCORES, CocoEvaluation, Kind, evaluate_coco
from hat.metrics.coco_masks import box_masks, encode_masks, mask_areas, split_masks
from hat.metrics.curves import draw_precision_recall
from hat.metrics.detections import Columns, DetectionMetric, check_classes


class CocoAP(DetectionMetric):
    """COCO's twelve numbers, and AP of each class.

    `AP` is the mean over the IoU thresholds 0.50, 0.55, ... 0.95 and over the classes that
    have objects, at most 100 detections in a picture and class; `AP50` and `AP75` at one threshold;
    `AP_small`, `AP_medium` and `AP_large` of objects with an area below 32 x 32, in between, and
    above 96 x 96 pixels; `AR_1`, `AR_10` and `AR_100` the mean of the highest recalls with so many
    detections in a picture and class, and `AR_small`, `AR_medium` and `AR_large` those with 100.
    The numbers equal those of pycocotools. What is undefined because there is no such
    object is NaN (pycocotools: -1), which is never the best score.

    The batch has `gt_bboxes` and `gt_classes`, for masks `gt_masks` too. Where it has
    `gt_crowd`, crowds need not be found, and detections of their class that lie in them are
    neither right nor wrong. The same holds for `gt_ignore_bboxes`, for every class. The
    area of an object is that of its mask if the batch has `gt_masks`, else that of its
    box: of COCO's own pictures, load the masks to have the published sizes of objects.

    Args:
        kind: `bbox` to compare boxes, `segm` to compare masks (`masks` of the predictions,
            bool, each (M, H, W)).
        classes: The names of the classes. With them, the scores have an `AP_<name>` each.
        prefix: Stands before the name of each score; by default nothing for boxes and
            `mask_` for masks.

    Attributes:
        name: The name of the first score: `AP` or `mask_AP`.
        score_names: The names of all.

    Raises:
        ValueError: If `kind` is unknown or a class has the name of one of the twelve numbers; in
            use, if keys are missing or do not fit, or a class has no name.

    Example:
        >>> metric = CocoAP(classes=["car"])
        >>> car, cars = torch.tensor([[0.0, 0.0, 9.0, 9.0]]), torch.tensor([0])
        >>> preds = {"bboxes": [car], "classes": [cars], "scores": [torch.ones(1)]}
        >>> metric.update({"gt_bboxes": [car], "gt_classes": [cars]}, preds)
        >>> float(metric.compute()["AP_car"])
        1.0

    Reference:
        Lin et al., Microsoft COCO: Common Objects in Context, ECCV 2014; the numbers as on
        its page "Detection Evaluation".
    """

    def __init__(
        self,
        kind: Kind = "bbox",
        classes: Sequence[str] | None = None,
        *,
        prefix: str | None = None,
    ) -> None:
        if kind not in ("bbox", "segm"):
            raise ValueError(f"kind must be 'bbox' or 'segm', got {kind!r}")
        has_masks = kind == "segm"
        super().__init__(
            ("gt_crowd", "gt_mask_areas", *(["gt_mask_lengths"] if has_masks else [])),
            ["mask_lengths"] if has_masks else [],
        )
        self.kind: Kind = kind
        self.class_names = None if classes is None else [str(name) for name in classes]
        self.prefix = ("mask_" if has_masks else "") if prefix is None else prefix
        self.name = f"{self.prefix}AP"
        self.score_names = [self.prefix + name for name in _score_names(self.class_names or [])]
        self.evaluation: CocoEvaluation | None = None
        if has_masks:
            self.add_column("gt_mask_bytes", torch.zeros(0, dtype=torch.uint8))
            self.add_column("mask_bytes", torch.zeros(0, dtype=torch.uint8))
            self.add_column("sizes", torch.zeros((0, 2), dtype=torch.int64))

    def update(self, batch: Batch, preds: dict[str, Any]) -> None:
        """Keep a batch; masks become run lengths."""
        boxes = batch.get("gt_bboxes", [])
        crowd = batch.get("gt_crowd")
        if crowd is None:
            crowd = [torch.zeros(len(box), dtype=torch.bool, device=box.device) for box in boxes]
        if batch.get("gt_masks") is None:
            areas = [torch.full((len(box),), -1, device=box.device) for box in boxes]
        else:
            areas = [mask.as_subclass(Tensor).count_nonzero((1, 2)) for mask in batch["gt_masks"]]
        batch = {**batch, "gt_crowd": crowd, "gt_mask_areas": areas}
        if self.kind == "segm":
            sizes = _mask_sizes(batch, preds)
            batch["gt_mask_lengths"] = self._keep_masks("gt_mask_bytes", batch["gt_masks"])
            preds = {**preds, "mask_lengths": self._keep_masks("mask_bytes", preds["masks"])}
            self.keep("sizes", torch.tensor(sizes).reshape(-1, 2))
        super().update(batch, preds)

    def _keep_masks(self, name: str, masks: Sequence[Tensor]) -> list[Tensor]:
        """Keep the run lengths of a batch; how long each is."""
        encoded = [encode_masks(mask.as_subclass(Tensor)) for mask in masks]
        for counts, _ in encoded:
            self.keep(name, counts)
        return [lengths for _, lengths in encoded]

    def compute(self) -> dict[str, Tensor]:
        """The scores by their names, float64 scalars."""
        self.evaluation = evaluation = self.evaluate()
        scores = evaluation.scores()
        if self.class_names is not None:
            found = evaluation.class_ap()
            for number, name in enumerate(self.class_names):
                scores[f"AP_{name}"] = found.get(number, float("nan"))
        return {
            self.prefix + name: torch.tensor(value, dtype=torch.float64)
            for name, value in scores.items()
        }

    def plot(self, ax: Any = None) -> tuple[Any, Any]:
        """Draw precision over recall, the mean of all classes, at IoU 0.50, 0.75 and all.

        Args:
            ax: Axes of matplotlib to draw in; None makes a figure.

        Returns:
            Figure and axes.

        Raises:
            ImportError: If matplotlib is not installed.
        """
        scores = self.compute()
        assert self.evaluation is not None
        precision = self.evaluation.precision[..., 0, 2]  # thresholds, recalls, classes
        precision = np.where(precision > -1, precision, np.nan)
        curves = {
            "IoU 0.50": (precision[0], "AP50"),
            "IoU 0.75": (precision[5], "AP75"),
            "IoU 0.50 to 0.95": (precision.mean(axis=0), "AP"),
        }
        return draw_precision_recall(
            {
                f"{label}: {name} {float(scores[self.prefix + name]):.3f}": (
                    np.linspace(0, 1, 101),
                    values.mean(axis=1) if values.shape[1] else np.full(101, np.nan),
                )
                for label, (values, name) in curves.items()
            },
            ax,
        )

    def evaluate(self) -> CocoEvaluation:
        """The counts of all pictures of this process, before they are averaged."""
        truths, predictions = self.truths(), self.predictions()
        if self.class_names is not None:
            check_classes(truths["gt_classes"], self.class_names, "the truth")
            check_classes(predictions["classes"], self.class_names, "a prediction")
        truths["areas"], predictions["areas"] = (
            _areas(truths["gt_bboxes"]),
            _areas(predictions["bboxes"]),
        )
        masked = truths["gt_mask_areas"] >= 0
        truths["areas"][masked] = truths["gt_mask_areas"][masked]
        regions = _for_all_classes(self.ignored(), predictions)
        if self.kind == "segm":
            sizes = self.column("sizes")
            truths["rles"] = split_masks(
                self.column("gt_mask_bytes"), truths["gt_mask_lengths"], sizes[truths["image"]]
            )
            predictions["rles"] = split_masks(
                self.column("mask_bytes"), predictions["mask_lengths"], sizes[predictions["image"]]
            )
            predictions["areas"] = mask_areas(predictions["rles"])
            regions["rles"] = box_masks(regions["gt_bboxes"], sizes[regions["image"]])
        truths = {name: np.concatenate([truths[name], rows]) for name, rows in regions.items()}
        return evaluate_coco(truths, predictions, self.num_images, self.kind)


def _score_names(classes: Sequence[str]) -> list[str]:
    names = [*COCO_SCORES, *(f"AP_{name}" for name in classes)]
    if len(set(names)) < len(names):
        raise ValueError(
            "classes must have different names, and none of small, medium or large, got "
            f"{list(classes)}: rename the class, or leave out classes="
        )
    return names


def _mask_sizes(batch: Batch, preds: dict[str, Any]) -> list[tuple[int, int]]:
    """The (H, W) of each picture, of which truth and predictions have masks."""
    for where, source, key in (("batch", batch, "gt_masks"), ("predictions", preds, "masks")):
        if source.get(key) is None:
            raise ValueError(
                f"CocoAP(kind='segm') compares masks, but the {where} have no {key}: load "
                "masks with the data, and use a model that predicts them, or kind='bbox'"
            )
    sizes = [tuple(mask.shape[1:]) for mask in batch["gt_masks"]]
    found = [tuple(mask.shape[1:]) for mask in preds["masks"]]
    if sizes != found:
        raise ValueError(
            f"gt_masks are of {sizes} and predicted masks of {found} (H, W) by picture: predict "
            "masks in the size of img"
        )
    return sizes


def _areas(boxes: NDArray[np.float64]) -> NDArray[np.float64]:
    areas: NDArray[np.float64] = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    return areas


def _for_all_classes(regions: Columns, predictions: Columns) -> Columns:
    """Regions as crowds of every class that was predicted in their picture."""
    pairs = np.unique(np.stack([predictions["image"], predictions["classes"]]), axis=1)
    first, last = (np.searchsorted(pairs[0], regions["image"], side) for side in ("left", "right"))
    counts = last - first  # classes for each region
    rows = np.repeat(np.arange(len(counts)), counts)
    offsets = np.arange(len(rows)) - np.repeat(np.cumsum(counts) - counts, counts)
    boxes = regions["gt_ignore_bboxes"][rows]
    return {
        "image": regions["image"][rows],
        "gt_bboxes": boxes,
        "gt_classes": pairs[1][first[rows] + offsets],
        "gt_crowd": np.ones(len(rows), np.bool_),
        "areas": _areas(boxes),
    }
