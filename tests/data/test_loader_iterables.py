"""Data sets that can only be iterated train too, with fewer guarantees."""

import functools
from itertools import chain

import pytest
import torch
from helpers import Points, TinyModel

from hat.data import DataLoader, SampleError, SequentialSampler, SkipBadSamples
from hat.engine import Trainer


class Stream(torch.utils.data.IterableDataset):
    """Shares itself among workers, as WebDataset does."""

    def __init__(self, length=10, bad=None):
        self.length = length
        self.bad = bad
        self.epoch = 0

    def set_epoch(self, epoch):
        self.epoch = epoch

    def __iter__(self):
        info = torch.utils.data.get_worker_info()
        first, stride = (0, 1) if info is None else (info.id, info.num_workers)
        for number in range(first, self.length, stride):
            if number == self.bad:
                raise ValueError("cut short")
            yield {"x": number + 100 * self.epoch, "noise": torch.rand(())}


class Both(torch.utils.data.IterableDataset):
    """Iterates in an order of its own and has samples by index, as MosaicML's and litdata's."""

    def __len__(self):
        return 4

    def __getitem__(self, index):
        return {"x": index}

    def __iter__(self):
        raise AssertionError("asked by index, it keeps all guarantees")


class Plain:
    def __iter__(self):
        return iter([{"x": n} for n in range(4)])


def xs(steps):
    return [batch["x"].tolist() for batch in steps]


def test_samples_are_packed_in_their_order():
    assert xs(DataLoader(Stream(), batch_size=4)) == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]


def test_a_short_last_step_can_be_left_out():
    assert xs(DataLoader(Stream(), batch_size=4, drop_last=True)) == [[0, 1, 2, 3], [4, 5, 6, 7]]


def test_workers_share_the_samples():
    loader = DataLoader(Stream(), batch_size=2, num_workers=2)
    assert sorted(chain.from_iterable(xs(loader))) == list(range(10))


@pytest.mark.parametrize("num_workers", [0, 2])
def test_an_epoch_is_told_to_the_data_set(num_workers):
    loader = DataLoader(Stream(2), batch_size=1, num_workers=num_workers)
    assert xs(loader.steps(epoch=3)) == [[300], [301]]


@pytest.mark.parametrize("num_workers", [0, 2])
def test_starting_late_leaves_out_what_was_seen(num_workers):
    loader = DataLoader(Stream(), batch_size=2, num_workers=num_workers)
    assert xs(loader.steps(epoch=0, start=2)) == xs(loader.steps(epoch=0))[2:]


def test_a_step_is_cut_into_batches():
    loader = DataLoader(Stream(5), batch_size=4, batches_per_step=2)
    assert [xs(step) for step in loader] == [[[0, 1], [2, 3]], [[4]]]


@pytest.mark.parametrize("num_workers", [0, 2])
def test_draws_depend_on_seed_and_epoch(num_workers):
    loader = DataLoader(Stream(), batch_size=10, num_workers=num_workers)
    first, again, other = (next(loader.steps(epoch))["noise"].tolist() for epoch in (0, 0, 1))
    assert first == again
    assert first != other


def test_the_generators_of_the_caller_are_untouched():
    expected = torch.get_rng_state()
    list(DataLoader(Stream(), batch_size=3))
    assert torch.equal(torch.get_rng_state(), expected)


def test_nobody_knows_the_length():
    with pytest.raises(TypeError, match="not known"):
        len(DataLoader(Stream(), batch_size=2))


class PointStream(torch.utils.data.IterableDataset):
    def __iter__(self):
        points = Points()
        return (points[index] for index in range(6))


def test_an_iterable_trains():
    loader = DataLoader(PointStream(), batch_size=2)
    trainer = Trainer(TinyModel(), loader, functools.partial(torch.optim.SGD, lr=0.1), num_epochs=2)
    trainer.fit()
    assert trainer.progress.num_steps_done == 6


@pytest.mark.parametrize(("num_workers", "worker"), [(0, ""), (1, ", worker 0")])
def test_a_sample_that_fails_is_named_by_its_number(num_workers, worker):
    loader = DataLoader(Stream(bad=5), batch_size=2, num_workers=num_workers)
    with pytest.raises(SampleError, match=rf"sample 5 \(epoch 1, position 5{worker}\): ValueError"):
        list(loader.steps(epoch=1))


def test_a_set_that_has_both_is_asked_by_index():
    assert xs(DataLoader(Both(), batch_size=2)) == [[0, 1], [2, 3]]


def test_an_order_is_refused():
    with pytest.raises(ValueError, match="has its own order: leave out sampler"):
        DataLoader(Stream(), batch_size=2, sampler=SequentialSampler())


def test_stand_ins_are_refused():
    with pytest.raises(ValueError, match="no other sample can stand in"):
        DataLoader(Stream(), batch_size=2, on_bad_sample=SkipBadSamples())


def test_workers_that_would_repeat_all_samples_are_refused():
    with pytest.raises(ValueError, match="each of 2 workers would repeat all its samples"):
        DataLoader(Plain(), batch_size=2, num_workers=2)


def test_any_iterable_can_have_one_worker():
    assert xs(DataLoader(Plain(), batch_size=2, num_workers=1)) == [[0, 1], [2, 3]]


def test_there_are_no_keys():
    with pytest.raises(TypeError, match="have no keys"):
        DataLoader(Stream(), batch_size=2).key(0, 0)
