"""Steps of several loaders: what is in each, and the same wherever one starts."""

import gc
import itertools
import weakref
from collections import Counter

import pytest
import torch
from helpers import Points, TinyModel, make_trainer

from hat.callbacks import Callback
from hat.data import DataLoader, MultiTaskDataLoader, SequentialSampler, ShuffledSampler
from hat.data.loaders.task_schedule import DrawnSteps
from hat.engine import Predictor


class Drawing:
    """Numbered samples with a draw that comes from the key of each."""

    def __init__(self, length, first=0):
        self.length = length
        self.first = first

    def __len__(self):
        return self.length

    def __getitem__(self, index):
        return {"x": self.first + index, "noise": torch.rand(())}


def loader(length, batch_size=1, first=0, shuffled=False, **kwargs):
    sampler = ShuffledSampler() if shuffled else SequentialSampler()
    return DataLoader(Drawing(length, first), batch_size, sampler=sampler, **kwargs)


def multi(sizes=(4, 3), *, batch_sizes=(1, 1, 1), loader_args=None, **kwargs):
    """Loaders a, b and c over the numbers from 0, 100 and 200 on."""
    loaders = {
        name: loader(size, batch_size, 100 * n, **(loader_args or {}))
        for n, (name, size, batch_size) in enumerate(zip("abc", sizes, batch_sizes, strict=False))
    }
    return MultiTaskDataLoader(loaders, **kwargs)


def xs(steps):
    return [[batch["x"].tolist() for batch in step] for step in steps]


def flat(steps):
    """The numbers of each step in one list."""
    return [[x for batch in step for x in batch] for step in xs(steps)]


def plain(steps):
    """All that is in steps, to be compared."""
    return [
        [(batch["tasks"], batch["x"].tolist(), batch["noise"].tolist()) for batch in step]
        for step in steps
    ]


# --- every loader in every step


def test_a_step_has_a_batch_of_each_loader():
    assert xs(multi((3, 3))) == [[[0], [100]], [[1], [101]], [[2], [102]]]


def test_loaders_keep_their_batch_sizes():
    assert xs(multi((6, 3), batch_sizes=(2, 1))) == [
        [[0, 1], [100]],
        [[2, 3], [101]],
        [[4, 5], [102]],
    ]


def test_ratios_are_batches_in_a_step():
    assert xs(multi((6, 3), ratios={"a": 2})) == [
        [[0], [1], [100]],
        [[2], [3], [101]],
        [[4], [5], [102]],
    ]


def test_the_largest_is_gone_through_and_the_others_begin_again():
    steps = multi((5, 2))
    assert len(steps) == 5
    assert flat(steps) == [[0, 100], [1, 101], [2, 100], [3, 101], [4, 100]]


def test_the_smallest_ends_an_epoch_and_the_others_go_on_in_the_next():
    steps = multi((5, 2), length="smallest")
    assert len(steps) == 2
    assert [flat(steps.steps(epoch)) for epoch in range(3)] == [
        [[0, 100], [1, 101]],
        [[2, 100], [3, 101]],
        [[4, 100], [0, 101]],
    ]


def test_a_number_of_steps_ends_an_epoch():
    steps = multi((4, 3), length=3)
    assert [flat(steps.steps(epoch)) for epoch in range(2)] == [
        [[0, 100], [1, 101], [2, 102]],
        [[3, 100], [0, 101], [1, 102]],
    ]


@pytest.mark.parametrize(
    ("ratios", "length", "expected"),
    [
        ({}, "largest", 7),
        ({"a": 2}, "largest", 4),  # 7 batches, two a step
        ({"a": 3}, "largest", 4),  # now b, of 4, takes longer than the 3 steps of a
        ({"a": 3}, "smallest", 3),
        ({}, "smallest", 4),
        ({}, 11, 11),
    ],
)
def test_the_length_counts_steps(ratios, length, expected):
    assert len(multi((7, 4), ratios=ratios, length=length)) == expected


def test_a_short_last_batch_comes_where_its_loader_ends():
    assert xs(multi((3, 4), batch_sizes=(2, 1)))[:3] == [
        [[0, 1], [100]],
        [[2], [101]],
        [[0, 1], [102]],
    ]


def test_a_loader_that_cuts_its_steps_gives_all_its_batches():
    loaders = {"a": loader(4, 2, batches_per_step=2), "b": loader(2, 1, 100)}
    assert xs(MultiTaskDataLoader(loaders)) == [[[0], [1], [100]], [[2], [3], [101]]]
    endless = itertools.islice(loaders["a"].stream(0, 1), 4)
    assert xs(endless) == [[[2], [3]], [[0], [1]], [[2], [3]], [[0], [1]]]


def test_a_stream_of_one_loader_goes_on_over_its_epochs():
    for num_workers in (0, 1):
        one = loader(4, 2, shuffled=True, num_workers=num_workers)
        expected = [batch["x"].tolist() for e in (1, 2, 3) for batch in one.steps(e)][1:5]
        stream = itertools.islice(one.stream(1, 1), 4)
        assert [batch["x"].tolist() for batch in stream] == expected


# --- tasks


def test_a_batch_says_what_it_is_for():
    steps = multi((2, 2), tasks={"b": ["seg", "depth"]})
    assert [[batch["tasks"] for batch in step] for step in steps] == [
        [("a",), ("seg", "depth")]
    ] * 2


# --- orders


def test_a_stream_is_what_its_loader_gives_alone():
    # Each epoch of a stream is a whole epoch of its loader, with the loader's own seed.
    steps = multi((5, 3), batch_sizes=(2, 1), loader_args={"shuffled": True}, length=7)
    steps.seed = 9
    both = list(itertools.chain(*(plain(steps.steps(epoch)) for epoch in range(3))))
    for name, alone in steps.loaders.items():
        expected = [
            (batch["x"].tolist(), batch["noise"].tolist())
            for epoch in range(10)
            for batch in alone.steps(epoch)
        ]
        stream = [part[1:] for step in both for part in step if part[0] == (name,)]
        assert len(stream) == 21
        assert stream == expected[:21]


def test_loaders_over_one_data_set_have_orders_of_their_own():
    data = Drawing(50)
    loaders = {name: DataLoader(data, 50, sampler=ShuffledSampler()) for name in "ab"}
    (step,) = MultiTaskDataLoader(loaders)
    first, second = (batch["x"].tolist() for batch in step)
    assert sorted(first) == sorted(second)
    assert first != second
    assert not set(step[0]["noise"].tolist()) & set(step[1]["noise"].tolist())


def test_the_order_of_a_loader_does_not_depend_on_the_others():
    def order(*names):
        loaders = {name: loader(9, 9, shuffled=True) for name in names}
        (step,) = MultiTaskDataLoader(loaders)
        return {batch["tasks"]: batch["x"].tolist() for batch in step}

    assert order("c", "b")[("b",)] == order("a", "b", "d")[("b",)]


def test_the_seed_changes_every_order():
    steps = multi((9, 9), batch_sizes=(9, 9), loader_args={"shuffled": True})
    (first,) = xs(steps)
    steps.seed = 1
    (second,) = xs(steps)
    assert first[0] != second[0]
    assert first[1] != second[1]


# --- steps that are drawn


def test_drawn_steps_have_some_of_the_loaders():
    steps = multi((5, 5, 5), schedule="sample", per_step=2, length=40)
    tasks = [tuple(task for batch in step for task in batch["tasks"]) for step in steps]
    assert Counter(tasks).keys() == {("a", "b"), ("a", "c"), ("b", "c")}


def test_a_loader_goes_on_where_it_was_when_it_is_drawn_again():
    steps = multi((4, 3), schedule="sample", length=15)
    seen = [x for step in flat(steps.steps(0)) + flat(steps.steps(1)) for x in step]
    of_a, of_b = [x for x in seen if x < 100], [x for x in seen if x >= 100]
    assert of_a == list(itertools.islice(itertools.cycle([0, 1, 2, 3]), len(of_a)))
    assert of_b == list(itertools.islice(itertools.cycle([100, 101, 102]), len(of_b)))
    assert len(seen) == 30
    assert len(of_a) > 5
    assert len(of_b) > 5


@pytest.mark.parametrize(
    ("ratios", "per_step"),
    [((1, 1, 1), 1), ((6, 3, 1), 1), ((0.5, 0.25, 0.25), 2), ((5, 4, 1), 3), ((9, 1, 1), 2)],
)
def test_loaders_are_drawn_as_often_as_their_ratios_say(ratios, per_step):
    rates = [per_step * ratio / sum(ratios) for ratio in ratios]
    counts = DrawnSteps(rates, seed=3).counts(0, 20_000)
    assert set(counts.sum(axis=1)) == {per_step}
    for number, rate in enumerate(rates):
        assert set(counts[:, number]) <= {int(rate), int(rate) + 1}
        # Five standard deviations of a mean of draws of 0 or 1.
        assert abs(counts[:, number].mean() - rate) < 5 * 0.5 / 20_000**0.5


def test_pairs_of_loaders_are_all_drawn():
    # Without an order of their own for each step, a and c of three equal ones never meet.
    counts = DrawnSteps([0.5] * 4, seed=0).counts(0, 3000)
    pairs = Counter(tuple(row.nonzero()[0].tolist()) for row in counts)
    assert set(pairs) == set(itertools.combinations(range(4), 2))
    assert min(pairs.values()) > 300


def test_what_runs_in_a_step_depends_on_seed_and_step_alone():
    schedule = DrawnSteps([0.7, 0.8, 0.5], seed=4)
    whole = schedule.counts(0, 40_000)
    for step in (39_999, 17_000, 0, 20_000):
        assert schedule.counts(step, step + 1).tolist() == whole[step : step + 1].tolist()
        assert schedule.before(step).tolist() == whole[:step].sum(axis=0).tolist()
    assert list(schedule.rows(5, 40_000)) == whole[5:].tolist()
    assert DrawnSteps([0.7, 0.8, 0.5], seed=5).counts(0, 50).tolist() != whole[:50].tolist()


def test_the_seed_changes_which_loaders_are_drawn():
    steps = multi((9, 9), schedule="sample", length=30)
    first = [step.loader for n in range(30) for step in steps.parts(0, n)]
    steps.seed = 1
    second = [step.loader for n in range(30) for step in steps.parts(0, n)]
    assert first != second
    assert second == [task for step in steps for batch in step for task in batch["tasks"]]


def test_the_length_of_drawn_epochs_is_a_mean():
    # Two batches a step, of which a has 3 of 4: 1.5 a step, and b 0.5.
    sizes, ratios = (30, 5), {"a": 3, "b": 1}
    steps = multi(sizes, schedule="sample", per_step=2, ratios=ratios)
    assert len(steps) == 20
    steps = multi(sizes, schedule="sample", per_step=2, ratios=ratios, length="smallest")
    assert len(steps) == 10


# --- starting anywhere

VARIANTS = {
    "all": dict(),
    "ratios": dict(ratios={"a": 2}, length="smallest"),
    "number": dict(length=4),
    "sample": dict(schedule="sample", length=5),
    "two of three": dict(schedule="sample", per_step=2, ratios={"a": 0.5}, length=4),
}


def variant(name, num_workers=0):
    arguments = dict(shuffled=True, num_workers=num_workers)
    return multi((5, 3, 7), batch_sizes=(2, 1, 2), loader_args=arguments, **VARIANTS[name])


def epochs(steps, num_epochs):
    return [plain(steps.steps(epoch)) for epoch in range(num_epochs)]


@pytest.mark.parametrize("name", VARIANTS)
def test_resuming_at_any_step_gives_what_was_left(name):
    whole = epochs(variant(name), 3)
    for epoch, steps in enumerate(whole):
        for start in range(len(steps) + 1):
            resumed = variant(name)
            assert plain(resumed.steps(epoch, start)) == steps[start:]
            if epoch + 1 < 3:  # and the next epoch follows on
                assert plain(resumed.steps(epoch + 1)) == whole[epoch + 1]


@pytest.mark.parametrize("name", VARIANTS)
def test_workers_give_the_same(name):
    whole = epochs(variant(name), 2)
    with_workers = variant(name, num_workers=1)
    assert epochs(with_workers, 2) == whole
    assert plain(with_workers.steps(0, 2)) == whole[0][2:]  # back again
    assert plain(with_workers.steps(1)) == whole[1]


def test_several_workers_give_the_same():
    assert epochs(variant("all", num_workers=2), 2) == epochs(variant("all"), 2)


@pytest.mark.parametrize("num_workers", [0, 1])
def test_an_epoch_that_is_left_midway_does_not_change_the_next(num_workers):
    steps = variant("number", num_workers)
    left = steps.steps(0)
    next(left)
    next(left)
    left.close()
    assert plain(steps.steps(1)) == epochs(variant("number"), 2)[1]


def test_epochs_can_be_gone_through_side_by_side():
    steps = variant("all")
    first, second = steps.steps(0), steps.steps(1)
    pairs = list(zip(first, second, strict=True))
    expected = epochs(variant("all"), 3)
    assert plain([pair[0] for pair in pairs]) == expected[0]
    assert plain([pair[1] for pair in pairs]) == expected[1]
    assert plain(steps.steps(2)) == expected[2]


def test_another_seed_begins_anew():
    steps = variant("number")
    list(steps.steps(0))
    steps.seed = 5
    expected = variant("number")
    expected.seed = 5
    assert plain(steps.steps(1)) == epochs(expected, 2)[1]


@pytest.mark.parametrize("name", VARIANTS)
def test_parts_tell_what_is_in_a_step(name):
    steps = variant(name)
    for epoch in range(2):
        for number, step in enumerate(plain(steps.steps(epoch))):
            made = []
            for part in steps.parts(epoch, number):
                batch = next(steps.loaders[part.loader].steps(part.epoch, part.step))
                made.append(((part.loader,), batch["x"].tolist(), batch["noise"].tolist()))
            assert made == step


class Counting(Drawing):
    """Counts the samples that were made."""

    num_made = 0

    def __getitem__(self, index):
        self.num_made += 1
        return super().__getitem__(index)


@pytest.mark.parametrize("schedule", ["all", "sample"])
def test_a_step_far_away_makes_no_other_samples(schedule):
    data = Counting(50)
    loaders = {name: DataLoader(data, 2, sampler=ShuffledSampler()) for name in "ab"}
    steps = MultiTaskDataLoader(loaders, schedule=schedule, length=30_000)
    (step,) = itertools.islice(steps.steps(2, 15_000), 1)
    assert data.num_made == 2 * len(step)


def test_streams_wait_from_epoch_to_epoch():
    steps = multi((40, 40), loader_args={"num_workers": 1}, length=3)
    list(steps.steps(0))
    before = [steps._idle.iterators[name] for name in "ab"]
    list(steps.steps(1))
    assert [steps._idle.iterators[name] for name in "ab"] == before


@pytest.mark.parametrize("num_workers", [0, 1])
def test_a_loader_ends_with_its_last_use(num_workers):
    steps = multi((4, 4), loader_args={"num_workers": num_workers})
    list(steps.steps(0))
    is_alive = [weakref.ref(steps), *map(weakref.ref, steps.loaders.values())]
    gc.disable()
    try:
        del steps
        assert [ref() for ref in is_alive] == [None, None, None]
    finally:
        gc.enable()


# --- several processes


def test_processes_together_make_the_batches_of_one():
    def steps_of(rank, num_processes):
        steps = multi((8, 12), batch_sizes=(4, 6), loader_args={"shuffled": True})
        steps.rank, steps.num_processes = rank, num_processes
        return xs(steps.steps(1))

    halves = [steps_of(rank, 2) for rank in range(2)]
    joined = [
        [one + other for one, other in zip(*both, strict=True)]
        for both in zip(*halves, strict=True)
    ]
    assert joined == steps_of(0, 1)


def test_a_loader_without_a_step_for_so_many_is_named():
    steps = multi((8, 1), batch_sizes=(4, 4))
    steps.num_processes = 2
    with pytest.raises(ValueError, match="loader 'b' has 1 samples: no step for 2 processes"):
        len(steps)


# --- in the engine


class Noting(Callback):
    """Keeps what was in each step, and may ask to stop after one of them."""

    def __init__(self, stop_after=None):
        self.steps = []
        self.stop_after = stop_after

    def on_step_end(self, *, batches, progress, **kwargs):
        self.steps.append([(batch["tasks"], batch["img_id"]) for batch in batches])
        if progress.num_steps_done == self.stop_after:
            progress.stop("enough")


def trainer(noting, run_dir=None):
    loaders = {
        name: DataLoader(Points(length, noise=0.1), 2, sampler=ShuffledSampler())
        for name, length in (("a", 7), ("b", 4))
    }
    steps = MultiTaskDataLoader(loaders, schedule="sample", length=5)
    return make_trainer(data_loader=steps, seed=3, callbacks=[noting], run_dir=run_dir)


def test_a_run_that_resumes_in_an_epoch_is_the_run_that_never_stopped():
    whole = Noting()
    uninterrupted = trainer(whole)
    uninterrupted.fit()
    assert len(whole.steps) == 10
    for stop_after in (2, 5, 8):
        first, second = Noting(stop_after), Noting()
        begun = trainer(first)
        begun.fit()
        resumed = trainer(second)
        resumed.state.load_state_dict(begun.state.state_dict())
        resumed.fit()
        assert first.steps + second.steps == whole.steps
        for one, other in zip(
            resumed.model.parameters(), uninterrupted.model.parameters(), strict=True
        ):
            assert torch.equal(one, other)


def test_the_engine_passes_seed_and_folder_on(tmp_path):
    run = trainer(Noting(), tmp_path)
    list(run.data_loader.steps(0))
    assert run.data_loader.seed == 3
    assert {inner.run_dir for inner in run.data_loader.loaders.values()} == {tmp_path}


def test_a_predictor_refuses_to_give_samples_again():
    with pytest.raises(TypeError, match=r"every sample once, .*: give it a DataLoader"):
        Predictor(TinyModel(), multi())


# --- mistakes


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (dict(tasks={"d": ["x"]}), ValueError, "tasks: there is no loader 'd', only a, b"),
        (dict(tasks={"a": "det"}), TypeError, "tasks of loader 'a' must be a list .* got 'det'"),
        (dict(tasks={"a": []}), ValueError, "tasks of loader 'a' must be one or more names"),
        (dict(tasks={"a": ["t", "t"]}), ValueError, "must be one or more names"),
        (dict(ratios={"A": 1}), ValueError, "ratios: there is no loader 'A'.* Did you mean 'a'?"),
        (dict(ratios={"a": 0}), ValueError, "that of 'a' must be above 0, got 0"),
        (dict(ratios={"a": 1.5}), ValueError, "with schedule='all' that of 'a' must be whole"),
        (dict(length="longest"), ValueError, "'largest', 'smallest' or a number .* got 'longest'"),
        (dict(length=0), ValueError, "or a number of steps, got 0"),
        (dict(schedule="random"), ValueError, "must be 'all' or 'sample', got 'random'"),
        (dict(per_step=2), ValueError, "per_step is for schedule='sample'"),
        (dict(schedule="sample", per_step=0), ValueError, "per_step must be at least 1, got 0"),
    ],
)
def test_mistakes_are_refused(arguments, error, message):
    with pytest.raises(error, match=message):
        multi(**arguments)


def test_what_is_no_loader_is_refused_by_name():
    with pytest.raises(TypeError, match="loader 'b' must be a DataLoader, got list"):
        MultiTaskDataLoader({"a": loader(2), "b": [1]})
    with pytest.raises(TypeError, match=r"a dict of names to DataLoaders, got \{\}"):
        MultiTaskDataLoader({})


def test_one_loader_cannot_be_two_streams():
    one = loader(2)
    with pytest.raises(ValueError, match="'a' and 'b' are one loader"):
        MultiTaskDataLoader({"a": one, "b": one})


def test_an_iterable_is_refused_by_name():
    class Numbers(torch.utils.data.IterableDataset):
        def __iter__(self):
            yield {"x": 1}

    with pytest.raises(ValueError, match="loader 'a' has a Numbers, which can only be iterated"):
        MultiTaskDataLoader({"a": DataLoader(Numbers(), 1)})


def test_an_exact_loader_is_refused_by_name():
    with pytest.raises(ValueError, match="loader 'a' is exact"):
        MultiTaskDataLoader({"a": loader(2, exact=True)})


def test_a_batch_that_is_no_dict_is_refused_by_name():
    steps = MultiTaskDataLoader({"a": loader(2, collate=lambda samples: samples)})
    with pytest.raises(TypeError, match="loader 'a' gave a batch that is a list"):
        next(iter(steps))
