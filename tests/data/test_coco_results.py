"""Predictions written back as COCO reads them."""

import json

import numpy as np
import pytest
import torch
from annotation_files import coco_folder
from faster_coco_eval import COCO, COCOeval_faster
from faster_coco_eval.core import mask as coco_mask

from hat.data import CocoDataset


@pytest.fixture
def dataset(tmp_path):
    return CocoDataset(coco_folder(tmp_path), tmp_path)


def perfect(dataset, **changes):
    """What is there, as a model would predict it; crowds are not predicted."""
    for sample in dataset:
        found = ~sample["gt_crowd"]
        yield {
            "img_id": sample["img_id"],
            "bboxes": sample["gt_bboxes"][found],
            "classes": sample["gt_classes"][found],
            "scores": torch.linspace(0.9, 0.5, int(found.sum())),
            "masks": sample["gt_masks"][found],
            **changes,
        }


def average_precision(dataset, results, kind):
    truth = COCO(str(dataset.annotation_file))
    evaluation = COCOeval_faster(truth, truth.loadRes(str(results)), kind)
    evaluation.run()
    return evaluation.stats_as_dict["AP_all"]


@pytest.mark.parametrize("kind", ["bbox", "segm"])
def test_perfect_predictions_have_a_perfect_score(dataset, tmp_path, kind):
    dataset.write_results(tmp_path / "results.json", perfect(dataset))
    assert average_precision(dataset, tmp_path / "results.json", kind) == pytest.approx(1.0)


def test_results_have_the_ids_of_the_file_and_boxes_by_size(dataset, tmp_path):
    assert dataset.write_results(tmp_path / "results.json", perfect(dataset, masks=None)) == 2
    car, tree = json.loads((tmp_path / "results.json").read_text())
    assert car.pop("score") == pytest.approx(0.9)
    assert car == {"image_id": 5, "category_id": 9, "bbox": [2, 1, 11, 8]}
    assert (tree["image_id"], tree["category_id"]) == (0, 4)


def test_masks_are_run_lengths(dataset, tmp_path):
    dataset.write_results(tmp_path / "results.json", perfect(dataset))
    car, _ = json.loads((tmp_path / "results.json").read_text())
    assert np.array_equal(coco_mask.decode(car["segmentation"]), dataset[0]["gt_masks"][0].numpy())


def test_predictions_are_left_as_they_were(dataset, tmp_path):
    bboxes = torch.tensor([[1.0, 2.0, 3.0, 4.0]], dtype=torch.float64)
    prediction = {"img_id": 5, "bboxes": bboxes, "classes": [0], "scores": [0.5]}
    dataset.write_results(tmp_path / "results.json", [prediction])
    assert bboxes.tolist() == [[1, 2, 3, 4]]


def test_pictures_without_predictions_are_none(dataset, tmp_path):
    nothing = {"img_id": 5, "bboxes": torch.zeros(0, 4), "classes": [], "scores": []}
    assert dataset.write_results(tmp_path / "results.json", [nothing]) == 0
    assert json.loads((tmp_path / "results.json").read_text()) == []


WRONG = {
    "unknown image": ({"img_id": 6}, "image 6, which is not listed"),
    "unknown class": ({"classes": [3]}, "classes must be whole numbers from 0 to 2"),
    "negative class": ({"classes": [-1]}, "classes must be whole numbers from 0 to 2"),
    "class as float": ({"classes": [0.0]}, "classes must be whole numbers"),
    "not finite": ({"scores": [float("nan")]}, "bboxes and scores must be finite"),
    "more scores": ({"scores": [0.5, 0.5]}, r"expected bboxes \(M, 4\)"),
    "one mask for all": ({"masks": torch.zeros(12, 16)}, r"expected masks \(1, H, W\)"),
}


@pytest.mark.parametrize(("change", "told"), WRONG.values(), ids=WRONG)
def test_a_wrong_prediction_leaves_the_old_file(dataset, tmp_path, change, told):
    path = tmp_path / "results.json"
    path.write_text("[]")
    right = {"img_id": 5, "bboxes": [[0.0, 0.0, 1.0, 1.0]], "classes": [0], "scores": [0.5]}
    with pytest.raises(ValueError, match=rf"results.json: .*{told}"):
        dataset.write_results(path, [right, {**right, **change}])
    assert path.read_text() == "[]"
    assert list(tmp_path.glob("*writing*")) == list(tmp_path.glob(".*writing*")) == []
