"""What a model says of each sample, as JSON."""

import json

import pytest
import torch
from helpers import NUM_SAMPLES, Points, TinyModel
from torch import nn

from hat.callbacks import PredictionWriter
from hat.data import DataLoader, PartialCollate
from hat.engine import Predictor
from hat.metrics import Accuracy
from hat.models import ModelOutput


class Given(nn.Module):
    """Answers with predictions that do not depend on the batch's values."""

    def __init__(self, **preds):
        super().__init__()
        self.w = nn.Parameter(torch.zeros(1))
        self.preds = preds

    def forward(self, batch):
        return ModelOutput({}, self.preds)


class Classes(TinyModel):
    def forward(self, batch):
        losses, preds = super().forward(batch)
        scores, classes = preds["logits"].softmax(dim=1).max(dim=1)
        return ModelOutput(losses, {**preds, "classes": classes, "scores": scores})


def written(tmp_path, model, loader, classes=None, metrics=()):
    path = tmp_path / "out" / "prédictions 走.json"
    writer = PredictionWriter(path, classes)
    scores = Predictor(model, loader, metrics, callbacks=[writer]).fit()
    return json.loads(path.read_text(encoding="utf-8")), scores


def test_every_sample_has_a_record(tmp_path):
    content, _ = written(tmp_path, Classes(), DataLoader(Points(), batch_size=7))
    assert [record["img_id"] for record in content["predictions"]] == list(range(NUM_SAMPLES))


def test_a_record_has_truth_prediction_and_class_name(tmp_path):
    model, points = Classes(), Points()
    content, _ = written(tmp_path, model, DataLoader(points, batch_size=7))
    preds = model({"x": points.points[:1], "label": torch.tensor([0])}).preds
    number = preds["classes"].item()
    assert content["predictions"][0] == {
        "img_id": 0,
        "label": points[0]["label"],
        "classes": number,
        "scores": pytest.approx(preds["scores"].item()),
        "class_names": ["below", "above"][number],
    }


def test_scores_and_class_names_stand_beside_the_predictions(tmp_path):
    loader = DataLoader(Points(), batch_size=7)
    content, scores = written(tmp_path, Classes(), loader, metrics=[Accuracy()])
    assert content["classes"] == ["below", "above"]
    assert content["scores"] == {name: scores.last(name).value for name in scores}


def test_class_names_can_be_given(tmp_path):
    content, _ = written(
        tmp_path, Classes(), DataLoader(Points(), batch_size=7), classes=["unten", "oben"]
    )
    assert {record["class_names"] for record in content["predictions"]} <= {"unten", "oben"}


def test_logits_are_left_out(tmp_path):
    content, _ = written(tmp_path, Classes(), DataLoader(Points(), batch_size=7))
    assert not any("logits" in record for record in content["predictions"])


def test_predictions_that_are_lists_are_written_sample_by_sample(tmp_path):
    model = Given(
        bboxes=[torch.ones(2, 4), torch.zeros(0, 4)],
        classes=[torch.tensor([1, 0]), torch.tensor([], dtype=torch.int64)],
    )
    batch = {"x": torch.zeros(2), "img_id": ["a", "b"]}
    content, _ = written(tmp_path, model, [batch], classes=["no", "yes"])
    assert content["predictions"] == [
        {
            "img_id": "a",
            "bboxes": [[1.0] * 4] * 2,
            "classes": [1, 0],
            "class_names": ["yes", "no"],
        },
        {"img_id": "b", "bboxes": [], "classes": [], "class_names": []},
    ]


def test_a_second_fit_writes_the_same(tmp_path):
    path = tmp_path / "out.json"
    writer = PredictionWriter(path)
    predictor = Predictor(Classes(), DataLoader(Points(), batch_size=7), callbacks=[writer])
    predictor.fit()
    first = path.read_text()
    predictor.fit()
    assert path.read_text() == first


def test_predictions_that_are_not_finite_are_valid_json(tmp_path):
    def refuse(name):
        raise ValueError(f"{name} is not JSON")

    model = Given(scores=torch.tensor([float("nan"), float("inf")]))
    path = tmp_path / "out.json"
    batch = {"x": torch.zeros(2), "img_id": [0, 1]}
    Predictor(model, [batch], callbacks=[PredictionWriter(path)]).fit()
    json.loads(path.read_text(), parse_constant=refuse)


def test_a_failed_prediction_leaves_the_older_file(tmp_path):
    path = tmp_path / "out.json"
    path.write_text("older")
    batches = [{"x": torch.zeros(2), "img_id": [0, 1]}, {"x": torch.zeros(2)}]
    model = Given(classes=torch.tensor([0, 5]))
    with pytest.raises(IndexError):
        Predictor(model, batches, callbacks=[PredictionWriter(path, ["a"])]).fit()
    assert path.read_text() == "older"
    assert list(tmp_path.iterdir()) == [path]


def test_a_sample_without_a_label_has_none_in_its_record(tmp_path):
    samples = [{"img_id": number, "x": number} for number in range(4)]
    samples[1]["label"], samples[3]["label"] = 5, 7
    loader = DataLoader(samples, batch_size=4, collate=PartialCollate())
    content, _ = written(tmp_path, Given(scores=torch.arange(4)), loader)
    assert content["predictions"] == [
        {"img_id": 0, "scores": 0},
        {"img_id": 1, "label": 5, "scores": 1},
        {"img_id": 2, "scores": 2},
        {"img_id": 3, "label": 7, "scores": 3},
    ]


TASKS = {
    "det/bboxes": [torch.ones(1, 4), torch.zeros(0, 4)],
    "det/classes": [torch.tensor([1]), torch.tensor([], dtype=torch.int64)],
    "scene/logits": torch.zeros(2, 3),
    "scene/classes": torch.tensor([2, 0]),
}


class OfScenes(list):
    """Batches with the names of a data set: objects have names of their own."""

    class dataset:  # noqa: N801
        classes = ("car", "bus")
        label_classes = ("day", "dusk", "night")


def test_predictions_of_tasks_are_called_by_them(tmp_path):
    batch = {"x": torch.zeros(2), "img_id": ["a", "b"]}
    content, _ = written(tmp_path, Given(**TASKS), OfScenes([batch]))
    assert content["predictions"] == [
        {
            "img_id": "a",
            "det/bboxes": [[1.0] * 4],
            "det/classes": [1],
            "det/class_names": ["bus"],
            "scene/classes": 2,
            "scene/class_names": "night",
        },
        {
            "img_id": "b",
            "det/bboxes": [],
            "det/classes": [],
            "det/class_names": [],
            "scene/classes": 0,
            "scene/class_names": "day",
        },
    ]
    assert (content["classes"], content["label_classes"]) == (
        ["car", "bus"],
        ["day", "dusk", "night"],
    )


def test_class_names_can_be_given_by_task(tmp_path):
    batch = {"x": torch.zeros(2), "img_id": ["a", "b"]}
    content, _ = written(tmp_path, Given(**TASKS), [batch], classes={"scene": "ABC"})
    assert [record["scene/class_names"] for record in content["predictions"]] == ["C", "A"]
    assert "det/class_names" not in content["predictions"][0]
    assert content["classes"] == {"scene": ["A", "B", "C"]}


def test_the_names_of_several_loaders_are_those_of_the_first_that_has_some(tmp_path):
    class Several(list):
        loaders = {"plain": DataLoader([1, 2], batch_size=1), "scenes": OfScenes()}  # noqa: RUF012

    batch = {"x": torch.zeros(2), "img_id": ["a", "b"]}
    content, _ = written(tmp_path, Given(**TASKS), Several([batch]))
    assert content["classes"] == ["car", "bus"]


def test_a_label_stays_with_its_sample(tmp_path):
    batch = {
        "x": torch.zeros(3),
        "img_id": ["a", "b", "c"],
        "label": torch.tensor([7, 8]),
        "labelled": {"label": torch.tensor([0, 2])},
    }
    content, _ = written(tmp_path, Given(), [batch])
    assert content["predictions"] == [
        {"img_id": "a", "label": 7},
        {"img_id": "b"},
        {"img_id": "c", "label": 8},
    ]
