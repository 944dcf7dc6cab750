"""Data sets made of data sets."""

import gc
import multiprocessing
import os
import pickle
import signal
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from torchvision import tv_tensors
from torchvision.transforms import v2

from hat.data import (
    BalancedDataset,
    CachedDataset,
    CacheError,
    ConcatDataset,
    DataLoader,
    Dataset,
    MixedDataset,
    MixingTransform,
    RepeatDataset,
    ShuffledSampler,
    SubsetDataset,
)
from hat.data.arrays import RaggedArray
from hat.data.datasets import cached
from hat.data.datasets.balanced import repeat_factors
from hat.data.datasets.mixed import apportion
from hat.data.pixels import Image, Mask

WORDS = ("cat", "dog")


class Numbers(Dataset):
    """Sample n has the number `first + n`, and counts how often it was made."""

    classes = WORDS
    colors = ((1, 2, 3), (4, 5, 6))
    seg_classes = ("road",)
    label_classes = ("day", "night")

    def __init__(self, length=5, first=0, transform=None):
        super().__init__(transform)
        self.length = length
        self.first = first
        self.num_loads = 0

    def __len__(self):
        return self.length

    def load(self, index):
        self.num_loads += 1
        return {"number": self.first + index, "label": index % 2}

    def annotation(self, index):
        return {"label": index % 2, "ori_shape": (index + 1, 7)}

    def source(self, index):
        return f"{self.first + index}.txt"


class Rich(Dataset):
    """One sample of every kind of value."""

    def __len__(self):
        return 3

    def load(self, index):
        generator = torch.Generator().manual_seed(index)
        pixels = torch.randint(256, (9, 12, 3), dtype=torch.uint8, generator=generator)
        boxes = torch.rand(2, 4, generator=generator) * torch.tensor([1, 1, 5, 5])
        return {
            "img": Image.from_hwc(pixels.numpy()),
            "gt_bboxes": tv_tensors.BoundingBoxes(boxes, format="XYXY", canvas_size=(9, 12)),
            "gt_classes": torch.tensor([1, 0]),
            "gt_crowd": torch.tensor([True, False]),
            "gt_keypoints": tv_tensors.KeyPoints(boxes[:, None, :2], canvas_size=(9, 12)),
            "gt_seg": Mask(pixels[..., 0]),
            "gt_depth": Mask(torch.rand(9, 12, generator=generator)),
            "points": torch.rand(20, 4, generator=generator),
            "img_id": f"a/{index}",
            "ori_shape": (9, 12),
            "gt_masks": Mask(torch.zeros(0, 9, 12, dtype=torch.bool)),
        }


def numbers(dataset):
    return [sample["number"] for sample in dataset]


def plus_hundred(sample):
    return {**sample, "number": sample["number"] + 100}


def doubled(sample):
    return {**sample, "number": sample["number"] * 2}


def with_noise(sample):
    return {**sample, "noise": float(torch.rand(()))}


#: Each wrapper around `Numbers`, which it visits from the first sample on.
WRAPPERS = {
    "concat": lambda dataset, **kwargs: ConcatDataset([dataset], **kwargs),
    "subset": lambda dataset, **kwargs: SubsetDataset(dataset, stop=5, **kwargs),
    "repeat": lambda dataset, **kwargs: RepeatDataset(dataset, 1, **kwargs),
    "balanced": lambda dataset, **kwargs: BalancedDataset(dataset, **kwargs),
    "mixed": lambda dataset, **kwargs: MixedDataset([dataset], [1], **kwargs),
    "cached": lambda dataset, **kwargs: CachedDataset(dataset, **kwargs),
}


@pytest.fixture(params=WRAPPERS)
def wrap(request):
    return WRAPPERS[request.param]


def test_a_wrapper_gives_the_samples_of_the_data_set(wrap):
    assert numbers(wrap(Numbers(first=7))) == [7, 8, 9, 10, 11]


def test_the_transform_of_the_data_set_comes_first(wrap):
    inner = Numbers(transform=plus_hundred)
    assert numbers(wrap(inner, transform=doubled)) == [200, 202, 204, 206, 208]


def test_annotations_are_those_of_the_data_set(wrap):
    dataset = wrap(Numbers(transform=plus_hundred))
    assert dataset.annotation(3) == {"label": 1, "ori_shape": (4, 7)}


def test_sources_are_those_of_the_data_set(wrap):
    assert wrap(Numbers(first=7)).source(3) == "10.txt"


def test_names_and_colours_are_those_of_the_data_set(wrap):
    dataset = wrap(Numbers())
    assert dataset.classes == WORDS
    assert dataset.colors == Numbers.colors
    assert dataset.seg_classes == Numbers.seg_classes
    assert dataset.label_classes == Numbers.label_classes
    assert dataset.seg_colors is None


def test_a_wrapper_can_be_sent_to_a_worker(wrap):
    dataset = wrap(Numbers(first=7))
    assert numbers(pickle.loads(pickle.dumps(dataset))) == [7, 8, 9, 10, 11]


def test_ids_of_one_data_set_stay(wrap):
    assert [sample["img_id"] for sample in wrap(Numbers())] == [0, 1, 2, 3, 4]


def test_wrappers_can_be_stacked(wrap):
    assert numbers(wrap(wrap(Numbers(first=7)))) == [7, 8, 9, 10, 11]


def test_a_transform_that_mixes_draws_from_the_wrapper(wrap):
    class Neighbours(MixingTransform):
        def num_others(self):
            return 20

        def mix(self, sample, others):
            return {"numbers": {other["number"] for other in others}}

    dataset = wrap(Numbers(first=7, transform=plus_hundred), transform=[Neighbours()])
    assert dataset[0]["numbers"] == {107, 108, 109, 110, 111}


@pytest.mark.parametrize("name", sorted(set(WRAPPERS) - {"balanced"}))
def test_what_is_no_data_set_of_hats_can_be_wrapped(name):
    dataset = WRAPPERS[name]([{"number": n} for n in range(5)])
    assert numbers(dataset) == [0, 1, 2, 3, 4]
    assert dataset.source(0) is None
    assert dataset.annotation(2) == {"number": 2, "img_id": 2}


@pytest.mark.parametrize("name", sorted(set(WRAPPERS) - {"balanced"}))
def test_a_data_set_of_pairs_is_refused_with_what_to_do(name):
    dataset = WRAPPERS[name]([(1, 2)] * 5)
    with pytest.raises(TypeError, match=r"list\[1\] must be a dict, got tuple: wrap"):
        dataset[1]


def test_data_sets_stand_one_behind_the_other():
    dataset = ConcatDataset([Numbers(2), Numbers(0), Numbers(3, first=10)])
    assert numbers(dataset) == [0, 1, 10, 11, 12]
    assert [dataset.source(n) for n in (1, 2)] == ["1.txt", "10.txt"]


def test_ids_of_several_data_sets_are_told_apart():
    dataset = ConcatDataset([Numbers(2), Numbers(1)])
    assert [sample["img_id"] for sample in dataset] == ["0/0", "0/1", "1/0"]


def test_annotations_have_the_ids_of_their_samples():
    rich = ConcatDataset([Rich(), Rich()])
    assert rich.annotation(4)["img_id"] == rich[4]["img_id"] == "1/a/1"


def test_ids_that_are_unlike_can_be_kept():
    dataset = ConcatDataset([Numbers(2), [{"img_id": 99}]], keep_ids=True)
    assert [sample["img_id"] for sample in dataset] == [0, 1, 99]


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (("cat", "cow"), r"class 1 is 'dog' in data set 0 \(Numbers\) and 'cow' in data set 1"),
        (("cat", "dog", "cow"), r"data set 0 \(Numbers\) has 2 and data set 1 \(Numbers\) has 3"),
    ],
)
def test_unlike_classes_are_refused_by_the_first_difference(names, message):
    other = Numbers()
    other.classes = names
    with pytest.raises(ValueError, match=f"^classes differ: {message}"):
        ConcatDataset([Numbers(), other])


def test_a_data_set_without_names_meets_one_with_names():
    assert ConcatDataset([[{"number": 1}], Numbers()]).classes == WORDS


def test_no_data_set_at_all_is_refused():
    with pytest.raises(ValueError, match="needs at least one data set"):
        ConcatDataset([])


def test_a_subset_has_the_listed_samples_in_their_order():
    assert numbers(SubsetDataset(Numbers(), [4, 0, 2])) == [4, 0, 2]


def test_a_subset_may_be_empty():
    assert len(SubsetDataset(Numbers(), [])) == 0


def test_a_subset_may_be_a_stretch():
    assert numbers(SubsetDataset(Numbers(10), start=1, stop=8, step=3)) == [1, 4, 7]


def test_a_stretch_ends_with_the_data_set():
    assert numbers(SubsetDataset(Numbers(), start=3, stop=100)) == [3, 4]


def test_a_fraction_is_rounded_to_whole_samples():
    assert len(SubsetDataset(Numbers(11), fraction=0.25)) == 3


def test_a_fraction_is_drawn_by_the_seed():
    drawn = {tuple(numbers(SubsetDataset(Numbers(30), fraction=0.5, seed=n))) for n in range(20)}
    assert len(drawn) == 20


def test_a_fraction_is_drawn_evenly():
    counts = Counter()
    for seed in range(1000):
        counts.update(SubsetDataset(Numbers(20), fraction=0.5, seed=seed).indices.tolist())
    observed = np.array([counts[n] for n in range(20)])
    # Variance of a count of draws without replacement is 250, over 19 / 20 of the freedom:
    # the 99.9 % point of chi-square with 19 degrees of freedom is 43.8.
    assert ((observed - 500) ** 2 / 250).sum() * 19 / 20 < 43.8


def test_parts_of_the_shuffled_set_have_everything_and_nothing_twice():
    whole = Numbers(37)
    parts = [(0, 0.3), (0.3, 0.8), (0.8, 1)]
    drawn = [n for part in parts for n in numbers(SubsetDataset(whole, fraction=part, seed=4))]
    assert sorted(drawn) == list(range(37))


@pytest.mark.parametrize(
    "arguments",
    [
        {"indices": [5]},
        {"indices": [-1]},
        {"fraction": 1.5},
        {"fraction": (0.5, 0.2)},
        {"start": -1},
        {"stop": -1},
        {"step": 0},
        {"indices": [1], "fraction": 0.5},
        {"stop": 3, "fraction": 0.5},
    ],
)
def test_a_choice_that_cannot_be_made_is_refused(arguments):
    with pytest.raises(ValueError, match=r"samples|fraction|start|stop|step"):
        SubsetDataset(Numbers(), **arguments)


def test_a_data_set_comes_several_times():
    assert numbers(RepeatDataset(Numbers(3), 3)) == [0, 1, 2] * 3


def test_no_times_are_refused():
    with pytest.raises(ValueError, match="at least 1, got 0"):
        RepeatDataset(Numbers(), 0)


def test_rare_classes_are_repeated_as_the_paper_has_it():
    # Of four samples class 0 is in all and class 1 in one: f = 1/4, r = sqrt(0.64 / 0.25).
    per_sample = RaggedArray(np.array([0, 0, 0, 0, 1]), np.array([0, 1, 2, 3, 5]))
    assert repeat_factors(per_sample, 0.64).tolist() == pytest.approx([1, 1, 1, 1.6])


def test_samples_without_a_class_are_not_repeated():
    per_sample = RaggedArray(np.array([3]), np.array([0, 0, 0, 1]))
    assert repeat_factors(per_sample, 1.0).tolist() == pytest.approx([1, 1, 3**0.5])


class Labels(Numbers):
    """One sample in a hundred is of class 1."""

    def annotation(self, index):
        return {"label": int(index % 100 == 0)}


def test_a_rare_class_comes_as_often_as_its_factor_says():
    dataset = BalancedDataset(Labels(10_000), threshold=0.0225)  # r = sqrt(2.25) = 1.5
    counts = Counter(dataset.locate(n)[1] for n in range(len(dataset)))
    repeats = [counts[n] for n in range(0, 10_000, 100)]
    assert set(repeats) == {1, 2}
    # 100 draws of a half: mean 150, deviation 5.
    assert abs(sum(repeats) - 150) < 20
    assert {counts[n] for n in range(10_000) if n % 100} == {1}


def test_what_is_made_up_by_chance_follows_the_seed():
    def drawn(seed):
        return tuple(BalancedDataset(Labels(2_000), threshold=0.0225, seed=seed).indices.tolist())

    assert drawn(1) == drawn(1)
    assert len({drawn(seed) for seed in range(5)}) == 5


def test_without_rare_classes_nothing_is_repeated():
    assert numbers(BalancedDataset(Numbers(), threshold=0.1)) == [0, 1, 2, 3, 4]


def test_a_threshold_is_a_share():
    with pytest.raises(ValueError, match="between 0 and 1, got 2"):
        BalancedDataset(Numbers(), threshold=2)


@pytest.mark.parametrize(
    ("length", "shares", "counts"),
    [
        (10, [0.5, 0.5], [5, 5]),
        (100, [0.29, 0.71], [29, 71]),
        # Exact 3.33 of each: the first in the list gets what is left.
        (10, [1 / 3, 1 / 3, 1 / 3], [4, 3, 3]),
        # Exact 4.5, 3.4, 2.1.
        (10, [0.45, 0.34, 0.21], [5, 3, 2]),
        (1, [0.2, 0.8], [0, 1]),
    ],
)
def test_shares_are_rounded_by_the_largest_remainder(length, shares, counts):
    assert apportion(length, np.array(shares)).tolist() == counts


def mixed_numbers(lengths, ratios, **kwargs):
    sets = [Numbers(length, first=1000 * n) for n, length in enumerate(lengths)]
    return np.array(numbers(MixedDataset(sets, ratios, **kwargs)))


@pytest.mark.parametrize(
    "ratios", [[1, 1], [0.7, 0.3], [5, 3, 2], [0.61, 0.07, 0.32], [1, 2, 3, 90]]
)
def test_every_stretch_has_the_ratios(ratios):
    drawn = mixed_numbers([40, 30, 20, 10][: len(ratios)], ratios, length=500) // 1000
    shares = np.array(ratios) / sum(ratios)
    counts = np.cumsum(drawn[:, None] == np.arange(len(ratios)), axis=0)
    exact = np.arange(1, 501)[:, None] * shares
    assert np.abs(counts - exact).max() < 2


def test_a_mix_is_long_enough_to_see_everything():
    drawn = mixed_numbers([10, 4], [1, 1])
    assert len(drawn) == 20
    assert set(drawn.tolist()) == {*range(10), *range(1000, 1004)}


def test_a_smaller_data_set_goes_round_and_then_evenly():
    drawn = mixed_numbers([10, 4], [1, 1])
    assert drawn[drawn >= 1000].tolist() == [1000, 1001, 1002, 1003] * 2 + [1000, 1002]


def test_a_short_mix_takes_samples_at_equal_distances():
    assert mixed_numbers([100], [1], length=5).tolist() == [0, 20, 40, 60, 80]


def test_a_mix_tells_ids_apart():
    mixed = MixedDataset([Numbers(2), Numbers(2)], [1, 1])
    assert sorted(sample["img_id"] for sample in mixed) == ["0/0", "0/1", "1/0", "1/1"]


@pytest.mark.parametrize("ratios", [[1], [1, 0], [1, -1], [1, float("nan")], [1, 1, 1]])
def test_ratios_that_say_nothing_are_refused(ratios):
    with pytest.raises(ValueError, match="one positive number for each of 2 data sets"):
        MixedDataset([Numbers(), Numbers()], ratios)


def test_an_empty_data_set_cannot_be_mixed():
    with pytest.raises(ValueError, match="data set 1 is empty"):
        MixedDataset([Numbers(), Numbers(0)], [1, 1])


@pytest.fixture(params=["memory", "disk"])
def folder(request, tmp_path):
    return None if request.param == "memory" else tmp_path / "cache"


def same(one, other):
    """Equal in keys, types, values and what tensors say of their canvas."""
    assert one.keys() == other.keys()
    for key, value in one.items():
        assert type(other[key]) is type(value), key
        if isinstance(value, torch.Tensor):
            assert other[key].dtype == value.dtype, key
            assert torch.equal(other[key], value), key
            assert getattr(other[key], "canvas_size", 0) == getattr(value, "canvas_size", 0), key
            assert getattr(other[key], "format", 0) == getattr(value, "format", 0), key
        else:
            assert other[key] == value, key
    return True


def kept_files(dataset):
    return sorted(path for path in dataset.folder.glob("0*/*") if not path.name.startswith("."))


@pytest.mark.parametrize("compress", [False, True])
def test_a_kept_sample_is_the_sample(folder, compress):
    dataset = CachedDataset(Rich(), folder, compress=compress)
    for _ in range(2):
        assert all(same(Rich()[n], dataset[n]) for n in range(3))


def test_a_sample_is_made_once(folder):
    inner = Numbers(5)
    dataset = CachedDataset(inner, folder)
    inner.num_loads = 0
    assert numbers(dataset) == numbers(dataset) == [0, 1, 2, 3, 4]
    assert inner.num_loads == 5


def test_changing_a_sample_does_not_change_what_is_kept(folder):
    dataset = CachedDataset(Rich(), folder)
    for _ in range(2):
        dataset[1]["img"].zero_()
    assert same(Rich()[1], dataset[1])


def test_a_later_run_finds_what_is_kept(tmp_path):
    assert numbers(CachedDataset(Numbers(), tmp_path)) == [0, 1, 2, 3, 4]
    inner = Numbers()
    assert numbers(CachedDataset(inner, tmp_path)) == [0, 1, 2, 3, 4]
    assert inner.num_loads == 0


def test_random_draws_inside_depend_on_the_index_alone(folder):
    def drawn(order, seed):
        torch.manual_seed(seed)
        dataset = CachedDataset(Numbers(transform=with_noise), folder)
        return {n: dataset[n]["noise"] for n in order}

    first = drawn([0, 1, 2, 3], seed=0)
    assert drawn([3, 1, 0, 2], seed=1) == first
    assert len(set(first.values())) == 4


def test_random_draws_outside_do_not_depend_on_what_was_kept(folder):
    dataset = CachedDataset(Numbers(transform=with_noise), folder, transform=with_noise)

    def drawn():
        torch.manual_seed(0)
        return [dataset[n]["noise"] for n in range(5)]

    assert drawn() == drawn()


@pytest.mark.parametrize("content", [b"", b"short", b"x" * 200])
def test_a_damaged_record_is_made_again(folder, content, caplog):
    dataset = CachedDataset(Numbers(), folder)
    dataset[2]
    (path,) = kept_files(dataset)
    whole = path.read_bytes()
    path.write_bytes(content)
    assert dataset[2]["number"] == 2
    assert path.read_bytes() == whole
    assert f"{path}: damaged" in caplog.text


def test_a_changed_bit_is_noticed(folder):
    dataset = CachedDataset(Rich(), folder)
    dataset[2]
    (path,) = kept_files(dataset)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 4
    path.write_bytes(data)
    assert same(Rich()[2], dataset[2])


def test_no_more_is_kept_than_the_limit(folder, caplog):
    inner = Numbers(50)
    dataset = CachedDataset(inner, folder, max_bytes=500)
    assert numbers(dataset) == numbers(dataset) == list(range(50))
    assert 0 < sum(path.stat().st_size for path in kept_files(dataset)) <= 500
    assert 50 < inner.num_loads < 100
    assert caplog.text.count("max_bytes = 500 are reached") == 1


def test_a_damaged_record_is_made_again_though_the_limit_is_reached(folder):
    dataset = CachedDataset(Numbers(50), folder, max_bytes=500)
    numbers(dataset)
    path = kept_files(dataset)[0]
    whole = path.read_bytes()
    path.write_bytes(b"")
    numbers(dataset)
    assert path.read_bytes() == whole


def test_a_full_disk_is_no_error(folder, monkeypatch, caplog):
    def fail(path, data):
        raise OSError(28, "No space left on device")

    dataset = CachedDataset(Numbers(), folder)
    monkeypatch.setattr(cached, "_write", fail)
    assert numbers(dataset) == [0, 1, 2, 3, 4]
    assert caplog.text.count("No space left on device: further samples are not cached") == 1


def test_a_disk_that_refuses_otherwise_is_an_error(folder, monkeypatch):
    def fail(path, data):
        raise OSError(30, "Read-only file system")

    dataset = CachedDataset(Numbers(), folder)
    monkeypatch.setattr(cached, "_write", fail)
    with pytest.raises(OSError, match="Read-only"):
        dataset[0]


@pytest.mark.parametrize(
    ("make", "what"),
    [
        (lambda folder: CachedDataset(Numbers(4), folder), "length is 5, that of this one 4"),
        (lambda folder: CachedDataset(Labels(5), folder), r"dataset is 'Numbers\(\)'"),
        (lambda folder: CachedDataset(Numbers(), folder, version="2"), "version is ''"),
        (lambda folder: CachedDataset(Numbers(transform=doubled), folder), "dataset is .*doubled"),
        (lambda folder: CachedDataset(SubsetDataset(Numbers()), folder), "dataset is .*Subset"),
    ],
)
def test_the_folder_of_another_data_set_is_refused(tmp_path, make, what):
    CachedDataset(Numbers(), tmp_path)
    with pytest.raises(CacheError, match=f"{tmp_path}: is the cache of another.*{what}"):
        make(tmp_path)


def test_another_part_of_the_same_length_is_refused(tmp_path):
    CachedDataset(SubsetDataset(Rich(), [0, 1]), tmp_path)
    with pytest.raises(CacheError, match="its annotations is"):
        CachedDataset(SubsetDataset(Rich(), [0, 2]), tmp_path)


def test_transforms_are_known_by_what_they_are_not_where(tmp_path):
    CachedDataset(Rich(), tmp_path)
    make = lambda size: ConcatDataset([Rich()], transform=[v2.Resize(size), plus_hundred])  # noqa: E731
    CachedDataset(make((4, 4)), tmp_path / "sub")
    CachedDataset(make((4, 4)), tmp_path / "sub")
    with pytest.raises(CacheError, match="Resize"):
        CachedDataset(make((4, 5)), tmp_path / "sub")


def test_a_folder_with_other_files_is_refused(tmp_path):
    (tmp_path / "thesis.tex").write_text("")
    with pytest.raises(CacheError, match="holds other files and is no cache"):
        CachedDataset(Numbers(), tmp_path)


def test_a_damaged_header_is_an_error_with_its_name(tmp_path):
    CachedDataset(Numbers(), tmp_path)
    (tmp_path / "hat-cache.json").write_text("{")
    with pytest.raises(CacheError, match=r"hat-cache\.json: damaged .* remove the folder"):
        CachedDataset(Numbers(), tmp_path)


def test_a_bad_file_does_not_keep_a_cache_from_being_built(tmp_path):
    class Bad(Numbers):
        def annotation(self, index):
            raise ValueError(f"{index}.jpg: not a picture")

    assert numbers(CachedDataset(Bad(), tmp_path)) == [0, 1, 2, 3, 4]


def test_what_is_kept_in_memory_goes_with_the_data_set():
    dataset = CachedDataset(Numbers())
    folder = dataset.folder
    dataset[0]
    assert folder.is_dir()
    del dataset
    gc.collect()
    assert not folder.exists()


def test_two_caches_in_memory_are_two():
    first, second = CachedDataset(Numbers()), CachedDataset(Numbers(first=7))
    assert numbers(first) == [0, 1, 2, 3, 4]
    assert numbers(second) == [7, 8, 9, 10, 11]


def test_workers_share_what_is_kept(folder):
    dataset = CachedDataset(Numbers(20), folder)
    loader = DataLoader(dataset, batch_size=4, sampler=ShuffledSampler(), num_workers=2)
    list(loader.steps(epoch=0))
    assert len(kept_files(dataset)) == 20
    dataset.datasets = [[None] * 20]  # nothing is left to be made
    assert numbers(dataset) == list(range(20))


def read_in_another_process(dataset, results):
    dataset.datasets = [[None] * 5]
    results.put([dataset.load(n)["number"] for n in range(5)])


@pytest.mark.slow
def test_spawned_processes_share_what_is_kept():
    dataset = CachedDataset(Numbers())
    numbers(dataset)
    context = multiprocessing.get_context("spawn")
    results = context.Queue()
    process = context.Process(target=read_in_another_process, args=(dataset, results))
    process.start()
    assert results.get(timeout=100) == [0, 1, 2, 3, 4]
    process.join()
    assert kept_files(dataset) != []


def hold_a_cache(results):
    dataset = CachedDataset(Numbers())
    dataset[0]
    results.put(str(dataset.folder))
    time.sleep(100)


def test_what_a_killed_process_kept_is_removed_by_the_next(monkeypatch):
    context = multiprocessing.get_context("fork")
    results = context.Queue()
    process = context.Process(target=hold_a_cache, args=(results,))
    process.start()
    folder = Path(results.get(timeout=100))
    monkeypatch.setattr(cached, "_MIN_AGE_S", -1.0)
    CachedDataset(Numbers())
    assert folder.is_dir()  # its owner lives
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    assert folder.is_dir()
    CachedDataset(Numbers())
    assert not folder.exists()
