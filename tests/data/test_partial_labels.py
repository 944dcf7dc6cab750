"""Labels taken away from a data set, the same ones every time."""

import pickle
from collections import Counter

import pytest
import torch

from hat.data import CachedDataset, DataLoader, Dataset, PartialCollate, PartialLabels, RoadScenes

OBJECTS = {"gt_bboxes", "gt_classes", "gt_truncated", "gt_occluded", "gt_masks", "gt_bboxes_3d"}
BOXES_ONLY, MAPS_ONLY, ALL = 0, 1, 2
SETS = [["gt_bboxes"], ["gt_seg", "gt_depth"], "all"]


class Everything(Dataset):
    """All labels, as numbers alone."""

    classes = ("car", "sign")
    colors = ((1, 1, 1), (2, 2, 2))
    label_classes = ("day", "night")

    def __init__(self, length=200):
        super().__init__()
        self.length = length

    def __len__(self):
        return self.length

    def load(self, index):
        return {
            "img": torch.full((3, 2, 2), index % 256, dtype=torch.uint8),
            "label": index % 2,
            "gt_classes": torch.tensor([1]),
            "gt_bboxes": torch.tensor([[0.0, 0.0, 1.0, 1.0]]),
            "gt_ignore_bboxes": torch.zeros(0, 4),
            "gt_seg": torch.zeros(2, 2, dtype=torch.uint8),
            "camera_matrix": torch.eye(3),
            "ori_shape": (2, 2),
        }

    def source(self, index):
        return f"{index}.png"


def labels_of(sample):
    return {key for key in sample if key == "label" or key.startswith("gt_")}


def partial(sets=(["gt_bboxes"], ["gt_seg"], "all"), **kwargs):
    return PartialLabels(Everything(), list(sets), **kwargs)


def first_with(dataset, number):
    return next(index for index in range(len(dataset)) if dataset.set_of(index) == number)


@pytest.mark.parametrize(
    ("number", "expected"),
    [
        (0, {"gt_bboxes", "gt_classes", "gt_ignore_bboxes"}),
        (1, {"gt_seg"}),
        (2, {"gt_bboxes", "gt_classes", "gt_ignore_bboxes", "gt_seg", "label"}),
    ],
)
def test_a_sample_keeps_its_set(number, expected):
    dataset = partial()
    assert labels_of(dataset[first_with(dataset, number)]) == expected


def test_what_is_no_label_stays():
    dataset = partial([["label"]])
    assert dataset[3].keys() == {"img", "label", "camera_matrix", "ori_shape", "img_id"}


def test_an_empty_set_leaves_no_label():
    assert labels_of(partial([[]])[0]) == set()


def test_boxes_bring_all_that_tells_of_objects():
    scenes = PartialLabels(RoadScenes(1, (48, 64)), [["gt_bboxes"]])
    assert labels_of(scenes[0]) == OBJECTS | {"gt_ignore_bboxes"}


def test_the_set_depends_on_seed_and_index_alone():
    numbers = [partial().set_of(index) for index in range(200)]
    longer = PartialLabels(Everything(5000), list(SETS))
    assert [longer.set_of(index) for index in range(200)] == numbers
    assert [partial(seed=1).set_of(index) for index in range(200)] != numbers


def test_a_sample_is_the_same_in_a_worker_and_after_a_copy():
    dataset = partial()
    loaders = [DataLoader(dataset, 50, collate=PartialCollate(), num_workers=n) for n in (0, 1)]
    here, there = ([batch["labelled"] for batch in loader] for loader in loaders)
    assert str(here) == str(there)
    copied = pickle.loads(pickle.dumps(dataset))
    assert all(copied[index].keys() == dataset[index].keys() for index in range(20))


@pytest.mark.parametrize(
    ("shares", "expected"), [(None, (1 / 3, 1 / 3, 1 / 3)), ((1, 4, 5), (0.1, 0.4, 0.5))]
)
def test_sets_have_their_shares(shares, expected):
    dataset = PartialLabels(Everything(20_000), list(SETS), shares=shares)
    counts = Counter(dataset.set_of(index) for index in range(20_000))
    for number, share in enumerate(expected):
        # Five standard deviations of a binomial count.
        deviation = (20_000 * share * (1 - share)) ** 0.5
        assert abs(counts[number] - 20_000 * share) < 5 * deviation


def test_annotations_and_descriptions_have_what_samples_have():
    dataset = partial()
    for index in range(20):
        assert labels_of(dataset.annotation(index)) == labels_of(dataset[index])
    counts = Counter(dataset.set_of(index) for index in range(200))
    description = dataset.describe()
    assert description.num_labels.total() == counts[ALL]
    assert description.num_objects[1] == counts[ALL] + counts[BOXES_ONLY]


def test_names_and_files_are_passed_on():
    dataset = partial()
    assert dataset.classes == ("car", "sign")
    assert dataset.label_classes == ("day", "night")
    assert dataset.source(7) == "7.png"
    assert dataset[7]["img_id"] == 7


def test_a_transform_gets_what_is_left():
    dataset = partial(transform=lambda sample: {**sample, "seen": labels_of(sample)})
    index = first_with(dataset, 1)
    assert dataset[index]["seen"] == {"gt_seg"}


def test_it_goes_around_a_cache():
    dataset = PartialLabels(CachedDataset(RoadScenes(6, (48, 64))), SETS)
    for _ in range(2):
        for index in range(6):
            expected = {
                BOXES_ONLY: OBJECTS | {"gt_ignore_bboxes"},
                MAPS_ONLY: {"gt_seg", "gt_depth"},
                ALL: OBJECTS | {"gt_ignore_bboxes", "gt_seg", "gt_depth", "gt_lanes", "label"},
            }
            assert labels_of(dataset[index]) == expected[dataset.set_of(index)]


# --- mistakes


@pytest.mark.parametrize(
    ("sets", "kwargs", "error", "message"),
    [
        ([], {}, ValueError, "at least one set"),
        ("all", {}, TypeError, "lists of keys or 'all', got 'all'"),
        (["gt_seg"], {}, TypeError, "lists of keys or 'all', got 'gt_seg'"),
        ([["all"]], {}, ValueError, "set 0 names 'all', which is no label"),
        ([["gt_seg"], ["labels"]], {}, ValueError, "set 1 names 'labels'.* Did you mean 'label'?"),
        ([["img"]], {}, ValueError, "'img', which is no label: .* all else is kept anyway"),
        (["all"], {"shares": [1, 1]}, ValueError, r"for each of 1 sets, got \[1, 1\]"),
        (["all", []], {"shares": [1, 0]}, ValueError, r"one positive number .* got \[1, 0\]"),
        (["all"], {"shares": [float("nan")]}, ValueError, "one positive number"),
    ],
)
def test_mistakes_are_refused(sets, kwargs, error, message):
    with pytest.raises(error, match=message):
        PartialLabels(Everything(), sets, **kwargs)


def test_a_key_that_samples_lack_is_named():
    with pytest.raises(ValueError, match=r"'gt_segs', which sample 4 .* Did you mean 'gt_seg'?"):
        partial([["gt_segs"]])[4]
