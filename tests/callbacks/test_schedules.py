"""Every schedule against its counterpart in torch, over a whole run."""

import math

import pytest
import torch
from torch.optim import lr_scheduler

from hat.callbacks import Warmup
from hat.callbacks.schedules import (
    ConstantLr,
    CosineLr,
    ExponentialLr,
    MultiStepLr,
    NoamLr,
    OneCycleLr,
    PolyLr,
    Schedule,
    StepLr,
)

TOTAL = 37
ALL = [
    ConstantLr(),
    StepLr(5),
    MultiStepLr([3, 9]),
    PolyLr(),
    CosineLr(),
    ExponentialLr(0.9),
    OneCycleLr(),
    NoamLr(4),
]


def torch_lrs(make_scheduler, lr=0.5, total=TOTAL):
    """The learning rate of each step under a scheduler of torch."""
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=lr)
    scheduler = make_scheduler(optimizer)
    lrs = []
    for _ in range(total):
        lrs.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return lrs


def hat_lrs(schedule, lr=0.5, total=TOTAL):
    return [lr * schedule.factor(done, total) for done in range(total)]


@pytest.mark.parametrize(
    ("schedule", "counterpart"),
    [
        (StepLr(7, gamma=0.3), lambda o: lr_scheduler.StepLR(o, 7, gamma=0.3)),
        (StepLr(1, gamma=0.9), lambda o: lr_scheduler.StepLR(o, 1, gamma=0.9)),
        (StepLr(100), lambda o: lr_scheduler.StepLR(o, 100)),
        (MultiStepLr([3, 20], 0.3), lambda o: lr_scheduler.MultiStepLR(o, [3, 20], gamma=0.3)),
        (MultiStepLr([]), lambda o: lr_scheduler.MultiStepLR(o, [])),
        (PolyLr(1.0), lambda o: lr_scheduler.PolynomialLR(o, TOTAL, power=1.0)),
        (PolyLr(0.9), lambda o: lr_scheduler.PolynomialLR(o, TOTAL, power=0.9)),
        (CosineLr(), lambda o: lr_scheduler.CosineAnnealingLR(o, TOTAL)),
        (CosineLr(0.1), lambda o: lr_scheduler.CosineAnnealingLR(o, TOTAL, eta_min=0.05)),
        (ExponentialLr(0.9), lambda o: lr_scheduler.ExponentialLR(o, 0.9)),
        (ConstantLr(), lambda o: lr_scheduler.ConstantLR(o, factor=1.0)),
    ],
    ids=lambda value: str(value) if isinstance(value, Schedule) else "",
)
def test_schedule_equals_that_of_torch(schedule, counterpart):
    assert hat_lrs(schedule) == pytest.approx(torch_lrs(counterpart), rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("total", [2, 3, 10, TOTAL, 1000])
@pytest.mark.parametrize("pct_start", [0.01, 0.3, 0.77, 0.99])
def test_one_cycle_equals_that_of_torch(total, pct_start):
    def counterpart(optimizer):
        return lr_scheduler.OneCycleLR(
            optimizer,
            max_lr=0.5,
            total_steps=total,
            pct_start=pct_start,
            cycle_momentum=False,
        )

    expected = torch_lrs(counterpart, total=total)
    assert hat_lrs(OneCycleLr(pct_start), total=total) == pytest.approx(expected, rel=1e-9)


def test_one_cycle_takes_the_divisors_of_torch():
    def counterpart(optimizer):
        return lr_scheduler.OneCycleLR(
            optimizer,
            max_lr=0.5,
            total_steps=TOTAL,
            div_factor=10,
            final_div_factor=100,
            cycle_momentum=False,
        )

    schedule = OneCycleLr(div_factor=10, final_div_factor=100)
    assert hat_lrs(schedule) == pytest.approx(torch_lrs(counterpart), rel=1e-9)


def test_one_cycle_starts_peaks_and_ends_where_it_says():
    schedule = OneCycleLr(pct_start=0.5, div_factor=4, final_div_factor=10)
    # 10 units: the peak is at 0.5 * 10 - 1 = 4, the end at 9.
    assert schedule.factor(0, 10) == pytest.approx(1 / 4)
    assert schedule.factor(4, 10) == pytest.approx(1)
    assert schedule.factor(9, 10) == pytest.approx(1 / 40)


@pytest.mark.parametrize(
    ("pct_start", "total"), [(0.5, 2), (0.1, 10), (0.25, 4), (1e-9, 1), (1e-9, 5), (0.999, 1)]
)
def test_one_cycle_of_any_length_stays_between_its_end_and_its_peak(pct_start, total):
    # With 10 units and pct_start 0.1 the peak is the first unit itself.
    factors = [OneCycleLr(pct_start).factor(done, total) for done in range(total)]
    assert all(1 / 25 / 1e4 <= factor <= 1 + 1e-12 for factor in factors)


def test_one_cycle_whose_rise_is_one_unit_begins_at_its_peak():
    assert OneCycleLr(pct_start=0.1).factor(0, 10) == pytest.approx(1)


@pytest.mark.parametrize("schedule", ALL, ids=str)
@pytest.mark.parametrize("total", [1, 2, 3, 1000])
def test_factors_are_finite_and_not_negative_for_any_length(schedule, total):
    factors = [schedule.factor(done, total) for done in range(total)]
    assert all(math.isfinite(factor) and factor >= 0 for factor in factors)


@pytest.mark.parametrize(
    "schedule", [s for s in ALL if not isinstance(s, OneCycleLr | NoamLr)], ids=str
)
def test_a_schedule_begins_with_the_configured_rate(schedule):
    assert schedule.factor(0, 10) == 1


def test_poly_does_not_fall_below_its_least_factor():
    # (1 - 9/10) ** 1 = 0.1
    assert PolyLr(1.0, min_factor=0.25).factor(9, 10) == 0.25


def test_noam_by_hand():
    # Peak after 4 units: 1/4, 2/4, 3/4, 1, then sqrt(4 / 5), ..., sqrt(4 / 16) = 1/2.
    schedule = NoamLr(4)
    assert [schedule.factor(done, 0) for done in range(4)] == [0.25, 0.5, 0.75, 1.0]
    assert schedule.factor(4, 0) == pytest.approx(math.sqrt(0.8))
    assert schedule.factor(15, 0) == pytest.approx(0.5)


def test_noam_has_the_shape_of_the_paper():
    # Eq. 3: d ** -0.5 * min(step ** -0.5, step * warmup ** -1.5), step from 1.
    model_dim, warmup = 512, 40
    paper = [model_dim**-0.5 * min(step**-0.5, step * warmup**-1.5) for step in range(1, 200)]
    peak = (model_dim * warmup) ** -0.5
    found = [peak * NoamLr(warmup).factor(done, 0) for done in range(199)]
    assert found == pytest.approx(paper, rel=1e-12)


def test_linear_warmup_equals_that_of_torch():
    warmup = Warmup(8, start_factor=0.1)
    expected = torch_lrs(lambda o: lr_scheduler.LinearLR(o, start_factor=0.1, total_iters=8))
    assert [0.5 * warmup.factor(done) for done in range(TOTAL)] == pytest.approx(expected)


def test_constant_warmup_equals_that_of_torch():
    warmup = Warmup(8, start_factor=0.1, mode="constant")
    expected = torch_lrs(lambda o: lr_scheduler.ConstantLR(o, factor=0.1, total_iters=8))
    assert [0.5 * warmup.factor(done) for done in range(TOTAL)] == pytest.approx(expected)


@pytest.mark.parametrize("mode", ["linear", "constant"])
def test_a_warmup_of_one_unit_is_its_start_factor_once(mode):
    warmup = Warmup(1, start_factor=0.25, mode=mode)
    assert [warmup.factor(done) for done in range(3)] == [0.25, 1.0, 1.0]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: StepLr(0), "size must be at least 1, got 0"),
        (lambda: MultiStepLr([5, 3]), r"milestones must rise, got \[5, 3\]"),
        (lambda: MultiStepLr([3, 3]), "milestones must rise"),
        (lambda: OneCycleLr(pct_start=0), "pct_start must be between 0 and 1, got 0"),
        (lambda: OneCycleLr(pct_start=1), "pct_start must be between 0 and 1, got 1"),
        (lambda: NoamLr(0), "num_warmup must be at least 1, got 0"),
        (lambda: Warmup(0), "length must be at least 1, got 0"),
        (lambda: Warmup(5, start_factor=0), r"start_factor must be in \(0, 1\], got 0"),
        (lambda: Warmup(5, start_factor=1.5), "got 1.5"),
        (lambda: Warmup(5, mode="cosine"), "'linear' or 'constant', got 'cosine'"),
        (lambda: Warmup(5, by="batch"), "'step' or 'epoch', got 'batch'"),
    ],
)
def test_senseless_numbers_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_only_schedules_that_depend_on_the_length_need_it():
    needing = {type(schedule).__name__ for schedule in ALL if schedule.needs_total}
    assert needing == {"PolyLr", "CosineLr", "OneCycleLr"}


def test_schedules_are_frozen():
    with pytest.raises(AttributeError):
        StepLr(5).size = 6
