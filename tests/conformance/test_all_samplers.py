"""Whatever HAT exports as an order keeps the conventions of one."""

import pickle

import numpy as np
import pytest
import torch

import hat.data.samplers as samplers
from hat.data import DataLoader

LENGTH = 60
BATCH_SIZE = 8
LABELS = np.arange(LENGTH) ** 2 % 7
RATIOS = np.linspace(0.4, 2.5, LENGTH)
WEIGHTS = 1.0 + np.arange(LENGTH) % 3

#: How each order over `LENGTH` samples is built.
MAKERS = {
    "AspectRatioSampler": lambda: samplers.AspectRatioSampler(
        ratios=RATIOS, batch_size=BATCH_SIZE, boundaries=(0.7, 1.0, 1.6)
    ),
    "ClassBalancedSampler": lambda: samplers.ClassBalancedSampler(labels=LABELS),
    "RepeatedSampler": lambda: samplers.RepeatedSampler(3),
    "SequentialSampler": lambda: samplers.SequentialSampler(),
    "ShuffledSampler": lambda: samplers.ShuffledSampler(),
    "WeightedSampler": lambda: samplers.WeightedSampler(WEIGHTS),
}
#: What is exported beside orders.
OTHERS = {"share", "TorchBatchSampler"}
#: Orders that are the same in every epoch.
UNSHUFFLED = {"SequentialSampler"}
#: Orders in which every sample comes once.
PERMUTATIONS = {"AspectRatioSampler", "SequentialSampler", "ShuffledSampler"}


@pytest.fixture(params=MAKERS)
def make(request):
    return MAKERS[request.param]


@pytest.fixture
def sampler(make):
    return make()


@pytest.fixture(params=sorted(set(MAKERS) - UNSHUFFLED))
def shuffled(request):
    return MAKERS[request.param]()


def order(sampler, seed=0, epoch=0):
    return sampler.indices(LENGTH, seed, epoch, 0, sampler.length(LENGTH)).tolist()


def test_there_is_a_maker_for_every_exported_order():
    assert set(MAKERS) == set(samplers.__all__) - OTHERS


def test_indices_are_int64(sampler):
    assert sampler.indices(LENGTH, 0, 0, 3, 9).dtype == np.int64


def test_there_are_as_many_indices_as_positions(sampler):
    assert sampler.indices(LENGTH, 0, 0, 3, 9).shape == (6,)


def test_no_positions_have_no_indices(sampler):
    assert sampler.indices(LENGTH, 0, 0, 5, 5).shape == (0,)


def test_every_index_is_one_of_the_data_set(sampler):
    assert set(order(sampler)) <= set(range(LENGTH))


def test_a_length_is_a_python_number(sampler):
    assert type(sampler.length(LENGTH)) is int


@pytest.mark.parametrize("middle", [0, 1, 7, 8, 31, 59, 60])
def test_parts_of_an_epoch_join_to_the_whole(sampler, middle):
    first = sampler.indices(LENGTH, 4, 2, 0, middle)
    second = sampler.indices(LENGTH, 4, 2, middle, LENGTH)
    assert [*first, *second] == order(sampler, seed=4, epoch=2)


def test_every_position_can_be_asked_for_alone(sampler):
    alone = [sampler.indices(LENGTH, 4, 2, n, n + 1).item() for n in range(LENGTH)]
    assert alone == order(sampler, seed=4, epoch=2)


def test_an_order_does_not_depend_on_what_was_asked_before(sampler):
    before = order(sampler, seed=1)
    sampler.indices(LENGTH, 9, 9, 10, 20)
    assert order(sampler, seed=1) == before


def test_two_of_a_kind_agree(make):
    assert order(make(), seed=3, epoch=5) == order(make(), seed=3, epoch=5)


def test_a_copy_in_another_process_would_agree(sampler):
    copy = pickle.loads(pickle.dumps(sampler))
    assert order(copy, seed=3, epoch=5) == order(sampler, seed=3, epoch=5)


def test_an_order_does_not_depend_on_the_global_generators(sampler):
    torch.manual_seed(1)
    np.random.seed(1)
    before = order(sampler)
    torch.manual_seed(2)
    np.random.seed(2)
    assert order(sampler) == before


def test_an_order_leaves_the_global_generators_alone(sampler):
    before = torch.get_rng_state(), np.random.get_state()[1].tolist()
    order(sampler)
    assert torch.equal(torch.get_rng_state(), before[0])
    assert np.random.get_state()[1].tolist() == before[1]


def test_epochs_have_different_orders(shuffled):
    assert len({tuple(order(shuffled, epoch=epoch)) for epoch in range(50)}) == 50


def test_seeds_have_different_orders(shuffled):
    assert len({tuple(order(shuffled, seed=seed)) for seed in range(-25, 25)}) == 50


@pytest.mark.parametrize("name", sorted(PERMUTATIONS))
@pytest.mark.parametrize("epoch", [0, 1, 1_000_003])
def test_an_epoch_visits_every_sample_once(name, epoch):
    assert sorted(order(MAKERS[name](), seed=7, epoch=epoch)) == list(range(LENGTH))


def test_a_loader_takes_it(sampler):
    loader = DataLoader([{"img_id": n} for n in range(LENGTH)], BATCH_SIZE, sampler=sampler)
    seen = [index for batch in loader for index in batch["img_id"]]
    assert seen == order(sampler)
