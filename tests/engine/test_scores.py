"""Named values: last, best, stale, and what readers are given."""

import json
import math

import pytest

from hat.engine.scores import Score, ScoreFeed, Scores, is_better

NAN = math.nan


def written(*values, higher_is_better=True):
    """Scores with one name, written at the steps 1, 2, ..."""
    scores = Scores()
    for step, value in enumerate(values, 1):
        scores.write("val/acc", value, step, higher_is_better)
    return scores


def test_last_is_the_newest_value():
    assert written(0.9, 0.8).last("val/acc") == Score(0.8, 2)


def test_best_is_the_largest_where_higher_is_better():
    assert written(0.5, 0.9, 0.8).best("val/acc") == Score(0.9, 2)


def test_best_is_the_smallest_where_lower_is_better():
    assert written(0.5, 0.2, 0.8, higher_is_better=False).best("val/acc") == Score(0.2, 2)


def test_the_first_of_equal_values_stays_the_best():
    assert written(0.5, 0.5).best("val/acc") == Score(0.5, 1)


def test_there_is_no_best_where_nobody_said_what_better_means():
    assert written(0.5, 0.9, higher_is_better=None).best("val/acc") is None


@pytest.mark.parametrize("higher_is_better", [True, False])
def test_nan_is_never_the_best(higher_is_better):
    scores = written(NAN, 0.5, NAN, higher_is_better=higher_is_better)
    assert scores.best("val/acc") == Score(0.5, 2)


def test_nan_alone_leaves_no_best():
    assert written(NAN).best("val/acc") is None


def test_the_direction_need_not_be_repeated():
    scores = Scores()
    scores.write("val/acc", 0.5, 1, higher_is_better=True)
    scores.write("val/acc", 0.9, 2)
    assert scores.best("val/acc") == Score(0.9, 2)
    assert scores.higher_is_better("val/acc") is True


def test_a_stale_value_shows_by_its_step():
    scores = written(0.9)
    scores.write("train/loss", 0.1, step=50)
    assert scores.last("val/acc").step == 1


def test_a_name_that_was_not_written_is_refused_with_the_nearest():
    with pytest.raises(LookupError, match=r"'val/ac'.*Did you mean 'val/acc'"):
        written(0.9).last("val/ac")


def test_names_are_listed_and_found():
    scores = written(0.9)
    assert "val/acc" in scores
    assert "val/loss" not in scores
    assert list(scores) == ["val/acc"]


def test_summary_is_sorted_and_plain():
    scores = written(0.9, 0.8)
    scores.write("a", 1, 7)
    assert json.loads(json.dumps(scores.summary())) == {
        "a": {"last": {"value": 1.0, "step": 7}, "best": None, "higher_is_better": None},
        "val/acc": {
            "last": {"value": 0.8, "step": 2},
            "best": {"value": 0.9, "step": 1},
            "higher_is_better": True,
        },
    }
    assert list(scores.summary()) == ["a", "val/acc"]


def test_scores_come_back_from_their_state():
    scores, loaded = written(0.9, 0.8), Scores()
    scores.write("train/lr", 0.1, 2)
    loaded.write("old", 1.0, 1)
    loaded.load_state_dict(scores.state_dict())
    assert loaded.summary() == scores.summary()


def test_a_feed_gives_what_was_written_since_it_last_asked():
    scores = written(0.1)
    feed = ScoreFeed(scores)
    scores.write("a", 1.0, 2)
    scores.write("b", 2.0, 2)
    assert feed.take() == [("a", Score(1.0, 2)), ("b", Score(2.0, 2))]
    assert feed.take() == []


def test_two_feeds_do_not_take_from_each_other():
    scores = Scores()
    first, second = ScoreFeed(scores), ScoreFeed(scores)
    scores.write("a", 1.0, 1)
    assert first.take() == second.take() == [("a", Score(1.0, 1))]


def test_a_feed_gives_every_writing_of_a_name():
    scores = Scores()
    feed = ScoreFeed(scores)
    scores.write("a", 1.0, 1)
    scores.write("a", 2.0, 2)
    assert feed.take() == [("a", Score(1.0, 1)), ("a", Score(2.0, 2))]


def test_a_feed_does_not_repeat_what_a_checkpoint_brought_back():
    scores = Scores()
    feed = ScoreFeed(scores)
    scores.load_state_dict(written(0.5).state_dict())
    assert feed.take() == []


@pytest.mark.parametrize(
    ("value", "best", "higher_is_better", "expected"),
    [
        (2.0, 1.0, True, True),
        (1.0, 1.0, True, False),
        (1.0, 2.0, False, True),
        (math.inf, 1.0, True, True),
        (-math.inf, None, True, True),
        (0.0, None, False, True),
        (NAN, None, True, False),
        (NAN, 1.0, False, False),
    ],
)
def test_is_better(value, best, higher_is_better, expected):
    assert is_better(value, best, higher_is_better) is expected
