"""The order of an epoch: a permutation that is computed where it is asked for."""

import itertools
import tracemalloc
from collections import Counter

import numpy as np
import pytest

from hat.data import SequentialSampler, ShuffledSampler

LENGTHS = [1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 32, 33, 63, 64, 65, 127, 128, 129, 1000]
LENGTHS += [1023, 1024, 1025]
HUGE = 50_000_000


def order(length: int, seed: int = 0, epoch: int = 0):
    return ShuffledSampler().indices(length, seed, epoch, 0, length)


def orders(length: int, num_epochs: int):
    return np.stack([order(length, epoch=epoch) for epoch in range(num_epochs)])


@pytest.fixture(scope="module")
def many_orders():
    return orders(100, num_epochs=2000)


@pytest.mark.parametrize("length", LENGTHS)
def test_an_epoch_visits_every_sample_once(length):
    assert sorted(order(length)) == list(range(length))


@pytest.mark.parametrize("length", LENGTHS)
def test_every_epoch_visits_every_sample_once(length):
    assert sorted(order(length, seed=-3, epoch=1_000_003)) == list(range(length))


def test_the_order_of_an_epoch_is_always_the_same():
    assert order(100, seed=4, epoch=2).tolist() == order(100, seed=4, epoch=2).tolist()


def test_epochs_have_different_orders():
    assert len({tuple(order(20, epoch=epoch)) for epoch in range(100)}) == 100


def test_seeds_have_different_orders():
    assert len({tuple(order(20, seed=seed)) for seed in range(100)}) == 100


def test_the_order_does_not_depend_on_the_global_generator():
    np.random.seed(1)
    first = order(50).tolist()
    np.random.seed(2)
    assert order(50).tolist() == first


@pytest.mark.parametrize(
    ("start", "stop"), [(0, 1), (0, 100), (37, 38), (50, 83), (99, 100), (100, 100), (0, 0)]
)
def test_a_part_of_the_order_is_a_slice_of_the_whole(start, stop):
    part = ShuffledSampler().indices(100, seed=3, epoch=5, start=start, stop=stop)
    assert part.tolist() == order(100, seed=3, epoch=5)[start:stop].tolist()


def test_every_sample_stands_equally_often_at_every_place(many_orders):
    counts = np.stack([np.bincount(column, minlength=100) for column in many_orders.T])
    chi_square = ((counts - 20) ** 2 / 20).sum()  # 2,000 epochs over 100 places
    # Rows and columns are fixed: 99 * 99 = 9801 degrees of freedom, deviation
    # sqrt(2 * 9801) = 140. Too even would be as wrong as too uneven: 4 deviations.
    assert 9801 - 560 < chi_square < 9801 + 560


def test_samples_are_displaced_as_far_as_chance_has_it(many_orders):
    displacement = np.abs(many_orders - np.arange(100)).mean()
    # Of two independent places of n the mean distance is (n^2 - 1) / 3n = 33.33.
    assert displacement == pytest.approx(33.33, abs=0.2)


def test_one_sample_an_epoch_stays_in_its_place_on_average(many_orders):
    stays = (many_orders == np.arange(100)).sum(axis=1)
    # Mean and variance are 1; 4 standard errors of 2,000 epochs are 0.09.
    assert stays.mean() == pytest.approx(1, abs=0.09)


def test_neighbours_stay_neighbours_as_rarely_as_chance_has_it(many_orders):
    follows = (np.diff(many_orders, axis=1) == 1).sum(axis=1)
    # 99 places, each with chance 1 / 100.
    assert follows.mean() == pytest.approx(0.99, abs=0.09)


def test_consecutive_epochs_are_unrelated(many_orders):
    same_place = (many_orders[1:] == many_orders[:-1]).sum(axis=1)
    assert same_place.mean() == pytest.approx(1, abs=0.09)


@pytest.mark.parametrize(
    ("length", "bound"),
    # The 99.9 % points of chi-square with 2! - 1, 3! - 1, 4! - 1 and 5! - 1 degrees of freedom.
    [(2, 10.8), (3, 20.5), (4, 49.7), (5, 173.6)],
)
def test_all_orders_of_a_few_samples_are_equally_frequent(length, bound):
    counts = Counter(map(tuple, orders(length, num_epochs=6000).tolist()))
    every = [counts[permutation] for permutation in itertools.permutations(range(length))]
    expected = 6000 / len(every)
    assert sum((count - expected) ** 2 / expected for count in every) < bound


def test_fifty_million_samples_take_no_memory():
    tracemalloc.start()
    try:
        ShuffledSampler().indices(HUGE, seed=0, epoch=0, start=HUGE - 256, stop=HUGE)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 1_000_000


def test_a_part_of_fifty_million_samples_repeats_none():
    part = ShuffledSampler().indices(HUGE, seed=0, epoch=0, start=HUGE - 10_000, stop=HUGE)
    assert len(set(part.tolist())) == 10_000


def test_a_part_of_fifty_million_samples_stays_inside():
    part = ShuffledSampler().indices(HUGE, seed=0, epoch=0, start=HUGE - 10_000, stop=HUGE)
    assert 0 <= part.min() <= part.max() < HUGE


def test_without_shuffling_the_order_is_that_of_the_data_set():
    indices = SequentialSampler().indices(10, seed=5, epoch=3, start=4, stop=8)
    assert indices.tolist() == [4, 5, 6, 7]


@pytest.mark.parametrize("sampler", [SequentialSampler(), ShuffledSampler()])
def test_an_epoch_is_as_long_as_the_data_set(sampler):
    assert sampler.length(17) == 17


@pytest.mark.parametrize("sampler", [SequentialSampler(), ShuffledSampler()])
def test_indices_are_int64(sampler):
    assert sampler.indices(10, seed=0, epoch=0, start=2, stop=5).dtype == np.int64
