"""Truth and prediction side by side, in a file."""

import logging

import cv2
import numpy as np
import pytest
import torch
from helpers import TinyModel, make_trainer
from torch import nn

from hat.callbacks import PredictionPictures, Validation
from hat.data import DataLoader, PartialCollate
from hat.data.transforms import Normalize
from hat.engine import Predictor
from hat.models import ModelOutput

SIDE, HEAD, GAP = 64, 22, 4
RED, GREEN = (255, 0, 0), (0, 255, 0)


class Scenes(list):
    """Samples with the names and colours of their classes."""

    classes = ("", "")
    colors = (RED, GREEN)
    seg_colors = (RED, GREEN)
    label_classes = ("day", "night")


class Says(nn.Module):
    """Answers what it was told, whatever the batch is."""

    def __init__(self, preds):
        super().__init__()
        self.w = nn.Parameter(torch.zeros(1))
        self.preds = preds

    def forward(self, batch):
        return ModelOutput({}, self.preds)


def scene(value=100, size=(32, 64), **labels):
    return {"img": torch.full((3, *size), value, dtype=torch.uint8), **labels}


def predictor_of(samples, preds, *callbacks, **kwargs):
    loader = DataLoader(Scenes(samples), batch_size=len(samples), collate=PartialCollate())
    model = Says(preds)
    return Predictor(model, loader, callbacks=callbacks, normalize=Normalize(0.4, 0.2), **kwargs)


def grid_of(tmp_path, samples, preds, **kwargs):
    path = tmp_path / "grid.png"
    pictures = PredictionPictures(path, **{"side": SIDE, **kwargs})
    predictor_of(samples, preds, pictures).fit()
    return read(path)


def read(path):
    return cv2.imread(str(path))[:, :, ::-1]


def cell(grid, row, column, height=32, width=64):
    """A picture of a grid, without its title."""
    top = HEAD + GAP + GAP + row * (height + GAP)
    left = GAP + column * (width + GAP)
    return grid[top : top + height, left : left + width]


def boxes(*rows):
    return torch.tensor(rows, dtype=torch.float32).reshape(-1, 4)


def has(picture, color):
    return (picture == color).all(axis=2)


def test_truth_is_left_and_prediction_right(tmp_path):
    seg = torch.zeros(32, 64, dtype=torch.int64)
    grid = grid_of(tmp_path, [scene(gt_seg=seg)], {"seg": torch.ones(1, 32, 64).long()})
    assert cell(grid, 0, 0)[5, 5].tolist() == [177, 50, 50]  # 100 and red, half of each
    assert cell(grid, 0, 1)[5, 5].tolist() == [50, 177, 50]


def test_a_row_is_a_sample_and_no_more_are_drawn_than_asked_for(tmp_path):
    samples = [scene(10 * number) for number in range(1, 4)]
    preds = {"bboxes": [boxes()] * 3, "classes": [torch.zeros(0).long()] * 3}
    grid = grid_of(tmp_path, samples, preds, num_samples=2)
    assert grid.shape == (HEAD + GAP + 2 * (32 + GAP) + GAP, 2 * (64 + GAP) + GAP, 3)
    assert (cell(grid, 0, 1) == 10).all()
    assert (cell(grid, 1, 1) == 20).all()


def test_samples_come_from_as_many_batches_as_are_needed(tmp_path):
    path = tmp_path / "grid.png"
    loader = DataLoader(Scenes(scene(10 * n) for n in range(1, 5)), batch_size=1)
    pictures = PredictionPictures(path, side=SIDE, num_samples=3)
    Predictor(Says({"bboxes": [boxes()]}), loader, callbacks=[pictures]).fit()
    grid = read(path)
    assert [cell(grid, row, 1)[9, 9, 0] for row in range(3)] == [10, 20, 30]
    assert len(grid) == HEAD + GAP + 3 * (32 + GAP) + GAP


def test_objects_below_the_threshold_are_left_out(tmp_path):
    preds = {
        "bboxes": [boxes([2, 20, 12, 30], [40, 20, 50, 30])],
        "classes": [torch.tensor([0, 1])],
        "scores": [torch.tensor([0.29, 0.31])],
    }
    picture = cell(grid_of(tmp_path, [scene()], preds), 0, 1)
    assert not has(picture, RED).any()
    assert has(picture, GREEN)[29, 40:50].all()


def test_at_a_threshold_of_0_all_are_drawn(tmp_path):
    preds = {"bboxes": [boxes([2, 20, 12, 30])], "classes": [torch.tensor([0])],
             "scores": [torch.tensor([0.0])]}  # fmt: skip
    picture = cell(grid_of(tmp_path, [scene()], preds, score_threshold=0.0), 0, 1)
    assert has(picture, RED)[29, 2:12].all()


def test_masks_of_objects_below_the_threshold_are_left_out(tmp_path):
    preds = {"bboxes": [boxes([0, 0, 9, 9])], "classes": [torch.tensor([0])],
             "scores": [torch.tensor([0.1])],
             "masks": [torch.ones(1, 32, 64, dtype=torch.bool)]}  # fmt: skip
    assert (cell(grid_of(tmp_path, [scene()], preds), 0, 1) == 100).all()


def test_depth_is_colored_by_the_range_of_the_truth(tmp_path):
    depth = torch.full((32, 64), 2.0)
    depth[:, 32:] = 50.0
    preds = {"depth": torch.full((1, 32, 64), 2.0)}
    grid = grid_of(tmp_path, [scene(gt_depth=depth)], preds)
    near = cell(grid, 0, 0)[0, 0]
    assert (cell(grid, 0, 1) == near).all()
    assert (cell(grid, 0, 0)[0, 63] != near).any()


def test_tasks_have_columns_and_the_class_of_the_picture_stands_on_the_first(tmp_path):
    preds = {
        "scene/logits": torch.zeros(1, 2),
        "scene/classes": torch.tensor([1]),
        "scene/scores": torch.tensor([0.5]),
        "det/bboxes": [boxes()],
        "seg/seg": torch.ones(1, 32, 64).long(),
    }
    sample = scene(label=0, gt_bboxes=boxes(), gt_seg=torch.zeros(32, 64).long())
    grid = grid_of(tmp_path, [sample], preds)
    assert grid.shape[1] == 4 * (64 + GAP) + GAP
    day, night = cell(grid, 0, 0), cell(grid, 0, 1)
    assert has(day, (0, 0, 0)).any()
    assert has(night, (0, 0, 0)).sum() > has(day, (0, 0, 0)).sum()  # the longer name
    assert not has(cell(grid, 0, 2), (0, 0, 0)).any()


def test_a_classifier_has_the_class_on_the_picture(tmp_path):
    preds = {"classes": torch.tensor([1]), "scores": torch.tensor([0.9])}
    grid = grid_of(tmp_path, [scene(label=1)], preds)
    assert grid.shape[1] == 2 * (64 + GAP) + GAP
    assert (cell(grid, 0, 0) == cell(grid, 0, 1)).all()
    assert has(cell(grid, 0, 0), (0, 0, 0)).any()


def test_labels_stay_with_their_samples(tmp_path):
    seg = torch.zeros(32, 64, dtype=torch.int64)
    grid = grid_of(tmp_path, [scene(), scene(gt_seg=seg)], {"seg": torch.ones(2, 32, 64).long()})
    assert (cell(grid, 0, 0)[25:] == 200).all()  # grey: not labelled
    assert cell(grid, 1, 0)[5, 5].tolist() == [177, 50, 50]


def test_large_pictures_are_shrunk_with_what_is_on_them(tmp_path):
    preds = {"bboxes": [boxes([8, 80, 48, 120])], "classes": [torch.tensor([0])]}
    seg = torch.zeros(128, 256, dtype=torch.int64)
    sample = scene(size=(128, 256), gt_seg=seg, gt_bboxes=boxes(), gt_depth=seg.float())
    grid = grid_of(tmp_path, [sample], {**preds, "seg": seg[None]})
    picture = cell(grid, 0, 1)
    assert grid.shape[1] == 2 * (64 + GAP) + GAP
    assert has(picture, RED)[29, 2:12].all()
    assert picture[5, 30].tolist() == [177, 50, 50]


def test_the_masks_of_no_object_are_shrunk_too(tmp_path):
    preds = {"bboxes": [boxes()], "masks": [torch.zeros(0, 128, 256, dtype=torch.bool)]}
    assert (cell(grid_of(tmp_path, [scene(size=(128, 256))], preds), 0, 1) == 100).all()


def test_types_that_numpy_lacks_are_drawn(tmp_path):
    preds = {"depth": torch.full((1, 32, 64), 2.0, dtype=torch.bfloat16)}
    depth = torch.full((32, 64), 2.0)
    grid = grid_of(tmp_path, [scene(gt_depth=depth)], preds)
    assert (cell(grid, 0, 0) == cell(grid, 0, 1)).all()


def test_without_a_folder_nothing_is_drawn():
    pictures = PredictionPictures()
    predictor_of([scene()], {"bboxes": [boxes()]}, pictures).fit()
    assert pictures._rows == []


def test_the_folder_of_the_predictor_is_the_default(tmp_path):
    pictures = PredictionPictures(side=SIDE)
    folder = tmp_path / "läuft 走"
    predictor_of([scene()], {"bboxes": [boxes()]}, pictures, run_dir=folder).fit()
    assert [path.name for path in folder.iterdir()] == ["predictions.png"]


def validated(pictures, trainer_dir, **kwargs):
    """A trainer whose model says another class of pixels each time that it is validated."""

    class Changing(TinyModel):
        count = 0

        def forward(self, batch):
            if "img" not in batch:
                return super().forward(batch)
            self.count += 1
            return ModelOutput({}, {"seg": torch.full((1, 32, 64), self.count - 1)})

    model = Changing()
    loader = DataLoader(Scenes([scene(gt_seg=torch.zeros(32, 64).long())]), batch_size=1)
    predictor = Predictor(model, loader, callbacks=[pictures], **kwargs)
    make_trainer(
        model=model, callbacks=[Validation(predictor)], num_epochs=2, run_dir=trainer_dir
    ).fit()


def test_a_validation_writes_into_the_folder_of_the_run_and_the_last_one_stays(tmp_path):
    validated(PredictionPictures(side=SIDE), tmp_path)
    grid = read(tmp_path / "predictions.png")
    assert cell(grid, 0, 0)[5, 5].tolist() == [177, 50, 50]
    assert cell(grid, 0, 1)[5, 5].tolist() == [50, 177, 50]


def test_a_folder_of_its_own_stays_that_of_the_predictor(tmp_path):
    validated(PredictionPictures(side=SIDE), tmp_path / "run", run_dir=tmp_path / "own")
    assert (tmp_path / "own" / "predictions.png").exists()
    assert not (tmp_path / "run" / "predictions.png").exists()


def test_a_predictor_that_is_used_again_writes_into_the_newer_run(tmp_path):
    model = TinyModel()
    predictor = Predictor(model, DataLoader([scene()], batch_size=1))
    for name in ("first", "second"):
        make_trainer(model=model, callbacks=[Validation(predictor)], run_dir=tmp_path / name)
    assert predictor.run_dir == tmp_path / "second"


def test_a_failed_prediction_leaves_the_older_file(tmp_path):
    path = tmp_path / "grid.png"
    path.write_text("older")
    pictures = PredictionPictures(path)
    with pytest.raises(IndexError):
        predictor_of([scene(), scene()], {"seg": torch.ones(1, 32, 64)}, pictures).fit()
    assert path.read_text() == "older"
    assert list(tmp_path.iterdir()) == [path]


def test_nothing_to_draw_is_said(tmp_path, caplog):
    path = tmp_path / "grid.png"
    with caplog.at_level(logging.WARNING):
        predictor_of([scene()], {"logits": torch.zeros(1, 2)}, PredictionPictures(path)).fit()
    assert "nothing to draw" in caplog.text
    assert not path.exists()


def test_a_picture_that_is_not_uint8_is_refused(tmp_path):
    sample = {"img": torch.zeros(3, 32, 64)}
    pictures = PredictionPictures(tmp_path / "grid.png")
    with pytest.raises(ValueError, match=r"uint8 pictures, got torch\.float32"):
        predictor_of([sample], {"bboxes": [boxes()]}, pictures).fit()


def test_a_trainer_is_refused(tmp_path):
    with pytest.raises(ValueError, match="callbacks of a Predictor"):
        make_trainer(callbacks=[PredictionPictures(tmp_path / "grid.png")])


@pytest.mark.parametrize("name", ["num_samples", "side"])
def test_counts_below_1_are_refused(name):
    with pytest.raises(ValueError, match=f"{name} must be at least 1, got 0"):
        PredictionPictures(**{name: 0})


def test_the_same_predictions_give_the_same_file(tmp_path):
    preds = {"bboxes": [boxes([2, 20, 12, 30])], "classes": [torch.tensor([0])]}
    first = grid_of(tmp_path, [scene()], preds)
    data = (tmp_path / "grid.png").read_bytes()
    assert np.array_equal(first, grid_of(tmp_path, [scene()], preds))
    assert (tmp_path / "grid.png").read_bytes() == data
