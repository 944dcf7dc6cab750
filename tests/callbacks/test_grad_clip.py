"""Gradients by hand: one vector (3, 4), whose norm is 5."""

import functools

import pytest
import torch
from helpers import make_trainer
from torch import nn

from hat.callbacks import GradClip
from hat.engine.processors import BatchProcessor
from hat.models import ModelOutput


class Vector(nn.Module):
    """Two weights of one entry each; the loss is 3 v + 4 w, so its gradient is (3, 4)."""

    def __init__(self):
        super().__init__()
        self.v = nn.Parameter(torch.zeros(1))
        self.w = nn.Parameter(torch.zeros(1))

    def forward(self, batch):
        return ModelOutput({"sum": (self.v * batch["x"][0] + self.w * batch["x"][1]).sum()}, {})


def step_of(clip, x=(3.0, 4.0), **kwargs):
    """How far one step of plain gradient descent at 1.0 moves the weights."""
    model = Vector()
    optimizer = functools.partial(torch.optim.SGD, lr=1.0)
    make_trainer(
        model=model,
        data_loader=[{"x": torch.tensor(x)}],
        optimizer=optimizer,
        callbacks=[clip],
        num_epochs=1,
        **kwargs,
    ).fit()
    return [-model.v.item(), -model.w.item()]


def test_a_norm_above_the_limit_is_scaled_to_it():
    # (3, 4) * 1 / 5
    assert step_of(GradClip(max_norm=1.0)) == pytest.approx([0.6, 0.8], rel=1e-5)


def test_a_norm_below_the_limit_is_left_alone():
    assert step_of(GradClip(max_norm=6.0)) == [3.0, 4.0]


@pytest.mark.parametrize(("norm_type", "norm"), [(1.0, 7.0), (2.0, 5.0), (float("inf"), 4.0)])
def test_the_kind_of_norm_counts(norm_type, norm):
    expected = [3 * 2 / norm, 4 * 2 / norm]
    clip = GradClip(max_norm=2.0, norm_type=norm_type)
    assert step_of(clip) == pytest.approx(expected, rel=1e-5)


def test_entries_are_cut_at_the_largest_value():
    assert step_of(GradClip(max_value=3.5)) == [3.0, 3.5]


def test_negative_entries_are_cut_too():
    assert step_of(GradClip(max_value=3.5), x=(-3.0, -4.0)) == [-3.0, -3.5]


def test_gradients_of_zero_stay_zero():
    assert step_of(GradClip(max_norm=1.0), x=(0.0, 0.0)) == [0.0, 0.0]


def test_the_limit_is_one_of_unscaled_gradients():
    processor = BatchProcessor(precision="fp16")
    found = step_of(GradClip(max_norm=1.0), batch_processor=processor)
    assert found == pytest.approx([0.6, 0.8], rel=1e-3)


@pytest.mark.parametrize(
    ("max_norm", "max_value"), [(None, None), (1.0, 1.0), (0.0, None), (None, -1.0)]
)
def test_exactly_one_limit_above_zero_is_needed(max_norm, max_value):
    with pytest.raises(ValueError, match="give max_norm or max_value, above 0"):
        GradClip(max_norm, max_value)
