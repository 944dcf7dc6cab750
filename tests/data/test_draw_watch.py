"""No draw from any of the three generators goes unnoticed, and each can be taken back."""

import random

import numpy as np
import pytest
import torch

from hat.data.loaders import draws
from hat.data.loaders.draws import DrawWatch

DRAWS = {
    "torch": lambda: torch.rand(1).item(),
    "torch normal": lambda: torch.randn(1).item(),
    "numpy": lambda: np.random.rand(),
    "numpy integer": lambda: np.random.randint(10),
    "numpy normal": lambda: np.random.randn(),
    "python": random.random,
    "python bits": lambda: random.getrandbits(1),
    "python gauss": lambda: random.gauss(0, 1),
    "a whole state of python's": lambda: random.getrandbits(32 * 624),
    "a whole state of numpy's": lambda: np.random.bytes(4 * 624),
}


@pytest.fixture(autouse=True, params=["by words", "by getstate"])
def _either_way_of_looking_at_python(request, monkeypatch):
    if request.param == "by getstate":
        monkeypatch.setattr(draws, "_python_words", None)


@pytest.fixture
def watch():
    torch.manual_seed(1)
    np.random.seed(1)
    random.seed(1)
    return DrawWatch()


def test_the_words_of_python_are_found_where_they_are_kept():
    assert draws._find_python_words() is not None


def test_nothing_is_noticed_where_nothing_is_drawn(watch):
    watch.mark()
    assert not watch.has_drawn()


@pytest.mark.parametrize("draw", DRAWS.values(), ids=DRAWS)
def test_a_draw_is_noticed(watch, draw):
    assert watch.mark()
    draw()
    assert watch.has_drawn()


def test_a_number_that_python_held_back_is_noticed(watch):
    random.gauss(0, 1)
    watch.mark()
    random.gauss(0, 1)
    assert watch.has_drawn()


def test_where_numpy_holds_a_number_back_the_watch_says_that_it_is_blind(watch):
    np.random.randn()
    assert not watch.mark()


@pytest.mark.parametrize("draw", DRAWS.values(), ids=DRAWS)
def test_draws_are_taken_back(watch, draw):
    random.gauss(0, 1)
    watch.mark()
    first = [draw() for _ in range(3)]
    watch.restore()
    assert [draw() for _ in range(3)] == first
