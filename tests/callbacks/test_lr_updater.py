"""The learning rate that each step was taken with."""

import functools

import pytest
import torch
from helpers import make_trainer, tiny_graph

from hat.callbacks import Callback, Checkpoint, LrUpdater, Warmup
from hat.callbacks.schedules import (
    ConstantLr,
    CosineLr,
    ExponentialLr,
    MultiStepLr,
    OneCycleLr,
    PolyLr,
    StepLr,
)


class Lrs(Callback):
    """Notes the learning rate of every step, at the moment at which it is used."""

    def __init__(self, group=0):
        self.group = group
        self.values = []

    def on_optimizer_step_begin(self, *, optimizer, **kwargs):
        self.values.append(optimizer.param_groups[self.group]["lr"])


class SkipSteps(Callback):
    def __init__(self, *tried):
        self.tried = tried

    def on_optimizer_step_begin(self, *, progress, outcome, **kwargs):
        if progress.num_steps_tried in self.tried:
            outcome.skip("because")


def lrs_of(updater, *callbacks, **kwargs):
    """The learning rates of a run of two epochs of four steps at 0.1."""
    lrs = Lrs()
    make_trainer(callbacks=[updater, lrs, *callbacks], **kwargs).fit()
    return lrs.values


def test_the_first_step_has_the_configured_rate():
    assert lrs_of(LrUpdater(StepLr(3, 0.5)))[0] == 0.1


def test_a_schedule_by_step_counts_steps():
    expected = [0.1] * 3 + [0.05] * 3 + [0.025] * 2
    assert lrs_of(LrUpdater(StepLr(3, 0.5))) == pytest.approx(expected)


def test_a_schedule_by_epoch_counts_epochs():
    assert lrs_of(LrUpdater(ExponentialLr(0.5), by="epoch")) == [0.1] * 4 + [0.05] * 4


def test_cosine_by_step_equals_torch_over_a_whole_run():
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.1)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 8)
    expected = []
    for _ in range(8):
        expected.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    assert lrs_of(LrUpdater(CosineLr())) == pytest.approx(expected)


def test_the_length_of_a_run_by_steps_is_its_steps():
    # 6 steps: (1 - k / 6) for k = 0..5
    expected = [0.1 * (1 - k / 6) for k in range(6)]
    assert lrs_of(LrUpdater(PolyLr(1.0)), num_steps=6) == pytest.approx(expected)


def test_the_length_in_epochs_of_a_run_by_steps_counts_the_last_begun_one():
    # 6 steps of 4 an epoch are begun in 2 epochs: 1 - 0/2, then 1 - 1/2.
    expected = [0.1] * 4 + [0.05] * 2
    assert lrs_of(LrUpdater(PolyLr(1.0), by="epoch"), num_steps=6) == pytest.approx(expected)


def test_warmup_multiplies_the_schedule():
    # Factors of the warmup 0.5, 0.75, 1, ...; of the schedule 1, 0.5, 0.25, ...
    updater = LrUpdater(ExponentialLr(0.5), warmup=Warmup(2, start_factor=0.5))
    assert lrs_of(updater)[:3] == pytest.approx([0.05, 0.0375, 0.025])


def test_constant_warmup_jumps():
    updater = LrUpdater(ConstantLr(), warmup=Warmup(2, start_factor=0.5, mode="constant"))
    assert lrs_of(updater)[:4] == pytest.approx([0.05, 0.05, 0.1, 0.1])


def test_warmup_by_epoch_counts_epochs():
    updater = LrUpdater(ConstantLr(), warmup=Warmup(1, start_factor=0.5, by="epoch"))
    assert lrs_of(updater) == pytest.approx([0.05] * 4 + [0.1] * 4)


def test_warmup_by_step_under_a_schedule_by_epoch():
    updater = LrUpdater(MultiStepLr([1], 0.1), by="epoch", warmup=Warmup(2, start_factor=0.5))
    assert lrs_of(updater) == pytest.approx([0.05, 0.075, 0.1, 0.1] + [0.01] * 4)


def test_every_parameter_group_keeps_its_proportion():
    lrs = Lrs(group=1)
    make_trainer(
        callbacks=[LrUpdater(ExponentialLr(0.5)), lrs],
        param_groups=[dict(match="head.*", lr=1.0)],
        num_steps=3,
    ).fit()
    assert lrs.values == [1.0, 0.5, 0.25]


def test_a_skipped_step_does_not_advance_the_rate():
    rates = lrs_of(LrUpdater(ExponentialLr(0.5)), SkipSteps(1, 2), num_steps=3)
    assert rates == [0.1, 0.05, 0.05, 0.05, 0.025]


def test_a_second_fit_goes_on_from_the_configured_rate():
    lrs = Lrs()
    trainer = make_trainer(callbacks=[LrUpdater(ExponentialLr(0.5)), lrs], num_epochs=1)
    trainer.fit()
    trainer.fit()  # done already; the setup must not take the lowered rate for the configured one
    assert trainer.optimizer.param_groups[0]["initial_lr"] == 0.1


@pytest.mark.parametrize("step", [1, 3, 4, 6])
def test_a_resumed_run_goes_on_where_it_was(tmp_path, step):
    whole = lrs_of(LrUpdater(OneCycleLr()), Checkpoint(by="step", keep_last=9, folder=tmp_path))
    (path,) = tmp_path.glob(f"epoch-*{(step - 1) // 4}-step-{step:08d}")
    rest = lrs_of(LrUpdater(OneCycleLr()), Checkpoint(resume=path, folder=tmp_path / "rest"))
    assert rest == whole[step:]


def test_more_epochs_than_planned_after_skipped_steps_stay_at_the_end_of_the_schedule():
    # Two steps of one epoch each, planned for two epochs; two skipped ones make them four.
    rates = lrs_of(LrUpdater(PolyLr(0.9), by="epoch"), SkipSteps(1, 2), num_steps=2, batch_size=20)
    assert rates == pytest.approx([0.1, 0.1 * 0.5**0.9, 0.0, 0.0])


def test_a_schedule_that_needs_the_length_refuses_data_without_one():
    class Stream:
        def __iter__(self):
            return iter([])

    with pytest.raises(ValueError, match="CosineLr depends on how long the run is"):
        make_trainer(data_loader=Stream(), callbacks=[LrUpdater(CosineLr())])


def test_an_unknown_unit_is_refused():
    with pytest.raises(ValueError, match="'step' or 'epoch', got 'batch'"):
        LrUpdater(ConstantLr(), by="batch")


def test_adam_is_updated_too():
    optimizer = functools.partial(torch.optim.Adam, lr=0.2)
    assert lrs_of(LrUpdater(ExponentialLr(0.5)), optimizer=optimizer, num_steps=2) == [0.2, 0.1]


def test_each_group_has_its_own_rate_times_the_factor():
    torch.manual_seed(0)
    groups = [dict(task="side", lr=0.4), dict(shared=True, lr=0.02)]
    rates = {"other": Lrs(0), "side": Lrs(1), "shared": Lrs(2)}
    make_trainer(
        model=tiny_graph(),
        callbacks=[LrUpdater(ExponentialLr(0.5)), *rates.values()],
        param_groups=groups,
        num_steps=3,
    ).fit()
    assert {name: lrs.values for name, lrs in rates.items()} == {
        "other": [0.1, 0.05, 0.025],
        "side": [0.4, 0.2, 0.1],
        "shared": [0.02, 0.01, 0.005],
    }
