"""The batches of an epoch depend on seed, epoch and position, and on nothing else."""

import os
import random
import signal
import weakref
from itertools import chain

import numpy as np
import pytest
import torch
from torchvision.transforms import v2

from hat.data import DataLoader, ImageFolder, SampleError, SequentialSampler, ShuffledSampler

NUMBERS = [{"x": n} for n in range(10)]
GENERATORS = {
    "torch": lambda: torch.rand(2).tolist(),
    "numpy": lambda: np.random.rand(2).tolist(),
    "python": lambda: [random.random(), random.random()],
}


class Noisy:
    """Samples with a draw from each of the generators that a transform may use."""

    def __len__(self):
        return 10

    def __getitem__(self, index):
        draws = {name: torch.tensor(draw()) for name, draw in GENERATORS.items()}
        return {"x": index, **draws}


class Failing:
    """One sample cannot be made; `paths` names the files."""

    paths = tuple(f"pictures/{n}.png" for n in range(6))

    def __init__(self, error=None):
        self.error = error or ValueError("broken picture")

    def __len__(self):
        return 6

    def __getitem__(self, index):
        if index == 3:
            raise self.error
        return {"x": index, "noise": torch.rand(1)}


class Repeating(SequentialSampler):
    """Draws the first sample again and again."""

    def indices(self, dataset_length, seed, epoch, start, stop):
        return np.zeros(stop - start, dtype=np.int64)


def noisy(**kwargs):
    return DataLoader(Noisy(), **{"batch_size": 4, "sampler": ShuffledSampler(), **kwargs})


def message_of(steps):
    """What the error says; no cycle of references keeps the loader and its workers."""
    try:
        list(steps)
    except SampleError as error:
        return str(error)
    pytest.fail("no sample failed")


def plain(batches):
    return [{key: value.tolist() for key, value in batch.items()} for batch in batches]


def plain_steps(steps):
    return [plain(step) for step in steps]


def xs(batches):
    return [batch["x"].tolist() for batch in batches]


# Batches


def test_a_plain_list_of_dicts_is_a_data_set():
    assert xs(DataLoader(NUMBERS[:5], batch_size=2)) == [[0, 1], [2, 3], [4]]


def test_the_length_counts_steps():
    assert len(DataLoader(NUMBERS[:5], batch_size=2)) == 3


def test_a_short_last_step_can_be_left_out():
    assert xs(DataLoader(NUMBERS[:5], batch_size=2, drop_last=True)) == [[0, 1], [2, 3]]


def test_the_length_does_not_count_a_step_that_is_left_out():
    assert len(DataLoader(NUMBERS[:5], batch_size=2, drop_last=True)) == 2


def test_a_full_last_step_is_not_left_out():
    assert xs(DataLoader(NUMBERS[:4], batch_size=2, drop_last=True)) == [[0, 1], [2, 3]]


def test_a_batch_may_be_larger_than_the_data_set():
    assert xs(DataLoader(NUMBERS[:3], batch_size=100)) == [[0, 1, 2]]


def test_a_shuffled_epoch_visits_every_sample_once():
    loader = DataLoader(NUMBERS, batch_size=3, sampler=ShuffledSampler())
    assert sorted(chain.from_iterable(xs(loader))) == list(range(10))


def test_samples_are_packed_by_the_given_function():
    assert list(DataLoader(NUMBERS[:3], batch_size=2, collate=len)) == [2, 1]


@pytest.mark.parametrize(
    ("batches_per_step", "batches"),
    [
        (1, [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]),
        (2, [[[0, 1], [2, 3]], [[4, 5], [6, 7]], [[8], [9]]]),
        (3, [[[0], [1], [2, 3]], [[4], [5], [6, 7]], [[8], [9]]]),  # the last has but two
        (4, [[[0], [1], [2], [3]], [[4], [5], [6], [7]], [[8], [9]]]),
    ],
)
def test_a_step_is_cut_into_batches(batches_per_step, batches):
    loader = DataLoader(
        NUMBERS, batch_size=4, batches_per_step=batches_per_step, collate=lambda s: s
    )
    assert _numbers(loader) == batches


def _numbers(packed):
    return packed["x"] if isinstance(packed, dict) else [_numbers(inner) for inner in packed]


def test_a_single_sample_is_a_step_of_one_batch():
    loader = DataLoader(NUMBERS[:1], batch_size=4, batches_per_step=3)
    assert [xs(step) for step in loader] == [[[0]]]


def test_cutting_a_step_does_not_change_the_number_of_steps():
    assert len(DataLoader(NUMBERS, batch_size=4, batches_per_step=3)) == 3


# What a sample depends on


@pytest.mark.parametrize("num_workers", [1, 2])
def test_batches_do_not_depend_on_the_number_of_workers(num_workers):
    expected = plain(noisy(num_workers=0).steps(epoch=2))
    assert plain(noisy(num_workers=num_workers).steps(epoch=2)) == expected


def test_batches_of_a_step_do_not_depend_on_the_number_of_workers():
    expected = plain_steps(noisy(batches_per_step=3).steps(epoch=2))
    steps = noisy(batches_per_step=3, num_workers=2).steps(epoch=2)
    assert plain_steps(steps) == expected


@pytest.mark.parametrize("kwargs", [{"batch_size": 1}, {"batch_size": 10}, {"batches_per_step": 2}])
def test_samples_do_not_depend_on_how_they_are_packed(kwargs):
    def keep(samples):
        return [(sample["x"], sample["torch"].tolist()) for sample in samples]

    def flat(packed):
        return list(chain.from_iterable(map(flat, packed))) if type(packed) is list else [packed]

    assert flat(list(noisy(collate=keep, **kwargs))) == flat(list(noisy(collate=keep)))


def test_samples_do_not_depend_on_the_global_generators():
    expected = plain(noisy())
    torch.manual_seed(99)
    np.random.seed(99)
    random.seed(99)
    assert plain(noisy()) == expected


@pytest.mark.parametrize("generator", GENERATORS)
def test_every_sample_of_an_epoch_has_draws_of_its_own(generator):
    draws = torch.cat([batch[generator] for batch in noisy()])
    assert len(draws.unique()) == 20


@pytest.mark.parametrize("generator", GENERATORS)
def test_a_sample_is_augmented_differently_in_another_epoch(generator):
    loader = noisy(sampler=SequentialSampler(), batch_size=10)
    first, second = next(loader.steps(epoch=0)), next(loader.steps(epoch=1))
    assert not (first[generator] == second[generator]).any()


@pytest.mark.parametrize("generator", GENERATORS)
def test_a_sample_is_augmented_differently_under_another_seed(generator):
    loader = noisy(sampler=SequentialSampler(), batch_size=10)
    first = next(iter(loader))
    loader.seed = 1
    assert not (first[generator] == next(iter(loader))[generator]).any()


def test_a_sample_that_is_drawn_twice_in_an_epoch_is_augmented_in_two_ways():
    (batch,) = noisy(sampler=Repeating(), batch_size=10)
    assert len(batch["torch"].unique()) == 20


def test_the_seed_changes_the_order():
    loader = DataLoader(NUMBERS, batch_size=10, sampler=ShuffledSampler())
    first = xs(loader)
    loader.seed = 1
    assert xs(loader) != first


def test_epochs_have_different_orders():
    loader = DataLoader(NUMBERS, batch_size=10, sampler=ShuffledSampler())
    assert xs(loader.steps(epoch=0)) != xs(loader.steps(epoch=1))


def test_iterating_starts_with_the_first_epoch():
    assert plain(noisy()) == plain(noisy().steps(epoch=0))


def test_random_transforms_of_torchvision_do_not_depend_on_workers():
    data = [{"img": torch.rand(3, 8, 8), "img_id": n} for n in range(6)]
    crop = v2.RandomCrop(4)

    def loader(num_workers):
        return DataLoader(_Transformed(data, crop), batch_size=4, num_workers=num_workers)

    expected = [batch["img"].tolist() for batch in loader(0)]
    assert [batch["img"].tolist() for batch in loader(2)] == expected


class _Transformed:
    def __init__(self, samples, transform):
        self.samples = samples
        self.transform = transform

    def __len__(self):
        return len(self.samples)

    def __getitem__(self, index):
        return self.transform(self.samples[index])


@pytest.mark.parametrize("position", [0, 3, 9])
def test_a_sample_can_be_made_again_from_its_epoch_and_position(position):
    loader = noisy(batch_size=1)
    (expected,) = plain([list(loader.steps(epoch=2))[position]])
    sample = loader.make_sample(loader.key(epoch=2, position=position))
    assert {key: [torch.as_tensor(value).tolist()] for key, value in sample.items()} == expected


# Where an epoch starts, and starting again


@pytest.mark.parametrize("start", [0, 1, 2, 3, 7])
def test_starting_at_a_step_gives_the_rest_of_the_epoch(start):
    expected = plain(noisy().steps(epoch=1))[start:]
    assert plain(noisy().steps(epoch=1, start=start)) == expected


@pytest.mark.parametrize("start", [1, 3])
def test_starting_at_a_step_with_workers_gives_the_rest_of_the_epoch(start):
    expected = plain(noisy().steps(epoch=1))[start:]
    assert plain(noisy(num_workers=2).steps(epoch=1, start=start)) == expected


def test_starting_at_a_step_of_several_batches_gives_the_rest_of_the_epoch():
    expected = plain_steps(noisy(batches_per_step=3).steps(epoch=1))[1:]
    assert plain_steps(noisy(batches_per_step=3).steps(epoch=1, start=1)) == expected


def test_starting_late_does_not_change_the_next_epoch():
    loader = noisy()
    list(loader.steps(epoch=0, start=2))
    assert plain(loader.steps(epoch=1)) == plain(noisy().steps(epoch=1))


def test_steps_that_were_asked_for_first_keep_their_epoch():
    loader = noisy()
    first, second = loader.steps(epoch=0), loader.steps(epoch=1)
    assert plain(first) == plain(noisy().steps(epoch=0))
    assert plain(second) == plain(noisy().steps(epoch=1))


@pytest.mark.parametrize("num_workers", [0, 2])
def test_iterating_twice_gives_the_same(num_workers):
    loader = noisy(num_workers=num_workers)
    assert plain(loader) == plain(loader)


@pytest.mark.parametrize("num_workers", [0, 2])
def test_after_an_epoch_that_was_left_midway_the_next_is_whole(num_workers):
    loader = noisy(batch_size=1, num_workers=num_workers)
    steps = loader.steps(epoch=0)
    next(steps)
    next(steps)
    assert plain(loader.steps(epoch=1)) == plain(noisy(batch_size=1).steps(epoch=1))


@pytest.mark.parametrize("num_workers", [0, 2])
def test_after_a_sample_that_failed_the_loader_can_be_used_again(num_workers):
    loader = DataLoader(Failing(), batch_size=2, num_workers=num_workers)
    with pytest.raises(SampleError):
        list(loader)
    assert xs(loader.steps(epoch=0, start=2)) == [[4, 5]]


def test_workers_stay_from_epoch_to_epoch():
    loader = DataLoader(_Processes(), batch_size=1, num_workers=2)
    processes = [*xs(loader.steps(epoch=0)), *xs(loader.steps(epoch=1))]
    assert len({process for (process,) in processes}) == 2


class _Processes:
    def __len__(self):
        return 4

    def __getitem__(self, index):
        return {"x": os.getpid()}


@pytest.mark.parametrize("num_workers", [0, 1])
def test_a_loader_ends_with_its_last_use(num_workers):
    # Workers of a loader in a cycle of references are found by the garbage collector,
    # which breaks their queues first: each would be waited for 5 s, then killed.
    loader = noisy(num_workers=num_workers)
    list(loader)
    is_alive = weakref.ref(loader)
    del loader
    assert is_alive() is None


def test_a_loader_whose_sample_failed_ends_with_its_last_use():
    loader = DataLoader(Failing(), batch_size=2, num_workers=1)
    message_of(loader)
    is_alive = weakref.ref(loader)
    del loader
    assert is_alive() is None


# The caller's generators


@pytest.mark.parametrize("generator", GENERATORS)
@pytest.mark.parametrize("num_workers", [0, 2])
def test_the_generators_of_the_caller_are_untouched(generator, num_workers):
    draw = GENERATORS[generator]
    torch.manual_seed(3)
    np.random.seed(3)
    random.seed(3)
    expected = [draw() for _ in range(4)]
    torch.manual_seed(3)
    np.random.seed(3)
    random.seed(3)
    drawn = [draw()]
    drawn += [draw() for _ in noisy(num_workers=num_workers)]
    assert drawn == expected


def test_the_generators_of_the_caller_are_untouched_when_a_sample_fails():
    expected = torch.get_rng_state()
    with pytest.raises(SampleError):
        list(DataLoader(Failing(), batch_size=2))
    assert torch.equal(torch.get_rng_state(), expected)


def test_ctrl_c_does_not_end_workers():
    loader = DataLoader(_InterruptHandlers(), batch_size=1, num_workers=1)
    assert xs(loader) == [[True]]


class _InterruptHandlers:
    def __len__(self):
        return 1

    def __getitem__(self, index):
        return {"x": signal.getsignal(signal.SIGINT) is signal.SIG_IGN}


# Errors


WORKERS = [(0, ""), (2, ", worker 1")]  # the second batch is made by the second worker


@pytest.mark.parametrize(("num_workers", "worker"), WORKERS)
def test_a_sample_that_fails_is_named_by_index_file_epoch_position_and_worker(num_workers, worker):
    loader = DataLoader(Failing(), batch_size=2, num_workers=num_workers)
    assert message_of(loader.steps(epoch=7)) == (
        f"sample 3 (pictures/3.png) (epoch 7, position 3{worker}): ValueError: broken picture"
    )


def test_position_counts_from_the_start_of_the_epoch():
    loader = DataLoader(Failing(), batch_size=2, sampler=ShuffledSampler())
    position = ShuffledSampler().indices(6, 0, 1, 0, 6).tolist().index(3)
    with pytest.raises(SampleError, match=rf"sample 3 .*\(epoch 1, position {position}\)"):
        list(loader.steps(epoch=1, start=position // 2))


@pytest.mark.parametrize(("num_workers", "worker"), [(0, ""), (2, ", worker 0")])
def test_the_file_of_a_broken_picture_is_named(tmp_path, num_workers, worker):
    path = tmp_path / "cats" / "tom é.jpg"
    path.parent.mkdir()
    path.write_text("no picture")
    loader = DataLoader(ImageFolder(tmp_path), batch_size=1, num_workers=num_workers)
    expected = f"sample 0 ({path}) (epoch 0, position 0{worker}): ValueError: {path}: "
    assert message_of(loader).startswith(expected)


@pytest.mark.parametrize(("num_workers", "worker"), WORKERS)
@pytest.mark.parametrize("text", ["two\nlines", "", "a nested SampleError: of another loader"])
def test_the_message_of_the_data_set_arrives_whole(num_workers, worker, text):
    loader = DataLoader(Failing(ValueError(text)), batch_size=2, num_workers=num_workers)
    expected = f"sample 3 (pictures/3.png) (epoch 0, position 3{worker}): ValueError: {text}"
    assert message_of(loader) == expected


def test_the_first_error_stays_the_cause():
    error = ValueError("broken picture")
    with pytest.raises(SampleError) as caught:
        list(DataLoader(Failing(error), batch_size=2))
    assert caught.value.__cause__ is error


@pytest.mark.parametrize(
    "items",
    [None, ["one"], np.arange(6), {"a": 1}, torch.arange(2), 5],
    ids=["none", "too short", "array", "dict", "tensor", "number"],
)
def test_what_else_a_data_set_calls_items_does_not_hide_the_error(items):
    dataset = Failing()
    dataset.items = items
    with pytest.raises(SampleError, match="broken picture"):
        list(DataLoader(dataset, batch_size=2))


def test_a_data_set_that_names_no_files_is_named_by_index():
    with pytest.raises(SampleError, match=r"^sample 0 \(epoch 0, position 0\): ZeroDivisionError"):
        list(DataLoader(_Transformed([1], lambda sample: sample / 0), batch_size=1))


@pytest.mark.parametrize("num_workers", [0, 1])
def test_samples_that_do_not_fit_together_are_named(num_workers):
    samples = [{"x": torch.zeros(n), "img_id": n} for n in (2, 3)]
    with pytest.raises(ValueError, match=r"'x' of sample 2 has shape \(2,\), of sample 3 \(3,\)"):
        list(DataLoader(samples, batch_size=2, num_workers=num_workers))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("batch_size", 0),
        ("batch_size", -4),
        ("batches_per_step", 0),
        ("num_workers", -1),
        ("prefetch_factor", 0),
    ],
)
def test_a_number_out_of_range_is_refused(name, value):
    with pytest.raises(ValueError, match=rf"{name} must be at least \d, got {value}"):
        DataLoader(NUMBERS, **{"batch_size": 2, name: value})


def test_an_empty_data_set_is_refused():
    with pytest.raises(ValueError, match="the data set has 0 samples: it is empty"):
        DataLoader([], batch_size=2)


def test_a_data_set_without_a_full_step_is_refused_where_short_steps_are_left_out():
    with pytest.raises(ValueError, match="3 samples: fewer than one batch of 4 with drop_last"):
        DataLoader(NUMBERS[:3], batch_size=4, drop_last=True)


class DrawingLate:
    """Draws nothing until the seventh sample."""

    def __len__(self):
        return 10

    def __getitem__(self, index):
        draws = [draw() for draw in GENERATORS.values()] if index >= 6 else [[0.0, 0.0]] * 3
        return {"x": index, "draws": torch.tensor(draws)}


@pytest.mark.parametrize("num_workers", [0, 1, 2])
def test_samples_that_begin_to_draw_late_are_keyed_too(num_workers):
    loader = DataLoader(DrawingLate(), batch_size=3, num_workers=num_workers)
    expected = {position: loader.make_sample(loader.key(2, position)) for position in range(10)}
    made = [draws.tolist() for batch in loader.steps(epoch=2) for draws in batch["draws"]]
    assert made == [expected[position]["draws"].tolist() for position in range(10)]


@pytest.mark.parametrize("generator", GENERATORS)
def test_the_caller_does_not_notice_samples_that_begin_to_draw_late(generator):
    torch.manual_seed(3)
    np.random.seed(3)
    random.seed(3)
    expected = GENERATORS[generator]()
    torch.manual_seed(3)
    np.random.seed(3)
    random.seed(3)
    list(DataLoader(DrawingLate(), batch_size=3))
    assert GENERATORS[generator]() == expected
