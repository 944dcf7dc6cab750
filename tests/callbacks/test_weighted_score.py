"""The sum of scores, and when it is written."""

import math

import pytest
from helpers import TinyModel, make_trainer

from hat import store
from hat.callbacks import Callback, Checkpoint, EarlyStopping, Validation, WeightedScore
from hat.engine.scores import ScoreFeed, Scores

WEIGHTS = {"val/det/AP": 1.0, "val/depth/abs_rel": -2.0}


class Written(Callback):
    """Writes a value of each epoch of some score, none where it is None."""

    def __init__(self, name, *values, higher_is_better=None):
        self.name = name
        self.values = values
        self.higher_is_better = higher_is_better

    def writes(self):
        return [self.name]

    def on_epoch_end(self, *, progress, scores, **kwargs):
        value = self.values[progress.num_epochs_done - 1]
        if value is not None:
            scores.write(self.name, value, progress.num_steps_done, self.higher_is_better)


class Sums(Callback):
    """All writings of the sum: step and value."""

    def __init__(self, name="val/sum"):
        self.name = name
        self.found = []

    def on_loop_begin(self, *, scores, **kwargs):
        self.feed = ScoreFeed(scores)

    def on_epoch_end(self, **kwargs):
        self._take()

    def on_loop_end(self, **kwargs):
        self._take()

    def _take(self):
        self.found += [(s.step, s.value) for name, s in self.feed.take() if name == self.name]


def sums(*callbacks, num_epochs=2, **kwargs):
    seen = Sums(**kwargs)
    make_trainer(callbacks=[*callbacks, seen], num_epochs=num_epochs).fit()
    return seen.found


def test_the_sum_is_that_of_weights_times_scores():
    # 0.5 - 2 * 0.1 and 0.75 - 2 * 0.5, after steps 4 and 8
    scores = [Written("val/det/AP", 0.5, 0.75), Written("val/depth/abs_rel", 0.1, 0.5)]
    assert sums(*scores, WeightedScore(WEIGHTS)) == [(4, pytest.approx(0.3)), (8, -0.25)]


def test_nothing_is_written_where_one_score_is_stale_or_missing():
    scores = [
        Written("val/det/AP", None, 0.5, 0.5, 0.5),
        Written("val/depth/abs_rel", 0.1, None, 0.5, None),
    ]
    assert sums(*scores, WeightedScore(WEIGHTS), num_epochs=4) == [(12, -0.5)]


def test_nan_is_written_once_and_is_never_the_best(tmp_path):
    scores = [Written("val/det/AP", 0.5, math.nan), Written("val/depth/abs_rel", 0.0, 0.0)]
    save = Checkpoint(folder=tmp_path, best="val/sum")
    found = sums(*scores, WeightedScore(WEIGHTS), save)
    assert [step for step, _ in found] == [4, 8]
    assert store.best_checkpoint(tmp_path, "val/sum", True).step == 4


class Twice:
    """An evaluator of two scores."""

    score_names = tuple(WEIGHTS)

    def __init__(self, model):
        self.model = model

    def fit(self):
        scores = Scores()
        scores.write("val/det/AP", 0.5, 0, higher_is_better=True)
        scores.write("val/depth/abs_rel", 0.25, 0, higher_is_better=False)
        return scores


def test_it_stands_between_validation_and_checkpoint(tmp_path):
    model = TinyModel()
    validation = Validation(Twice(model), every=3)
    save = Checkpoint(folder=tmp_path, best="val/sum")
    callbacks = [validation, WeightedScore(WEIGHTS), save]
    trainer = make_trainer(model=model, callbacks=callbacks, num_epochs=4)
    trainer.fit()
    # Validated after epoch 3 and, as the run ends there, 4.
    assert trainer.scores.summary()["val/sum"] == {
        "last": {"value": 0.0, "step": 16},
        "best": {"value": 0.0, "step": 12},
        "higher_is_better": True,
    }
    assert store.best_checkpoint(tmp_path, "val/sum", True).step == 12


def test_it_has_the_name_that_it_is_given():
    scores = [Written("a", 1.0), Written("b", 2.0)]
    found = sums(
        *scores, WeightedScore({"a": 1, "b": 1}, name="val/all"), num_epochs=1, name="val/all"
    )
    assert found == [(4, 3)]


@pytest.mark.parametrize(("weight", "higher"), [(1.0, False), (-1.0, True)])
def test_a_weight_of_the_wrong_sign_is_refused(weight, higher):
    score = Written("val/x", 1.0, higher_is_better=higher)
    with pytest.raises(ValueError, match=r"'val/x' is better .* change its sign"):
        sums(score, WeightedScore({"val/x": weight}))


def test_it_cannot_stand_in_front_of_what_it_reads():
    callbacks = [WeightedScore({"val/x": 1}), Written("val/x", 1.0)]
    with pytest.raises(ValueError, match="list Written before WeightedScore"):
        make_trainer(callbacks=callbacks)


def test_what_reads_the_sum_stands_behind_it():
    callbacks = [Written("x", 1.0), EarlyStopping("val/sum"), WeightedScore({"x": 1})]
    with pytest.raises(ValueError, match="list WeightedScore before EarlyStopping"):
        make_trainer(callbacks=callbacks)


@pytest.mark.parametrize(
    ("weights", "message"),
    [({}, "at least one"), ({"a": 0.0}, "other than 0"), ({"val/sum": 1}, "cannot be one of what")],
)
def test_senseless_settings_are_refused(weights, message):
    with pytest.raises(ValueError, match=message):
        WeightedScore(weights)
