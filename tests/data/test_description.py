"""A data set in numbers."""

from textwrap import dedent

import pytest
import torch

from hat.data import Dataset, DigitsDataset, SubsetDataset
from hat.data.datasets.description import describe
from hat.data.pixels import Mask


class Scenes(Dataset):
    """Annotations as they are given; masks that are all of the class of their index."""

    def __init__(self, annotations, **names):
        super().__init__()
        self.annotations = annotations
        self.loaded = []
        for name, value in names.items():
            setattr(self, name, value)

    def __len__(self):
        return len(self.annotations)

    def load(self, index):
        self.loaded.append(index)
        seg = torch.full((2, 10), index, dtype=torch.uint8)
        seg[0, 0] = 255
        return {"gt_seg": Mask(seg)}

    def annotation(self, index):
        return self.annotations[index]


def objects(*class_ids):
    return {"gt_classes": torch.tensor(class_ids, dtype=torch.int64)}


def shown(dataset, num_masks=0):
    return str(dataset.describe(num_masks))


def table(text):
    return dedent(text).strip()


def test_labels_are_counted():
    dataset = Scenes([{"label": 0}, {"label": 2}, {"label": 0}], classes=("cat", "cow", "dog"))
    assert shown(dataset) == table(
        """
        Scenes: 3 samples

        label  samples   share
        cat          2  66.67%
        cow          0   0.00%
        dog          1  33.33%
        all          3
        """
    )


def test_objects_are_counted_and_the_samples_that_have_them():
    dataset = Scenes([objects(0, 0, 0, 1), objects(), objects(0)], classes=("car", "pedestrian"))
    assert shown(dataset) == table(
        """
        Scenes: 3 samples

        object      objects   share  in samples
        car               4  80.00%           2
        pedestrian        1  20.00%           1
        all               5
        samples without an object: 1
        """
    )


def test_labels_may_have_names_of_their_own():
    dataset = Scenes([{"label": 1, **objects(0)}], classes=("car",), label_classes=("day", "night"))
    assert shown(dataset) == table(
        """
        Scenes: 1 samples

        label  samples    share
        day          0    0.00%
        night        1  100.00%
        all          1

        object  objects    share  in samples
        car           1  100.00%           1
        all           1
        samples without an object: 0
        """
    )


def test_classes_without_names_are_numbers_and_only_those_that_occur():
    assert shown(Scenes([objects(7, 7, 1_000_000)])).splitlines()[2:] == [
        "object   objects   share  in samples",
        "7              2  66.67%           1",
        "1000000        1  33.33%           1",
        "all            3",
        "samples without an object: 0",
    ]


def test_a_class_beyond_the_names_is_shown_by_its_number():
    assert "\n3            1  100.00%" in shown(Scenes([{"label": 3}], classes=("cat",)))


def test_sizes_are_counted():
    sizes = [(4, 6), (4, 6), (2, 3), (100, 20)]
    assert shown(Scenes([{"ori_shape": size} for size in sizes])).splitlines() == [
        "Scenes: 4 samples",
        "sizes (H x W): 3, most often 4 x 6 (2), from 2 x 3 to 100 x 20",
    ]


def test_one_size_is_named_alone():
    dataset = Scenes([{"ori_shape": (4, 6)}] * 3)
    assert shown(dataset).splitlines()[1] == "size (H x W): 4 x 6"


def test_large_numbers_have_commas():
    dataset = SubsetDataset(Scenes([{"label": 0}]), [0] * 12_345)
    assert shown(dataset).splitlines()[0] == "SubsetDataset: 12,345 samples"
    assert "12,345  100.00%" in shown(dataset)


def test_wide_letters_take_two_places():
    rows = shown(Scenes([{"label": 0}, {"label": 1}], classes=("汽车", "bus"))).splitlines()[2:5]
    assert rows == ["label  samples   share", "汽车         1  50.00%", "bus          1  50.00%"]


def test_an_empty_data_set_is_described():
    assert shown(Scenes([], classes=("cat",)), num_masks=5) == "Scenes: 0 samples"


def test_a_data_set_without_any_object_is_described():
    assert shown(Scenes([objects()], classes=("car",))).splitlines()[2:] == [
        "object  objects  share  in samples",
        "car           0  0.00%           0",
        "all           0",
        "samples without an object: 1",
    ]


def test_pixels_are_counted_where_it_is_asked_for():
    dataset = Scenes([{}] * 2, seg_classes=("sky", "road"))
    assert shown(dataset, num_masks=2).splitlines()[1:] == [
        "",
        "pixel  pixels   share",
        "sky        19  50.00%",
        "road       19  50.00%",
        "all        38",
        "pixels not labelled: 5.00%; of 2 samples",
    ]


def test_no_mask_is_read_unless_it_is_asked_for():
    dataset = Scenes([{}] * 2)
    dataset.describe()
    assert dataset.loaded == []


@pytest.mark.parametrize(("num_masks", "loaded"), [(3, [0, 3, 6]), (100, list(range(10)))])
def test_masks_are_read_at_equal_distances(num_masks, loaded):
    dataset = Scenes([{}] * 10)
    assert dataset.describe(num_masks).num_masks == len(loaded)
    assert dataset.loaded == loaded


def test_what_is_no_data_set_of_hats_is_described():
    assert describe([{"label": 0}, {"label": 1}]).num_labels == {0: 1, 1: 1}


def test_digits_are_balanced():
    description = DigitsDataset("val").describe()
    assert sum(description.num_labels.values()) == 359
    assert description.sizes == {(8, 8): 359}
