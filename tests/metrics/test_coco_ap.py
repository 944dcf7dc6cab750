"""COCO AP: pycocotools, and cases worked by hand."""

import math

import numpy as np
import pytest
import torch
from detection_cases import (
    pycocotools_evaluation,
    pycocotools_scores,
    random_detections,
    with_masks,
)

from hat.data import RoadScenes
from hat.metrics import CocoAP, coco_evaluation

#: What the 200 random cases vary; a case takes the settings of its seed, modulo their number.
SETTINGS = [
    {},
    {"num_images": 1, "num_classes": 1, "max_objects": 3, "max_preds": 5},
    {"num_images": 25, "num_classes": 8, "score_decimals": 6},
    {"max_objects": 0},
    {"max_preds": 0},
    {"num_classes": 1, "score_decimals": 0, "share_crowd": 0},
    {"share_crowd": 0.6},
    {"num_images": 3, "num_classes": 1, "max_objects": 120, "max_preds": 250},
    {"size": 20},
    {"num_images": 4, "num_classes": 100, "max_objects": 60, "max_preds": 90},
]


def scores_of(batch, preds, num_classes, **kwargs):
    metric = CocoAP(classes=[str(number) for number in range(num_classes)], **kwargs)
    metric.update(batch, preds)
    return np.array([float(value) for value in metric.compute().values()])


def assert_equals_pycocotools(batch, preds, num_classes, kind="bbox"):
    pytest.importorskip("pycocotools")
    expected = pycocotools_scores(pycocotools_evaluation(batch, preds, num_classes, kind))
    found = scores_of(batch, preds, num_classes, kind=kind)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-9)


def pictures(boxes, classes, found, found_classes, scores, **others):
    """One picture: a batch and its predictions."""
    batch = {"gt_bboxes": [torch.tensor(boxes)], "gt_classes": [torch.tensor(classes)]}
    batch |= {key: [torch.tensor(value)] for key, value in others.items()}
    preds = {
        "bboxes": [torch.tensor(found)],
        "classes": [torch.tensor(found_classes)],
        "scores": [torch.tensor(scores)],
    }
    return batch, preds


def value(name, batch, preds, **kwargs):
    metric = CocoAP(**kwargs)
    metric.update(batch, preds)
    return float(metric.compute()[name])


LEFT, MIDDLE, RIGHT = [0.0, 0.0, 10.0, 10.0], [20.0, 0.0, 30.0, 10.0], [40.0, 0.0, 50.0, 10.0]


@pytest.mark.parametrize("seed", range(190))
def test_boxes_equal_pycocotools(seed):
    settings = SETTINGS[seed % len(SETTINGS)]
    batch, preds = random_detections(seed, **settings)
    assert_equals_pycocotools(batch, preds, settings.get("num_classes", 3))


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(190, 200))
def test_boxes_of_a_thousand_classes_equal_pycocotools(seed):
    batch, preds = random_detections(
        seed, num_images=4, num_classes=1000, max_objects=80, max_preds=120
    )
    assert_equals_pycocotools(batch, preds, 1000)


@pytest.mark.parametrize("seed", range(36))
def test_masks_equal_pycocotools(seed):
    settings = SETTINGS[seed % 7]
    batch, preds = with_masks(*random_detections(seed, **{**settings, "size": 60}))
    assert_equals_pycocotools(batch, preds, settings.get("num_classes", 3), "segm")


def test_unlabelled_regions_are_crowds_of_every_class():
    batch, preds = random_detections(0, num_images=30)
    regions = torch.tensor([[0.0, 0.0, 100.0, 300.0], [200.0, 200.0, 300.0, 300.0]])
    crowds = {
        "gt_bboxes": [torch.cat([boxes, *[regions] * 3]) for boxes in batch["gt_bboxes"]],
        "gt_classes": [
            torch.cat([numbers, torch.tensor([0, 0, 1, 1, 2, 2])])
            for numbers in batch["gt_classes"]
        ],
        "gt_crowd": [torch.cat([crowd, torch.ones(6).bool()]) for crowd in batch["gt_crowd"]],
    }
    found = scores_of({**batch, "gt_ignore_bboxes": [regions] * 30}, preds, 3)
    np.testing.assert_array_equal(found, scores_of(crowds, preds, 3))
    assert not np.array_equal(found, scores_of(batch, preds, 3), equal_nan=True)


def test_unlabelled_regions_are_filled_masks_where_masks_are_compared():
    batch, preds = with_masks(*pictures([LEFT], [0], [LEFT, RIGHT], [0, 0], [0.5, 0.9]))
    assert value("mask_AP", batch, preds, kind="segm") == pytest.approx(0.5)
    batch["gt_ignore_bboxes"] = [torch.tensor([[38.0, 0.0, 52.0, 20.0]])]
    assert value("mask_AP", batch, preds, kind="segm") == 1.0


def test_one_wrong_of_three_detections_worked_by_hand():
    # By score: right, wrong, right. Precision is 1 up to recall 1/2 and 2/3 up to recall 1;
    # of the 101 recalls 0, 0.01, ... 1 the first 51 are at most 1/2.
    case = pictures([LEFT, RIGHT], [0, 0], [LEFT, MIDDLE, RIGHT], [0, 0, 0], [0.9, 0.8, 0.7])
    assert value("AP50", *case) == pytest.approx((51 * 1 + 50 * 2 / 3) / 101)


def test_what_overlaps_by_seven_tenths_is_found_at_five_of_ten_thresholds():
    # 0.50, 0.55, 0.60, 0.65 and 0.70: a box of 7 x 10 in one of 10 x 10 has IoU 0.7.
    case = pictures([LEFT], [0], [[0.0, 0.0, 7.0, 10.0]], [0], [1.0])
    assert value("AP", *case) == pytest.approx(0.5)


def test_areas_are_those_of_masks_where_there_are_masks():
    box = [0.0, 0.0, 40.0, 40.0]  # 1,600 pixels: medium; its mask has 900: small
    mask = torch.zeros(1, 48, 48, dtype=torch.bool)
    mask[:, :30, :30] = True
    batch, preds = pictures([box], [0], [box], [0], [1.0])
    assert value("AP_medium", batch, preds) == 1.0
    assert value("AP_small", {**batch, "gt_masks": [mask]}, preds) == 1.0


def test_what_has_no_truth_is_nan():
    case = pictures([LEFT], [0], [LEFT], [0], [1.0])
    assert math.isnan(value("AP_large", *case))
    assert math.isnan(value("AP_bus", *case, classes=["car", "bus"]))


def test_classes_evaluated_in_blocks_give_the_same(monkeypatch):
    batch, preds = random_detections(3, num_classes=7)
    whole = scores_of(batch, preds, 7)
    monkeypatch.setattr(coco_evaluation, "_MAX_PAIRS", 24)  # two classes of twelve pictures
    np.testing.assert_array_equal(scores_of(batch, preds, 7), whole)


def test_masks_and_boxes_have_scores_of_different_names():
    assert set(CocoAP("segm").score_names).isdisjoint(CocoAP().score_names)


def test_road_scenes_that_are_predicted_as_they_are_score_one():
    scenes = RoadScenes(length=4, size=(96, 192), keys=["gt_bboxes", "gt_masks"])
    samples = [scenes[index] for index in range(4)]
    batch = {key: [sample[key] for sample in samples] for key in samples[0]}
    preds = {key: batch[f"gt_{key}"] for key in ("bboxes", "classes", "masks")}
    preds["scores"] = [torch.ones(len(boxes)) for boxes in batch["gt_bboxes"]]
    assert value("AP", batch, preds) == value("mask_AP", batch, preds, kind="segm") == 1.0


def test_the_plot_has_a_curve_for_each_threshold():
    pytest.importorskip("matplotlib")
    metric = CocoAP()
    metric.update(*pictures([LEFT], [0], [[0.0, 0.0, 7.0, 10.0]], [0], [1.0]))
    _, axes = metric.plot()
    at_half, at_three_quarters, over_all = (line.get_ydata() for line in axes.get_lines())
    assert (at_half.mean(), at_three_quarters.mean()) == (1.0, 0.0)
    assert over_all.mean() == pytest.approx(0.5)


def test_an_unknown_kind_is_refused():
    with pytest.raises(ValueError, match="kind must be 'bbox' or 'segm', got 'boxes'"):
        CocoAP("boxes")


@pytest.mark.parametrize("classes", [["car", "small"], ["car", "car"]], ids=["size", "twice"])
def test_class_names_that_would_be_one_score_are_refused(classes):
    with pytest.raises(ValueError, match="classes must have different names"):
        CocoAP(classes=classes)


@pytest.mark.parametrize("key", ["gt_bboxes", "gt_classes", "bboxes", "classes", "scores"])
def test_a_missing_key_is_named(key):
    case = pictures([LEFT], [0], [LEFT], [0], [1.0])
    batch, preds = ({name: rows for name, rows in part.items() if name != key} for part in case)
    with pytest.raises(ValueError, match=f"has no {key}"):
        CocoAP().update(batch, preds)


@pytest.mark.parametrize("key", ["gt_masks", "masks"])
def test_missing_masks_are_named(key):
    case = with_masks(*pictures([LEFT], [0], [LEFT], [0], [1.0]))
    batch, preds = ({name: rows for name, rows in part.items() if name != key} for part in case)
    with pytest.raises(ValueError, match=f"have no {key}"):
        CocoAP("segm").update(batch, preds)


def test_masks_of_scores_are_refused():
    batch, preds = with_masks(*pictures([LEFT], [0], [LEFT], [0], [1.0]))
    preds["masks"] = [preds["masks"][0].float()]
    with pytest.raises(ValueError, match="masks must be bool"):
        CocoAP("segm").update(batch, preds)


def test_masks_of_another_size_are_refused():
    batch, preds = with_masks(*pictures([LEFT], [0], [LEFT], [0], [1.0]))
    preds["masks"] = [preds["masks"][0][:, ::2]]
    with pytest.raises(ValueError, match=r"predicted masks of \[\(24, 64\)\]"):
        CocoAP("segm").update(batch, preds)


def test_predictions_of_other_lengths_are_refused():
    batch, preds = pictures([LEFT], [0], [LEFT], [0], [1.0, 0.5])
    with pytest.raises(ValueError, match=r"\[1\] bboxes and \[2\] scores"):
        CocoAP().update(batch, preds)


def test_predictions_of_another_number_of_pictures_are_refused():
    batch, preds = pictures([LEFT], [0], [LEFT], [0], [1.0])
    with pytest.raises(ValueError, match="the batch has 1 pictures"):
        CocoAP().update(batch, {key: rows * 2 for key, rows in preds.items()})


def test_a_score_that_is_nan_is_refused():
    metric = CocoAP()
    metric.update(*pictures([LEFT], [0], [LEFT], [0], [math.nan]))
    with pytest.raises(ValueError, match="predicted scores hold NaN"):
        metric.compute()


@pytest.mark.parametrize(
    ("truth", "found"), [(2, 0), (0, 2)], ids=["in the truth", "in a prediction"]
)
def test_a_class_without_a_name_is_refused(truth, found):
    metric = CocoAP(classes=["car", "bus"])
    metric.update(*pictures([LEFT], [truth], [LEFT], [found], [1.0]))
    with pytest.raises(ValueError, match="classes= names 2"):
        metric.compute()


def all_scores(batches):
    scores = {}
    for kind in ("bbox", "segm"):
        metric = CocoAP(kind)
        for batch, preds in batches:
            metric.update(batch, preds)
        scores |= {name: float(score) for name, score in metric.compute().items()}
    return scores


def of_a_process(rank, shares, meeting, results):
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{meeting}", rank=rank, world_size=2
    )
    results.put([all_scores(parts[rank]) for parts in shares])
    torch.distributed.destroy_process_group()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_processes_with_ragged_and_empty_shares_give_the_numbers_of_one(tmp_path):
    whole = with_masks(*random_detections(5, num_images=20, size=60))
    whole[0]["gt_ignore_bboxes"] = [torch.tensor([LEFT] * (n % 3)) for n in range(20)]
    rows = [slice(0, 6), slice(6, 7), slice(7, 20)]
    first, second, third = (
        tuple({key: value[part] for key, value in side.items()} for side in whole) for part in rows
    )
    shares = [([first, second], [third]), ([first, second, third], [])]
    results = torch.multiprocessing.get_context("spawn").SimpleQueue()
    meeting = tmp_path / "meeting"
    torch.multiprocessing.spawn(of_a_process, (shares, meeting, results), nprocs=2)
    expected = all_scores([whole])
    assert [results.get(), results.get()] == [[pytest.approx(expected, abs=0, nan_ok=True)] * 2] * 2
