"""When a run ends because it no longer gets better."""

import math

import pytest
from helpers import make_trainer

from hat.callbacks import Callback, EarlyStopping

NAN = math.nan


class Written(Callback):
    """Writes given values as a score, one for each epoch."""

    def __init__(self, values, higher_is_better=True):
        self.values = values
        self.higher_is_better = higher_is_better

    def writes(self):
        return ["val/acc"]

    def on_epoch_end(self, *, progress, scores, **kwargs):
        value = self.values[progress.num_epochs_done - 1]
        scores.write("val/acc", value, progress.num_steps_done, self.higher_is_better)


def epochs_of(values, higher_is_better=True, **kwargs):
    """After how many epochs a run with these values ends; they are given for every epoch."""
    trainer = make_trainer(
        batch_size=20,
        num_epochs=len(values),
        callbacks=[Written(values, higher_is_better), EarlyStopping("val/acc", **kwargs)],
    )
    trainer.fit()
    return trainer.progress.num_epochs_done


def test_a_run_that_gets_better_is_not_stopped():
    assert epochs_of([1, 2, 3, 4, 5], patience=1) == 5


def test_a_run_is_stopped_after_patience_values_without_improvement():
    assert epochs_of([1, 2, 2, 1, 3, 3, 3, 9], patience=2) == 4


def test_an_improvement_starts_the_count_anew():
    assert epochs_of([1, 0, 2, 0, 3, 0, 0], patience=2) == 7


def test_lower_is_better_as_the_writer_says():
    assert epochs_of([3, 2, 1, 1, 0], higher_is_better=False, patience=1) == 4


def test_mode_counts_more_than_the_writer():
    assert epochs_of([3, 2, 1, 1, 0], higher_is_better=True, mode="min", patience=1) == 4


def test_an_improvement_below_min_delta_does_not_count():
    # 1.5 and 1.9 are within 1 of the best, 1.
    assert epochs_of([1, 1.5, 1.9, 5], patience=2, min_delta=1) == 3


def test_small_steps_add_up_to_an_improvement_on_the_best():
    # 2.1 is more than 1 above the best, 1.
    assert epochs_of([1, 1.5, 2.1, 2.2, 2.3], patience=2, min_delta=1) == 5


def test_min_delta_where_lower_is_better():
    assert epochs_of([5, 4.5, 4.1, 0], higher_is_better=False, patience=2, min_delta=1) == 3


def test_nan_is_no_improvement():
    assert epochs_of([1, NAN, NAN, 2], patience=2) == 3


def test_nan_from_the_beginning_ends_the_run():
    assert epochs_of([NAN, NAN, NAN], patience=2) == 2


def test_infinity_is_a_value():
    assert epochs_of([-math.inf, 0, 1], patience=1) == 3


def test_the_reason_names_score_and_best():
    stopping = EarlyStopping("val/acc", patience=1)
    trainer = make_trainer(num_epochs=3, callbacks=[Written([2, 1, 1]), stopping])
    trainer.fit()
    assert trainer.progress.stop_reason == "val/acc has not improved on 2 in its last 1 values"


def test_a_value_is_looked_at_once():
    class WriteOnce(Written):
        def on_epoch_end(self, *, progress, scores, **kwargs):
            if progress.num_epochs_done == 1:
                scores.write("val/acc", 1.0, progress.num_steps_done, True)

    callbacks = [WriteOnce([]), EarlyStopping("val/acc", patience=1)]
    trainer = make_trainer(num_epochs=4, callbacks=callbacks)
    trainer.fit()
    assert trainer.progress.num_epochs_done == 4


def test_a_direction_that_nobody_knows_is_asked_for():
    with pytest.raises(ValueError, match="nobody says whether 'val/acc' is better high or low"):
        epochs_of([1, 2], higher_is_better=None)


def test_state_survives():
    stopping, loaded = EarlyStopping("val/acc"), EarlyStopping("val/acc")
    make_trainer(num_epochs=3, callbacks=[Written([2, 1, 1]), stopping]).fit()
    loaded.load_state_dict(stopping.state_dict())
    assert loaded.state_dict() == {"best": 2, "num_bad": 2, "seen_at": 12}


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"patience": 0}, "patience >= 1"),
        ({"min_delta": -1.0}, "min_delta >= 0"),
        ({"mode": "high"}, "must be 'max', 'min' or None, got 'high'"),
    ],
)
def test_senseless_settings_are_refused(kwargs, message):
    with pytest.raises(ValueError, match=message):
        EarlyStopping("val/acc", **kwargs)
