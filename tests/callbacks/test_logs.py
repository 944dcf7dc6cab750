"""What is written of a run: lines of JSON, a table, TensorBoard."""

import csv
import json

import pytest
import torch
from helpers import make_trainer

from hat.callbacks import Callback, Checkpoint, CsvLog, RunLog, StatsMonitor, TensorBoard
from hat.callbacks.run_log import read_log


def refuse(name):
    raise ValueError(f"{name} is not JSON")


def strict_json(text):
    return json.loads(text, parse_constant=refuse)


class Write(Callback):
    """Writes `s` after each step and `e` after each epoch."""

    def on_step_end(self, *, progress, scores, **kwargs):
        scores.write("s", progress.num_steps_done / 10, progress.num_steps_done)

    def on_epoch_end(self, *, progress, scores, **kwargs):
        scores.write("e", progress.num_epochs_done, progress.num_steps_done, True)


class FailAt(Callback):
    def __init__(self, step, error=RuntimeError):
        self.step = step
        self.error = error

    def on_step_end(self, *, progress, **kwargs):
        if progress.num_steps_done == self.step:
            raise self.error("failed")


class LastWords(Callback):
    """Writes when the loop has ended, behind every log."""

    def on_loop_end(self, *, progress, scores, **kwargs):
        scores.write("last", 1.0, progress.num_steps_done)


def run(folder, log, *callbacks, fails=False, **kwargs):
    """Two steps an epoch, two epochs; checkpoints after each epoch."""
    checkpoint = Checkpoint(folder=folder / "checkpoints", resume="auto")
    trainer = make_trainer(
        callbacks=[Write(), log, checkpoint, *callbacks], batch_size=10, **kwargs
    )
    if fails:
        with pytest.raises(RuntimeError):
            trainer.fit()
    else:
        trainer.fit()


WHOLE = [
    {"step": 1, "epoch": 0, "s": 0.1},
    {"step": 2, "epoch": 0, "s": 0.2},
    {"step": 2, "epoch": 1, "e": 1.0},
    {"step": 3, "epoch": 1, "s": 0.3},
    {"step": 4, "epoch": 1, "s": 0.4},
    {"step": 4, "epoch": 2, "e": 2.0},
]


def test_the_log_has_every_score_by_its_step(tmp_path):
    run(tmp_path, RunLog(tmp_path))
    assert read_log(tmp_path / "log.jsonl") == WHOLE


def test_scores_of_one_step_share_a_line(tmp_path):
    run(tmp_path, RunLog(tmp_path), num_epochs=1)
    make_trainer(callbacks=[StatsMonitor(2), RunLog(tmp_path / "b")], num_epochs=1).fit()
    lines = read_log(tmp_path / "b" / "log.jsonl")
    assert [line["step"] for line in lines] == [2, 4]
    assert {"train/loss", "train/lr", "train/samples_per_s"} < lines[0].keys()


def test_scores_have_last_and_best(tmp_path):
    run(tmp_path, RunLog(tmp_path))
    scores = strict_json((tmp_path / "scores.json").read_text())
    assert scores["e"] == {
        "last": {"value": 2.0, "step": 4},
        "best": {"value": 2.0, "step": 4},
        "higher_is_better": True,
    }
    assert scores["s"]["best"] is None


def test_the_folder_of_the_run_is_the_default(tmp_path):
    make_trainer(callbacks=[Write()], run_dir=tmp_path / "läuft 走", num_epochs=1).fit()
    assert (tmp_path / "läuft 走" / "log.jsonl").exists()


def test_what_is_written_last_is_logged_too(tmp_path):
    run(tmp_path, RunLog(tmp_path), LastWords())
    assert read_log(tmp_path / "log.jsonl")[-1] == {"step": 4, "epoch": 2, "last": 1.0}
    assert "last" in strict_json((tmp_path / "scores.json").read_text())


def test_files_are_whole_after_an_error(tmp_path):
    run(tmp_path, RunLog(tmp_path), FailAt(3), fails=True)
    assert read_log(tmp_path / "log.jsonl") == WHOLE[:4]
    assert strict_json((tmp_path / "scores.json").read_text())["s"]["last"]["step"] == 3


def test_each_line_is_on_disk_when_its_step_ends(tmp_path):
    seen = []

    class Look(Callback):
        def on_step_end(self, **kwargs):
            seen.append(len(read_log(tmp_path / "log.jsonl")))

    run(tmp_path, RunLog(tmp_path), Look(), num_epochs=1)
    assert seen == [1, 2]


def test_a_resumed_run_drops_the_lines_of_steps_that_are_done_again(tmp_path):
    run(tmp_path, RunLog(tmp_path), FailAt(3), fails=True)
    run(tmp_path, RunLog(tmp_path))
    assert read_log(tmp_path / "log.jsonl") == WHOLE


def test_a_run_that_begins_again_begins_its_log_again(tmp_path):
    for _ in range(2):
        make_trainer(callbacks=[Write(), RunLog(tmp_path)], batch_size=10, num_epochs=2).fit()
    assert read_log(tmp_path / "log.jsonl") == WHOLE


def test_a_last_line_that_was_cut_short_is_dropped_at_a_resume(tmp_path):
    run(tmp_path, RunLog(tmp_path), FailAt(3), fails=True)
    with (tmp_path / "log.jsonl").open("a") as file:
        file.write('{"step": 3, "epo')
    run(tmp_path, RunLog(tmp_path))
    assert read_log(tmp_path / "log.jsonl") == WHOLE


def test_reading_a_log_that_is_not_there_gives_no_lines(tmp_path):
    assert read_log(tmp_path / "log.jsonl") == []


class WriteNan(Callback):
    def on_step_end(self, *, progress, scores, **kwargs):
        scores.write("nan", float("nan"), progress.num_steps_done, True)
        scores.write("inf", float("inf"), progress.num_steps_done, False)


def test_values_that_are_not_finite_are_valid_json_in_the_log(tmp_path):
    make_trainer(callbacks=[WriteNan(), RunLog(tmp_path)], num_epochs=1).fit()
    for line in (tmp_path / "log.jsonl").read_text().splitlines():
        strict_json(line)


def test_values_that_are_not_finite_are_valid_json_in_the_scores(tmp_path):
    make_trainer(callbacks=[WriteNan(), RunLog(tmp_path)], num_epochs=1).fit()
    assert set(strict_json((tmp_path / "scores.json").read_text())) == {"nan", "inf"}


def rows(path):
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.reader(file))


WHOLE_TABLE = [
    ["step", "epoch", "name", "value"],
    ["1", "0", "s", "0.1"],
    ["2", "0", "s", "0.2"],
    ["2", "1", "e", "1.0"],
    ["3", "1", "s", "0.3"],
    ["4", "1", "s", "0.4"],
    ["4", "2", "e", "2.0"],
]


def test_the_table_has_a_row_for_each_score(tmp_path):
    run(tmp_path, CsvLog(tmp_path / "scores.csv"))
    assert rows(tmp_path / "scores.csv") == WHOLE_TABLE


def test_the_table_lies_in_the_folder_of_the_run(tmp_path):
    make_trainer(callbacks=[Write(), CsvLog()], run_dir=tmp_path, num_epochs=1).fit()
    assert len(rows(tmp_path / "scores.csv")) == 6


def test_the_table_is_whole_after_an_error(tmp_path):
    run(tmp_path, CsvLog(tmp_path / "scores.csv"), FailAt(3), fails=True)
    assert rows(tmp_path / "scores.csv") == WHOLE_TABLE[:5]


def test_a_resumed_run_drops_the_rows_of_steps_that_are_done_again(tmp_path):
    run(tmp_path, CsvLog(tmp_path / "scores.csv"), FailAt(3), fails=True)
    run(tmp_path, CsvLog(tmp_path / "scores.csv"))
    assert rows(tmp_path / "scores.csv") == WHOLE_TABLE


@pytest.mark.parametrize("rest", ["3", "3,1", "3,1,s", "3,1,s,0."])
def test_a_last_row_that_was_cut_short_is_dropped_at_a_resume(tmp_path, rest):
    run(tmp_path, CsvLog(tmp_path / "scores.csv"), FailAt(3), fails=True)
    with (tmp_path / "scores.csv").open("a", newline="") as file:
        file.write(rest)
    run(tmp_path, CsvLog(tmp_path / "scores.csv"))
    assert rows(tmp_path / "scores.csv") == WHOLE_TABLE


def test_values_of_the_table_are_exact(tmp_path):
    class Third(Callback):
        def on_step_end(self, *, progress, scores, **kwargs):
            scores.write("third", 1 / 3, progress.num_steps_done)

    make_trainer(callbacks=[Third(), CsvLog(tmp_path / "a.csv")], num_epochs=1).fit()
    assert float(rows(tmp_path / "a.csv")[1][3]) == 1 / 3


def scalars(folder):
    """Every scalar that TensorBoard reads, as {name: [(step, value), ...]}."""
    accumulators = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    accumulator = accumulators.EventAccumulator(str(folder))
    accumulator.Reload()
    return {
        name: [(event.step, event.value) for event in accumulator.Scalars(name)]
        for name in accumulator.Tags()["scalars"]
    }


def near(values):
    return [(step, pytest.approx(value, rel=1e-6)) for step, value in values]


def test_tensorboard_reads_every_score_at_its_step(tmp_path):
    run(tmp_path, TensorBoard(tmp_path / "tb"))
    found = scalars(tmp_path / "tb")
    assert found["s"] == near([(1, 0.1), (2, 0.2), (3, 0.3), (4, 0.4)])
    assert found["e"] == near([(2, 1.0), (4, 2.0)])


def test_tensorboard_lies_in_the_folder_of_the_run(tmp_path):
    make_trainer(callbacks=[Write(), TensorBoard()], run_dir=tmp_path, num_epochs=1).fit()
    assert len(scalars(tmp_path / "tensorboard")["s"]) == 4


def test_tensorboard_has_what_came_before_an_error(tmp_path):
    run(tmp_path, TensorBoard(tmp_path / "tb"), FailAt(3), fails=True)
    assert scalars(tmp_path / "tb")["s"] == near([(1, 0.1), (2, 0.2), (3, 0.3)])


def test_tensorboard_shows_no_step_twice_after_a_resume(tmp_path):
    run(tmp_path, TensorBoard(tmp_path / "tb"), FailAt(3), fails=True)
    run(tmp_path, TensorBoard(tmp_path / "tb"))
    assert scalars(tmp_path / "tb")["s"] == near([(1, 0.1), (2, 0.2), (3, 0.3), (4, 0.4)])


def test_tensorboard_shows_no_step_twice_after_a_run_that_begins_again(tmp_path):
    for _ in range(2):
        make_trainer(callbacks=[Write(), TensorBoard(tmp_path / "tb")], num_epochs=1).fit()
    assert scalars(tmp_path / "tb")["s"] == near([(1, 0.1), (2, 0.2), (3, 0.3), (4, 0.4)])


@pytest.mark.parametrize("log", [RunLog, CsvLog, TensorBoard])
def test_a_log_without_a_folder_is_refused(log):
    with pytest.raises(ValueError, match=f"{log.__name__} has no"):
        make_trainer(callbacks=[log()])


@pytest.mark.parametrize("log", [RunLog, CsvLog, TensorBoard])
def test_logging_does_not_change_training(tmp_path, log):
    plain, logged = make_trainer(), make_trainer(callbacks=[log(tmp_path / "log")])
    plain.fit()
    logged.fit()
    assert torch.equal(logged.model.head.weight, plain.model.head.weight)
