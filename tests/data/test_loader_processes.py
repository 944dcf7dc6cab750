"""Several processes share each step, and together make the step of one."""

import hashlib
import logging
import pickle
import random

import numpy as np
import pytest
import torch

from hat.data import DataLoader, SequentialSampler, ShuffledSampler


class Drawing:
    """Samples whose draws come from all three generators."""

    def __init__(self, length=22):
        self.length = length

    def __len__(self):
        return self.length

    def __getitem__(self, index):
        draws = [torch.rand(()).item(), np.random.rand(), random.random()]
        return {"x": torch.tensor([index, *draws], dtype=torch.float64)}


class Seldom(Drawing):
    """Most samples draw nothing, and the first batches see none that does."""

    def __getitem__(self, index):
        noise = np.random.randn() if index >= 15 else 0.0
        return {"x": torch.tensor([index, noise], dtype=torch.float64)}


def loader_of(dataset, rank=0, num_processes=1, **kwargs):
    loader = DataLoader(dataset, **{"batch_size": 4, "sampler": ShuffledSampler(), **kwargs})
    loader.rank, loader.num_processes = rank, num_processes
    return loader


def global_steps(num_processes, **kwargs):
    """The steps of all ranks, joined in the order of ranks."""
    ranks = [
        list(loader_of(Drawing(), rank, num_processes, **kwargs).steps(epoch=1))
        for rank in range(num_processes)
    ]
    return [torch.cat([batch["x"] for batch in step]).tolist() for step in zip(*ranks, strict=True)]


def digests(steps):
    return [hashlib.sha256(pickle.dumps(batch["x"].tolist())).hexdigest() for batch in steps]


@pytest.mark.parametrize("num_processes", [2, 4])
def test_processes_together_make_the_step_of_one(num_processes):
    expected = global_steps(1, drop_last=True)
    assert global_steps(num_processes, drop_last=True) == expected


def test_processes_with_workers_make_the_same():
    assert global_steps(2, num_workers=1) == global_steps(1)


def test_a_step_too_short_for_all_is_left_out_by_all():
    loaders = [loader_of(Drawing(), rank, 3) for rank in range(3)]  # 2 samples for 3
    assert [len(loader) for loader in loaders] == [5, 5, 5]
    assert [len(list(loader)) for loader in loaders] == [5, 5, 5]


def test_leaving_out_a_step_is_told_once(caplog):
    loader = loader_of(Drawing(), 0, 3)
    with caplog.at_level(logging.WARNING):
        list(loader)
        list(loader)
    assert [record.getMessage() for record in caplog.records] == [
        "the last step of an epoch has 2 samples for 3 processes and is left out; "
        "exact=True keeps it, for evaluation"
    ]


@pytest.mark.parametrize("num_processes", [1, 2, 3, 4])
@pytest.mark.parametrize("length", [1, 3, 16, 22])
def test_an_exact_evaluation_sees_every_sample_once(length, num_processes):
    seen = []
    for rank in range(num_processes):
        options = dict(exact=True, sampler=SequentialSampler())
        loader = loader_of(Drawing(length), rank, num_processes, **options)
        batches = list(loader)
        assert len(batches) == len(loader)
        seen += [int(row[0]) for batch in batches for row in batch["x"]]
    assert sorted(seen) == list(range(length))


def test_all_processes_cut_a_step_into_as_many_batches():
    loaders = [loader_of(Drawing(7), rank, 2, batches_per_step=2) for rank in range(2)]
    assert [[len(step) for step in loader] for loader in loaders] == [[2, 1], [2, 1]]


def test_fewer_samples_in_a_step_than_processes_are_refused():
    with pytest.raises(ValueError, match="4 cannot be shared by 5"):
        loader_of(Drawing(), 0, 5).steps(epoch=0)


@pytest.mark.filterwarnings("ignore:This DataLoader will create 4 worker processes")
@pytest.mark.parametrize("dataset", [Drawing(), Seldom()], ids=["all draw", "few draw"])
@pytest.mark.parametrize("num_workers", [1, 2, 4])
def test_batches_are_identical_for_any_number_of_workers(dataset, num_workers):
    expected = digests(loader_of(dataset).steps(epoch=3))
    assert digests(loader_of(dataset, num_workers=num_workers).steps(epoch=3)) == expected


@pytest.mark.parametrize("dataset", [Drawing(), Seldom()], ids=["all draw", "few draw"])
@pytest.mark.parametrize("num_workers", [0, 2])
def test_batches_are_identical_after_a_resume_in_mid_epoch(dataset, num_workers):
    expected = digests(loader_of(dataset).steps(epoch=3))[2:]
    resumed = loader_of(dataset, num_workers=num_workers).steps(epoch=3, start=2)
    assert digests(resumed) == expected


def test_draws_that_come_late_are_keyed_as_if_they_had_been_expected():
    loader = loader_of(Seldom(), sampler=SequentialSampler())
    late = [row for batch in loader for row in batch["x"].tolist() if row[0] >= 15]
    again = [
        loader.make_sample(loader.key(0, position))["x"].tolist() for position in range(15, 22)
    ]
    assert late == again


def test_a_normal_number_that_the_caller_left_over_is_not_drawn_by_a_sample():
    loader = loader_of(Seldom(), sampler=SequentialSampler())
    expected = digests(loader_of(Seldom(), sampler=SequentialSampler()))
    steps = loader.steps(epoch=0)
    first = [next(steps), next(steps)]
    np.random.seed(0)
    np.random.randn()  # NumPy makes two, and holds the other back
    state = np.random.get_state()
    assert digests([*first, *steps]) == expected
    assert np.random.get_state()[3:] == state[3:]
