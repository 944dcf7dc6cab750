"""`hat train`: a run in a folder of its own, that can be repeated and taken up again."""

import json
import shutil
import subprocess
import time
from pathlib import Path

import pytest
import torch
from running import DIGITS, POINTS, checkpoints, read_json, run_hat, weights

import hat
from hat.cli.run_folder import choose_folder
from hat.config import Config, load


def logged_steps(folder):
    return [json.loads(line)["step"] for line in (folder / "log.jsonl").read_text().splitlines()]


# --- what a run leaves behind


def test_a_run_leaves_its_config_log_scores_and_checkpoints(points_run):
    assert sorted(path.name for path in points_run.iterdir()) == [
        "checkpoints",
        "config.json",
        "log.jsonl",
        "scores.json",
    ]


def test_a_run_ends_with_a_checkpoint_of_its_last_step(points_run):
    # 20 points in batches of 5 are 4 steps an epoch, 12 in 3 epochs
    assert checkpoints(points_run)[-1] == "epoch-0003-step-00000012"


def test_the_config_of_a_run_is_the_one_that_was_resolved(points_run):
    assert load(points_run).values == load(POINTS).values


def test_the_config_of_a_run_shares_what_was_shared(points_run):
    values = load(points_run).values
    assert values["float_trainer"]["model"] is values["float_predictor"]["model"]


def test_the_record_of_a_run_says_what_was_asked_for():
    run_hat("train", POINTS, "num_epochs=1", "float_trainer.seed=3", "--out", "run")
    record = read_json("run/config.json")
    assert record["name"] == "points_config"
    assert record["config_file"] == str(POINTS)
    assert record["stage"] == "float"
    assert record["overrides"] == ["num_epochs=1", "float_trainer.seed=3"]
    assert record["config"]["float_trainer"]["num_epochs"] == 1


def test_the_record_of_a_run_says_with_which_versions(points_run):
    versions = read_json(points_run / "config.json")["versions"]
    assert versions["hat"] == hat.__version__
    assert versions["torch"] == torch.__version__.partition("+")[0]
    assert {"python", "platform", "torchvision", "numpy"} <= set(versions)


def test_the_record_of_a_run_outside_git_has_no_commit(monkeypatch, tmp_path):
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    run_hat("train", POINTS, "num_epochs=0", "--out", "run")
    assert read_json("run/config.json")["git"] is None


def make_repository(tmp_path):
    def git(*arguments):
        identity = ("-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false")
        command = ["git", *identity, *arguments]
        return subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, text=True)

    if shutil.which("git") is None:
        pytest.skip("needs git")
    git("init")
    (tmp_path / "a.txt").write_text("a")
    git("add", "a.txt")
    git("commit", "-m", "a")
    return git("rev-parse", "HEAD").stdout.strip()


def test_the_record_of_a_run_has_the_commit_of_the_folder(tmp_path, tmp_path_factory):
    commit = make_repository(tmp_path)
    folder = tmp_path_factory.mktemp("elsewhere") / "run"
    run_hat("train", POINTS, "num_epochs=0", "--out", folder)
    assert read_json(folder / "config.json")["git"] == {"commit": commit, "is_changed": False}


def test_the_record_of_a_run_says_that_files_were_changed_since_the_commit(tmp_path):
    commit = make_repository(tmp_path)
    (tmp_path / "a.txt").write_text("b")
    run_hat("train", POINTS, "num_epochs=0", "--out", "run")
    assert read_json("run/config.json")["git"] == {"commit": commit, "is_changed": True}


def test_the_scores_of_a_run_have_last_and_best(points_run):
    score = read_json(points_run / "scores.json")["val/acc"]
    assert score["last"]["step"] == 12
    assert score["best"]["value"] >= score["last"]["value"]
    assert score["higher_is_better"] is True


def test_the_log_of_a_run_has_the_scores_of_each_writing(points_run):
    assert sorted(set(logged_steps(points_run))) == [2, 4, 6, 8, 10, 12]


def test_the_log_and_the_scores_end_with_the_same_value(points_run):
    last_line = json.loads((points_run / "log.jsonl").read_text().splitlines()[-1])
    assert (
        read_json(points_run / "scores.json")["val/loss"]["last"]["value"] == last_line["val/loss"]
    )


def test_a_run_prints_its_scores_and_folder():
    done = run_hat("train", POINTS, "num_epochs=1", "--out", "my run")
    assert "val/acc" in done.out
    assert done.out.splitlines()[-1] == "run folder: my run"


# --- where a run goes


def test_a_run_goes_to_a_folder_named_after_its_config():
    run_hat("train", POINTS, "num_epochs=0")
    [folder] = Path("runs/points_config").iterdir()
    assert (folder / "config.json").exists()


def test_two_runs_of_one_second_go_to_two_folders(monkeypatch):
    monkeypatch.setattr(time, "strftime", lambda form: "now")
    config = Config(Path("a.py"), {})
    Path("runs/a/now").mkdir(parents=True)
    Path("runs/a/now-2").mkdir(parents=True)
    assert choose_folder(config, None) == Path("runs/a/now-3")


def test_a_run_may_go_to_an_empty_folder():
    Path("run").mkdir()
    assert run_hat("train", POINTS, "num_epochs=0", "--out", "run").code == 0


def test_a_run_makes_the_folders_above_its_own():
    run_hat("train", POINTS, "num_epochs=0", "--out", "größe é/b c/run")
    assert Path("größe é/b c/run/config.json").exists()


def test_a_run_does_not_go_to_a_folder_that_holds_something(write):
    kept = write("run/notes.txt", "mine")
    done = run_hat("train", POINTS, "--out", "run")
    assert done.code == 2
    assert "run is not empty. Go on with the run in it: --resume" in done.err
    assert list(Path("run").iterdir()) == [kept.relative_to(Path.cwd())]


def test_a_run_does_not_go_to_a_file(write):
    write("run", "mine")
    done = run_hat("train", POINTS, "--out", "run")
    assert (done.code, "run is a file" in done.err) == (2, True)


def test_modules_beside_the_place_of_the_command_can_be_named(write):
    write("my_project_parts.py", "from helpers import TinyModel\nclass Mine(TinyModel): ...\n")
    assert run_hat("train", POINTS, "num_epochs=0", "model.type=my_project_parts.Mine").code == 0


# --- the same again


def test_the_same_command_gives_the_same_weights(points_run):
    run_hat("train", POINTS, "--out", "run")
    assert weights(Path("run")) == weights(points_run)


def test_a_run_repeated_from_its_folder_alone_gives_the_same_weights(points_run, write):
    config = shutil.copy(POINTS, "config.py")
    run_hat("train", config, "lr=0.3", "float_trainer.seed=5", "--out", "first")
    Path(config).unlink()
    run_hat("train", "first", "--out", "second")
    assert weights(Path("first")) == weights(Path("second"))
    assert weights(Path("first")) != weights(points_run)


def test_a_repeated_run_keeps_name_and_overrides():
    run_hat("train", POINTS, "num_epochs=1", "--out", "first")
    run_hat("train", "first", "--out", "second")
    record = read_json("second/config.json")
    assert (record["name"], record["overrides"]) == ("points_config", ["num_epochs=1"])
    assert record["config"] == read_json("first/config.json")["config"]


def test_another_seed_gives_other_weights(points_run):
    run_hat("train", POINTS, "float_trainer.seed=1", "--out", "run")
    assert weights(Path("run")) != weights(points_run)


def test_an_override_that_would_be_without_effect_on_a_run_is_refused(points_run):
    done = run_hat("train", points_run, "num_epochs=1", "--out", "run")
    assert (done.code, "num_epochs" in done.err) == (2, True)


@pytest.mark.slow
def test_the_digits_can_be_trained_and_repeated_bit_for_bit():
    first = run_hat("train", DIGITS, "num_epochs=1", "--out", "first")
    second = run_hat("train", "first", "--out", "second")
    assert (first.code, second.code) == (0, 0)
    assert weights(Path("first")) == weights(Path("second"))
    assert read_json("first/scores.json")["val/acc"]["last"]["value"] > 0.8


# --- going on


def test_a_run_that_was_cut_short_goes_on_to_the_same_weights(points_run):
    run_hat("train", POINTS, "--out", "run")
    newest = Path("run/checkpoints/epoch-0003-step-00000012")
    shutil.rmtree(newest)
    assert weights(Path("run")) != weights(points_run)
    done = run_hat("train", "run", "--resume")
    assert "resumed from run/checkpoints/epoch-0002-step-00000008" in done.err
    assert weights(Path("run")) == weights(points_run)


def test_a_run_can_go_on_by_its_config_and_folder(points_run):
    run_hat("train", POINTS, "--out", "run")
    shutil.rmtree("run/checkpoints/epoch-0003-step-00000012")
    run_hat("train", POINTS, "--out", "run", "--resume")
    assert weights(Path("run")) == weights(points_run)


def test_the_log_of_a_run_that_went_on_is_that_of_one_that_was_not_cut_short(points_run):
    run_hat("train", POINTS, "--out", "run")
    shutil.rmtree("run/checkpoints/epoch-0003-step-00000012")
    run_hat("train", "run", "--resume")
    assert logged_steps(Path("run")) == logged_steps(points_run)


def test_a_finished_run_stays_as_it_is(points_run):
    shutil.copytree(points_run, "run")
    assert run_hat("train", "run", "--resume").code == 0
    assert weights(Path("run")) == weights(points_run)


def test_a_finished_run_can_be_made_longer():
    run_hat("train", POINTS, "num_epochs=1", "--out", "run")
    run_hat("train", "run", "float_trainer.num_epochs=2", "--resume")
    assert checkpoints(Path("run"))[-1] == "epoch-0002-step-00000008"


def test_resuming_in_an_empty_folder_starts_from_the_beginning(points_run):
    done = run_hat("train", POINTS, "--out", "run", "--resume")
    assert "nothing to resume in run" in done.err
    assert weights(Path("run")) == weights(points_run)


def test_resuming_without_a_checkpoint_callback_is_refused_before_anything_is_written():
    done = run_hat("train", POINTS, "float_trainer.callbacks=[]", "--out", "run", "--resume")
    assert done.code == 2
    assert "--resume needs a Checkpoint among the callbacks" in done.err
    assert not Path("run").exists()


def test_resuming_without_a_folder_is_refused():
    done = run_hat("train", POINTS, "--resume")
    assert (done.code, "--out" in done.err) == (2, True)


def test_resuming_with_another_model_is_refused(points_run):
    shutil.copytree(points_run, "run")
    other = "model={type: torch.nn.Linear, in_features: 1, out_features: 1}"
    done = run_hat("train", POINTS, other, "--out", "run", "--resume")
    assert done.code != 0
    assert "the checkpoint is of another model" in done.err


def test_when_no_checkpoint_is_whole_resuming_says_so(points_run):
    shutil.copytree(points_run, "run")
    for path in Path("run/checkpoints").glob("*/model.safetensors"):
        path.write_bytes(path.read_bytes()[:-1])
    done = run_hat("train", "run", "--resume")
    assert done.code != 0
    assert "none of" in done.err
