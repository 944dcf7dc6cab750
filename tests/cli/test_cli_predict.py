"""`hat validate` and `hat predict`: what a trained model says of data."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from running import DIGITS, POINTS, checkpoints, read_json, run_hat
from sklearn.datasets import load_digits


def best_accuracy(run):
    return read_json(run / "scores.json")["val/acc"]["best"]["value"]


def last_accuracy(run):
    return read_json(run / "scores.json")["val/acc"]["last"]["value"]


def save_picture(path, number=0, size=(8, 8)):
    """A picture of noise, the same for the same number."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(number).integers(0, 256, (*size, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    return path


# --- validate


def test_validating_a_run_gives_the_accuracy_of_its_best_checkpoint(points_run):
    done = run_hat("validate", points_run)
    assert f"val/acc {best_accuracy(points_run)!r}\n" in done.out


def test_the_best_checkpoint_is_not_just_the_newest():
    # the highest loss is that of the first epoch
    best = ("float_trainer.callbacks[3].best=val/loss", "float_trainer.callbacks[3].mode=max")
    run_hat("train", POINTS, *best, "--out", "run")
    log = [json.loads(line) for line in Path("run/log.jsonl").read_text().splitlines()]
    losses = [line["val/loss"] for line in log if "val/loss" in line]
    assert f"val/loss {losses[0]!r}\n" in run_hat("validate", "run").out
    assert f"val/loss {losses[-1]!r}\n" in run_hat("validate", "run", "--checkpoint", "last").out


def test_the_best_of_each_of_several_scores_can_be_named():
    # the highest loss is that of the first epoch, the highest accuracy comes later
    several = 'best=["val/loss", "val/acc"], mode="max"'
    Path("several.py").write_text(POINTS.read_text().replace('best="val/acc"', several))
    run_hat("train", "several.py", "--out", "run")
    log = [json.loads(line) for line in Path("run/log.jsonl").read_text().splitlines()]
    losses = [line["val/loss"] for line in log if "val/loss" in line]
    assert f"val/loss {losses[0]!r}\n" in run_hat("validate", "run").out
    done = run_hat("validate", "run", "--checkpoint", "best:val/acc")
    assert f"val/acc {best_accuracy(Path('run'))!r}\n" in done.out
    done = run_hat("validate", "run", "--checkpoint", "best:val/ac")
    assert (done.code, "but of val/loss, val/acc. Did you mean 'val/acc'?" in done.err) == (2, True)


def test_validating_the_last_checkpoint_gives_the_last_accuracy(points_run):
    done = run_hat("validate", points_run, "--checkpoint", "last")
    assert f"val/acc {last_accuracy(points_run)!r}\n" in done.out


def test_validating_a_checkpoint_by_its_path_gives_its_accuracy(points_run):
    path = points_run / "checkpoints" / checkpoints(points_run)[-1]
    done = run_hat("validate", points_run, "--checkpoint", path)
    assert f"val/acc {last_accuracy(points_run)!r}\n" in done.out


def test_a_config_can_be_validated_with_the_weights_of_a_run(points_run):
    weights = points_run / "checkpoints" / checkpoints(points_run)[-1] / "model.safetensors"
    done = run_hat("validate", POINTS, "--checkpoint", weights)
    assert f"val/acc {last_accuracy(points_run)!r}\n" in done.out


def test_a_config_can_be_validated_with_the_weights_that_it_makes():
    assert run_hat("validate", POINTS, "--checkpoint", "none").code == 0


def test_the_batch_size_does_not_change_the_accuracy(points_run):
    one = run_hat("validate", points_run, "float_predictor.data_loader.batch_size=1")
    assert f"val/acc {best_accuracy(points_run)!r}\n" in one.out


def test_validating_leaves_the_run_as_it_is(points_run):
    before = sorted(path for path in points_run.rglob("*"))
    run_hat("validate", points_run)
    assert sorted(path for path in points_run.rglob("*")) == before


def test_a_checkpoint_that_is_broken_is_refused(points_run):
    shutil.copytree(points_run, "run")
    path = Path("run/checkpoints", checkpoints(points_run)[-1])
    (path / "model.safetensors").write_bytes(b"nothing")
    done = run_hat("validate", "run", "--checkpoint", path)
    assert done.code == 2
    assert "model.safetensors has 7 bytes" in done.err
    assert "Traceback" not in done.err


def test_weights_of_another_model_are_refused_with_the_names(points_run, digits_run):
    path = digits_run / "checkpoints" / checkpoints(digits_run)[-1]
    done = run_hat("validate", points_run, "--checkpoint", path)
    assert done.code == 2
    assert "does not fit TinyModel: the file lacks body.0.weight" in done.err


def test_a_run_without_checkpoints_is_refused(points_run):
    shutil.copytree(points_run, "run")
    shutil.rmtree("run/checkpoints")
    done = run_hat("validate", "run")
    assert (done.code, "run/checkpoints has no checkpoint" in done.err) == (2, True)


def test_the_best_of_a_run_that_kept_none_is_refused():
    run_hat("train", POINTS, "float_trainer.callbacks[3].best=none", "--out", "run")
    done = run_hat("validate", "run", "--checkpoint", "best")
    assert (done.code, "kept no best checkpoint" in done.err) == (2, True)


def test_without_a_best_checkpoint_the_last_is_used():
    run_hat("train", POINTS, "float_trainer.callbacks[3].best=none", "--out", "run")
    assert f"val/acc {last_accuracy(Path('run'))!r}\n" in run_hat("validate", "run").out


# --- predict the config's own data


def test_predicting_the_data_of_the_config_gives_its_accuracy_to_the_last_digit(digits_run):
    done = run_hat("predict", digits_run, "--out", "p.json")
    assert read_json("p.json")["scores"]["val/acc"] == best_accuracy(digits_run)
    assert f"val/acc {best_accuracy(digits_run)!r}\n" in done.out


def test_the_predictions_themselves_have_that_accuracy(digits_run):
    run_hat("predict", digits_run, "--out", "p.json")
    hits = [p["classes"] == p["label"] for p in read_json("p.json")["predictions"]]
    assert sum(hits) / len(hits) == best_accuracy(digits_run)


def test_every_sample_is_predicted_once_with_its_own_label(digits_run):
    run_hat("predict", digits_run, "--out", "p.json")
    predictions = read_json("p.json")["predictions"]
    # every fifth of the 1,797 digits, from the fifth on, is held out
    assert [p["img_id"] for p in predictions] == list(range(4, 1797, 5))
    assert [p["label"] for p in predictions] == load_digits().target[4::5].tolist()


def test_a_prediction_has_class_name_and_probability(digits_run):
    run_hat("predict", digits_run, "--out", "p.json")
    first = read_json("p.json")["predictions"][0]
    assert set(first) == {"img_id", "label", "classes", "class_names", "scores"}
    assert first["class_names"] == str(first["classes"])
    assert 0.1 <= first["scores"] <= 1  # the best of ten


def test_predictions_go_to_the_run_by_default(digits_run):
    shutil.copytree(digits_run, "run")
    done = run_hat("predict", "run")
    assert Path("run/predictions.json").exists()
    assert done.out.splitlines()[-1] == "predictions: run/predictions.json"


def test_predictions_of_the_last_checkpoint_have_the_last_accuracy(digits_run):
    run_hat("predict", digits_run, "--checkpoint", "last", "--out", "p.json")
    assert read_json("p.json")["scores"]["val/acc"] == last_accuracy(digits_run)


def test_the_data_of_another_split_can_be_predicted(digits_run):
    run_hat("predict", digits_run, "val_loader.dataset.split=train", "--out", "p.json")
    assert len(read_json("p.json")["predictions"]) == 1438


# --- predict pictures


def test_a_picture_is_predicted(digits_run):
    save_picture("a.png")
    done = run_hat("predict", digits_run, "a.png", "--out", "p.json")
    [prediction] = read_json("p.json")["predictions"]
    assert done.code == 0
    assert prediction["img_path"] == "a.png"
    assert prediction["class_names"] == str(prediction["classes"])


def test_a_digit_from_a_file_is_predicted_like_the_digit_of_the_data_set(digits_run):
    run_hat("predict", digits_run, "--out", "all.json")
    first = read_json("all.json")["predictions"][0]
    grey = np.rint(load_digits().images[first["img_id"]] * 255 / 16).astype(np.uint8)
    Image.fromarray(grey).save("digit.png")
    run_hat("predict", digits_run, "digit.png", "--out", "one.json")
    [prediction] = read_json("one.json")["predictions"]
    assert prediction["classes"] == first["classes"]
    assert prediction["scores"] == pytest.approx(first["scores"], abs=1e-6)


def test_all_pictures_of_a_folder_are_predicted(digits_run):
    names = ["pics/a.png", "pics/deep/b.JPG", "pics/deep/größe é/c 1.bmp"]
    save_picture(names[0])
    save_picture(names[1])
    save_picture(names[2])
    Path("pics/notes.txt").write_text("no picture")
    run_hat("predict", digits_run, "pics", "--out", "p.json")
    assert sorted(p["img_path"] for p in read_json("p.json")["predictions"]) == sorted(names)


def test_files_and_folders_are_predicted_in_the_order_given(digits_run):
    save_picture("b.png")
    save_picture("pics/a.png")
    run_hat("predict", digits_run, "b.png", "pics", "b.png", "--out", "p.json")
    paths = [p["img_path"] for p in read_json("p.json")["predictions"]]
    assert paths == ["b.png", "pics/a.png", "b.png"]


def test_pictures_have_no_scores(digits_run):
    save_picture("a.png")
    done = run_hat("predict", digits_run, "a.png", "--out", "p.json")
    assert read_json("p.json")["scores"] == {}
    assert done.out == "predictions: p.json\n"


def test_a_picture_named_like_an_override_is_a_picture(digits_run):
    save_picture("a=1.png")
    run_hat("predict", digits_run, "a=1.png", "--out", "p.json")
    assert [p["img_path"] for p in read_json("p.json")["predictions"]] == ["a=1.png"]


def test_pictures_and_overrides_may_be_mixed(digits_run):
    save_picture("a.png")
    save_picture("b.png", size=(16, 16))
    done = run_hat(
        "predict", digits_run, "a.png", "val_loader.batch_size=1", "b.png", "--out", "p.json"
    )
    assert done.code == 0
    assert len(read_json("p.json")["predictions"]) == 2


def test_the_transform_of_the_config_is_applied_to_pictures(digits_run):
    save_picture("a.png", size=(8, 8))
    save_picture("b.png", size=(20, 30))
    resize = "val_loader.dataset.transform=[{type: torchvision.transforms.v2.Resize, size: [8, 8]}]"
    done = run_hat("predict", digits_run, "a.png", "b.png", resize, "--out", "p.json")
    assert done.code == 0


def test_predictions_can_be_written_to_a_new_folder(digits_run):
    save_picture("a.png")
    run_hat("predict", digits_run, "a.png", "--out", "new/größe/p.json")
    assert Path("new/größe/p.json").exists()


def test_a_config_predicts_with_given_weights(digits_run):
    save_picture("a.png")
    small = ("model.backbone={type: ConvNet, channels: [4], depth: 1}", "model.head.in_channels=4")
    best = digits_run / "checkpoints" / checkpoints(digits_run)[-1]
    done = run_hat("predict", DIGITS, *small, "a.png", "--checkpoint", best, "--out", "p.json")
    assert done.code == 0
    assert read_json("p.json")["classes"] == list("0123456789")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("missing.png", "missing.png: no such file or folder"),
        ("deep/missing.png", "deep/missing.png: no such file or folder"),
        ("empty", "empty: no picture in this folder"),
    ],
)
def test_a_picture_that_is_not_there_is_named(digits_run, name, message):
    save_picture("a.png")
    Path("empty").mkdir()
    done = run_hat("predict", digits_run, "a.png", name, "--out", "p.json")
    assert done.code == 2
    assert message in done.err
    assert "Traceback" not in done.err
    assert not Path("p.json").exists()


@pytest.mark.parametrize("content", [b"", b"no picture", b"\x89PNG\r\n\x1a\n"])
def test_a_file_that_is_no_picture_is_named_without_a_traceback(digits_run, content):
    Path("bad.png").write_bytes(content)
    done = run_hat("predict", digits_run, "bad.png", "--out", "p.json")
    assert done.code == 1
    assert "bad.png: cannot be decoded" in done.err
    assert "Traceback" not in done.err
    assert not Path("p.json").exists()


def test_pictures_are_refused_where_the_loader_has_no_data_set(write):
    config = POINTS.read_text().replace(
        'data_loader=dict(type="DataLoader", dataset=dict(type="helpers.Points"), batch_size=7)',
        'data_loader=dict(type="torch.utils.data.DataLoader", dataset=[1])',
    )
    write("config.py", config)
    save_picture("a.png")
    done = run_hat("predict", "config.py", "a.png", "--checkpoint", "none")
    assert done.code == 2
    assert "must be a dict with its transform" in done.err


def test_predictions_are_json_that_others_can_read(digits_run):
    run_hat("predict", digits_run, "--out", "p.json")
    content = json.loads(Path("p.json").read_text(), parse_constant=pytest.fail)
    assert set(content) == {"scores", "classes", "predictions"}
