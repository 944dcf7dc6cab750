"""Random draws come from a seed and a position; the global generators can be kept."""

import io
import random

import numpy as np
import pytest
import torch

from hat.seeding import (
    KeyStream,
    derive_key,
    load_random_state_dict,
    preserved_random_state,
    random_state_dict,
    seed_everything,
    text_key,
)

GENERATORS = {
    "torch": lambda: torch.randn(3).tolist(),
    "numpy": lambda: np.random.standard_normal(3).tolist(),
    "python": lambda: [random.gauss(0, 1) for _ in range(3)],
}


@pytest.fixture(params=GENERATORS)
def draw(request):
    return GENERATORS[request.param]


@pytest.mark.parametrize("other", [(9, 1, 2, 3), (0, 9, 2, 3), (0, 1, 9, 3), (0, 1, 2, 9)])
def test_a_key_depends_on_the_seed_and_on_every_part(other):
    assert derive_key(*other) != derive_key(0, 1, 2, 3)


def test_a_key_depends_on_the_order_of_the_parts():
    assert derive_key(0, 1, 2) != derive_key(0, 2, 1)


def test_a_key_depends_on_how_many_parts_there_are():
    assert len({derive_key(0), derive_key(0, 0), derive_key(0, 0, 0)}) == 3


@pytest.mark.parametrize("other", [(1, 0, 5, 7), (3, 2, 5, 7), (2, 3, 5, 7)])
def test_another_seed_in_another_stream_has_another_key(other):
    assert derive_key(*other) != derive_key(0, 1, 5, 7)


def test_keys_of_neighbouring_positions_do_not_repeat():
    keys = {derive_key(s, 1, e, p) for s in range(10) for e in range(10) for p in range(100)}
    assert len(keys) == 10 * 10 * 100


def test_half_of_the_bits_change_with_the_last_bit_of_a_part():
    changed = [(derive_key(0, n) ^ derive_key(0, n ^ 1)).bit_count() for n in range(0, 2000, 2)]
    # 1,000 draws of a binomial (64, 1/2): mean 32, standard error 4 / sqrt(1000) = 0.13.
    assert np.mean(changed) == pytest.approx(32, abs=0.5)


@pytest.mark.parametrize("seed", [0, -1, 1 << 63, (1 << 64) - 1, 1 << 70])
def test_a_key_has_64_bits_whatever_the_seed(seed):
    assert 0 <= derive_key(seed, 1, 0, 0) < 1 << 64


def test_keys_are_the_same_in_every_release():
    # What was trained with an older release is resumed with these.
    keys = [derive_key(0), derive_key(0, 1, 0, 0), derive_key(42, 2, 7), derive_key(-1, 3)]
    assert keys == [
        12035550249420947055,
        13995934569481967614,
        11521013498752069473,
        5613951086247343226,
    ]


def test_a_key_does_not_depend_on_the_global_generators(draw):
    before = derive_key(0, 1, 2)
    draw()
    assert derive_key(0, 1, 2) == before


def test_a_stream_has_a_key_for_every_position():
    keys = KeyStream(0, 1)
    assert len({keys.at(position) for position in range(10_000)}) == 10_000


@pytest.mark.parametrize("other", [(1, 2), (0, 3), (2, 0)])
def test_streams_and_seeds_have_different_keys(other):
    assert KeyStream(*other).at(7) != KeyStream(0, 2).at(7)


@pytest.mark.parametrize("position", [0, 1, 1 << 40])
def test_a_key_of_a_stream_has_64_bits(position):
    assert 0 <= KeyStream(-1, 2).at(position) < 1 << 64


def test_a_text_has_the_same_key_in_every_process():
    assert text_key("ab") == 97 + 256 * 98  # the bytes as digits of base 256, lowest first


def test_texts_have_different_keys():
    assert len({text_key(text) for text in ("dropout", "dropouts", "Dropout", "Drop out")}) == 4


def test_one_key_gives_the_same_draws(draw):
    seed_everything(5)
    first = draw()
    seed_everything(5)
    assert draw() == first


def test_another_key_gives_other_draws(draw):
    seed_everything(5)
    first = draw()
    seed_everything(6)
    assert draw() != first


@pytest.mark.parametrize("key", [5, (7 << 32) + 5])
def test_torch_and_numpy_draw_unlike_numbers(key):
    seed_everything(key)
    assert torch.randint(256, (8,)).tolist() != np.random.randint(256, size=8).tolist()


@pytest.mark.parametrize("key", [5, (7 << 32) + 5])
def test_numpy_and_python_draw_unlike_numbers(key):
    seed_everything(key)
    assert np.random.rand(3).tolist() != [random.random() for _ in range(3)]


def test_the_largest_key_can_be_used(draw):
    seed_everything((1 << 64) - 1)
    assert draw()


def test_a_preserved_block_leaves_no_trace(draw):
    seed_everything(1)
    expected = [draw(), draw()]
    seed_everything(1)
    first = draw()
    with preserved_random_state():
        seed_everything(2)
        draw()
    assert [first, draw()] == expected


def test_a_preserved_block_that_fails_leaves_no_trace(draw):
    seed_everything(1)
    expected = draw()
    seed_everything(1)
    with pytest.raises(ZeroDivisionError), preserved_random_state():
        draw()[0] / 0
    assert draw() == expected


def test_draws_go_on_where_the_state_was_taken(draw):
    draw()  # an odd number of normal draws: both generators then hold one back
    state = random_state_dict()
    expected = draw()
    seed_everything(3)
    load_random_state_dict(state)
    assert draw() == expected


def test_the_state_survives_a_safe_file(draw):
    draw()
    file = io.BytesIO()
    torch.save(random_state_dict(), file)
    expected = draw()
    file.seek(0)
    load_random_state_dict(torch.load(file, weights_only=True))
    assert draw() == expected
