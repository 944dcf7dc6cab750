"""Pascal VOC: boxes from pixels counted from 1, maps, and what is wrong with files."""

import numpy as np
import pytest
import torch
from annotation_files import error_names, voc_annotation, voc_folder, voc_object, write_picture
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image as PILImage
from torchvision.transforms import v2
from torchvision.tv_tensors import BoundingBoxes, BoundingBoxFormat

from hat.data import VocDataset
from hat.data.datasets.voc import voc_colors
from hat.data.pixels import Mask


@pytest.fixture
def dataset(tmp_path):
    return VocDataset(voc_folder(tmp_path))


def opened(folder, *objects, **options):
    return VocDataset(voc_folder(folder, {"a": voc_annotation(*objects)}), **options)


def box_of(folder, *box):
    return opened(folder, voc_object("car", box))[0]["gt_bboxes"].tolist()


def test_samples_come_in_the_order_of_the_list(dataset):
    assert [sample["img_id"] for sample in dataset] == ["a", "b", "c"]


def test_pixels_counted_from_one_with_the_last_become_corners(dataset):
    boxes = dataset[0]["gt_bboxes"]
    assert type(boxes) is BoundingBoxes
    assert boxes.format is BoundingBoxFormat.XYXY
    assert boxes.canvas_size == (12, 16)
    assert boxes.dtype == torch.float32
    assert boxes.tolist() == [[2, 1, 6, 5], [0, 0, 16, 12]]


def test_fractions_of_pixels_are_kept(dataset):
    assert dataset[2]["gt_bboxes"].tolist() == [[0.5, 1.5, 8, 9]]


def test_classes_are_numbers_in_the_list_of_classes(dataset):
    assert [dataset.classes[n] for n in dataset[0]["gt_classes"]] == ["car", "dog"]
    assert dataset[0]["gt_classes"].dtype == torch.int64
    assert len(dataset.classes) == len(dataset.colors) == 20


def test_difficult_and_truncated_objects_are_marked(dataset):
    assert dataset[0]["gt_difficult"].tolist() == [False, True]
    assert dataset[2]["gt_truncated"].tolist() == [1.0]
    assert dataset[0]["gt_truncated"].tolist() == [0.0, 0.0]


def test_a_picture_without_objects_stays(dataset):
    assert dataset[1]["gt_bboxes"].shape == (0, 4)
    assert dataset[1]["gt_classes"].shape == (0,)


def test_an_annotation_is_the_sample_without_pixels(dataset):
    assert dataset.annotation(0).keys() == dataset[0].keys() - {"img"}
    assert dataset.annotation(0)["ori_shape"] == (12, 16)


def test_parts_of_objects_are_not_objects(tmp_path):
    part = "<part><name>head</name><bndbox><xmin>1</xmin></bndbox></part>"
    text = voc_annotation(voc_object("person")).replace("</object>", f"{part}</object>")
    assert len(VocDataset(voc_folder(tmp_path, {"a": text}))[0]["gt_bboxes"]) == 1


def test_own_classes_can_be_given(tmp_path):
    dataset = opened(tmp_path, voc_object("RBC"), classes=["WBC", "RBC"])
    assert dataset[0]["gt_classes"].tolist() == [1]


def test_the_picture_is_named_as_the_annotation_or_in_it(tmp_path):
    voc_folder(tmp_path, {"a": voc_annotation(filename="other.png")})
    (tmp_path / "JPEGImages/a.jpg").rename(tmp_path / "JPEGImages/other.png")
    dataset = VocDataset(tmp_path)
    assert dataset.source(0) == str(tmp_path / "JPEGImages/other.png")
    assert dataset[0]["img"].shape == (3, 12, 16)


def test_boxes_are_flipped_with_the_picture(tmp_path):
    dataset = VocDataset(voc_folder(tmp_path), transform=v2.RandomHorizontalFlip(p=1))
    assert dataset[0]["gt_bboxes"][0].tolist() == [10, 1, 14, 5]


def test_boxes_are_clipped_to_their_picture(tmp_path):
    assert box_of(tmp_path, 0, 5, 17, 6) == [[0, 4, 16, 6]]


def test_boxes_far_past_their_picture_are_counted_in_the_log(tmp_path, caplog):
    opened(tmp_path, voc_object(box=(-20, 5, 7, 9)), voc_object(box=(0, 5, 17, 9)))
    assert "clipped 1 boxes" in caplog.text


def test_the_size_of_the_picture_counts_and_not_the_written_one(tmp_path, caplog):
    text = voc_annotation(voc_object(), width=160)
    dataset = VocDataset(voc_folder(tmp_path, {"a": text}))
    assert dataset[0]["ori_shape"] == (12, 16)
    assert dataset.num_wrong_sizes == 1
    assert "a.xml says 160 x 12, the picture is 16 x 12" in caplog.text


def test_a_file_without_a_size_takes_that_of_the_picture(tmp_path, caplog):
    text = voc_annotation(voc_object()).replace("size>", "other>")
    assert VocDataset(voc_folder(tmp_path, {"a": text}))[0]["ori_shape"] == (12, 16)
    assert caplog.records == []


def turned(folder, height, width):
    """A picture that is stored as 12 x 16 and turned to the right to stand upright."""
    voc_folder(folder, {"a": voc_annotation(voc_object(), height=height, width=width)})
    exif = PILImage.Exif()
    exif[274] = 6
    write_picture(folder / "JPEGImages/a.jpg", exif=exif)
    return VocDataset(folder)[0]


def test_boxes_of_a_stored_picture_are_turned_with_it(tmp_path):
    # Stored: x from 2 to 6, y from 1 to 5 of 12. To the right, the top becomes the right.
    sample = turned(tmp_path, 12, 16)
    assert sample["gt_bboxes"].tolist() == [[7, 2, 11, 6]]
    assert sample["gt_bboxes"].canvas_size == sample["ori_shape"] == (16, 12)


def test_boxes_of_the_upright_picture_stay(tmp_path):
    assert turned(tmp_path, 16, 12)["gt_bboxes"].tolist() == [[2, 1, 6, 5]]


WRONG_OBJECTS = {
    "class that is not in classes": voc_object("unicorn"),
    "no name": voc_object(""),
    "no box of four finite numbers": voc_object(box=(1, 2, "nan", 4)),
    "box whose end is before its start": voc_object(box=(5, 2, 3, 4)),
    "box without width or height": voc_object(box=(5, 2, 5, 4)),
    "box outside its picture": voc_object(box=(50, 2, 60, 4)),
}
every_wrong_object = pytest.mark.parametrize(
    ("kind", "text"), WRONG_OBJECTS.items(), ids=WRONG_OBJECTS
)


@every_wrong_object
def test_a_wrong_object_is_told_with_its_file(tmp_path, kind, text):
    with pytest.raises(ValueError, match=rf"(?s)train.txt: 1 of 2 .*{kind}: 1.*a.xml, object 2: "):
        opened(tmp_path, voc_object(), text)


@every_wrong_object
def test_a_wrong_object_can_be_dropped_with_a_count(tmp_path, caplog, kind, text):
    dataset = opened(tmp_path, text, voc_object(), bad_annotations="drop")
    assert dataset[0]["gt_bboxes"].tolist() == [[2, 1, 6, 5]]
    assert dataset.dropped == {kind: 1}
    assert f"{kind}: 1" in caplog.text


@pytest.mark.parametrize("text", ["", "one", "inf", "1e999"])
def test_a_coordinate_that_is_no_number_is_refused(tmp_path, text):
    with pytest.raises(ValueError, match="no box of four finite numbers"):
        opened(tmp_path, voc_object(box=(1, 2, text, 4)))


def test_an_object_without_a_box_is_refused(tmp_path):
    with pytest.raises(ValueError, match="no box of four finite numbers"):
        opened(tmp_path, "<object><name>car</name></object>")


def test_all_wrong_objects_are_told_at_once(tmp_path):
    with pytest.raises(ValueError, match="6 of 6 objects are wrong") as error:
        opened(tmp_path, *WRONG_OBJECTS.values())
    assert [kind for kind in WRONG_OBJECTS if kind not in str(error.value)] == []


BOMB = '<!DOCTYPE lolz [<!ENTITY a0 "lol">' + "".join(
    f'<!ENTITY a{n + 1} "{f"&a{n};" * 10}">' for n in range(12)
)
WRONG_FILES = {
    "not whole": ("<annotation><size>", "not whole XML"),
    "empty": ("", "not whole XML"),
    "another root": ("<html/>", "expected <annotation>, got <html>"),
    "unknown encoding": ('<?xml version="1.0" encoding="klingon"?><annotation/>', "not whole XML"),
    "entities that grow": (f"{BOMB}]><annotation>&a12;</annotation>", "declares a document type"),
    "entity of a file": (
        '<!DOCTYPE a [<!ENTITY f SYSTEM "file:///etc/hostname">]><annotation>&f;</annotation>',
        "declares a document type",
    ),
    "name that leads out": (voc_annotation(filename="../../a.jpg"), "leads out of the folder"),
}


@pytest.mark.parametrize("bad_annotations", ["raise", "drop"])
@pytest.mark.parametrize(("text", "told"), WRONG_FILES.values(), ids=WRONG_FILES)
def test_a_file_that_is_wrong_as_a_whole_is_refused(tmp_path, text, told, bad_annotations):
    voc_folder(tmp_path, {"a": text})
    (tmp_path / "JPEGImages/a.jpg").unlink()
    with pytest.raises(ValueError, match=rf"a.xml: .*{told}"):
        VocDataset(tmp_path, bad_annotations=bad_annotations)


def test_a_missing_picture_is_an_error_when_it_is_read(tmp_path):
    voc_folder(tmp_path)
    (tmp_path / "JPEGImages/b.jpg").unlink()
    dataset = VocDataset(tmp_path)
    with pytest.raises(FileNotFoundError, match=r"b.jpg: no such file, but .*train.txt lists 'b'"):
        dataset[1]


def test_missing_pictures_can_be_left_out(tmp_path, caplog):
    voc_folder(tmp_path)
    (tmp_path / "JPEGImages/b.jpg").unlink()
    dataset = VocDataset(tmp_path, missing_images="skip")
    assert [sample["img_id"] for sample in dataset] == ["a", "c"]
    assert dataset.num_missing_images == 1
    assert "left out 1 pictures" in caplog.text


def test_a_damaged_picture_is_an_error_of_its_sample_alone(tmp_path):
    voc_folder(tmp_path)
    (tmp_path / "JPEGImages/b.jpg").write_text("no picture")
    dataset = VocDataset(tmp_path)
    assert dataset[0]["img"].shape == (3, 12, 16)
    with pytest.raises(ValueError, match=r"b.jpg: "):
        dataset[1]


def test_a_missing_picture_without_a_written_size_is_refused(tmp_path):
    voc_folder(tmp_path, {"a": "<annotation/>"})
    (tmp_path / "JPEGImages/a.jpg").unlink()
    with pytest.raises(ValueError, match=r"a.xml: has no size, and the picture"):
        VocDataset(tmp_path)


def test_a_missing_annotation_is_named(tmp_path):
    voc_folder(tmp_path)
    (tmp_path / "Annotations/b.xml").unlink()
    with pytest.raises(FileNotFoundError, match=r"b.xml: no such file"):
        VocDataset(tmp_path)


def test_a_missing_list_is_named_with_those_there_are(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"val.txt: no such file; there are \['train'\]"):
        VocDataset(voc_folder(tmp_path), "val")


@pytest.mark.parametrize(
    ("lines", "told"),
    [(b"a\nb\na\n", "more than once"), (b"../a\n", "leads out"), (b"\xff\xfe", "not a text")],
)
def test_a_wrong_list_is_refused(tmp_path, lines, told):
    voc_folder(tmp_path)
    (tmp_path / "ImageSets/Main/train.txt").write_bytes(lines)
    with pytest.raises(ValueError, match=rf"train.txt: .*{told}"):
        VocDataset(tmp_path)


@pytest.mark.parametrize("option", ["bad_annotations", "missing_images"])
def test_an_unknown_choice_is_refused(tmp_path, option):
    with pytest.raises(ValueError, match=rf"{option} must be one of .*, got 'maybe'"):
        VocDataset(voc_folder(tmp_path), **{option: "maybe"})


def test_classes_that_are_one_are_refused(tmp_path):
    with pytest.raises(ValueError, match="classes must be a list of names that differ"):
        VocDataset(voc_folder(tmp_path), classes=["car", "car"])


def write_map(path, rows):
    path.parent.mkdir(exist_ok=True)
    picture = PILImage.fromarray(np.array(rows, np.uint8)).convert("P")
    picture.putdata(np.array(rows).ravel().tolist())
    picture.save(path)


@pytest.fixture
def segmented(tmp_path):
    """Two objects, of which the first has no box, in a picture of 12 x 16."""
    text = voc_annotation("<object><name>car</name></object>", voc_object("dog"))
    voc_folder(tmp_path, {"a": text}, list_folder="Segmentation")
    classes, objects = np.zeros((12, 16), int), np.zeros((12, 16), int)
    classes[0:3, 0:4], objects[0:3, 0:4] = 7, 1
    classes[5:9, 5:10], objects[5:9, 5:10] = 12, 2
    classes[11], objects[11] = 255, 255
    write_map(tmp_path / "SegmentationClass/a.png", classes)
    write_map(tmp_path / "SegmentationObject/a.png", objects)
    return tmp_path


def test_maps_give_classes_after_the_background(segmented):
    dataset = VocDataset(segmented, with_seg=True, bad_annotations="drop")
    seg = dataset[0]["gt_seg"]
    assert type(seg) is Mask
    assert [dataset.seg_classes[n] for n in (0, seg[0, 0], seg[5, 5])] == [
        "background",
        "car",
        "dog",
    ]
    assert (seg == 255).sum() == 16
    assert len(dataset.seg_colors) == 21


def test_the_mask_of_an_object_is_drawn_with_its_number_in_the_file(segmented):
    masks = VocDataset(segmented, with_seg=True, bad_annotations="drop")[0]["gt_masks"]
    expected = torch.zeros(1, 12, 16, dtype=torch.bool)
    expected[0, 5:9, 5:10] = True
    assert masks.dtype == torch.bool
    assert torch.equal(masks.as_subclass(torch.Tensor), expected)


def test_a_map_with_a_class_that_is_none_is_refused(segmented):
    dataset = VocDataset(segmented, with_seg=True, bad_annotations="drop", classes=["car", "dog"])
    with pytest.raises(ValueError, match=r"a.png: has the class 7, but there are 2"):
        dataset[0]


def test_a_map_of_another_size_is_refused(segmented):
    write_map(segmented / "SegmentationClass/a.png", np.zeros((12, 15), int))
    dataset = VocDataset(segmented, with_seg=True, bad_annotations="drop")
    with pytest.raises(ValueError, match=r"a.png: the map is 15 x 12 .*, its picture 16 x 12"):
        dataset[0]


def test_colors_are_those_of_the_published_palette():
    assert voc_colors(21)[15] == (192, 128, 128)  # person
    assert voc_colors(21)[20] == (0, 64, 128)  # tvmonitor
    assert voc_colors(256)[255] == (224, 224, 192)


PIECES = st.sampled_from(
    ["<size>", "</size>", "<width>", "</width>", "16", "-1", "nan", "<object>", "</object>", "&x;",
     "<name>car</name>", "<bndbox>", "</bndbox>", "<xmin>1</xmin>", "<xmax>9</xmax>", "<!--", "é",
     "<ymin>1</ymin>", "<ymax>1e400</ymax>", "<ymax>9</ymax>", "<filename>../a</filename>", "\0",
     "<filename>" + "a" * 300 + "</filename>", "<![CDATA[", "]]>", "<?pi ?>"]
)  # fmt: skip


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    pieces=st.lists(PIECES, max_size=12),
    bad_annotations=st.sampled_from(["raise", "drop"]),
    has_picture=st.booleans(),
)
def test_any_text_gives_samples_or_an_error_that_names_a_file(
    tmp_path, pieces, bad_annotations, has_picture
):
    voc_folder(tmp_path, {"a": f"<annotation>{''.join(pieces)}</annotation>"})
    if not has_picture:
        (tmp_path / "JPEGImages/a.jpg").unlink()
    with error_names(tmp_path):
        list(VocDataset(tmp_path, bad_annotations=bad_annotations))


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.data())
def test_any_damage_gives_samples_or_an_error_that_names_a_file(tmp_path, data):
    whole = voc_annotation(voc_object("car", difficult=1, truncated=0)).encode()
    place = data.draw(st.integers(0, len(whole)))
    new = data.draw(st.binary(max_size=4))
    voc_folder(tmp_path, {"a": voc_annotation()})
    rest = whole[place + data.draw(st.integers(0, 40)) :]
    (tmp_path / "Annotations/a.xml").write_bytes(whole[:place] + new + rest)
    with error_names(tmp_path):
        list(VocDataset(tmp_path))
