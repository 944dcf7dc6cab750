"""The orders of an epoch, computed where they are asked for."""

import itertools
import tracemalloc
from collections import Counter

import numpy as np
import pytest
import torch

from hat.data import (
    AspectRatioSampler,
    ClassBalancedSampler,
    Dataset,
    RepeatedSampler,
    SequentialSampler,
    ShuffledSampler,
    TorchBatchSampler,
    WeightedSampler,
)
from hat.data.samplers.keyed import keys_at, permute_each, uniform

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


class Annotated(Dataset):
    """A data set of annotations alone."""

    def __init__(self, annotations):
        super().__init__()
        self.annotations = annotations

    def __len__(self):
        return len(self.annotations)

    def load(self, index):
        raise AssertionError("no picture is needed")

    def annotation(self, index):
        return self.annotations[index]


def drawn(sampler, length, *, seed=0, epoch=0):
    return sampler.indices(length, seed, epoch, 0, sampler.length(length))


@pytest.mark.parametrize("length", LENGTHS)
def test_a_permutation_for_each_position_is_a_permutation(length):
    positions = np.arange(length, dtype=np.uint64)
    one_key, lengths = np.full(length, 5, np.uint64), np.full(length, length, np.uint64)
    assert sorted(permute_each(positions, lengths, one_key)) == list(range(length))


def test_permutations_of_different_lengths_do_not_touch_each_other():
    lengths = np.array([3, 1000, 3, 1000, 3], np.uint64)
    positions, keys = np.array([0, 500, 1, 7, 2], np.uint64), np.array([1, 2, 1, 2, 1], np.uint64)
    together = permute_each(positions, lengths, keys)
    alone = [
        permute_each(*(part[n : n + 1] for part in (positions, lengths, keys)))[0] for n in range(5)
    ]
    assert together.tolist() == alone
    assert sorted(together[[0, 2, 4]]) == [0, 1, 2]


def test_keys_make_all_orders_of_three_equally_frequent():
    keys = keys_at(7, np.arange(6000, dtype=np.uint64))
    threes = np.full(6000, 3, np.uint64)
    places = [permute_each(np.full(6000, n, np.uint64), threes, keys) for n in range(3)]
    counts = Counter(zip(*(place.tolist() for place in places), strict=True))
    every = [counts[permutation] for permutation in itertools.permutations(range(3))]
    # The 99.9 % point of chi-square with 5 degrees of freedom.
    assert sum((count - 1000) ** 2 / 1000 for count in every) < 20.5


def test_uniform_numbers_fill_the_interval_evenly():
    numbers = uniform(keys_at(3, np.arange(100_000, dtype=np.uint64)))
    counts = np.histogram(numbers, bins=100, range=(0, 1))[0]
    # 99 degrees of freedom: the 99.9 % point of chi-square is 148, the 0.1 % point 61.
    assert 61 < ((counts - 1000) ** 2 / 1000).sum() < 148


def test_neighbouring_uniform_numbers_are_unrelated():
    numbers = uniform(keys_at(3, np.arange(100_000, dtype=np.uint64)))
    # The standard error of a correlation of 100,000 pairs is 0.0032.
    assert abs(np.corrcoef(numbers[1:], numbers[:-1])[0, 1]) < 0.0128


def test_samples_are_drawn_as_often_as_their_weights_say():
    weights = np.array([1, 2, 3, 4, 0, 10])
    counts = np.bincount(drawn(WeightedSampler(weights, 20_000), 6), minlength=6)
    expected = weights[weights > 0] * 1000.0
    # 4 degrees of freedom: the 99.9 % point of chi-square is 18.5.
    assert ((counts[weights > 0] - expected) ** 2 / expected).sum() < 18.5


@pytest.mark.parametrize("weights", [[0, 1, 0], [0, 0, 1], [1, 0, 0]])
def test_a_sample_of_no_weight_is_never_drawn(weights):
    assert set(drawn(WeightedSampler(weights, 1000), 3)) == {weights.index(1)}


def test_a_number_at_the_very_end_is_the_last_sample_of_some_weight(monkeypatch):
    monkeypatch.setattr("hat.data.samplers.weighted.uniform", lambda keys: np.ones(len(keys)))
    assert drawn(WeightedSampler([1, 1, 0]), 3).tolist() == [1, 1, 1]


def test_an_epoch_has_as_many_draws_as_weights():
    assert WeightedSampler([1, 1, 1]).length(3) == 3


@pytest.mark.parametrize("weights", [[1, -1], [1, np.nan], [np.inf, 1], [[1, 2]], [0, 0], []])
def test_weights_that_say_nothing_are_refused(weights):
    with pytest.raises(ValueError, match="weights must"):
        WeightedSampler(weights)


@pytest.mark.parametrize("length", [2, 4])
@pytest.mark.parametrize(
    "sampler",
    [
        WeightedSampler([1, 1, 1]),
        ClassBalancedSampler(labels=[0, 1, 1]),
        AspectRatioSampler(ratios=[1, 2, 1], batch_size=2),
    ],
    ids=lambda sampler: type(sampler).__name__,
)
def test_a_data_set_of_another_length_is_refused(sampler, length):
    with pytest.raises(ValueError, match=f"knows 3 samples.* has {length}"):
        sampler.length(length)
    with pytest.raises(ValueError, match=f"knows 3 samples.* has {length}"):
        sampler.indices(length, 0, 0, 0, 1)


@pytest.fixture(scope="module")
def imbalanced():
    """Ten classes, of which class c has 3 c + 1 samples."""
    return np.random.default_rng(0).permutation(np.repeat(np.arange(10), 3 * np.arange(10) + 1))


def test_every_class_comes_once_in_every_block(imbalanced):
    order = drawn(ClassBalancedSampler(labels=imbalanced, num_samples=200), len(imbalanced))
    blocks = np.sort(imbalanced[order].reshape(20, 10))
    assert (blocks == np.arange(10)).all()


def test_the_order_of_classes_changes_from_block_to_block(imbalanced):
    order = drawn(ClassBalancedSampler(labels=imbalanced, num_samples=1000), len(imbalanced))
    assert len({tuple(block) for block in imbalanced[order].reshape(100, 10).tolist()}) == 100


def test_every_class_stands_equally_often_at_every_place_of_a_block(imbalanced):
    order = drawn(ClassBalancedSampler(labels=imbalanced, num_samples=20_000), len(imbalanced))
    blocks = imbalanced[order].reshape(2000, 10)
    counts = np.stack([np.bincount(column, minlength=10) for column in blocks.T])
    # Rows and columns are fixed: 81 degrees of freedom; the 99.9 % point is 126.
    assert ((counts - 200) ** 2 / 200).sum() < 126


def test_no_sample_of_a_class_comes_again_before_all_others(imbalanced):
    sampler = ClassBalancedSampler(labels=imbalanced)
    order = np.concatenate([drawn(sampler, len(imbalanced), epoch=epoch) for epoch in range(20)])
    largest = order[imbalanced[order] == 9][: 28 * 8].reshape(8, 28)
    assert (np.sort(largest) == np.flatnonzero(imbalanced == 9)).all()


def test_a_class_comes_in_a_new_order_each_time_round(imbalanced):
    sampler = ClassBalancedSampler(labels=imbalanced, num_samples=28 * 10 * 5)
    order = drawn(sampler, len(imbalanced))
    rounds = order[imbalanced[order] == 9].reshape(5, 28)
    assert len({tuple(one) for one in rounds.tolist()}) == 5


def test_classes_are_learnt_from_labels():
    dataset = Annotated([{"label": 0}, {"label": 0}, {"label": 0}, {"label": 3}])
    counts = np.bincount(drawn(ClassBalancedSampler(dataset, num_samples=12), 4))
    assert counts.tolist() == [2, 2, 2, 6]


def test_classes_are_learnt_from_objects():
    objects = [[1, 1, 1], [1], [], [1, 2]]
    dataset = Annotated([{"gt_classes": torch.tensor(some, dtype=torch.int64)} for some in objects])
    counts = np.bincount(drawn(ClassBalancedSampler(dataset, num_samples=12), 4))
    # Of 6 draws of class 1 each of its three samples has two; class 2 is in the last alone.
    assert counts.tolist() == [2, 2, 0, 8]


# Of gt_classes, class 0 has both samples and class 1 the second alone.
@pytest.mark.parametrize(
    ("key", "counts"), [(None, [1, 3]), ("gt_classes", [1, 3]), ("label", [2, 2])]
)
def test_of_two_kinds_of_classes_one_counts(key, counts):
    first = {"label": 0, "gt_classes": torch.tensor([0])}
    second = {"label": 1, "gt_classes": torch.tensor([0, 1])}
    sampler = ClassBalancedSampler(Annotated([first, second]), key=key, num_samples=4)
    assert np.bincount(drawn(sampler, 2)).tolist() == counts


def test_classes_without_a_sample_take_no_part():
    assert set(drawn(ClassBalancedSampler(labels=[5, 1_000_000_007]), 2)) == {0, 1}


def test_samples_without_any_class_make_no_balanced_order():
    with pytest.raises(ValueError, match="no sample has a class in label"):
        ClassBalancedSampler(Annotated([{}, {}]), key="label")


def test_a_data_set_without_annotations_is_refused():
    with pytest.raises(TypeError, match=r"list has no annotation\(index\)"):
        ClassBalancedSampler([{"label": 0}])


@pytest.mark.parametrize("arguments", [{}, {"dataset": [], "labels": []}])
def test_classes_come_from_one_place(arguments):
    with pytest.raises(TypeError, match="either dataset or labels"):
        ClassBalancedSampler(**arguments)


@pytest.fixture(scope="module")
def ratios():
    """60 upright pictures, 41 square ones and 29 wide ones, in any order."""
    return np.random.default_rng(0).permutation(np.repeat([0.5, 1.0, 1.8], [60, 41, 29]))


def test_whole_batches_hold_one_group(ratios):
    sampler = AspectRatioSampler(ratios=ratios, batch_size=8, boundaries=(0.75, 1.4))
    batches = ratios[drawn(sampler, 130)][: (7 + 5 + 3) * 8].reshape(15, 8)
    assert (batches == batches[:, :1]).all()


def test_what_is_left_of_the_groups_stands_at_the_end(ratios):
    sampler = AspectRatioSampler(ratios=ratios, batch_size=8, boundaries=(0.75, 1.4))
    # 60 = 7 * 8 + 4, 41 = 5 * 8 + 1, 29 = 3 * 8 + 5.
    assert ratios[drawn(sampler, 130)][120:].tolist() == [0.5] * 4 + [1.0] + [1.8] * 5


def test_batches_of_all_groups_are_shuffled_together(ratios):
    sampler = AspectRatioSampler(ratios=ratios, batch_size=8, boundaries=(0.75, 1.4))
    firsts = Counter(ratios[sampler.indices(130, 0, epoch, 0, 1)[0]] for epoch in range(2000))
    observed, expected = [firsts[0.5], firsts[1.0], firsts[1.8]], [14000 / 15, 10000 / 15, 400]
    # 2 degrees of freedom: the 99.9 % point of chi-square is 13.8.
    assert sum((a - b) ** 2 / b for a, b in zip(observed, expected, strict=True)) < 13.8


def test_which_samples_are_left_over_changes_from_epoch_to_epoch(ratios):
    sampler = AspectRatioSampler(ratios=ratios, batch_size=8)
    left = {tuple(drawn(sampler, 130, epoch=epoch)[-2:]) for epoch in range(20)}
    assert len(left) == 20


def test_shapes_are_learnt_from_the_data_set():
    dataset = Annotated([{"ori_shape": size} for size in [(4, 2), (2, 4), (5, 5), (9, 3)]])
    order = drawn(AspectRatioSampler(dataset, batch_size=2), 4).tolist()
    assert sorted(map(sorted, (order[:2], order[2:]))) == [[0, 3], [1, 2]]


def test_a_group_may_be_empty_or_smaller_than_a_batch():
    sampler = AspectRatioSampler(ratios=[0.5, 3, 3, 3, 3], batch_size=2, boundaries=(1, 2, 5, 6))
    order = drawn(sampler, 5).tolist()
    assert sorted(order) == [0, 1, 2, 3, 4]
    assert order[-1] == 0


def test_groups_smaller_than_a_batch_make_mixed_batches_alone():
    sampler = AspectRatioSampler(ratios=[0.5, 3, 0.5, 3], batch_size=16)
    assert sorted(drawn(sampler, 4)[:2]) == [0, 2]


def test_an_annotation_without_a_size_is_refused_by_its_number():
    dataset = Annotated([{"ori_shape": (2, 2)}, {}])
    with pytest.raises(ValueError, match="sample 1 has no 'ori_shape'"):
        AspectRatioSampler(dataset, batch_size=2)


def test_boundaries_that_fall_are_refused():
    with pytest.raises(ValueError, match=r"must rise, got \[1, 1\]"):
        AspectRatioSampler(ratios=[1], batch_size=2, boundaries=[1, 1])


def test_copies_of_a_sample_stand_together():
    order = drawn(RepeatedSampler(4), 64).reshape(16, 4)
    assert (order == order[:, :1]).all()
    assert len(set(order[:, 0].tolist())) == 16


def test_an_epoch_of_repeats_may_hold_every_sample():
    sampler = RepeatedSampler(3, keep_length=False)
    assert np.bincount(drawn(sampler, 50)).tolist() == [3] * 50


def test_short_epochs_of_repeats_hold_all_samples_in_time():
    sampler = RepeatedSampler(3)
    seen = {index for epoch in range(40) for index in drawn(sampler, 60, epoch=epoch).tolist()}
    assert seen == set(range(60))


@pytest.mark.parametrize(
    "make",
    [
        lambda: RepeatedSampler(0),
        lambda: WeightedSampler([1], num_samples=0),
        lambda: ClassBalancedSampler(labels=[1], num_samples=0),
        lambda: AspectRatioSampler(ratios=[1], batch_size=0),
        lambda: TorchBatchSampler(SequentialSampler(), 10, batch_size=1, num_processes=2),
    ],
)
def test_a_number_that_is_too_small_is_refused(make):
    with pytest.raises(ValueError, match="must be at least"):
        make()


@pytest.mark.parametrize(
    "make",
    [
        lambda: WeightedSampler(np.ones(10**6)),
        lambda: ClassBalancedSampler(labels=np.arange(10**6) % 10),
    ],
)
def test_a_part_of_a_large_epoch_takes_no_memory(make):
    sampler = make()
    tracemalloc.start()
    try:
        sampler.indices(10**6, seed=0, epoch=0, start=900_000, stop=900_256)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 1_000_000


def batches_of(rank, num_processes, epoch=3, step=0):
    batches = TorchBatchSampler(
        ShuffledSampler(), 45, batch_size=8, seed=2, rank=rank, num_processes=num_processes
    )
    batches.set_position(epoch, step)
    return batches


@pytest.mark.parametrize("num_processes", [1, 2, 4, 8])
def test_shares_of_a_torch_loader_make_the_steps_of_one_process(num_processes):
    shares = [list(batches_of(rank, num_processes)) for rank in range(num_processes)]
    steps = [[*itertools.chain(*parts)] for parts in itertools.zip_longest(*shares, fillvalue=[])]
    order = ShuffledSampler().indices(45, 2, 3, 0, 45).tolist()
    assert steps == [order[n : n + 8] for n in range(0, 45, 8)]


@pytest.mark.parametrize("rank", range(8))
def test_a_torch_loader_knows_how_many_steps_it_has(rank):
    assert len(batches_of(rank, 8)) == len(list(batches_of(rank, 8)))


def test_a_torch_loader_can_start_at_any_step():
    whole = list(batches_of(0, 2))
    assert list(batches_of(0, 2, step=4)) == whole[4:]


def test_a_torch_loader_iterates_its_next_epoch_whole():
    batches = batches_of(0, 2, step=4)
    list(batches)
    assert list(batches) == list(batches_of(0, 2))
