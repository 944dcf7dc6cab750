"""Whatever HAT exports as a data set keeps the conventions of one."""

import copy
import pickle

import numpy as np
import pytest
import torch
from annotation_files import coco_folder, voc_folder
from PIL import Image as PILImage
from road_files import save_cityscapes, save_idx, save_kitti, save_list, save_nuscenes
from torchvision.datasets import FakeData
from torchvision.transforms import v2

import hat.data.datasets as datasets
from hat.data import (
    BalancedDataset,
    CachedDataset,
    CityscapesDataset,
    CocoDataset,
    ConcatDataset,
    DataLoader,
    DigitsDataset,
    IdxDataset,
    ImageFiles,
    ImageFolder,
    KittiObjectDataset,
    MixedDataset,
    NuScenesFrames,
    PackedDataset,
    PartialLabels,
    RepeatDataset,
    RoadScenes,
    SegmentationList,
    SubsetDataset,
    TorchvisionDataset,
    VocDataset,
    pack,
)
from hat.data.pixels import Image
from hat.data.sample import KEYS


def folder_of_pictures(folder):
    for name in ("cat/a", "cat/b", "dog/a"):
        path = folder / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        noise = np.random.default_rng(0).integers(256, size=(12, 16, 3), dtype=np.uint8)
        PILImage.fromarray(noise).save(path)
    return folder


def packed(folder):
    pack(ImageFolder(folder_of_pictures(folder / "pictures")), folder / "packed.lmdb")
    return folder / "packed.lmdb"


#: How each data set is built, from an empty folder and a transform.
MAKERS = {
    "CocoDataset": lambda folder, transform: CocoDataset(coco_folder(folder), folder, transform),
    "VocDataset": lambda folder, transform: VocDataset(voc_folder(folder), transform=transform),
    "CityscapesDataset": lambda folder, transform: CityscapesDataset(
        save_cityscapes(folder), transform=transform, with_instances=True
    ),
    "IdxDataset": lambda folder, transform: IdxDataset(*save_idx(folder), transform),
    "KittiObjectDataset": lambda folder, transform: KittiObjectDataset(
        save_kitti(folder), transform=transform
    ),
    "NuScenesFrames": lambda folder, transform: NuScenesFrames(
        save_nuscenes(folder, ("CAM_FRONT", "CAM_BACK")),
        transform,
        cameras=("CAM_FRONT", "CAM_BACK"),
    ),
    "RoadScenes": lambda folder, transform: RoadScenes(5, (48, 64), transform=transform),
    "SegmentationList": lambda folder, transform: SegmentationList(
        save_list(folder), ["sky", "road", "car"], transform=transform, ignore_label=11
    ),
    "DigitsDataset": lambda folder, transform: DigitsDataset("val", transform),
    "BalancedDataset": lambda folder, transform: BalancedDataset(
        ImageFolder(folder_of_pictures(folder)), 0.5, transform=transform
    ),
    "CachedDataset": lambda folder, transform: CachedDataset(
        ImageFolder(folder_of_pictures(folder)), transform=transform
    ),
    "ConcatDataset": lambda folder, transform: ConcatDataset(
        [ImageFolder(folder_of_pictures(folder))] * 2, transform=transform
    ),
    "MixedDataset": lambda folder, transform: MixedDataset(
        [ImageFolder(folder_of_pictures(folder))] * 2, [2, 1], transform=transform
    ),
    "PackedDataset": lambda folder, transform: PackedDataset(packed(folder), transform),
    "PartialLabels": lambda folder, transform: PartialLabels(
        ImageFolder(folder_of_pictures(folder)), [["label"], "all"], transform=transform
    ),
    "RepeatDataset": lambda folder, transform: RepeatDataset(
        ImageFolder(folder_of_pictures(folder)), 2, transform
    ),
    "SubsetDataset": lambda folder, transform: SubsetDataset(
        ImageFolder(folder_of_pictures(folder)), [2, 0, 1], transform=transform
    ),
    "ImageFiles": lambda folder, transform: ImageFiles([folder_of_pictures(folder)], transform),
    "ImageFolder": lambda folder, transform: ImageFolder(
        folder_of_pictures(folder), transform=transform
    ),
    "TorchvisionDataset": lambda folder, transform: TorchvisionDataset(
        FakeData(5, (3, 12, 16)), transform
    ),
}

#: Data sets that give a sample more than once on purpose.
REPEATING = (BalancedDataset, MixedDataset, RepeatDataset)


@pytest.fixture(params=datasets.__all__)
def make(request, tmp_path):
    return lambda transform=None: MAKERS[request.param](tmp_path, transform)


@pytest.fixture
def dataset(make):
    return make()


def equal(sample, other):
    return sample.keys() == other.keys() and all(
        torch.equal(torch.as_tensor(value), torch.as_tensor(other[key]))
        if isinstance(value, torch.Tensor)
        else value == other[key]
        for key, value in sample.items()
    )


def picture_of(sample):
    """The picture, or the pictures of several cameras."""
    return sample["img"] if "img" in sample else sample["imgs"]


def numbered(sample):
    return {**sample, "steps": [*sample.get("steps", []), len(sample)]}


def spoil(sample):
    picture_of(sample).zero_()
    if isinstance(sample.get("label"), torch.Tensor):
        sample["label"].fill_(-1)
    return sample


def test_keys_are_those_of_the_table(dataset):
    assert dataset[0].keys() <= KEYS.keys()


def test_a_picture_is_rgb_of_uint8(dataset):
    sample = dataset[0]
    img = picture_of(sample)
    assert type(img) is Image
    assert img.dtype == torch.uint8
    assert img.ndim == (3 if "img" in sample else 4)
    assert img.shape[-3] == 3


def test_the_size_before_transforms_is_noted(dataset):
    sample = dataset[0]
    assert sample["ori_shape"] == tuple(picture_of(sample).shape[-2:])


def test_every_sample_has_an_id_of_its_own(dataset):
    if isinstance(dataset, REPEATING):
        pytest.skip("a sample that comes twice keeps its id")
    assert len({sample["img_id"] for sample in dataset}) == len(dataset)


def test_ids_are_numbers_or_texts(dataset):
    assert {type(sample["img_id"]) for sample in dataset} <= {int, str}


def test_iterating_visits_every_sample(dataset):
    assert len(list(dataset)) == len(dataset)


def test_a_sample_is_the_same_every_time(dataset):
    assert equal(dataset[1], dataset[1])


def test_changing_a_sample_does_not_change_the_data_set(dataset):
    before = copy.deepcopy(dataset[1])
    spoil(dataset[1])
    assert equal(dataset[1], before)


@pytest.mark.parametrize("offset", [0, 1, 100])
def test_an_index_beyond_the_end_is_refused(dataset, offset):
    with pytest.raises(IndexError, match=rf"has {len(dataset)} samples, no index"):
        dataset[len(dataset) + offset]


def test_a_negative_index_is_refused(dataset):
    with pytest.raises(IndexError, match="no index -1"):
        dataset[-1]


def test_a_transform_is_called_with_the_whole_sample(make):
    keys = len(make()[0])
    assert make(numbered)[0]["steps"] == [keys]


def test_several_transforms_are_called_in_order(make):
    keys = len(make()[0])
    assert make([numbered, numbered])[0]["steps"] == [keys, keys + 1]


def test_transforms_of_torchvision_can_be_used(make):
    assert picture_of(make(v2.Resize((6, 4)))[0]).shape[-3:] == (3, 6, 4)


def test_a_worker_can_be_sent_the_data_set(dataset):
    assert equal(pickle.loads(pickle.dumps(dataset))[1], dataset[1])


def test_every_class_has_a_name_and_a_colour(dataset):
    for names, colors in (
        (dataset.classes, dataset.colors),
        (dataset.seg_classes, dataset.seg_colors),
    ):
        assert (names is None) == (colors is None)
        assert names is None or len(names) == len(colors)


def test_it_describes_itself(dataset):
    assert f"{len(dataset):,} samples" in str(dataset.describe())


def test_it_can_be_packed(dataset, tmp_path):
    pack(dataset, tmp_path / "all.lmdb")
    assert all(map(equal, PackedDataset(tmp_path / "all.lmdb"), dataset))


def test_samples_make_a_batch(dataset):
    batch = next(iter(DataLoader(dataset, batch_size=3)))
    assert picture_of(batch).shape == (3, *picture_of(dataset[0]).shape)
    assert len(batch["img_id"]) == 3


def test_labels_make_one_tensor_of_int64(dataset):
    batch = next(iter(DataLoader(dataset, batch_size=3)))
    labels = batch.get("label", torch.zeros(3, dtype=torch.int64))  # not every set has labels
    assert labels.dtype == torch.int64
    assert labels.shape == (3,)


def test_labels_count_from_zero_in_the_classes(dataset):
    labels = [int(sample.get("label", 0)) for sample in dataset]
    assert min(labels) >= 0
    assert dataset.classes is None or max(labels) < len(dataset.classes)
