"""Average precision of 2D boxes as KITTI counts it."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hat.metrics.curves import draw_precision_recall
from hat.metrics.detections import Columns, DetectionMetric, check_classes
from hat.metrics.kitti_evaluation import (
    NUM_POINTS,
    KittiImage,
    average_precision_r11,
    average_precision_r40,
    kitti_precision,
)


class Difficulty(NamedTuple):
    """Which objects must be found.

    Args:
        min_height: Of the box, in pixels.
        max_occluded: Level as in `gt_occluded`.
        max_truncated: Share as in `gt_truncated`.
    """

    min_height: float
    max_occluded: int
    max_truncated: float


#: As the benchmark has them.
DIFFICULTIES = {
    "easy": Difficulty(40, 0, 0.15),
    "moderate": Difficulty(25, 1, 0.30),
    "hard": Difficulty(25, 2, 0.50),
}
_MIN_OVERLAPS = {"Car": 0.7, "Pedestrian": 0.5, "Cyclist": 0.5}
_NEIGHBOURS = {"Car": "Van", "Pedestrian": "Person_sitting"}


class KittiAP(DetectionMetric):
    """KITTI's 2D average precision of each class: easy, moderate and hard, R40 and R11.

    `R40` is the mean precision at 40 recalls, KITTI's since 2019; `R11` at 11, as before. The first
    score is the mean over the classes of `AP_R40_<class>_moderate`.

    An object must be found if it is high enough, and hidden and cut off no more than its
    difficulty allows: 40, 25 and 25 pixels, `gt_occluded` 0, 1 and 2, `gt_truncated` 0.15,
    0.30 and 0.50. Other objects of the class and those of its neighbour may be found,
    which counts nowhere; so do detections that are not high enough and those in
    `gt_ignore_bboxes` (KITTI's DontCare). All other detections are wrong, those on
    objects of other classes too. Load KITTI with all its classes to have the benchmark's numbers:
    the data set makes classes that are left out unlabelled regions.

    Args:
        classes: The names of the data set's classes, in their order.
        min_overlaps: The IoU that objects of a class must exceed; only these classes are
            evaluated. By default 0.7 for `Car`, 0.5 for `Pedestrian` and `Cyclist`.
        neighbours: The class that may be taken for another; by default `Van` for `Car`
            and `Person_sitting` for `Pedestrian`, where the data has them.
        name: What the first score is called.

    Attributes:
        score_names: The names of all scores: `name`, then `AP_R40_Car_easy`, ...

    Raises:
        ValueError: If a class is not among `classes`; in use, if keys are missing or do
            not fit, or a class has no name.

    Example:
        >>> metric = KittiAP(["Car", "Van", "Pedestrian", "Cyclist"])
        >>> metric.score_names[:3]
        ['KITTI_AP', 'AP_R40_Car_easy', 'AP_R40_Car_moderate']

    Reference:
        Geiger et al., Are we ready for Autonomous Driving? The KITTI Vision Benchmark Suite,
        CVPR 2012; Simonelli et al., Disentangling Monocular 3D Object Detection, ICCV 2019.
    """

    def __init__(
        self,
        classes: Sequence[str],
        *,
        min_overlaps: Mapping[str, float] | None = None,
        neighbours: Mapping[str, str] | None = None,
        name: str = "KITTI_AP",
    ) -> None:
        super().__init__(["gt_truncated", "gt_occluded"])
        self.class_names = [str(each) for each in classes]
        self.min_overlaps = dict(_MIN_OVERLAPS if min_overlaps is None else min_overlaps)
        self.neighbours = dict(_NEIGHBOURS if neighbours is None else neighbours)
        self.name = name
        needed = {*self.min_overlaps, *(neighbours or {}), *(neighbours or {}).values()}
        missing = sorted(needed.difference(self.class_names))
        if missing:
            raise ValueError(
                f"KittiAP: {', '.join(missing)} are not among classes={self.class_names}: name the "
                "data set's classes, and those to evaluate in min_overlaps="
            )
        if not all(0 < overlap < 1 for overlap in self.min_overlaps.values()):
            raise ValueError(f"min_overlaps must be between 0 and 1, got {self.min_overlaps}")
        self.score_names = [
            name,
            *(
                f"AP_{points}_{each}_{difficulty}"
                for points in ("R40", "R11")
                for each in self.min_overlaps
                for difficulty in DIFFICULTIES
            ),
        ]

    def compute(self) -> dict[str, Tensor]:
        """The scores by their names, float64 scalars; NaN where there is no such object."""
        self._curves = self.curves()
        scores = {
            f"AP_{points}_{each}_{difficulty}": average(precision)
            for points, average in (("R40", average_precision_r40), ("R11", average_precision_r11))
            for (each, difficulty), precision in self._curves.items()
        }
        moderate = [scores[f"AP_R40_{each}_moderate"] for each in self.min_overlaps]
        defined = [value for value in moderate if not np.isnan(value)]
        mean = float(np.mean(defined)) if defined else float("nan")
        return {
            name: torch.tensor(value, dtype=torch.float64)
            for name, value in {self.name: mean, **scores}.items()
        }

    def curves(self) -> dict[tuple[str, str], NDArray[np.float64]]:
        """Precision at 41 recalls by class and difficulty, in this process's pictures."""
        truths, predictions = self.truths(), self.predictions()
        check_classes(truths["gt_classes"], self.class_names, "the truth")
        check_classes(predictions["classes"], self.class_names, "a prediction")
        regions = self.ignored()
        curves = {}
        for each, min_overlap in self.min_overlaps.items():
            for difficulty in DIFFICULTIES:
                images = self._images(truths, predictions, regions, each, difficulty)
                precision = kitti_precision(images, min_overlap)
                if precision is None:
                    precision = np.full(NUM_POINTS, np.nan)
                curves[each, difficulty] = precision
        return curves

    def _images(
        self, truths: Columns, predictions: Columns, regions: Columns, name: str, difficulty: str
    ) -> list[KittiImage]:
        limits = DIFFICULTIES[difficulty]
        number, neighbour = self._number(name), self._number(self.neighbours.get(name))
        is_own = truths["gt_classes"] == number
        is_wanted = (
            is_own
            & (_heights(truths["gt_bboxes"]) >= limits.min_height)
            & (truths["gt_occluded"] <= limits.max_occluded)
            & (truths["gt_truncated"] <= np.float32(limits.max_truncated))
        )
        is_object = is_own | (truths["gt_classes"] == neighbour)
        # The devkit asks for the height first, so that low detections of any class may be taken.
        is_low = _heights(predictions["bboxes"]) < limits.min_height
        is_counted = ~is_low & (predictions["classes"] == number)
        is_detection = is_low | is_counted
        boxes = _by_image(truths, is_object, self.num_images)
        found = _by_image(predictions, is_detection, self.num_images)
        unlabelled = _by_image(regions, np.ones(len(regions["image"]), np.bool_), self.num_images)
        return [
            KittiImage(
                truths["gt_bboxes"][rows],
                is_wanted[rows],
                predictions["bboxes"][columns],
                predictions["scores"][columns],
                is_counted[columns],
                regions["gt_ignore_bboxes"][others],
            )
            for rows, columns, others in zip(boxes, found, unlabelled, strict=True)
        ]

    def _number(self, name: str | None) -> int:
        return self.class_names.index(name) if name in self.class_names else -1

    def plot(self, ax: Any = None) -> tuple[Any, Any]:
        """Draw precision over recall of each class, of objects of moderate difficulty.

        Args:
            ax: Axes of matplotlib to draw in; None makes a figure.

        Returns:
            Figure and axes.

        Raises:
            ImportError: If matplotlib is not installed.
        """
        scores = self.compute()
        recall = np.linspace(0, 1, NUM_POINTS)
        curves = {
            f"{name}: {float(scores[f'AP_R40_{name}_moderate']):.3f}": (
                recall,
                self._curves[name, "moderate"],
            )
            for name in self.min_overlaps
        }
        return draw_precision_recall(curves, ax)


def _heights(boxes: NDArray[np.float64]) -> NDArray[np.float64]:
    heights: NDArray[np.float64] = boxes[:, 3] - boxes[:, 1]
    return heights


def _by_image(
    columns: Columns, is_chosen: NDArray[np.bool_], num_images: int
) -> list[NDArray[np.int64]]:
    """The chosen rows of each picture; rows of one picture stand together."""
    rows = np.flatnonzero(is_chosen)
    return np.split(rows, np.searchsorted(columns["image"][rows], np.arange(1, num_images)))
