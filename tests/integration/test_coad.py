"""Mask R-CNN on real pictures with polygons, of which one is listed and not there."""

from pathlib import Path

import pytest

from hat.config import Builder, load

CONFIG = Path(__file__).parents[2] / "configs" / "detection" / "coad.py"
MISSING = "Clases0000_jpg.rf.a968008492a77ec63e8325b8dc137706.jpg"

pytestmark = pytest.mark.shared


def build(shared_data, run_dir, *overrides):
    settings = [
        f"data_root={shared_data / 'coad_coco'}",
        "num_workers=0",
        "size=[64, 64]",
        "model.roi_heads.max_detections=5",
        "batch_size=2",
        "float_trainer.num_steps=2",
        "float_trainer.stop_by=step",
        *overrides,
    ]
    return Builder(load(CONFIG, settings)).build("float_trainer", run_dir=run_dir)


@pytest.mark.slow
def test_it_trains_and_validates_boxes_and_masks(shared_data, tmp_path):
    trainer = build(shared_data, tmp_path)
    scores = trainer.fit()
    assert trainer.progress.num_steps_done == 2
    assert 0 <= scores.last("val/AP").value <= 1
    assert 0 <= scores.last("val/mask_AP").value <= 1


def test_the_missing_picture_is_left_out_with_a_count(shared_data, tmp_path, caplog):
    dataset = build(shared_data, tmp_path).data_loader.dataset
    assert len(dataset) == 123
    assert "left out 1 of 124 pictures" in caplog.text


def test_the_missing_picture_may_be_an_error_that_names_it(shared_data, tmp_path):
    dataset = build(shared_data, tmp_path, "missing_images=raise").data_loader.dataset
    index = next(i for i in range(len(dataset)) if dataset.source(i).endswith(MISSING))
    with pytest.raises(FileNotFoundError, match=rf'{MISSING}.*missing_images="skip" leaves'):
        dataset[index]
