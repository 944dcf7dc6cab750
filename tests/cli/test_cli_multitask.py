"""`hat train`, `validate` and `predict` with a model of four tasks."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from running import ROOT, read_json, run_hat

pytestmark = pytest.mark.slow
CONFIG = ROOT / "configs" / "multitask" / "road_scenes.py"
TINY = ["num_scenes=6", "num_val_scenes=3", "size=[64, 64]", "num_epochs=1", "num_workers=0"]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("multitask") / "run"
    done = run_hat("train", CONFIG, *TINY, "batch_size=3", "--out", folder)
    assert done.code == 0, done.err
    return folder


def predictions(run, *arguments):
    out = Path("predictions.json").resolve()
    done = run_hat("predict", run, *arguments, "--out", out)
    assert done.code == 0, done.err
    return json.loads(out.read_text())


def test_scores_are_called_by_their_task(run):
    names = {"val/det/AP", "val/seg/mIoU", "val/depth/abs_rel", "val/scene/acc", "val/det/loss"}
    assert names <= set(read_json(run / "scores.json"))


def test_validation_prints_the_scores_of_each_task(run):
    scores = read_json(run / "scores.json")
    printed = run_hat("validate", run).out
    assert f"val/scene/acc {scores['val/scene/acc']['last']['value']!r}\n" in printed


def test_each_record_has_the_predictions_of_each_task(run):
    records = predictions(run)["predictions"]
    assert len(records) == 3
    for record in records:
        assert {"label", "det/bboxes", "det/class_names", "seg/seg", "depth/depth"} <= set(record)
        assert record["scene/class_names"] in ("day", "dusk", "night", "rain")
        assert np.array(record["seg/seg"]).shape == (64, 64)


def test_a_picture_of_ones_own_is_predicted_without_truth(run, tmp_path):
    path = tmp_path / "picture.png"
    Image.fromarray(np.full((64, 64, 3), 90, dtype=np.uint8)).save(path)
    content = predictions(run, path)
    (record,) = content["predictions"]
    assert record["scene/class_names"] in content["label_classes"]
    assert set(record["det/class_names"]) <= set(content["classes"])
    assert content["scores"] == {}
