"""Cityscapes' ids become train ids, masks, boxes and classes."""

import numpy as np
import pytest
import torch
from road_files import cityscapes_ids, save_cityscapes, save_map, save_picture
from torchvision.datasets import Cityscapes

from hat.data import CityscapesDataset


@pytest.fixture
def root(tmp_path):
    return save_cityscapes(tmp_path)


def label_file(root, kind="labelIds", number=0):
    name = f"train/aachen/aachen_{number:06d}_000019_gtFine_{kind}.png"
    return root / "gtFine" / name


def test_ids_become_train_ids(root):
    seg = CityscapesDataset(root)[0]["gt_seg"]
    assert seg.dtype == torch.uint8
    # No label, road, car, grouped cars, caravan (not evaluated), person.
    places = [(0, 0), (39, 0), (15, 10), (12, 50), (32, 5), (30, 52)]
    assert [int(seg[place]) for place in places] == [255, 0, 13, 13, 255, 11]


def test_instances_do_not_change_the_labels(root):
    with_instances = CityscapesDataset(root, with_instances=True)[1]["gt_seg"]
    assert torch.equal(with_instances, CityscapesDataset(root)[1]["gt_seg"])


def test_every_id_has_the_train_id_of_the_official_table(root):
    ids = np.zeros((40, 64), np.uint8)
    ids[0, :34] = np.arange(34)
    save_map(label_file(root), ids)
    seg = CityscapesDataset(root)[0]["gt_seg"][0, :34]
    assert seg.tolist() == [label.train_id for label in Cityscapes.classes[:34]]


def test_the_nineteen_classes_are_in_the_order_of_their_train_ids():
    names = CityscapesDataset.seg_classes
    assert (len(names), names[0], names[13], names[18]) == (19, "road", "car", "bicycle")
    assert CityscapesDataset.seg_colors[0] == (128, 64, 128)
    assert CityscapesDataset.seg_colors[13] == (0, 0, 142)


def test_things_are_the_eight_classes_that_are_counted(root):
    assert CityscapesDataset(root, with_instances=True).classes == (
        "person",
        "rider",
        "car",
        "truck",
        "bus",
        "train",
        "motorcycle",
        "bicycle",
    )


def test_boxes_are_exclusive_and_around_their_instances(root):
    sample = CityscapesDataset(root, with_instances=True)[0]
    # In the order of ids: grouped cars (26), the person (24000), two cars (26000, 26001).
    expected = [[40, 10, 60, 14], [50, 25, 54, 39], [5, 10, 15, 20], [20, 12, 30, 22]]
    assert sample["gt_bboxes"].tolist() == expected
    assert sample["gt_classes"].tolist() == [2, 0, 2, 2]


def test_a_group_without_numbers_is_a_crowd(root):
    sample = CityscapesDataset(root, with_instances=True)[0]
    assert sample["gt_crowd"].tolist() == [True, False, False, False]


def test_masks_are_those_of_the_ids(root):
    masks = CityscapesDataset(root, with_instances=True)[0]["gt_masks"]
    assert masks.dtype == torch.bool
    expected = [cityscapes_ids() == id_ for id_ in (26, 24000, 26000, 26001)]
    assert np.array_equal(masks.numpy(), np.stack(expected))


def test_a_scene_without_things_is_ordinary(root):
    save_map(label_file(root, "instanceIds"), np.full((40, 64), 7, np.uint16))
    sample = CityscapesDataset(root, with_instances=True)[0]
    assert sample["gt_bboxes"].shape == (0, 4)
    assert sample["gt_masks"].shape == (0, 40, 64)
    assert sample["gt_classes"].dtype == torch.int64
    assert sample["gt_crowd"].dtype == torch.bool


def test_the_annotation_has_the_objects_of_the_sample(root):
    dataset = CityscapesDataset(root, with_instances=True)
    sample, annotation = dataset.load(1), dataset.annotation(1)
    assert torch.equal(annotation["gt_bboxes"], sample["gt_bboxes"])
    assert torch.equal(annotation["gt_classes"], sample["gt_classes"])
    assert annotation["ori_shape"] == (40, 64)


def test_without_instances_the_annotation_decodes_nothing(root):
    for kind in ("labelIds", "instanceIds"):
        label_file(root, kind).write_bytes(b"")
    annotation = CityscapesDataset(root).annotation(0)
    assert annotation.keys() == {"img_id", "img_path", "ori_shape"}


def test_an_id_is_that_of_the_benchmark(root):
    assert CityscapesDataset(root)[2]["img_id"] == "aachen_000002_000019"


def test_cities_are_read_in_order(tmp_path):
    for name in ("bochum/b_1", "aachen/a_1", "aachen/a_0"):
        save_picture(tmp_path / "leftImg8bit/test" / f"{name}_leftImg8bit.png")
    dataset = CityscapesDataset(tmp_path, "test")
    assert [sample["img_id"] for sample in dataset] == ["a_0", "a_1", "b_1"]


def test_the_test_split_has_no_labels(tmp_path):
    dataset = CityscapesDataset(save_cityscapes(tmp_path, split="test"), "test")
    assert "gt_seg" not in dataset[0]


def test_coarse_labels_lie_in_a_folder_of_their_own(root):
    for number in range(3):
        fine = label_file(root, number=number)
        coarse = root / "gtCoarse/train/aachen" / fine.name.replace("gtFine", "gtCoarse")
        save_map(coarse, np.full((40, 64), 8, np.uint8))
    seg = CityscapesDataset(root, annotations="gtCoarse")[0]["gt_seg"]
    assert seg.unique().tolist() == [1]


def test_missing_labels_are_counted_and_named(root):
    label_file(root, number=1).unlink()
    with pytest.raises(FileNotFoundError, match=r"000001_000019_gtFine_labelIds\.png: .* 1 of 3"):
        CityscapesDataset(root)


def test_pictures_can_be_read_without_labels(root):
    label_file(root, number=1).unlink()
    assert "gt_seg" not in CityscapesDataset(root, with_labels=False)[1]


@pytest.mark.parametrize("id_", [34, 255])
def test_an_unknown_id_is_refused(root, id_):
    ids = np.full((40, 64), 7, np.uint8)
    ids[3, 4] = id_
    save_map(label_file(root), ids)
    with pytest.raises(ValueError, match=rf"labelIds\.png: ids \[{id_}\] are none"):
        CityscapesDataset(root)[0]


def test_an_instance_of_an_unknown_class_is_refused(root):
    save_map(label_file(root, "instanceIds"), np.full((40, 64), 34001, np.uint16))
    with pytest.raises(ValueError, match=r"instanceIds\.png: ids \[34001\] are none"):
        CityscapesDataset(root, with_instances=True)[0]


def test_labels_of_another_size_are_refused(root):
    save_map(label_file(root), np.full((20, 64), 7, np.uint8))
    with pytest.raises(ValueError, match=r"labelIds\.png: the mask is 64 x 20 pixels, its picture"):
        CityscapesDataset(root)[0]


@pytest.mark.parametrize("content", [b"", b"\x89PNG\r\n\x1a\n", b"text"])
def test_labels_that_cannot_be_decoded_are_named(root, content):
    label_file(root).write_bytes(content)
    with pytest.raises(ValueError, match=r"labelIds\.png: "):
        CityscapesDataset(root)[0]


def test_labels_in_colours_are_refused(root):
    save_picture(label_file(root))
    with pytest.raises(ValueError, match=r"labelIds\.png: "):
        CityscapesDataset(root)[0]


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="leftImg8bit/train: no such folder"):
        CityscapesDataset(tmp_path)


def test_an_empty_folder_is_named(tmp_path):
    (tmp_path / "leftImg8bit/train").mkdir(parents=True)
    with pytest.raises(FileNotFoundError, match="leftImg8bit/train: holds no"):
        CityscapesDataset(tmp_path)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (dict(split="training"), "split must be"),
        (dict(annotations="gt"), "annotations must be"),
        (dict(with_labels=False, with_instances=True), "needs labels"),
    ],
)
def test_wrong_options_are_refused(root, options, message):
    with pytest.raises(ValueError, match=message):
        CityscapesDataset(root, **options)
