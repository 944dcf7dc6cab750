"""Bad samples are replaced by a rule that depends on index and key alone, and are listed."""

import json
import logging

import pytest
import torch

from hat.data import DataLoader, SampleError, ShuffledSampler, SkipBadSamples


class Spoilt:
    """Ten samples with a draw each; some cannot be loaded."""

    def __init__(self, bad=(3, 4), error=None):
        self.bad = bad
        self.error = error or ValueError("broken")

    def __len__(self):
        return 10

    def __getitem__(self, index):
        if index in self.bad:
            raise self.error
        return {"x": torch.tensor(index), "noise": torch.rand(())}

    def source(self, index):
        return f"{index}.jpg"


def loader_of(dataset=None, **kwargs):
    options = {"batch_size": 5, "on_bad_sample": SkipBadSamples(budget=5), **kwargs}
    return DataLoader(Spoilt() if dataset is None else dataset, **options)


def values(steps, key="x"):
    return [batch[key].tolist() for batch in steps]


def quarantined(folder):
    return [json.loads(line) for line in (folder / "quarantine.jsonl").read_text().splitlines()]


def test_a_bad_sample_is_replaced_by_the_next_that_loads():
    assert values(loader_of()) == [[0, 1, 2, 5, 5], [5, 6, 7, 8, 9]]


def test_behind_the_last_sample_comes_the_first():
    assert values(loader_of(Spoilt(bad=[9]))) == [[0, 1, 2, 3, 4], [5, 6, 7, 8, 0]]


def test_a_stand_in_has_the_draws_of_its_position():
    assert values(loader_of(), "noise") == values(loader_of(Spoilt(bad=())), "noise")


@pytest.mark.parametrize("num_workers", [1, 2])
def test_stand_ins_do_not_depend_on_workers(num_workers):
    def steps(num_workers):
        loader = loader_of(sampler=ShuffledSampler(), num_workers=num_workers, batch_size=2)
        return loader.steps(epoch=1, start=1)

    assert values(steps(num_workers), "noise") == values(steps(0), "noise")


def test_a_sample_made_again_is_the_stand_in():
    loader = loader_of()
    assert loader.make_sample(loader.key(epoch=0, position=3))["x"] == 5


def test_bad_samples_are_listed_in_the_folder_of_the_run(tmp_path):
    loader = loader_of()
    loader.run_dir = tmp_path / "run"
    list(loader.steps(epoch=2))
    assert quarantined(tmp_path / "run") == [
        dict(index=3, file="3.jpg", error="ValueError: broken", epoch=2, position=3),
        dict(index=4, file="4.jpg", error="ValueError: broken", epoch=2, position=3),
    ]


def test_a_bad_sample_is_listed_once_in_all_epochs_and_continuations(tmp_path):
    for _ in range(2):
        loader = loader_of(num_workers=1)
        loader.run_dir = tmp_path
        list(loader.steps(epoch=0))
        list(loader.steps(epoch=1))
    assert [bad["index"] for bad in quarantined(tmp_path)] == [3, 4]


def test_those_of_the_run_that_is_continued_count(tmp_path):
    first = loader_of(Spoilt(bad=[1]))
    second = loader_of(Spoilt(bad=[7]), on_bad_sample=SkipBadSamples(budget=1))
    first.run_dir = second.run_dir = tmp_path
    list(first)
    with pytest.raises(SampleError, match="2 bad samples, and the budget is 1"):
        list(second)


def test_a_line_that_a_crash_cut_short_spoils_no_other(tmp_path):
    (tmp_path / "quarantine.jsonl").write_text('{"index": 8, "fi')
    loader = loader_of(Spoilt(bad=[1]))
    loader.run_dir = tmp_path
    list(loader)
    last = (tmp_path / "quarantine.jsonl").read_text().splitlines()[-1]
    assert json.loads(last)["index"] == 1


def test_each_is_logged_once(caplog):
    loader = loader_of(Spoilt(bad=[3]))
    with caplog.at_level(logging.WARNING):
        list(loader.steps(epoch=0))
        list(loader.steps(epoch=1))
    assert [record.getMessage() for record in caplog.records] == [
        "left out bad sample 3 (3.jpg) (epoch 0, position 3): ValueError: broken (1 of at most 5)"
    ]


def test_more_than_the_budget_end_the_run_and_are_listed():
    with pytest.raises(SampleError) as caught:
        list(loader_of(on_bad_sample=SkipBadSamples(budget=1)))
    assert str(caught.value) == (
        "2 bad samples, and the budget is 1: mend or remove them, or allow more\n"
        "  3 (3.jpg) (epoch 0, position 3): ValueError: broken\n"
        "  4 (4.jpg) (epoch 0, position 3): ValueError: broken"
    )


def test_where_none_can_stand_in_the_run_ends():
    dataset = Spoilt(bad=range(10))
    expected = r"^sample 0 \(0\.jpg\) .*; none of the 2 samples behind it can stand in"
    with pytest.raises(SampleError, match=expected):
        list(loader_of(dataset, on_bad_sample=SkipBadSamples(max_tries=2)))


@pytest.mark.parametrize("error", [MemoryError("none left"), KeyboardInterrupt()])
def test_what_is_not_the_fault_of_the_sample_is_not_skipped(error):
    with pytest.raises(SampleError, match=type(error).__name__):
        list(loader_of(Spoilt(error=error), num_workers=1))


def test_by_default_a_bad_sample_ends_the_run():
    with pytest.raises(SampleError, match="sample 3"):
        list(DataLoader(Spoilt(), batch_size=5))


def test_an_unknown_policy_is_refused():
    with pytest.raises(ValueError, match="on_bad_sample must be 'raise' or SkipBadSamples"):
        loader_of(on_bad_sample="skip")


@pytest.mark.parametrize("kwargs", [{"budget": -1}, {"max_tries": 0}])
def test_numbers_out_of_range_are_refused(kwargs):
    with pytest.raises(ValueError, match="must be at least"):
        SkipBadSamples(**kwargs)
