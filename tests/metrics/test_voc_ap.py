"""VOC AP: the devkit's procedure as plain loops, and cases worked by hand."""

import math
from fractions import Fraction

import numpy as np
import pytest
import torch
from detection_cases import random_detections

from hat.metrics import VocAP

LEFT, MIDDLE, RIGHT = [0.0, 0.0, 10.0, 10.0], [20.0, 0.0, 30.0, 10.0], [40.0, 0.0, 50.0, 10.0]


def random_case(seed, **settings):
    """With whole pixels, as in VOC's files, and some objects difficult."""
    batch, preds = random_detections(seed, **settings)
    torch.manual_seed(seed)
    batch["gt_bboxes"] = [boxes.round() for boxes in batch["gt_bboxes"]]
    preds["bboxes"] = [boxes.round() for boxes in preds["bboxes"]]
    batch["gt_difficult"] = [torch.rand(len(boxes)) < 0.25 for boxes in batch["gt_bboxes"]]
    return batch, preds


def devkit_iou(one, two):
    """Of boxes given by their first and last pixels, counted from 1."""
    width = min(one[2], two[2]) - max(one[0], two[0]) + 1
    height = min(one[3], two[3]) - max(one[1], two[1]) + 1
    if width <= 0 or height <= 0:
        return 0.0
    one_area = (one[2] - one[0] + 1) * (one[3] - one[1] + 1)
    two_area = (two[2] - two[0] + 1) * (two[3] - two[1] + 1)
    return width * height / (one_area + two_area - width * height)


def as_in_files(box):
    return [box[0] + 1, box[1] + 1, box[2], box[3]]


def devkit_curve(batch, preds, number):
    """Pairs (precision, recall) of one class as fractions, one for each detection."""
    found, num_objects, is_taken = [], 0, {}
    for image, boxes in enumerate(preds["bboxes"]):
        for row in range(len(boxes)):
            if preds["classes"][image][row] == number:
                found.append((-preds["scores"][image][row].item(), image, boxes[row].tolist()))
        for row in range(len(batch["gt_bboxes"][image])):
            if batch["gt_classes"][image][row] == number:
                num_objects += not batch["gt_difficult"][image][row]
    found.sort(key=lambda each: each[0])
    right, wrong, curve = 0, 0, []
    for _, image, box in found:
        best, which = -math.inf, None
        for row, other in enumerate(batch["gt_bboxes"][image].tolist()):
            if batch["gt_classes"][image][row] == number:
                overlap = devkit_iou(as_in_files(box), as_in_files(other))
                if overlap > best:
                    best, which = overlap, row
        if best < 0.5:
            wrong += 1
        elif not batch["gt_difficult"][image][which]:
            right += (image, which) not in is_taken
            wrong += (image, which) in is_taken
            is_taken[image, which] = True
        if right + wrong and num_objects:
            curve.append((Fraction(right, right + wrong), Fraction(right, num_objects)))
    return curve, num_objects


def devkit_11_points(curve):
    points = [Fraction(k, 10) for k in range(11)]
    return float(sum(max((p for p, r in curve if r >= t), default=0) for t in points) / 11)


def devkit_area(curve):
    area, last = Fraction(0), Fraction(0)
    for index, (_, recall) in enumerate(curve):
        area += (recall - last) * max(p for p, _ in curve[index:])
        last = recall
    return float(area)


def devkit(batch, preds, average, num_classes=3):
    curves = [devkit_curve(batch, preds, number) for number in range(num_classes)]
    values = [average(curve) if count else math.nan for curve, count in curves]
    return np.array([np.nanmean(values) if not np.isnan(values).all() else math.nan, *values])


def scores_of(batch, preds, **kwargs):
    metric = VocAP(classes=["car", "bus", "cat"], **kwargs)
    metric.update(batch, preds)
    return np.array([float(value) for value in metric.compute().values()])


def picture(boxes, found, scores, **others):
    """One picture with objects and detections of one class."""
    batch = {
        "gt_bboxes": [torch.tensor(boxes)],
        "gt_classes": [torch.zeros(len(boxes), dtype=torch.int64)],
        **{key: [torch.tensor(value)] for key, value in others.items()},
    }
    preds = {
        "bboxes": [torch.tensor(found)],
        "classes": [torch.zeros(len(found), dtype=torch.int64)],
        "scores": [torch.tensor(scores)],
    }
    return batch, preds


def mean_ap(*case, **kwargs):
    metric = VocAP(**kwargs)
    metric.update(*case)
    return float(metric.compute()[metric.name])


SETTINGS = [
    {},
    {"num_images": 30, "score_decimals": 6},
    {"size": 12, "num_images": 30},
    {"max_objects": 0},
    {"max_preds": 0},
]


@pytest.mark.parametrize("seed", range(30))
def test_the_area_under_the_curve_equals_the_devkit(seed):
    case = random_case(seed, **SETTINGS[seed % 5])
    np.testing.assert_allclose(scores_of(*case), devkit(*case, devkit_area), rtol=0, atol=1e-9)


@pytest.mark.parametrize("seed", range(30, 60))
def test_the_mean_of_eleven_points_equals_the_devkit(seed):
    case = random_case(seed, **SETTINGS[seed % 5])
    expected = devkit(*case, devkit_11_points)
    np.testing.assert_allclose(scores_of(*case, year=2007), expected, rtol=0, atol=1e-9)


#: By score: right, wrong, right; precision 1, 1/2, 2/3 at recall 1/3, 1/3, 2/3 of 3 objects.
THREE = picture([LEFT, MIDDLE, RIGHT], [LEFT, [70.0, 0.0, 80.0, 10.0], RIGHT], [0.9, 0.8, 0.7])


def test_the_area_worked_by_hand():
    assert mean_ap(*THREE) == pytest.approx(1 / 3 * 1 + 1 / 3 * 2 / 3)


def test_the_eleven_points_worked_by_hand():
    # Precision 1 at recalls 0 to 0.3, 2/3 at 0.4 to 0.6, then 0.
    assert mean_ap(*THREE, year=2007) == pytest.approx((4 * 1 + 3 * 2 / 3) / 11)


def test_a_recall_of_three_tenths_counts_at_the_point_three_tenths():
    boxes = [[20.0 * n, 0.0, 20.0 * n + 10, 10.0] for n in range(10)]
    assert mean_ap(*picture(boxes, boxes[:3], [0.9, 0.8, 0.7]), year=2007) == pytest.approx(4 / 11)


def test_what_is_found_twice_is_wrong_the_second_time():
    case = picture([LEFT, RIGHT], [LEFT, LEFT, RIGHT], [0.9, 0.8, 0.7])
    assert mean_ap(*case) == pytest.approx(1 / 2 * 1 + 1 / 2 * 2 / 3)


def test_difficult_objects_need_not_be_found_and_do_not_count():
    batch, preds = picture(
        [LEFT, RIGHT], [LEFT, LEFT, RIGHT], [0.9, 0.8, 0.7], gt_difficult=[True, False]
    )
    assert mean_ap(batch, preds) == 1.0
    preds = {key: [rows[0][2:]] for key, rows in preds.items()}
    assert mean_ap(batch, preds) == 1.0


def test_a_class_of_difficult_objects_alone_is_not_in_the_mean():
    assert math.isnan(mean_ap(*picture([LEFT], [LEFT], [0.9], gt_difficult=[True])))


def test_a_higher_threshold_names_the_score_and_wants_more():
    batch, preds = picture([LEFT], [[0.0, 0.0, 7.0, 10.0]], [1.0])
    assert mean_ap(batch, preds) == 1.0
    assert mean_ap(batch, preds, iou_threshold=0.75) == 0.0
    assert VocAP(iou_threshold=0.75).name == "mAP75"


def test_the_plot_has_a_curve_for_each_class():
    pytest.importorskip("matplotlib")
    metric = VocAP()
    metric.update(*THREE)
    _, axes = metric.plot()
    (line,) = axes.get_lines()
    np.testing.assert_allclose(line.get_xydata(), [[1 / 3, 1], [1 / 3, 1 / 2], [2 / 3, 2 / 3]])


@pytest.mark.parametrize(
    "kwargs", [{"year": 2005}, {"iou_threshold": 0.0}, {"iou_threshold": 50}], ids=str
)
def test_an_argument_out_of_range_is_refused(kwargs):
    with pytest.raises(ValueError, match="year must be 2007 or later"):
        VocAP(**kwargs)


def test_equal_class_names_are_refused():
    with pytest.raises(ValueError, match="classes must have different names"):
        VocAP(classes=["car", "car"])


def test_a_class_without_a_name_is_refused():
    metric = VocAP(classes=[])
    metric.update(*picture([LEFT], [LEFT], [1.0]))
    with pytest.raises(ValueError, match="classes= names 0"):
        metric.compute()
