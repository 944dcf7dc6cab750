"""A list of pictures and label maps is read as its classes say."""

import numpy as np
import pytest
import torch
from road_files import save_list, save_map, save_picture, save_text

from hat.data import SegmentationList

CLASSES = ("sky", "road", "car")


@pytest.fixture
def list_file(tmp_path):
    return save_list(tmp_path)


def values_of(dataset):
    """The value in each quarter of the first label map, from left to right: 0, 1, 2, 11."""
    return dataset[0]["gt_seg"][0, ::16].tolist()


def test_values_are_classes_and_what_is_ignored_is_255(list_file):
    dataset = SegmentationList(list_file, CLASSES, ignore_label=11)
    assert values_of(dataset) == [0, 1, 2, 255]
    assert dataset[0]["gt_seg"].dtype == torch.uint8


def test_classes_after_one_that_is_ignored_move_up(list_file):
    dataset = SegmentationList(list_file, CLASSES, ignore_label=[0, 11])
    assert values_of(dataset) == [255, 0, 1, 255]
    assert dataset.seg_classes == ("road", "car")


def test_255_is_never_a_class(tmp_path):
    list_file = save_list(tmp_path, values=np.full((40, 64), 255, np.uint8))
    assert values_of(SegmentationList(list_file, CLASSES)) == [255] * 4


@pytest.mark.parametrize("text", ["0 sky\n1 road\n2 car\n", "sky\nroad\n\ncar\n"])
def test_classes_can_stand_in_a_file(list_file, tmp_path, text):
    path = save_text(tmp_path / "classes.txt", text)
    assert SegmentationList(list_file, path, ignore_label=11).seg_classes == CLASSES


def test_a_class_may_have_a_name_of_two_words(list_file, tmp_path):
    path = save_text(tmp_path / "classes.txt", "0 traffic light\n")
    assert SegmentationList(list_file, path).seg_classes == ("traffic light",)


def test_classes_out_of_order_are_refused(list_file, tmp_path):
    path = save_text(tmp_path / "classes.txt", "0 sky\n2 car\n")
    with pytest.raises(ValueError, match=r"classes\.txt:2: expected value 1, got 2"):
        SegmentationList(list_file, path)


def test_a_value_that_is_no_class_is_refused(list_file):
    message = r"labels/0\.png: holds 640 pixels of value 11, which is none of the 3 classes"
    with pytest.raises(ValueError, match=message):
        SegmentationList(list_file, CLASSES)[0]


def test_labels_of_another_size_are_refused(list_file, tmp_path):
    save_map(tmp_path / "labels/1.png", np.zeros((20, 30), np.uint8))
    message = r"labels/1\.png: the mask is 30 x 20 pixels, its picture images/1\.png 64 x 40"
    with pytest.raises(ValueError, match=message):
        SegmentationList(list_file, CLASSES)[1]


def test_labels_in_colours_are_refused(list_file, tmp_path):
    save_picture(tmp_path / "labels/1.png")
    with pytest.raises(ValueError, match=r"labels/1\.png"):
        SegmentationList(list_file, CLASSES)[1]


def test_painted_labels_are_read_by_their_colours(list_file, tmp_path):
    painted = np.zeros((40, 64, 3), np.uint8)
    painted[:, 16:], painted[:, 32:] = (128, 64, 128), (64, 0, 128)
    save_map(tmp_path / "labels/0.png", painted)
    colors = {(0, 0, 0): 9, (128, 64, 128): 1, (64, 0, 128): 2}
    dataset = SegmentationList(list_file, CLASSES, ignore_label=9, mask_colors=colors)
    assert values_of(dataset) == [255, 1, 2, 2]


@pytest.mark.parametrize(("value", "expected"), [(2, [2] * 4), (255, [255] * 4)])
def test_labels_of_16_bits_are_read(tmp_path, value, expected):
    list_file = save_list(tmp_path, values=np.full((40, 64), value, np.uint16))
    assert values_of(SegmentationList(list_file, CLASSES)) == expected


def test_values_beyond_255_are_refused(tmp_path):
    list_file = save_list(tmp_path, values=np.full((40, 64), 258, np.uint16))
    with pytest.raises(ValueError, match=r"labels/0\.png: holds values up to 258"):
        SegmentationList(list_file, CLASSES)[0]


def test_a_prefix_of_all_names_can_be_taken_away(list_file):
    text = list_file.read_text().replace("images/", "/SegNet/CamVid/images/")
    list_file.write_text(text.replace("labels/", "/SegNet/CamVid/labels/"))
    dataset = SegmentationList(list_file, CLASSES, ignore_label=11, strip_prefix="/SegNet/CamVid/")
    assert dataset[1]["img_id"] == "images/1.png"


def test_names_that_lead_out_of_the_folder_are_refused(list_file):
    save_text(list_file, "/SegNet/CamVid/a.png /SegNet/CamVid/b.png\n")
    with pytest.raises(ValueError, match=r"train\.txt: .* leads out of .* strip_prefix"):
        SegmentationList(list_file, CLASSES)[0]


def test_the_root_may_be_elsewhere(tmp_path):
    list_file = save_list(tmp_path / "data")
    moved = list_file.rename(tmp_path / "val.txt")
    dataset = SegmentationList(moved, CLASSES, root=tmp_path / "data", ignore_label=11)
    assert dataset[0]["img"].shape == (3, 40, 64)


def test_a_tab_divides_names_that_hold_spaces(list_file, tmp_path):
    (tmp_path / "images/0.png").rename(tmp_path / "images/a b.png")
    save_text(list_file, "images/a b.png\tlabels/0.png\n")
    assert SegmentationList(list_file, CLASSES, ignore_label=11)[0]["img_id"] == "images/a b.png"


@pytest.mark.parametrize("line", ["images/1.png", "a b c", "a\tb\tc"])
def test_a_line_that_is_not_two_names_is_refused(list_file, line):
    save_text(list_file, f"images/0.png labels/0.png\n\n{line}\n")
    with pytest.raises(ValueError, match=r"train\.txt:3: expected 'picture label', got"):
        SegmentationList(list_file, CLASSES)


def test_an_empty_list_is_refused(list_file):
    save_text(list_file, "\n")
    with pytest.raises(ValueError, match=r"train\.txt: lists nothing"):
        SegmentationList(list_file, CLASSES)


@pytest.mark.parametrize("name", ["images/1.png", "labels/1.png"])
def test_a_missing_file_is_named(list_file, tmp_path, name):
    (tmp_path / name).unlink()
    with pytest.raises(FileNotFoundError, match=name):
        SegmentationList(list_file, CLASSES, ignore_label=11)[1]


def test_a_missing_list_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"none\.txt: no such file"):
        SegmentationList(tmp_path / "none.txt", CLASSES)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (dict(classes=[]), "1 to 255 classes, got 0"),
        (dict(classes=["x"] * 256), "1 to 255 classes, got 256"),
        (dict(classes=CLASSES, ignore_label=256), "ignore_label must be from 0 to 255"),
        (dict(classes=CLASSES, colors=[(0, 0, 0)]), "3 classes, but 1 colors"),
    ],
)
def test_wrong_options_are_refused(list_file, options, message):
    with pytest.raises(ValueError, match=message):
        SegmentationList(list_file, **options)


def test_the_annotation_decodes_nothing(list_file, tmp_path):
    (tmp_path / "labels/0.png").write_bytes(b"")
    annotation = SegmentationList(list_file, CLASSES).annotation(0)
    assert annotation["ori_shape"] == (40, 64)
    assert annotation.keys() == {"img_id", "img_path", "ori_shape"}


def camvid(shared_data, split):
    folder = shared_data / "camvid"
    return SegmentationList(folder / f"{split}.txt", folder / "classes.txt", ignore_label=11)


@pytest.mark.shared
def test_camvid_has_its_pictures_and_classes(shared_data):
    assert len(camvid(shared_data, "train")) == 367
    assert len(camvid(shared_data, "val")) == 101
    assert len(camvid(shared_data, "val").seg_classes) == 11


@pytest.mark.slow
@pytest.mark.shared
def test_camvid_has_the_shares_that_its_page_gives(shared_data):
    dataset = camvid(shared_data, "train")
    counts = sum(torch.bincount(s["gt_seg"].flatten().int(), minlength=256) for s in dataset)
    shares = 100 * counts / counts.sum()
    published = [16.9, 23.3, 1.0, 31.7, 4.5, 9.7, 1.2, 1.1, 5.9, 0.6, 0.3]
    torch.testing.assert_close(shares[:11], torch.tensor(published), atol=0.1, rtol=0)
    torch.testing.assert_close(float(shares[255]), 4.0, atol=0.1, rtol=0)
