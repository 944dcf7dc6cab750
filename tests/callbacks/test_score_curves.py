"""Losses and scores over steps, in one picture."""

import sys

import cv2
import numpy as np
import pytest
from helpers import make_trainer, tiny_graph

from hat.callbacks import Callback, Checkpoint, ScoreCurves, StatsMonitor
from hat.engine.progress import Progress
from hat.engine.scores import Scores


class Write(Callback):
    """Writes scores after each step, and others after each epoch."""

    def __init__(self, *names):
        self.names = names

    def on_step_end(self, *, progress, scores, **kwargs):
        for name in self.names:
            scores.write(name, progress.num_steps_done / 10, progress.num_steps_done)

    def on_epoch_end(self, *, progress, scores, **kwargs):
        scores.write("val/e", progress.num_epochs_done, progress.num_steps_done, True)


class FailAt(Callback):
    def __init__(self, step):
        self.step = step

    def on_step_end(self, *, progress, **kwargs):
        if progress.num_steps_done == self.step:
            raise RuntimeError("failed")


def curves_of(*callbacks, **kwargs):
    """The curves of a run of four steps."""
    curves = ScoreCurves(kwargs.pop("path"), **kwargs)
    make_trainer(callbacks=[*callbacks, curves], batch_size=10, num_epochs=2).fit()
    return curves


def test_the_picture_lies_in_the_folder_of_the_run(tmp_path):
    folder = tmp_path / "läuft 走"
    make_trainer(callbacks=[StatsMonitor(1), ScoreCurves()], run_dir=folder, num_epochs=1).fit()
    data = np.fromfile(folder / "curves.png", np.uint8)
    picture = cv2.imdecode(data, cv2.IMREAD_COLOR)
    assert picture.ndim == 3
    assert picture.std() > 0
    assert not list(folder.glob(".*"))


def test_every_score_has_its_steps_and_values(tmp_path):
    curves = curves_of(Write("val/s"), path=tmp_path / "c.png").state_dict()["curves"]
    assert curves == {"val/s": [[1, 2, 3, 4], [0.1, 0.2, 0.3, 0.4]], "val/e": [[2, 4], [1.0, 2.0]]}


def test_speed_and_memory_are_left_out(tmp_path):
    curves = curves_of(StatsMonitor(1), path=tmp_path / "c.png").state_dict()["curves"]
    assert set(curves) == {"train/loss", "train/lr"}


def test_patterns_pick_scores(tmp_path):
    names = ["val/det/*", "train/lr"]
    written = Write("val/det/AP", "val/seg/mIoU")
    curves = curves_of(written, StatsMonitor(1), path=tmp_path / "c.png", names=names)
    assert set(curves.state_dict()["curves"]) == {"val/det/AP", "train/lr"}


def test_one_pattern_is_no_list_of_letters(tmp_path):
    curves = curves_of(Write("val/s"), path=tmp_path / "c.png", names="val/e")
    assert set(curves.state_dict()["curves"]) == {"val/e"}


def test_scores_that_compare_share_a_panel(tmp_path):
    scores = ("val/loss", "val/det/AP", "val/det/AP50", "val/det/loss", "val/seg/mIoU", "val/acc")
    curves = curves_of(Write(*scores, "train/acc"), StatsMonitor(1), path=tmp_path / "c.png")
    assert curves._panels() == {
        "loss": ["val/loss", "train/loss"],
        "det loss": ["val/det/loss"],
        "acc": ["val/acc", "train/acc"],
        "e": ["val/e"],
        "lr": ["train/lr"],
        "det AP": ["val/det/AP", "val/det/AP50"],
        "seg mIoU": ["val/seg/mIoU"],
    }


def test_the_losses_of_a_task_share_a_panel(tmp_path):
    curves = ScoreCurves(tmp_path / "c.png")
    make_trainer(model=tiny_graph(), callbacks=[StatsMonitor(1), curves], num_epochs=1).fit()
    assert curves._panels() == {
        "loss": ["train/loss"],
        "other loss": ["train/other/ce"],
        "side loss": ["train/side/ce"],
        "lr": ["train/lr"],
    }


def test_what_is_written_behind_it_is_drawn_too(tmp_path):
    curves = ScoreCurves(tmp_path / "c.png")
    make_trainer(callbacks=[curves, Write("val/s")], batch_size=10, num_epochs=1).fit()
    assert curves.state_dict()["curves"]["val/e"] == [[2], [1.0]]


def test_its_state_has_what_was_written_behind_it(tmp_path):
    curves, states = ScoreCurves(tmp_path / "c.png"), []

    class Save(Callback):
        def on_step_end(self, **kwargs):
            states.append(curves.state_dict()["curves"]["val/s"][0])

    make_trainer(callbacks=[curves, Write("val/s"), Save()], batch_size=10, num_epochs=1).fit()
    assert states == [[1], [1, 2]]


def test_it_knows_the_losses_of_a_run_that_is_over(tmp_path):
    curves, loaded = (ScoreCurves(tmp_path / "c.png") for _ in range(2))
    make_trainer(model=tiny_graph(), callbacks=[StatsMonitor(1), curves], num_epochs=1).fit()
    loaded.load_state_dict(curves.state_dict())
    assert loaded._panels() == curves._panels()


def run(folder, *callbacks, num_epochs=4):
    curves = ScoreCurves(folder / "curves.png")
    checkpoint = Checkpoint(folder=folder / "checkpoints", by="step", resume="auto")
    trainer = make_trainer(
        callbacks=[Write("val/s"), StatsMonitor(1), curves, checkpoint, *callbacks],
        batch_size=10,
        num_epochs=num_epochs,
    )
    trainer.fit()


@pytest.mark.parametrize("step", [3, 4])
def test_a_resumed_run_draws_the_same_bytes(step, tmp_path):
    run(tmp_path / "whole")
    with pytest.raises(RuntimeError, match="failed"):
        run(tmp_path / "cut", FailAt(step))
    broken = (tmp_path / "cut" / "curves.png").read_bytes()
    run(tmp_path / "cut")
    whole = (tmp_path / "whole" / "curves.png").read_bytes()
    assert (tmp_path / "cut" / "curves.png").read_bytes() == whole
    assert broken != whole


def test_steps_that_are_done_again_are_dropped(tmp_path):
    curves = ScoreCurves(tmp_path / "c.png")
    curves.load_state_dict({"curves": {"val/s": [[1, 2, 3], [0.1, 0.2, 0.3]]}, "losses": []})
    progress = Progress()
    progress.num_steps_done = 2
    curves.on_loop_begin(progress=progress, scores=Scores())
    assert curves.state_dict()["curves"] == {"val/s": [[1, 2], [0.1, 0.2]]}


@pytest.mark.parametrize(("interval_s", "count"), [(0.0, 3), (1e9, 2)])
def test_it_is_drawn_at_most_so_often_and_at_the_end(interval_s, count, tmp_path, monkeypatch):
    drawn = []
    draw = ScoreCurves._draw
    monkeypatch.setattr(ScoreCurves, "_draw", lambda self: (drawn.append(1), draw(self)))
    curves_of(Write("val/s"), path=tmp_path / "c.png", interval_s=interval_s)
    assert len(drawn) == count


def test_it_is_drawn_after_an_error(tmp_path):
    curves = ScoreCurves(tmp_path / "c.png", interval_s=1e9)
    trainer = make_trainer(callbacks=[Write("val/s"), curves, FailAt(3)], batch_size=10)
    with pytest.raises(RuntimeError, match="failed"):
        trainer.fit()
    assert (tmp_path / "c.png").exists()
    assert curves.state_dict()["curves"]["val/s"][0] == [1, 2, 3]


def test_a_run_without_scores_writes_nothing(tmp_path):
    make_trainer(callbacks=[ScoreCurves(tmp_path / "c.png")], num_epochs=1).fit()
    assert list(tmp_path.iterdir()) == []


class WriteOdd(Callback):
    """Values that are no numbers, and a name that looks like a formula."""

    def on_step_end(self, *, progress, scores, **kwargs):
        value = {1: float("nan"), 2: float("inf")}.get(progress.num_steps_done, 1.0)
        scores.write("val/a$_{b$", value, progress.num_steps_done)


def test_odd_values_and_names_are_drawn(tmp_path):
    curves_of(WriteOdd(), path=tmp_path / "c.png")
    assert (tmp_path / "c.png").exists()


def test_nothing_global_is_changed(tmp_path):
    import matplotlib

    before = dict(matplotlib.rcParams)
    curves_of(Write("val/s"), path=tmp_path / "c.png")
    assert dict(matplotlib.rcParams) == before
    assert (
        "matplotlib.pyplot" not in sys.modules or not sys.modules["matplotlib.pyplot"].get_fignums()
    )


def test_a_missing_package_is_named_when_it_is_made(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(ImportError, match=r"ScoreCurves needs matplotlib.*hat-framework\[plot\]"):
        ScoreCurves()


def test_without_a_folder_it_is_refused():
    with pytest.raises(ValueError, match="ScoreCurves has no file"):
        make_trainer(callbacks=[ScoreCurves()])
