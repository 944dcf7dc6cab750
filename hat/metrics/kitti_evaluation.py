"""KITTI's evaluation of 2D detections, as its object development kit does it."""

from typing import NamedTuple

import numpy as np
import torch
import torchvision
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]

#: Precision is taken at recalls 0, 1/40, ... 1.
NUM_POINTS = 41


class KittiImage(NamedTuple):
    """What counts in one picture, for one class and difficulty.

    Args:
        boxes: The objects to find and those that may be found, XYXY, float64 (G, 4).
        is_wanted: Whether an object must be found, bool (G,).
        found: The detections, XYXY, float64 (D, 4).
        scores: float64 (D,).
        is_counted: Whether a detection can be right or wrong, bool (D,).
        regions: Where nothing is labelled, XYXY, float64 (R, 4).
    """

    boxes: Floats
    is_wanted: Flags
    found: Floats
    scores: Floats
    is_counted: Flags
    regions: Floats


def kitti_precision(images: list[KittiImage], min_overlap: float) -> Floats | None:
    """Precision at 41 recalls, made to fall with recall.

    First each object takes the detection with the highest score that overlaps it by more
    than `min_overlap`; the scores of those that are right give the thresholds nearest to the
    recalls. Then, at each threshold, each object takes the detection that overlaps it
    most, one that counts before one that does not. What no object took is wrong, unless more than
    `min_overlap` of it lies in an unlabelled region.

    Args:
        images: All pictures.
        min_overlap: Which IoU an object must exceed, above 0.

    Returns:
        float64 (41,), 0 from the highest recall on; None without objects that are wanted.

    Reference:
        Geiger et al., Are we ready for Autonomous Driving?, CVPR 2012, and the object
        development kit; Simonelli et al., Disentangling Monocular 3D Object Detection, ICCV
        2019, section 5, for the 41 recalls.
    """
    num_wanted = sum(int(image.is_wanted.sum()) for image in images)
    if num_wanted == 0:
        return None
    overlaps = [_iou(image.boxes, image.found) for image in images]
    pairs = list(zip(images, overlaps, strict=True))
    scores = [score for pair in pairs for score in _right_scores(*pair, min_overlap)]
    thresholds = _thresholds(np.sort(scores)[::-1], num_wanted)
    counts = sum(
        (_counts(*pair, thresholds, min_overlap) for pair in pairs),
        start=np.zeros((2, len(thresholds)), np.int64),
    )
    precision = np.zeros(NUM_POINTS)
    precision[: len(thresholds)] = counts[0] / np.maximum(counts.sum(axis=0), 1)
    return np.maximum.accumulate(precision[::-1])[::-1]


def average_precision_r11(precision: Floats) -> float:
    """Mean of the precisions at recall 0, 0.1, ... 1, of 41 as `kitti_precision` gives."""
    return float(precision[::4].mean())


def average_precision_r40(precision: Floats) -> float:
    """Mean of the precisions at recall 1/40, 2/40, ... 1, of 41 as `kitti_precision` gives."""
    return float(precision[1:].mean())


def _iou(boxes: Floats, found: Floats) -> Floats:
    iou = torchvision.ops.box_iou(torch.from_numpy(boxes), torch.from_numpy(found))
    result: Floats = iou.numpy()
    return result


def _right_scores(image: KittiImage, overlaps: Floats, min_overlap: float) -> list[float]:
    """The scores at which objects are found if each takes its detection with the highest score."""
    is_free = np.ones(len(image.scores), np.bool_)
    scores = []
    for is_wanted, overlap in zip(image.is_wanted, overlaps, strict=True):
        near = np.flatnonzero(is_free & (overlap > min_overlap))
        if near.size:
            taken = near[image.scores[near].argmax()]
            is_free[taken] = False
            if is_wanted and image.is_counted[taken]:
                scores.append(float(image.scores[taken]))
    return scores


def _thresholds(scores: Floats, num_wanted: int) -> Floats:
    """Of falling scores those whose recalls come nearest to 0, 1/40, ... 1."""
    thresholds = []
    wanted_recall = 0.0
    for index, score in enumerate(scores):
        recall, next_recall = (index + 1) / num_wanted, (index + 2) / num_wanted
        is_last = index == len(scores) - 1
        if not is_last and next_recall - wanted_recall < wanted_recall - recall:
            continue  # the next is nearer
        thresholds.append(score)
        wanted_recall += 1 / (NUM_POINTS - 1)
    return np.array(thresholds)


def _counts(
    image: KittiImage, overlaps: Floats, thresholds: Floats, min_overlap: float
) -> NDArray[np.int64]:
    """How many detections are right and wrong at each of T thresholds, (2, T)."""
    is_free = image.scores >= thresholds[:, None]  # (T, D)
    every = np.arange(len(thresholds))
    num_right = np.zeros(len(thresholds), np.int64)
    for is_wanted, overlap in zip(image.is_wanted, overlaps, strict=True):
        if not (overlap > min_overlap).any():
            continue
        # One that counts comes before one that does not; of the former the one that overlaps most
        # is taken, of the latter the first.
        preference = np.where(image.is_counted, overlap, min_overlap / 2)
        preference = np.where(is_free & (overlap > min_overlap), preference, 0)  # (T, D)
        taken = preference.argmax(axis=1)
        best = preference[every, taken]
        is_free[every[best > 0], taken[best > 0]] = False
        num_right += is_wanted & (best > min_overlap)
    is_wrong = is_free & image.is_counted & ~_is_inside(image, min_overlap)
    return np.stack([num_right, is_wrong.sum(axis=1)])


def _is_inside(image: KittiImage, min_overlap: float) -> Flags:
    """Whether more than `min_overlap` of a detection lies in one unlabelled region, (D,)."""
    left_top = np.maximum(image.found[:, None, :2], image.regions[:, :2])
    right_bottom = np.minimum(image.found[:, None, 2:], image.regions[:, 2:])
    shared = (right_bottom - left_top).clip(min=0).prod(axis=2)  # (D, R)
    areas = (image.found[:, 2:] - image.found[:, :2]).prod(axis=1)
    inside: Flags = (shared > min_overlap * areas[:, None]).any(axis=1)
    return inside
