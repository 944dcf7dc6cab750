"""KITTI AP: the development kit's procedure as plain loops, and cases worked by hand."""

import math

import pytest
import torch
from detection_cases import random_detections

from hat.metrics import KittiAP

CLASSES = ["Car", "Van", "Pedestrian"]
MIN_HEIGHT = {"easy": 40, "moderate": 25, "hard": 25}
MAX_OCCLUSION = {"easy": 0, "moderate": 1, "hard": 2}
MAX_TRUNCATION = {"easy": 0.15, "moderate": 0.3, "hard": 0.5}


def metric_of(*case, classes=CLASSES):
    metric = KittiAP(classes, min_overlaps={"Car": 0.7, "Pedestrian": 0.5})
    metric.update(*case)
    return {name: float(value) for name, value in metric.compute().items()}


def random_case(seed, **settings):
    batch, preds = random_detections(seed, **settings)
    torch.manual_seed(seed)
    counts = [len(boxes) for boxes in batch["gt_bboxes"]]
    batch["gt_occluded"] = [torch.randint(4, (n,)) * (torch.rand(n) < 0.4) for n in counts]
    batch["gt_truncated"] = [torch.rand(count) ** 4 for count in counts]
    if settings.get("max_preds") != 0:  # most objects are found well too, so that AP is not near 0
        for image, count in enumerate(counts):
            found = torch.rand(count) < 0.8
            near = batch["gt_bboxes"][image] + torch.randn(count, 4)
            rows = near[found], batch["gt_classes"][image][found], torch.rand(count)[found]
            for key, more in zip(("bboxes", "classes", "scores"), rows, strict=True):
                preds[key][image] = torch.cat([preds[key][image], more])
    regions = [torch.rand(int(n), 4).cumsum(1) * 100 for n in torch.randint(3, (len(counts),))]
    batch["gt_ignore_bboxes"] = regions
    return batch, preds


def shared(one, two):
    width = min(one[2], two[2]) - max(one[0], two[0])
    height = min(one[3], two[3]) - max(one[1], two[1])
    return width * height if width > 0 and height > 0 else 0.0


def area(box):
    return (box[2] - box[0]) * (box[3] - box[1])


def iou(one, two):
    inner = shared(one, two)
    return inner / (area(one) + area(two) - inner) if inner > 0 else 0.0


def clean(batch, preds, image, name, difficulty):
    """Truth, detections and regions, as the kit's `ignored` numbers: 0 counts, 1 may be taken."""
    truths, found = [], []
    for row, box in enumerate(batch["gt_bboxes"][image].double().tolist()):
        is_hard = (
            batch["gt_occluded"][image][row] > MAX_OCCLUSION[difficulty]
            or batch["gt_truncated"][image][row] > MAX_TRUNCATION[difficulty]
            or box[3] - box[1] < MIN_HEIGHT[difficulty]
        )
        label = CLASSES[batch["gt_classes"][image][row]]
        if label == name:
            truths.append((box, int(is_hard)))
        elif (name, label) == ("Car", "Van"):
            truths.append((box, 1))
    for row, box in enumerate(preds["bboxes"][image].double().tolist()):
        score = preds["scores"][image][row].item()
        if abs(box[1] - box[3]) < MIN_HEIGHT[difficulty]:
            found.append((box, score, 1))
        elif CLASSES[preds["classes"][image][row]] == name:
            found.append((box, score, 0))
    return truths, found, batch["gt_ignore_bboxes"][image].double().tolist()


def scores_for_thresholds(truths, found, overlap):
    taken, scores = set(), []
    for box, ignored in truths:
        best, score = None, -math.inf
        for index, (other, other_score, _) in enumerate(found):
            if index not in taken and iou(other, box) > overlap and other_score > score:
                best, score = index, other_score
        if best is not None:
            taken.add(best)
            if ignored == 0 and found[best][2] == 0:
                scores.append(score)
    return scores


def right_and_wrong(truths, found, regions, overlap, threshold):
    taken, right, wrong = set(), 0, 0
    for box, ignored in truths:
        best, best_overlap, is_ignored_one = None, 0.0, False
        for index, (other, score, other_ignored) in enumerate(found):
            if index in taken or score < threshold or iou(other, box) <= overlap:
                continue
            if other_ignored == 0 and (iou(other, box) > best_overlap or is_ignored_one):
                best, best_overlap, is_ignored_one = index, iou(other, box), False
            elif other_ignored == 1 and best is None:
                best, is_ignored_one = index, True
        if best is not None:
            taken.add(best)
            right += ignored == 0 and found[best][2] == 0
    for index, (box, score, ignored) in enumerate(found):
        if index not in taken and score >= threshold and ignored == 0:
            wrong += not any(shared(box, each) > overlap * area(box) for each in regions)
    return right, wrong


def kit_precision(batch, preds, name, difficulty, overlap):
    images = [
        clean(batch, preds, image, name, difficulty) for image in range(len(batch["gt_bboxes"]))
    ]
    num_wanted = sum(ignored == 0 for truths, _, _ in images for _, ignored in truths)
    if num_wanted == 0:
        return [math.nan] * 41
    scores = [
        s for truths, found, _ in images for s in scores_for_thresholds(truths, found, overlap)
    ]
    scores.sort(reverse=True)
    thresholds, current = [], 0.0
    for index, score in enumerate(scores):
        left = (index + 1) / num_wanted
        right = (index + 2) / num_wanted if index < len(scores) - 1 else left
        if right - current < current - left and index < len(scores) - 1:
            continue
        thresholds.append(score)
        current += 1 / 40
    precision = [0.0] * 41
    for index, threshold in enumerate(thresholds):
        counts = [right_and_wrong(*image, overlap, threshold) for image in images]
        right, wrong = (sum(each) for each in zip(*counts, strict=True))
        precision[index] = right / (right + wrong) if right + wrong else 0.0
    return [max(precision[index:]) for index in range(41)]


def kit(batch, preds):
    scores = {}
    for name, overlap in (("Car", 0.7), ("Pedestrian", 0.5)):
        for difficulty in MIN_HEIGHT:
            precision = kit_precision(batch, preds, name, difficulty, overlap)
            scores[f"AP_R40_{name}_{difficulty}"] = sum(precision[1:]) / 40
            scores[f"AP_R11_{name}_{difficulty}"] = sum(precision[::4]) / 11
    return scores


def picture(boxes, found, scores, *, names=None, found_names=None, **others):
    """One picture with cars, or what `names` says, all to be found."""
    count, num_found = len(boxes), len(found)
    batch = {
        "gt_bboxes": [torch.tensor(boxes)],
        "gt_classes": [torch.tensor([CLASSES.index(n) for n in names or ["Car"] * count])],
        "gt_truncated": [torch.zeros(count)],
        "gt_occluded": [torch.zeros(count, dtype=torch.int64)],
        **{key: [torch.tensor(value)] for key, value in others.items()},
    }
    numbers = [CLASSES.index(n) for n in found_names or ["Car"] * num_found]
    preds = {
        "bboxes": [torch.tensor(found)],
        "classes": [torch.tensor(numbers)],
        "scores": [torch.tensor(scores)],
    }
    return batch, preds


LEFT, MIDDLE, RIGHT = ([at, 0.0, at + 50, 50.0] for at in (0.0, 100.0, 200.0))
LOW = [300.0, 0.0, 350.0, 30.0]


@pytest.mark.parametrize("seed", range(24))
def test_random_cases_equal_the_development_kit(seed):
    settings = [{}, {"num_images": 20, "score_decimals": 6}, {"max_objects": 0}, {"max_preds": 0}]
    case = random_case(seed, **settings[seed % 4])
    expected = kit(*case)
    found = metric_of(*case)
    assert {name: found[name] for name in expected} == pytest.approx(
        expected, abs=1e-9, nan_ok=True
    )


def test_half_of_two_cars_worked_by_hand():
    # One threshold, for recall 0, with precision 1: of R11 the first point, of R40 none.
    scores = metric_of(*picture([LEFT, RIGHT], [LEFT], [0.9]))
    assert scores["AP_R11_Car_easy"] == pytest.approx(1 / 11)
    assert scores["AP_R40_Car_easy"] == 0.0


def test_forty_cars_worked_by_hand():
    # All are found, after one that is none: precisions 1/2, 2/3, ... 40/41 at the scores of the
    # cars, of which the highest still to come, 40/41, counts. The 41st threshold does not exist.
    boxes = [[100.0 * n, 0.0, 100.0 * n + 50, 50.0] for n in range(40)]
    found = [[0.0, 500.0, 50.0, 550.0], *boxes]
    scores = metric_of(*picture(boxes, found, [1.0, *(0.9 - n / 100 for n in range(40))]))
    assert scores["AP_R40_Car_easy"] == pytest.approx(39 / 40 * 40 / 41)
    assert scores["AP_R11_Car_easy"] == pytest.approx(10 / 11 * 40 / 41)


@pytest.mark.parametrize(
    ("others", "easy", "moderate", "hard"),
    [
        ({}, True, True, True),
        ({"gt_occluded": [1]}, False, True, True),
        ({"gt_occluded": [2]}, False, False, True),
        ({"gt_occluded": [3]}, False, False, False),
        ({"gt_truncated": [0.3]}, False, True, True),
        ({"gt_truncated": [0.31]}, False, False, True),
        ({"gt_truncated": [0.51]}, False, False, False),
    ],
    ids=str,
)
def test_what_must_be_found_at_each_difficulty(others, easy, moderate, hard):
    scores = metric_of(*picture([LEFT], [LEFT], [0.9], **others))
    values = [scores[f"AP_R11_Car_{each}"] for each in ("easy", "moderate", "hard")]
    assert [not math.isnan(value) for value in values] == [easy, moderate, hard]


def test_a_car_of_thirty_pixels_is_moderate():
    scores = metric_of(*picture([LOW], [LOW], [0.9]))
    assert math.isnan(scores["AP_R11_Car_easy"])
    assert scores["AP_R11_Car_moderate"] == pytest.approx(1 / 11)


@pytest.mark.parametrize(
    ("case", "precision"),
    [
        (picture([LEFT], [MIDDLE, LEFT], [0.9, 0.8]), 1 / 2),
        (picture([LEFT, MIDDLE], [MIDDLE, LEFT], [0.9, 0.8], names=["Car", "Van"]), 1),
        (picture([LEFT, MIDDLE], [MIDDLE, LEFT], [0.9, 0.8], names=["Car", "Pedestrian"]), 1 / 2),
        (picture([LEFT], [MIDDLE, LEFT], [0.9, 0.8], gt_ignore_bboxes=[MIDDLE]), 1),
        (picture([LEFT], [LOW, LEFT], [0.9, 0.8]), 1),
    ],
    ids=["nothing", "a van", "a pedestrian", "unlabelled", "too low to count"],
)
def test_what_counts_of_a_car_found_on(case, precision):
    assert metric_of(*case)["AP_R11_Car_easy"] == pytest.approx(precision / 11)


def test_the_first_score_is_the_mean_of_moderate_classes():
    scores = metric_of(*random_case(1, num_images=20))
    of_classes = scores["AP_R40_Car_moderate"], scores["AP_R40_Pedestrian_moderate"]
    assert scores["KITTI_AP"] == pytest.approx(sum(of_classes) / 2)


def test_the_plot_has_a_curve_for_each_class():
    pytest.importorskip("matplotlib")
    metric = KittiAP(CLASSES, min_overlaps={"Car": 0.7})
    metric.update(*picture([LEFT], [LEFT], [0.9]))
    _, axes = metric.plot()
    (line,) = axes.get_lines()
    assert line.get_ydata().tolist() == [1.0] + [0.0] * 40


def test_a_missing_key_is_named():
    batch, preds = picture([LEFT], [LEFT], [0.9])
    del batch["gt_truncated"]
    with pytest.raises(ValueError, match="the batch has no gt_truncated"):
        KittiAP(CLASSES, min_overlaps={"Car": 0.7}).update(batch, preds)


def test_classes_that_the_data_lacks_are_refused():
    with pytest.raises(ValueError, match="Cyclist are not among classes="):
        KittiAP(CLASSES)


def test_an_overlap_in_percent_is_refused():
    with pytest.raises(ValueError, match="min_overlaps must be between 0 and 1"):
        KittiAP(CLASSES, min_overlaps={"Car": 70})
