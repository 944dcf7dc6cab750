"""Where a run stands, how long it will be, and what became of a step."""

import pytest
import torch

from hat.engine.progress import Plan, Progress, StepOutcome
from hat.engine.trainer import make_plan

FOUR = range(4)  # a loader of four steps


class Unsized:
    """Can be iterated, has no length."""

    def __iter__(self):
        return iter(FOUR)


def test_steps_tried_are_those_done_and_skipped():
    assert Progress(num_steps_done=5, num_steps_skipped=2).num_steps_tried == 7


def test_a_run_is_between_epochs_until_a_step_is_done():
    assert Progress().is_between_epochs
    assert not Progress(num_epoch_steps_done=1).is_between_epochs


def test_the_first_reason_to_stop_is_kept():
    progress = Progress()
    progress.stop("first")
    progress.stop("second")
    assert progress.stop_reason == "first"


def test_progress_comes_back_from_its_state_without_the_stop_reason():
    progress = Progress(1, 2, 3, 4)
    progress.stop("enough")
    loaded = Progress()
    loaded.load_state_dict(progress.state_dict())
    assert loaded == Progress(1, 2, 3, 4, stop_reason=None)


def test_plan_by_epochs_counts_the_steps():
    assert make_plan(FOUR, 3, None, None, 7) == Plan("epoch", 3, 12, 4, 7)


def test_plan_by_steps_has_no_number_of_epochs():
    assert make_plan(FOUR, None, 6, None, 7) == Plan("step", None, 6, 4, 7)


def test_plan_of_unsized_data_by_epochs_knows_no_number_of_steps():
    assert make_plan(Unsized(), 3, None, None, 0) == Plan("epoch", 3, None, None, 0)


def test_plan_of_unsized_data_by_steps():
    assert make_plan(Unsized(), None, 6, None, 0) == Plan("step", None, 6, None, 0)


def test_plan_of_an_iterable_dataset_in_a_torch_loader_knows_no_number_of_steps():
    class Stream(torch.utils.data.IterableDataset):
        def __iter__(self):
            return iter(FOUR)

    loader = torch.utils.data.DataLoader(Stream())  # has __len__, which raises TypeError
    assert make_plan(loader, None, 6, None, 0) == Plan("step", None, 6, None, 0)


def test_stop_by_chooses_epochs_when_both_lengths_are_given():
    assert make_plan(FOUR, 3, 6, "epoch", 0) == Plan("epoch", 3, 12, 4)


def test_stop_by_chooses_steps_when_both_lengths_are_given():
    assert make_plan(FOUR, 3, 6, "step", 0) == Plan("step", None, 6, 4)


@pytest.mark.parametrize(
    ("num_epochs", "num_steps", "stop_by", "message"),
    [
        (None, None, None, "give num_epochs or num_steps"),
        (2, 8, None, "num_epochs=2, num_steps=8"),
        (2, None, "step", "stop_by='step' needs num_steps .* got None"),
        (None, 8, "epoch", "stop_by='epoch' needs num_epochs .* got None"),
        (2, 8, "batch", "must be 'epoch' or 'step', got 'batch'"),
        (-1, None, None, "at least 0, got -1"),
        (None, -1, None, "at least 0, got -1"),
    ],
)
def test_a_run_of_unclear_length_is_refused(num_epochs, num_steps, stop_by, message):
    with pytest.raises(ValueError, match=message):
        make_plan(FOUR, num_epochs, num_steps, stop_by, 0)


@pytest.mark.parametrize(
    ("plan", "progress", "done"),
    [
        (Plan("epoch", 2, 8, 4), Progress(num_epochs_done=1, num_steps_done=8), False),
        (Plan("epoch", 2, 8, 4), Progress(num_epochs_done=2), True),
        (Plan("step", None, 8, 4), Progress(num_epochs_done=9, num_steps_done=7), False),
        (Plan("step", None, 8, 4), Progress(num_steps_done=8), True),
        (Plan("step", None, 8, 4), Progress(num_steps_done=9), True),
    ],
)
def test_plan_is_done_by_its_own_unit(plan, progress, done):
    assert plan.is_done(progress) is done


def test_only_a_plan_by_steps_ends_inside_an_epoch():
    assert [Plan("step", None, 6, 4).end_step, Plan("epoch", 2, 8, 4).end_step] == [6, None]


def test_a_step_is_committed_until_something_skips_it():
    outcome = StepOutcome()
    assert outcome.is_committed
    outcome.skip("overflow")
    assert not outcome.is_committed


def test_the_first_reason_to_skip_is_kept():
    outcome = StepOutcome()
    outcome.skip("first")
    outcome.skip("second")
    assert outcome.skip_reason == "first"


def test_outcomes_do_not_share_their_losses():
    first, second = StepOutcome(), StepOutcome()
    first.losses["ce"] = torch.tensor(1.0)
    assert second.losses == {}
