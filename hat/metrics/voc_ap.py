"""Average precision as PASCAL VOC counts it."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import torchvision
from numpy.typing import NDArray
from torch import Tensor

from hat.data.sample import Batch
from hat.metrics.curves import draw_precision_recall
from hat.metrics.detections import Columns, DetectionMetric, check_classes

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]


def match_voc(
    truths: Columns, predictions: Columns, iou_threshold: float = 0.5
) -> tuple[Flags, Flags]:
    """Which detections are right and which are wrong, by the rules of VOC's devkit.

    A detection belongs to the object of its class and picture that it overlaps most. It is
    right if that IoU is at least the threshold and no detection with a higher score belongs
    to the object, else wrong. What belongs to a difficult object is neither.

    Args:
        truths: Of each object `image`, `gt_bboxes` (XYXY), `gt_classes` and `gt_difficult`.
        predictions: Of each detection `image`, `bboxes` (XYXY), `classes` and `scores`.
        iou_threshold: From which overlap on an object is found.

    Returns:
        For each of the M detections whether it is right, and whether it is wrong; bool (M,).
    """
    matched = _best_objects(truths, predictions, iou_threshold)
    is_found = matched >= 0
    is_difficult = is_found & np.append(truths["gt_difficult"], False)[matched]
    order = np.argsort(-predictions["scores"], kind="stable")
    objects, first = np.unique(matched[order], return_index=True)
    is_first = np.zeros(len(matched), np.bool_)
    is_first[order[first[objects >= 0]]] = True
    is_right = is_first & ~is_difficult
    return is_right, ~is_right & ~is_difficult


def _best_objects(truths: Columns, predictions: Columns, iou_threshold: float) -> NDArray[np.int64]:
    """The row of the object that each detection overlaps most, -1 if by less than the threshold."""
    best = np.full(len(predictions["image"]), -1)
    rows_by_image = _groups(truths["image"])
    for image, found in _groups(predictions["image"]).items():
        rows = rows_by_image.get(image)
        if rows is None:
            continue
        boxes = torch.from_numpy(predictions["bboxes"][found])
        iou = torchvision.ops.box_iou(boxes, torch.from_numpy(truths["gt_bboxes"][rows])).numpy()
        iou[predictions["classes"][found, None] != truths["gt_classes"][rows]] = -1
        largest = iou.argmax(axis=1)  # of equal ones the first
        is_enough = np.take_along_axis(iou, largest[:, None], axis=1)[:, 0] >= iou_threshold
        best[found[is_enough]] = rows[largest[is_enough]]
    return best


def _groups(images: NDArray[np.int64]) -> dict[int, NDArray[np.int64]]:
    """The rows of each picture; rows of one picture stand together."""
    numbers, starts = np.unique(images, return_index=True)
    parts = np.split(np.arange(len(images)), starts[1:])
    return dict(zip(numbers.tolist(), parts, strict=False))


def precision_recall(is_right: Flags, is_wrong: Flags, num_objects: int) -> tuple[Floats, Floats]:
    """Precision and recall of the first detections, as more and more are counted.

    Args:
        is_right: Of each detection, by falling score, bool (M,).
        is_wrong: The same; a detection that is neither counts nowhere.
        num_objects: How many objects there are to find, at least 1.

    Returns:
        Precision and recall after each detection, float64 (M,).

    Example:
        >>> right = np.array([True, False, True])
        >>> precision_recall(right, ~right, num_objects=4)[1]
        array([0.25, 0.25, 0.5 ])
    """
    num_right, num_wrong = np.cumsum(is_right), np.cumsum(is_wrong)
    counted = np.maximum(num_right + num_wrong, 1)
    return num_right / counted, num_right / num_objects


def average_precision_11_points(precision: Floats, recall: Floats) -> float:
    """Mean of the highest precisions at a recall of at least 0, 0.1, ... 1, as until VOC 2009.

    Args:
        precision: After each detection, float64 (M,).
        recall: The same.

    Example:
        >>> average_precision_11_points(np.array([1.0, 0.5]), np.array([0.5, 0.5]))
        0.545...

    Reference:
        Everingham et al., The PASCAL Visual Object Classes (VOC) Challenge, IJCV 2010, eq. 1-2.
    """
    points = np.arange(11) / 10  # as near to 0.3 as the recall 3 / 10 is, unlike 3 * 0.1
    highest = [precision[recall >= point].max(initial=0) for point in points]
    return float(np.mean(highest))


def average_precision_area(precision: Floats, recall: Floats) -> float:
    """Area under the curve, precision made to fall with recall, as from VOC 2010 on.

    Args:
        precision: After each detection, float64 (M,).
        recall: The same.

    Example:
        >>> average_precision_area(np.array([1.0, 0.5]), np.array([0.5, 1.0]))
        0.75

    Reference:
        Everingham et al., The PASCAL Visual Object Classes Challenge: A Retrospective, IJCV 2015,
        section 3.2.
    """
    falling = np.maximum.accumulate(precision[::-1])[::-1]
    return float(np.sum(np.diff(recall, prepend=0) * falling))


class VocAP(DetectionMetric):
    """PASCAL VOC's mean average precision, and AP of each class.

    Detections are matched as VOC's devkit does (see `match_voc`): what is found twice is
    wrong the second time; difficult objects (`gt_difficult`) need not be found, and
    finding them is not counted. The mean is over the classes that have objects which are not
    difficult. VOC's files name the first and last pixel of a box, and its devkit adds 1 to widths
    and heights; HAT's boxes end where the last pixel ends, so that they have those
    widths as they are. Crowds and unlabelled regions, which VOC does not have, are not looked at.

    Args:
        year: 2007 to 2009 for the mean of 11 precisions, 2010 and later for the area
            under the curve.
        iou_threshold: From which overlap on an object is found.
        classes: The names of the classes. With them, the scores have an `AP50_<name>` each.
        name: What the mean is called; by default `mAP50`, by the threshold in percent.

    Attributes:
        score_names: The names of all scores.

    Raises:
        ValueError: If an argument is out of its range; in use, if keys are missing or do
            not fit, or a class has no name.

    Example:
        >>> metric = VocAP()
        >>> car, cars = torch.tensor([[0.0, 0.0, 9.0, 9.0]]), torch.tensor([0])
        >>> preds = {"bboxes": [car], "classes": [cars], "scores": [torch.ones(1)]}
        >>> metric.update({"gt_bboxes": [car], "gt_classes": [cars]}, preds)
        >>> float(metric.compute()["mAP50"])
        1.0

    Reference:
        Everingham et al., The PASCAL Visual Object Classes (VOC) Challenge, IJCV 2010.
    """

    def __init__(
        self,
        year: int = 2012,
        iou_threshold: float = 0.5,
        *,
        classes: Sequence[str] | None = None,
        name: str | None = None,
    ) -> None:
        super().__init__(["gt_difficult"])
        if year < 2007 or not 0 < iou_threshold <= 1:
            raise ValueError(
                f"year must be 2007 or later and iou_threshold in 0..1, got {year=}, "
                f"{iou_threshold=}"
            )
        percent = f"{100 * iou_threshold:g}"
        self.year = year
        self.iou_threshold = iou_threshold
        self.class_names = None if classes is None else [str(each) for each in classes]
        self.name = name or f"mAP{percent}"
        self._class_prefix = f"AP{percent}_"
        self.score_names = [
            self.name,
            *(self._class_prefix + each for each in self.class_names or []),
        ]
        if len(set(self.score_names)) < len(self.score_names):
            raise ValueError(f"classes must have different names, got {self.class_names}")

    def update(self, batch: Batch, preds: dict[str, Any]) -> None:
        """Keep a batch; without `gt_difficult` no object is difficult."""
        if batch.get("gt_difficult") is None:
            boxes = batch.get("gt_bboxes", [])
            easy = [torch.zeros(len(box), dtype=torch.bool, device=box.device) for box in boxes]
            batch = {**batch, "gt_difficult": easy}
        super().update(batch, preds)

    def compute(self) -> dict[str, Tensor]:
        """The scores by their names, float64 scalars; NaN where there is no such object."""
        self._curves = self.curves()
        average = average_precision_11_points if self.year < 2010 else average_precision_area
        found = {number: average(*curve) for number, curve in self._curves.items()}
        scores = {self.name: float(np.mean(list(found.values()))) if found else float("nan")}
        for number, name in enumerate(self.class_names or []):
            scores[self._class_prefix + name] = found.get(number, float("nan"))
        return {name: torch.tensor(each, dtype=torch.float64) for name, each in scores.items()}

    def curves(self) -> dict[int, tuple[Floats, Floats]]:
        """Precision and recall of each class that has objects, in this process's pictures."""
        truths, predictions = self.truths(), self.predictions()
        if self.class_names is not None:
            check_classes(truths["gt_classes"], self.class_names, "the truth")
            check_classes(predictions["classes"], self.class_names, "a prediction")
        is_right, is_wrong = match_voc(truths, predictions, self.iou_threshold)
        order = np.argsort(-predictions["scores"], kind="stable")
        wanted = truths["gt_classes"][~truths["gt_difficult"]]
        curves = {}
        for number, count in zip(*np.unique(wanted, return_counts=True), strict=True):
            rows = order[predictions["classes"][order] == number]
            curves[int(number)] = precision_recall(is_right[rows], is_wrong[rows], int(count))
        return curves

    def plot(self, ax: Any = None) -> tuple[Any, Any]:
        """Draw precision over recall of each class.

        Args:
            ax: Axes of matplotlib to draw in; None makes a figure.

        Returns:
            Figure and axes.

        Raises:
            ImportError: If matplotlib is not installed.
        """
        self.compute()
        curves = {}
        for number, (precision, recall) in self._curves.items():
            name = self.class_names[number] if self.class_names else f"class {number}"
            curves[name] = recall, precision
        return draw_precision_recall(curves, ax)
