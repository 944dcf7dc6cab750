"""When checkpoints are saved, which are kept, and how a run takes one up."""

import logging

import pytest
import torch
from helpers import Recorder, TinyModel, make_trainer

from hat import store
from hat.callbacks import Callback, Checkpoint, Validation
from hat.engine.scores import Scores
from hat.store import CheckpointError


class Score(Callback):
    """Writes given values, one for each epoch, or step."""

    def __init__(self, *values, name="acc", by="epoch", higher_is_better=True):
        self.name = name
        self.values = values
        self.by = by
        self.higher_is_better = higher_is_better

    def writes(self):
        return [self.name]

    def on_step_end(self, *, progress, scores, outcome, **kwargs):
        if self.by == "step" and outcome.is_committed:
            self._write(progress.num_steps_done, progress, scores)

    def on_epoch_end(self, *, progress, scores, **kwargs):
        if self.by == "epoch":
            self._write(progress.num_epochs_done, progress, scores)

    def _write(self, number, progress, scores):
        value = self.values[number - 1]
        if value is not None:
            scores.write(self.name, value, progress.num_steps_done, self.higher_is_better)


class StopAt(Callback):
    def __init__(self, step):
        self.step = step

    def on_step_end(self, *, progress, **kwargs):
        if progress.num_steps_done == self.step:
            progress.stop("enough")


class SkipSteps(Callback):
    def __init__(self, *tried):
        self.tried = tried

    def on_optimizer_step_begin(self, *, progress, outcome, **kwargs):
        if progress.num_steps_tried in self.tried:
            outcome.skip("because")


def fit(*callbacks, **kwargs):
    trainer = make_trainer(callbacks=list(callbacks), **kwargs)
    trainer.fit()
    return trainer


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def epochs(folder):
    """The epochs whose ends are saved, of runs of four steps an epoch."""
    return [checkpoint.info["epoch"] for checkpoint in store.list_checkpoints(folder)]


def steps(folder):
    return [checkpoint.step for checkpoint in store.list_checkpoints(folder)]


def test_every_epoch_is_saved(tmp_path):
    fit(Checkpoint(folder=tmp_path, keep_last=9), num_epochs=3)
    assert names(tmp_path) == [
        "epoch-0001-step-00000004",
        "epoch-0002-step-00000008",
        "epoch-0003-step-00000012",
    ]


def test_every_other_epoch_and_the_end_are_saved(tmp_path):
    fit(Checkpoint(every=2, folder=tmp_path, keep_last=9), num_epochs=5)
    assert epochs(tmp_path) == [2, 4, 5]


def test_every_few_steps_and_the_end_are_saved(tmp_path):
    fit(Checkpoint(every=3, by="step", folder=tmp_path, keep_last=9), num_steps=7)
    assert steps(tmp_path) == [3, 6, 7]


def test_a_run_that_ends_inside_an_epoch_is_saved_there(tmp_path):
    fit(Checkpoint(folder=tmp_path), num_steps=6)
    assert names(tmp_path) == ["epoch-0001-step-00000004", "epoch-0001-step-00000006"]


def test_a_run_that_was_stopped_is_saved_where_it_stands(tmp_path):
    fit(StopAt(6), Checkpoint(folder=tmp_path, every=5), num_epochs=3)
    assert steps(tmp_path) == [6]


def test_skipped_steps_are_no_reason_to_save(tmp_path):
    # Steps 0, 1 and 2 are tried, and 1 is skipped.
    checkpoint = Checkpoint(by="step", folder=tmp_path, keep_last=9)
    fit(SkipSteps(1), checkpoint, num_steps=2)
    assert names(tmp_path) == ["epoch-0000-step-00000001", "epoch-0000-step-00000003"]


def test_the_newest_are_kept(tmp_path):
    fit(Checkpoint(folder=tmp_path, keep_last=2), num_epochs=5)
    assert epochs(tmp_path) == [4, 5]


def test_the_newest_are_kept_when_the_number_of_epochs_gets_a_digit_more(tmp_path):
    # As texts, epoch-10000 stands before epoch-9999.
    trainer = make_trainer(callbacks=[Checkpoint(folder=tmp_path)], num_epochs=10_001)
    trainer.progress.num_epochs_done = 9_997
    trainer.fit()
    assert epochs(tmp_path) == [10_000, 10_001]
    assert store.newest_checkpoint(tmp_path).info["epoch"] == 10_001


def test_the_newest_of_ten_thousand_epochs_is_resumed(tmp_path):
    state = {"model": {"w": torch.zeros(1)}}
    for epoch in (9_999, 10_000):
        name = f"epoch-{epoch:04d}-step-{4 * epoch:08d}"
        store.write_checkpoint(tmp_path, name, state, {"step": 4 * epoch, "epoch": epoch})
    assert store.newest_checkpoint(tmp_path).info["epoch"] == 10_000


def test_the_largest_score_is_kept(tmp_path):
    fit(Score(1, 9, 3, 4), Checkpoint(folder=tmp_path, keep_last=1, best="acc"), num_epochs=4)
    assert epochs(tmp_path) == [2, 4]


def test_the_smallest_score_is_kept_where_lower_is_better(tmp_path):
    score = Score(5, 1, 3, 4, higher_is_better=False)
    fit(score, Checkpoint(folder=tmp_path, keep_last=1, best="acc"), num_epochs=4)
    assert epochs(tmp_path) == [2, 4]


@pytest.mark.parametrize(("mode", "kept"), [("max", [2, 4]), ("min", [3, 4])])
def test_mode_says_what_is_best_where_the_writer_does_not(tmp_path, mode, kept):
    score = Score(5, 9, 1, 4, higher_is_better=None)
    checkpoint = Checkpoint(folder=tmp_path, keep_last=1, best="acc", mode=mode)
    fit(score, checkpoint, num_epochs=4)
    assert epochs(tmp_path) == kept


def test_mode_counts_more_than_the_writer(tmp_path):
    checkpoint = Checkpoint(folder=tmp_path, keep_last=1, best="acc", mode="min")
    fit(Score(5, 9, 1, 4, higher_is_better=True), checkpoint, num_epochs=4)
    assert epochs(tmp_path) == [3, 4]


def test_a_best_that_is_newest_needs_no_second_place(tmp_path):
    fit(Score(1, 2, 3, 4), Checkpoint(folder=tmp_path, keep_last=1, best="acc"), num_epochs=4)
    assert epochs(tmp_path) == [4]


def test_nan_is_never_the_best(tmp_path):
    nan = float("nan")
    score = Score(2, nan, 1, nan)
    fit(score, Checkpoint(folder=tmp_path, keep_last=1, best="acc"), num_epochs=4)
    assert epochs(tmp_path) == [1, 4]


def test_a_stale_score_is_not_the_best_of_a_later_checkpoint(tmp_path):
    # Written after the first epoch only; the later checkpoints still show its value.
    score = Score(9, None, None, None)
    fit(score, Checkpoint(folder=tmp_path, keep_last=1, best="acc"), num_epochs=4)
    assert epochs(tmp_path) == [1, 4]


def test_the_best_is_saved_off_schedule_at_the_end_of_an_epoch(tmp_path):
    checkpoint = Checkpoint(every=3, folder=tmp_path, keep_last=1, best="acc")
    fit(Score(1, 9, 3, 4, 5, 6), checkpoint, num_epochs=6)
    assert epochs(tmp_path) == [2, 6]


def test_a_value_below_the_best_is_not_saved_off_schedule(tmp_path):
    # The best, 9, is saved because it is time, and so must be remembered as 1 is.
    checkpoint = Checkpoint(every=2, folder=tmp_path, keep_last=9, best="acc")
    fit(Score(1, 9, 5, 4, 3, 2), checkpoint, num_epochs=6)
    assert epochs(tmp_path) == [1, 2, 4, 6]


def test_the_best_is_saved_off_schedule_after_a_step(tmp_path):
    checkpoint = Checkpoint(every=3, folder=tmp_path, keep_last=1, best="acc")
    fit(Score(1, 2, 9, 3, 4, 5, 6, 7, by="step"), checkpoint)
    assert steps(tmp_path) == [3, 8]


@pytest.mark.parametrize(("mode", "kept"), [("max", [2, 6]), ("min", [4, 6])])
def test_the_best_by_mode_is_saved_off_schedule(tmp_path, mode, kept):
    score = Score(5, 9, 3, 1, 5, 6, higher_is_better=None)
    checkpoint = Checkpoint(every=6, folder=tmp_path, keep_last=1, best="acc", mode=mode)
    fit(score, checkpoint, num_epochs=6)
    assert epochs(tmp_path) == kept


class FinalEvaluator:
    """Gives 0.1 at its first run, 0.9 at its second."""

    score_names = ("acc",)

    def __init__(self, model):
        self.model = model
        self.values = iter([0.1, 0.9])

    def fit(self):
        scores = Scores()
        scores.write("acc", next(self.values), step=0, higher_is_better=True)
        return scores


def test_a_best_that_only_the_last_validation_found_is_kept_as_the_best(tmp_path):
    # Validated after epochs 3 and, because the run ends there, 4, which was saved already.
    model = TinyModel()
    validation = Validation(FinalEvaluator(model), every=3)
    checkpoint = Checkpoint(folder=tmp_path, keep_last=2, best="acc")
    fit(validation, checkpoint, model=model, num_epochs=4)
    best = store.best_checkpoint(tmp_path, "acc", higher_is_better=True)
    assert best.info["epoch"] == 4
    assert best.info["scores"]["acc"]["last"]["value"] == 0.9


def test_the_best_before_a_resume_stays_the_best(tmp_path):
    fit(Score(1, 9), Checkpoint(folder=tmp_path, keep_last=1, best="acc"), num_epochs=2)
    checkpoint = Checkpoint(folder=tmp_path, keep_last=1, best="acc", resume="auto")
    fit(Score(1, 9, 3, 4), checkpoint, num_epochs=4)
    assert epochs(tmp_path) == [2, 4]


def test_a_direction_that_nobody_knows_is_asked_for(tmp_path):
    score = Score(1, 2, higher_is_better=None)
    with pytest.raises(ValueError, match="nobody says whether 'acc' is better high or low"):
        fit(score, Checkpoint(folder=tmp_path, best="acc"))


#: Best after epochs 1 and 3, of five.
TWO_SCORES = {"det": (9, 1, 2, 3, 4), "seg": (5, 6, 9, 7, 8)}


def two_scores(num_epochs=5):
    return [Score(*values[:num_epochs], name=name) for name, values in TWO_SCORES.items()]


def test_each_of_several_scores_keeps_its_own_best(tmp_path):
    fit(*two_scores(), Checkpoint(folder=tmp_path, keep_last=1, best=["det", "seg"]), num_epochs=5)
    assert epochs(tmp_path) == [1, 3, 5]


def test_each_of_several_scores_is_saved_off_schedule(tmp_path):
    checkpoint = Checkpoint(every=5, folder=tmp_path, keep_last=1, best=["seg", "det"])
    fit(*two_scores(), checkpoint, num_epochs=5)
    assert epochs(tmp_path) == [1, 3, 5]


def test_one_checkpoint_can_be_the_best_of_two(tmp_path):
    scores = [Score(1, 9, 3, 4, name="det"), Score(8, 1, 5, 6, name="seg")]
    checkpoint = Checkpoint(folder=tmp_path, keep_last=1, best=["det", "seg"], mode={"seg": "min"})
    fit(*scores, checkpoint, num_epochs=4)
    assert epochs(tmp_path) == [2, 4]


def test_all_of_several_scores_are_remembered_where_one_is_best(tmp_path):
    # Both are best after epoch 1; the 5 of `seg` after epoch 2 is below its 6 and no reason.
    scores = [Score(1, 0, 0, name="det"), Score(6, 5, 5, name="seg")]
    fit(*scores, Checkpoint(every=3, folder=tmp_path, best=["det", "seg"]), num_epochs=3)
    assert epochs(tmp_path) == [1, 3]


def test_a_manifest_says_what_is_best_of_several(tmp_path):
    fit(*two_scores(), Checkpoint(folder=tmp_path, best=["seg", "det"]), num_epochs=5)
    info = store.newest_checkpoint(tmp_path).info
    assert info["best"] == {"score": "seg", "higher_is_better": True}
    assert [each["score"] for each in info["all_best"]] == ["seg", "det"]


@pytest.mark.parametrize("epoch", [1, 2, 4])
def test_the_bests_of_several_scores_before_a_resume_stay(tmp_path, epoch):
    best = dict(folder=tmp_path, every=9, keep_last=1, best=["det", "seg"])
    fit(*two_scores(epoch), Checkpoint(**best), num_epochs=epoch)
    fit(*two_scores(), Checkpoint(**best, resume="auto"), num_epochs=5)
    assert epochs(tmp_path) == [1, 3, 5]


def test_values_below_the_bests_before_a_resume_are_no_reason_to_save(tmp_path):
    best = dict(folder=tmp_path, every=9, keep_last=9, best=["det", "seg"])
    fit(*two_scores(3), Checkpoint(**best), num_epochs=3)
    fit(*two_scores(), Checkpoint(**best, resume="auto"), num_epochs=5)
    assert epochs(tmp_path) == [1, 2, 3, 5]


def test_a_score_that_was_not_written_yet_has_no_best(tmp_path):
    scores = [Score(1, 2, name="det"), Score(None, 3, name="seg")]
    fit(*scores, Checkpoint(folder=tmp_path, keep_last=1, best=["det", "seg"]))
    assert epochs(tmp_path) == [2]


def test_the_direction_that_nobody_knows_is_named(tmp_path):
    scores = [Score(1, name="det"), Score(1, name="seg", higher_is_better=None)]
    with pytest.raises(ValueError, match="whether 'seg' is better high or low"):
        fit(*scores, Checkpoint(folder=tmp_path, best=["det", "seg"]), num_epochs=1)


def test_a_manifest_says_what_is_in_a_checkpoint(tmp_path):
    fit(Score(0.25, 0.5), Checkpoint(folder=tmp_path, best="acc"))
    info = store.newest_checkpoint(tmp_path).info
    assert (info["step"], info["epoch"], info["classes"]) == (8, 2, ["below", "above"])
    assert info["scores"]["acc"]["last"] == {"value": 0.5, "step": 8}
    assert info["best"] == {"score": "acc", "higher_is_better": True}
    assert info["all_best"] == [info["best"]]
    assert info["versions"]["torch"] == torch.__version__


def test_the_default_folder_lies_in_that_of_the_run(tmp_path):
    run_dir = tmp_path / "ein läufer 走"
    fit(Checkpoint(), run_dir=run_dir)
    assert epochs(run_dir / "checkpoints") == [1, 2]


def test_no_folder_is_refused():
    with pytest.raises(ValueError, match="Checkpoint has no folder: give it folder="):
        make_trainer(callbacks=[Checkpoint()])


def test_a_second_run_in_the_folder_of_a_first_does_not_lose_its_own_checkpoints(tmp_path):
    # The first left epoch 5; without a word the second would delete its own 1, 2 and 3.
    fit(Checkpoint(folder=tmp_path), num_epochs=5)
    with pytest.raises(ValueError, match="resume"):
        fit(Checkpoint(folder=tmp_path), num_epochs=3)


def test_leftovers_of_a_killed_writer_are_cleared_away(tmp_path):
    (tmp_path / ".writing-epoch-0007-step-00000028").mkdir()
    fit(Checkpoint(folder=tmp_path), num_epochs=1)
    assert names(tmp_path) == ["epoch-0001-step-00000004"]


def test_auto_begins_where_there_is_nothing_to_resume(tmp_path, caplog):
    with caplog.at_level(logging.INFO, "hat"):
        trainer = fit(Checkpoint(folder=tmp_path, resume="auto"))
    assert trainer.progress.num_epochs_done == 2
    assert "nothing to resume" in caplog.text


def test_auto_takes_the_newest_and_says_so(tmp_path, caplog):
    fit(Checkpoint(folder=tmp_path), num_epochs=2)
    with caplog.at_level(logging.INFO, "hat"):
        fit(Checkpoint(folder=tmp_path, resume="auto"), num_epochs=3)
    path = tmp_path / "epoch-0002-step-00000008"
    assert f"resumed from {path}: 2 epochs and 8 steps are done" in caplog.text


def damage(path):
    (path / "model.safetensors").write_bytes(b"")


def test_auto_passes_over_broken_ones_with_a_warning(tmp_path, caplog):
    fit(Checkpoint(folder=tmp_path, keep_last=9), num_epochs=3)
    damage(tmp_path / "epoch-0003-step-00000012")
    (tmp_path / "epoch-0002-step-00000008" / "manifest.json").unlink()
    with caplog.at_level(logging.INFO, "hat"):
        fit(Checkpoint(folder=tmp_path, keep_last=9, resume="auto"), num_epochs=3)
    warnings = [r.message for r in caplog.records if r.levelno == logging.WARNING]
    assert len(warnings) == 2
    assert "epoch-0003-step-00000012: model.safetensors has 0 bytes" in warnings[0]
    assert "epoch-0002-step-00000008: no readable manifest.json" in warnings[1]
    assert "resumed from" in caplog.text
    assert "1 epochs and 4 steps are done" in caplog.text


def test_a_broken_checkpoint_is_written_anew(tmp_path):
    fit(Checkpoint(folder=tmp_path, keep_last=9), num_epochs=3)
    damage(tmp_path / "epoch-0003-step-00000012")
    fit(Checkpoint(folder=tmp_path, keep_last=9, resume="auto"), num_epochs=3)
    assert store.newest_checkpoint(tmp_path).info["epoch"] == 3


def test_only_broken_ones_are_an_error_and_no_new_beginning(tmp_path):
    fit(Checkpoint(folder=tmp_path), num_epochs=2)
    for path in tmp_path.iterdir():
        damage(path)
    with pytest.raises(CheckpointError, match="none of 2 checkpoints is whole"):
        fit(Checkpoint(folder=tmp_path, resume="auto"), num_epochs=3)


@pytest.mark.parametrize("kind", [str, lambda path: path])
def test_a_path_is_resumed(tmp_path, kind):
    fit(Checkpoint(folder=tmp_path / "a", keep_last=9), num_epochs=3)
    path = tmp_path / "a" / "epoch-0001-step-00000004"
    recorder = Recorder()
    trainer = fit(recorder, Checkpoint(folder=tmp_path / "b", resume=kind(path)), num_epochs=3)
    assert trainer.progress.num_epochs_done == 3
    assert recorder.seen.count("on_step_end") == 8


def test_a_path_to_nothing_is_an_error(tmp_path):
    with pytest.raises(CheckpointError, match=r"nowhere: no readable manifest\.json"):
        fit(Checkpoint(folder=tmp_path, resume=tmp_path / "nowhere"))


def test_a_broken_path_is_an_error(tmp_path):
    fit(Checkpoint(folder=tmp_path), num_epochs=1)
    damage(tmp_path / "epoch-0001-step-00000004")
    with pytest.raises(CheckpointError, match=r"model\.safetensors has 0 bytes"):
        fit(Checkpoint(folder=tmp_path, resume=tmp_path / "epoch-0001-step-00000004"))


def test_a_second_fit_does_not_resume_again(tmp_path):
    fit(Checkpoint(folder=tmp_path), num_epochs=1)
    resumed = make_trainer(
        callbacks=[StopAt(6), Checkpoint(folder=tmp_path, resume="auto")], num_epochs=3
    )
    resumed.fit()
    resumed.fit()
    assert resumed.progress.num_epochs_done == 3


def test_an_older_one_goes_only_after_the_new_one_verifies(tmp_path, monkeypatch):
    fit(Checkpoint(folder=tmp_path, keep_last=1), num_epochs=1)
    oldest = tmp_path / "epoch-0001-step-00000004"

    def broken(path):
        raise CheckpointError(f"{path}: the disk lies")

    with monkeypatch.context() as patch:
        patch.setattr(store, "verify_checkpoint", broken)
        checkpoint = Checkpoint(folder=tmp_path, keep_last=1, resume=oldest)
        trainer = make_trainer(callbacks=[checkpoint], num_epochs=2)
        with pytest.raises(CheckpointError, match="the disk lies"):
            trainer.fit()
    assert oldest.name in names(tmp_path)


def test_saving_does_not_change_training(tmp_path):
    plain = fit(dropout=0.5)
    saving = fit(Checkpoint(by="step", folder=tmp_path), dropout=0.5)
    assert torch.equal(saving.model.head.weight, plain.model.head.weight)


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"every": 0}, "every=0"),
        ({"keep_last": 0}, "keep_last=0"),
        ({"by": "batch"}, "'epoch' or 'step', got 'batch'"),
        ({"mode": "high"}, "'max', 'min' or None, got 'high'"),
        ({"best": ["a"], "mode": {"a": "high"}}, "'max', 'min' or None, got 'high'"),
        ({"best": ["val/a"], "mode": {"val/b": "max"}}, "Did you mean 'val/a'"),
    ],
)
def test_senseless_settings_are_refused(kwargs, message):
    with pytest.raises(ValueError, match=message):
        Checkpoint(**kwargs)
