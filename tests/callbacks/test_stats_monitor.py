"""Means of losses by hand, and numbers about speed that make sense."""

import pytest
import torch
from helpers import make_trainer
from torch import nn

from hat.callbacks import Callback, Checkpoint, StatsMonitor
from hat.engine.scores import ScoreFeed
from hat.models import ModelOutput


class Given(nn.Module):
    """A model whose losses are given by the batch."""

    def __init__(self):
        super().__init__()
        self.w = nn.Parameter(torch.zeros(1))

    def forward(self, batch):
        zero = 0 * self.w.sum()
        return ModelOutput({name: zero + batch["x"].mean() for name in batch["names"]}, {})


def batches(*values, names=("ce",), size=2):
    return [{"x": torch.full((size,), float(value)), "names": list(names)} for value in values]


class Written(Callback):
    """Every writing of a score, as (step, value)."""

    def __init__(self, name):
        self.name = name
        self.values = []

    def on_loop_begin(self, *, scores, **kwargs):
        self.feed = ScoreFeed(scores)

    def on_step_end(self, **kwargs):
        self.values += [(s.step, s.value) for name, s in self.feed.take() if name == self.name]

    def on_epoch_end(self, **kwargs):
        self.on_step_end()


class SkipSteps(Callback):
    def __init__(self, *tried):
        self.tried = tried

    def on_optimizer_step_begin(self, *, progress, outcome, **kwargs):
        if progress.num_steps_tried in self.tried:
            outcome.skip("because")


def written(data, monitor, *callbacks, name="train/loss", num_epochs=1, **kwargs):
    found = Written(name)
    make_trainer(
        model=Given(),
        data_loader=data,
        callbacks=[monitor, *callbacks, found],
        num_epochs=num_epochs,
        **kwargs,
    ).fit()
    return found.values


def test_means_over_the_interval_by_hand():
    # (1 + 3) / 2 after two steps, (5 + 9) / 2 after four
    assert written(batches(1, 3, 5, 9), StatsMonitor(2)) == [(2, 2.0), (4, 7.0)]


def test_what_is_left_is_written_at_the_end_of_an_epoch():
    # (1 + 2 + 6) / 3, then 4 alone
    assert written(batches(1, 2, 6, 4), StatsMonitor(3)) == [(3, 3.0), (4, 4.0)]


def test_an_interval_that_ends_with_the_epoch_is_written_once():
    assert written(batches(1, 3), StatsMonitor(2)) == [(2, 2.0)]


def test_every_epoch_starts_an_interval():
    values = written(batches(1, 3, 5), StatsMonitor(2), num_epochs=2)
    assert values == [(2, 2.0), (3, 5.0), (5, 2.0), (6, 5.0)]


def test_an_interval_longer_than_the_epoch_writes_at_its_end():
    assert written(batches(1, 2), StatsMonitor(50)) == [(2, 1.5)]


def test_skipped_steps_do_not_count():
    # 1 and 5, then 9 at the end
    values = written(batches(1, 100, 5, 9), StatsMonitor(2), SkipSteps(1))
    assert values == [(2, 3.0), (3, 9.0)]


def test_an_epoch_of_skipped_steps_writes_nothing():
    assert written(batches(1, 2), StatsMonitor(1), SkipSteps(0, 1)) == []


def test_several_losses_are_written_by_name_beside_their_sum():
    data = batches(1, 3, names=("det/cls", "seg/ce"))
    assert written(data, StatsMonitor(2), name="train/det/cls") == [(2, 2.0)]
    assert written(data, StatsMonitor(2), name="train/seg/ce") == [(2, 2.0)]
    assert written(data, StatsMonitor(2)) == [(2, 4.0)]


def test_a_loss_that_only_some_steps_have_is_averaged_over_those():
    data = [*batches(1, names=("a", "b")), *batches(3, names=("a",)), *batches(5, names="ab")]
    assert written(data, StatsMonitor(3), name="train/b") == [(3, 3.0)]


def test_a_step_of_several_batches_counts_once():
    # (2 * 1 + 2 * 3) / 4 = 2, then 8
    data = [batches(1, 3), batches(8, 8)]
    assert written(data, StatsMonitor(1)) == [(1, 2.0), (2, 8.0)]


def test_the_learning_rate_is_that_of_the_first_group():
    scores = make_trainer(callbacks=[StatsMonitor(2)], num_epochs=1).fit()
    assert scores.last("train/lr").value == 0.1


def test_speed_is_above_zero_and_waiting_is_a_share():
    scores = make_trainer(callbacks=[StatsMonitor(3)]).fit()
    assert scores.last("train/samples_per_s").value > 0
    assert 0 <= scores.last("train/data_wait").value <= 1
    assert scores.last("train/memory_mib").value > 1


def test_speed_counts_the_samples_of_all_batches_of_a_step(monkeypatch):
    # A clock that moves by 1 s whenever someone looks, at the begin and the end of a step.
    clock = iter(range(10**6))
    monkeypatch.setattr("hat.callbacks.stats_monitor.perf_counter", lambda: float(next(clock)))
    scores = make_trainer(
        callbacks=[StatsMonitor(50)], batches_per_step=2, batch_size=10, num_epochs=1
    ).fit()
    # 2 steps of 1 s, and the real moment of waiting for data: 20 samples in 2 s.
    assert scores.last("train/samples_per_s").value == pytest.approx(10.0, rel=0.05)


def test_time_left_is_that_of_the_steps_left(monkeypatch):
    clock = iter(range(10**6))
    monkeypatch.setattr("hat.callbacks.stats_monitor.perf_counter", lambda: float(next(clock)))
    etas = Written("train/eta_s")
    make_trainer(callbacks=[StatsMonitor(4), etas], num_epochs=2).fit()
    # 4 of 8 steps are done, so as much is left as has passed; at the end nothing is.
    (_, first), (_, last) = etas.values
    assert first == 9.0  # looks at 0 (begin), 2 in each of 4 steps, and 9 (writing)
    assert last == 0.0


def test_without_a_known_length_there_is_no_time_left():
    scores = make_trainer(
        model=Given(), data_loader=iter(batches(1, 2)), callbacks=[StatsMonitor(1)], num_epochs=1
    ).fit()
    assert "train/eta_s" not in scores


def test_lower_losses_are_better():
    scores = make_trainer(callbacks=[StatsMonitor(1)], num_epochs=1).fit()
    assert scores.higher_is_better("train/loss") is False
    assert scores.higher_is_better("train/lr") is None


def test_a_loss_that_is_nan_is_written_as_such():
    ((_, value),) = written(batches(float("nan")), StatsMonitor(1), nan_guard=False)
    assert value != value


def test_an_interval_goes_on_after_a_resume(tmp_path):
    values = {}
    for name, resume in (("whole", None), ("rest", "auto")):
        data = batches(1, 3, 8, 4)
        folder = tmp_path / "steps"
        checkpoint = Checkpoint(by="step", keep_last=9, folder=folder, resume=resume)
        values[name] = written(data, StatsMonitor(3), checkpoint)
        for path in sorted(folder.glob("*"))[2:]:
            for file in path.iterdir():
                file.unlink()
            path.rmdir()
    assert values["whole"] == [(3, 4.0), (4, 4.0)]
    assert values["rest"] == [(3, 4.0), (4, 4.0)]


def test_a_run_resumed_at_the_end_of_an_epoch_writes_no_speed_of_zero(tmp_path):
    def trainer(resume=None):
        checkpoint = Checkpoint(by="step", keep_last=9, folder=tmp_path, resume=resume)
        return make_trainer(callbacks=[StatsMonitor(50), checkpoint], num_epochs=1)

    trainer().fit()
    (before_epoch_end,) = tmp_path.glob("epoch-0000-step-00000004")
    scores = trainer(before_epoch_end).fit()
    assert scores.last("train/loss").step == 4
    assert "train/samples_per_s" not in scores or scores.last("train/samples_per_s").value > 0


def test_an_interval_below_one_is_refused():
    with pytest.raises(ValueError, match="at least 1, got 0"):
        StatsMonitor(0)
