"""COCO files: what they say, in HAT's conventions."""

import json
import logging
import pickle

import numpy as np
import pytest
import torch
from annotation_files import (
    TWO_SQUARES,
    coco_document,
    coco_folder,
    coco_image,
    coco_object,
    error_names,
    write_coco,
    write_picture,
)
from faster_coco_eval.core import mask as coco_mask
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image as PILImage
from torchvision.transforms import v2
from torchvision.tv_tensors import BoundingBoxes, BoundingBoxFormat

from hat.data import CocoDataset
from hat.data.keypoints import KeyPoints
from hat.data.pixels import Mask

SQUARE = TWO_SQUARES[0]


@pytest.fixture
def dataset(tmp_path):
    return CocoDataset(coco_folder(tmp_path), tmp_path)


def opened(folder, annotations, **options):
    return CocoDataset(write_coco(folder, annotations), folder, **options)


def pixels(shape, *squares):
    """A mask with squares given as (top, bottom, left, right), ends exclusive."""
    mask = torch.zeros(shape, dtype=torch.bool)
    for top, bottom, left, right in squares:
        mask[top:bottom, left:right] = True
    return mask


def test_pictures_come_in_the_order_of_the_file_with_their_ids(dataset):
    assert [sample["img_id"] for sample in dataset] == [5, 0, 77]


def test_boxes_become_corners(dataset):
    boxes = dataset[0]["gt_bboxes"]
    assert type(boxes) is BoundingBoxes
    assert boxes.format is BoundingBoxFormat.XYXY
    assert boxes.canvas_size == (12, 16)
    assert boxes.dtype == torch.float32
    assert boxes.tolist() == [[2, 1, 13, 9], [2, 0, 3, 12]]


def test_classes_count_from_zero_by_category_id(dataset):
    assert dataset.classes == ("person", "tree", "car")
    assert dataset.category_ids == (0, 4, 9)
    assert dataset[0]["gt_classes"].tolist() == [2, 0]
    assert dataset[1]["gt_classes"].tolist() == [1]
    assert dataset[0]["gt_classes"].dtype == torch.int64


def test_crowds_are_marked(dataset):
    assert dataset[0]["gt_crowd"].tolist() == [False, True]


def test_the_parts_of_a_polygon_are_one_mask_and_run_lengths_go_down_columns(dataset):
    masks = dataset[0]["gt_masks"]
    assert type(masks) is Mask
    assert masks.dtype == torch.bool
    assert torch.equal(masks[0], pixels((12, 16), (1, 5, 2, 6), (6, 9, 10, 13)))
    assert torch.equal(masks[1], pixels((12, 16), (0, 12, 2, 3)))


def test_a_picture_without_objects_has_empty_labels(dataset):
    sample = dataset[2]
    assert sample["gt_bboxes"].shape == (0, 4)
    assert sample["gt_classes"].shape == (0,)
    assert sample["gt_masks"].shape == (0, 12, 16)


def test_an_annotation_is_the_sample_without_pixels(dataset):
    annotation, sample = dataset.annotation(0), dataset[0]
    assert annotation.keys() == sample.keys() - {"img", "gt_masks"}
    assert torch.equal(annotation["gt_bboxes"], sample["gt_bboxes"])
    assert annotation["ori_shape"] == sample["ori_shape"] == (12, 16)


def test_the_source_is_the_file_of_the_picture(dataset, tmp_path):
    assert dataset.source(1) == str(tmp_path / "0.png") == dataset[1]["img_path"]


def test_masks_can_be_left_out(tmp_path):
    assert "gt_masks" not in CocoDataset(coco_folder(tmp_path), tmp_path, with_masks=False)[0]


def test_a_file_without_segmentations_gives_no_masks(tmp_path):
    assert "gt_masks" not in opened(tmp_path, [coco_object(1)])[0]


def test_classes_can_be_chosen_and_ordered(tmp_path):
    dataset = CocoDataset(coco_folder(tmp_path), tmp_path, classes=["tree", "car"])
    assert dataset.category_ids == (4, 9)
    assert dataset[0]["gt_classes"].tolist() == [1]
    assert dataset[0]["gt_masks"].sum() == 25
    assert dataset[1]["gt_classes"].tolist() == [0]
    assert dataset.dropped == {}


def test_a_class_that_is_no_category_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"annotations.json: no category \['bus'\], only \['car'"):
        CocoDataset(coco_folder(tmp_path), tmp_path, classes=["car", "bus"])


def test_compressed_run_lengths_are_read(tmp_path):
    expected = pixels((12, 16), (3, 9, 5, 11))
    rle = coco_mask.encode(np.asfortranarray(expected.numpy().astype(np.uint8)))
    text = {"size": rle["size"], "counts": rle["counts"].decode()}
    dataset = opened(tmp_path, [coco_object(1, segmentation=text)])
    assert torch.equal(dataset[0]["gt_masks"][0], expected)


def test_masks_of_odd_polygons_are_those_of_the_evaluation(tmp_path):
    points = (np.random.default_rng(0).random((8, 2)) * [16, 12]).round(2).ravel().tolist()
    dataset = opened(tmp_path, [coco_object(1, segmentation=[points])])
    expected = coco_mask.decode(coco_mask.frPyObjects([points], 12, 16))[:, :, 0]
    assert np.array_equal(dataset[0]["gt_masks"][0].numpy(), expected)


def test_keypoints_keep_their_visibility(tmp_path):
    seen, hidden = [1, 2, 2, 3.5, 4, 1], [0, 0, 0, 5, 6, 2]
    dataset = opened(
        tmp_path, [coco_object(1, keypoints=seen), coco_object(2, keypoints=hidden), coco_object(3)]
    )
    points, visibility = dataset[0]["gt_keypoints"], dataset[0]["gt_visibility"]
    assert type(points) is KeyPoints
    assert points.tolist() == [[[1.5, 2.5], [4, 4.5]], [[0, 0], [5.5, 6.5]], [[0, 0], [0, 0]]]
    assert visibility.tolist() == [[2, 1], [0, 2], [0, 0]]


def test_a_picture_without_objects_has_no_keypoints_of_the_right_shape(tmp_path):
    dataset = opened(tmp_path, [coco_object(1, keypoints=[1, 2, 2, 3, 4, 1])])
    assert dataset[2]["gt_keypoints"].shape == (0, 2, 2)


def test_boxes_are_clipped_to_their_picture(tmp_path):
    dataset = opened(tmp_path, [coco_object(1, bbox=(-0.5, 3, 20, 5))])
    assert dataset[0]["gt_bboxes"].tolist() == [[0, 3, 16, 8]]


def test_boxes_far_past_their_picture_are_counted_in_the_log(tmp_path, caplog):
    opened(tmp_path, [coco_object(1, bbox=(0, 3, 20, 5)), coco_object(2, bbox=(0, 0, 16.5, 3))])
    assert "clipped 1 boxes" in caplog.text


def test_a_set_without_anything_to_say_logs_nothing(dataset, caplog):
    assert caplog.records == []


def test_a_picture_of_another_size_than_listed_is_refused(tmp_path):
    dataset = CocoDataset(coco_folder(tmp_path), tmp_path)
    write_picture(tmp_path / "5.png", 12, 20)
    with pytest.raises(ValueError, match=r"5.png: the picture is 20 x 12 .* image 5 as 16 x 12"):
        dataset[0]


def test_a_missing_picture_is_an_error_when_it_is_read(tmp_path):
    dataset = CocoDataset(coco_folder(tmp_path), tmp_path)
    (tmp_path / "0.png").unlink()
    with pytest.raises(
        FileNotFoundError, match=r'0.png: no such .* image 0. missing_images="skip"'
    ):
        dataset[1]


def test_missing_pictures_can_be_left_out(tmp_path, caplog):
    path = coco_folder(tmp_path)
    (tmp_path / "0.png").unlink()
    dataset = CocoDataset(path, tmp_path, missing_images="skip")
    assert [sample["img_id"] for sample in dataset] == [5, 77]
    assert dataset.num_missing_images == 1
    assert "left out 1 of 3 pictures" in caplog.text


def test_pictures_in_folders_are_looked_for_there(tmp_path):
    images = [coco_image(5) | {"file_name": "a/5.png"}, coco_image(6) | {"file_name": "b/6.png"}]
    path = write_coco(tmp_path, [], images=images)
    (tmp_path / "b/6.png").rename(tmp_path / "a/6.png")
    assert len(CocoDataset(path, tmp_path, missing_images="skip")) == 1


def test_a_file_that_does_not_exist_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"none.json: no such file"):
        CocoDataset(tmp_path / "none.json", tmp_path)


def test_a_folder_that_does_not_exist_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"pictures: no such folder"):
        CocoDataset(coco_folder(tmp_path), tmp_path / "pictures")


@pytest.mark.parametrize("option", ["bad_annotations", "missing_images"])
def test_an_unknown_choice_is_refused(tmp_path, option):
    with pytest.raises(ValueError, match=rf"{option} must be one of .*, got 'maybe'"):
        CocoDataset(coco_folder(tmp_path), tmp_path, **{option: "maybe"})


DROPPED = {
    "box that is not finite": coco_object(2, bbox=(2, 1, float("nan"), 4)),
    "box of negative width or height": coco_object(2, bbox=(2, 1, 4, -1)),
    "box without width or height": coco_object(2, bbox=(2, 1, 0, 4)),
    "box outside its picture": coco_object(2, bbox=(30, 1, 4, 4)),
    "category_id that is not listed": coco_object(2, category_id=1),
    "image_id that is not listed": coco_object(2, image_id=6),
    "id of an earlier annotation": coco_object(1, bbox=(0, 0, 1, 1)),
}


def masked(entry):
    return {"segmentation": [SQUARE], **entry}


@pytest.mark.parametrize(("kind", "entry"), DROPPED.items(), ids=DROPPED)
def test_a_mistake_is_told_with_its_annotation(tmp_path, kind, entry):
    told = rf"(?s)annotations.json: 1 of 2 .*{kind}: 1, such as\n    annotation {entry['id']} of"
    with pytest.raises(ValueError, match=told):
        opened(tmp_path, [coco_object(1), entry])


@pytest.mark.parametrize(("kind", "entry"), DROPPED.items(), ids=DROPPED)
def test_a_mistake_can_be_dropped_with_a_count(tmp_path, caplog, kind, entry):
    dataset = opened(tmp_path, [coco_object(1), entry], bad_annotations="drop")
    assert dataset[0]["gt_bboxes"].tolist() == [[2, 1, 6, 5]]
    assert dataset.dropped == {kind: 1}
    assert f"{kind}: 1" in caplog.text


ODD_MASKS = {
    "two points": [[1, 1, 5, 5]],
    "odd length": [[1, 1, 5, 5, 1, 5, 7]],
    "one bad part": [SQUARE, [1, 1]],
    "not a number": [[1, 1, float("nan"), 5, 1, 5]],
    "infinite": [[1, 1, float("inf"), 5, 1, 5]],
    "far outside": [[1, 1, 1e6, 5, 1, 5]],
    "text": "polygon",
    "flat": [1, 1, 5, 5, 1, 5],
    "texts as numbers": [["1", "1", "5", "5", "1", "5"]],
    "deep": [[[1, 1], [5, 5], [1, 5]]],
    "too short": {"size": [12, 16], "counts": [24, 12]},
    "too long": {"size": [12, 16], "counts": [24, 12, 156, 1]},
    "other size": {"size": [16, 12], "counts": [24, 12, 156]},
    "negative run": {"size": [12, 16], "counts": [24, 200, -32]},
    "no counts": {"size": [12, 16]},
    "text of a short run": {"size": [12, 16], "counts": "h0"},
    "text that does not end": {"size": [12, 16], "counts": "P"},
    "text of a huge number": {"size": [12, 16], "counts": "o" * 40 + "0"},
    "text of other letters": {"size": [12, 16], "counts": "ü\x00"},
    "empty text": {"size": [12, 16], "counts": ""},
}


@pytest.mark.parametrize("segmentation", ODD_MASKS.values(), ids=ODD_MASKS)
def test_a_mask_that_is_none_is_refused_or_dropped(tmp_path, segmentation):
    annotations = [masked(coco_object(1)), coco_object(2, segmentation=segmentation)]
    path = write_coco(tmp_path, annotations)
    with pytest.raises(
        ValueError, match=r"annotation 2 of image 5: (segmentation|a mask|runs|cou)"
    ):
        CocoDataset(path, tmp_path)
    dataset = CocoDataset(path, tmp_path, bad_annotations="drop")
    assert dataset[0]["gt_masks"].flatten(1).sum(1).tolist() == [16]
    assert sum(dataset.dropped.values()) == 1


def test_an_object_without_a_mask_among_others_is_wrong_only_for_masks(tmp_path):
    path = write_coco(tmp_path, [masked(coco_object(1)), coco_object(2, segmentation=[])])
    with pytest.raises(ValueError, match="no mask, although others have one: 1"):
        CocoDataset(path, tmp_path)
    assert len(CocoDataset(path, tmp_path, with_masks=False)[0]["gt_bboxes"]) == 2


ODD_KEYPOINTS = {
    "not triples": [1, 2, 2, 3],
    "unknown visibility": [1, 2, 3],
    "not a number": [float("nan"), 2, 2],
    "texts": ["1", "2", "2"],
    "text": "123",
}


@pytest.mark.parametrize("keypoints", ODD_KEYPOINTS.values(), ids=ODD_KEYPOINTS)
def test_keypoints_that_are_none_are_refused_or_dropped(tmp_path, keypoints):
    path = write_coco(tmp_path, [coco_object(1), coco_object(2, keypoints=keypoints)])
    with pytest.raises(ValueError, match=r"keypoints that are none: 1, such as\n    annotation 2"):
        CocoDataset(path, tmp_path)
    assert len(CocoDataset(path, tmp_path, bad_annotations="drop")[0]["gt_bboxes"]) == 1


def test_as_many_keypoints_as_the_category_names_are_expected(tmp_path):
    categories = [{"id": 9, "name": "car", "keypoints": ["front", "back"]}]
    path = write_coco(tmp_path, [coco_object(1, keypoints=[1, 2, 2])], categories=categories)
    with pytest.raises(ValueError, match="keypoints that are none"):
        CocoDataset(path, tmp_path)


ILL_TYPED = {
    "null": None,
    "number": 3,
    "no box": {key: value for key, value in coco_object(2).items() if key != "bbox"},
    "no id": {key: value for key, value in coco_object(2).items() if key != "id"},
    "text for id": coco_object("2"),
    "text for image id": coco_object(2, image_id="5"),
    "fraction for category id": coco_object(2, category_id=9.5),
    "true for id": coco_object(True),
    "huge id": coco_object(10**30),
    "three numbers": coco_object(2, bbox=(1, 2, 3)),
    "texts for numbers": coco_object(2, bbox=("1", "2", "3", "4")),
    "null for box": {**coco_object(2), "bbox": None},
    "huge number": coco_object(2, bbox=(1, 2, 3, 10**400)),
    "crowd of two": {**coco_object(2), "iscrowd": 2},
    "crowd of a list": {**coco_object(2), "iscrowd": []},
}


@pytest.mark.parametrize("entry", ILL_TYPED.values(), ids=ILL_TYPED)
def test_wrong_types_are_told_with_their_place(tmp_path, entry):
    path = write_coco(tmp_path, [coco_object(1), entry])
    with pytest.raises(
        ValueError, match=r"missing key or wrong type: 1, .*\n    annotations\[1\]: "
    ):
        CocoDataset(path, tmp_path)


@pytest.mark.parametrize("entry", ILL_TYPED.values(), ids=ILL_TYPED)
def test_annotations_of_wrong_types_can_be_dropped(tmp_path, entry):
    dataset = opened(tmp_path, [coco_object(1), entry], bad_annotations="drop")
    assert dataset.dropped == {"missing key or wrong type": 1}
    assert len(dataset[0]["gt_bboxes"]) == 1


def test_all_kinds_of_mistakes_are_told_at_once(tmp_path):
    entries = [*DROPPED.values(), ILL_TYPED["no box"], coco_object(1, bbox=(0, 0, 0, 0))]
    with pytest.raises(ValueError, match=r"9 of 10 annotations are wrong") as error:
        opened(tmp_path, [coco_object(1), *entries])
    assert [kind for kind in DROPPED if kind not in str(error.value)] == []
    assert "missing key or wrong type" in str(error.value)


WRONG_FILES = {
    "list": ([], "expected an object with images"),
    "null": (None, "expected an object with images"),
    "no images": ({"annotations": [], "categories": []}, "expected a list 'images', got no such"),
    "images by id": ({**coco_document([]), "images": {"1": {}}}, "list 'images', got dict"),
    "null annotations": ({**coco_document([]), "annotations": None}, "'annotations', got NoneType"),
}
WRONG_IMAGES = {
    "two of one id": ([coco_image(5), coco_image(5)], "2 images have the id 5"),
    "text for id": ([coco_image("5")], r"images\[0\]: id must be a whole number, got '5'"),
    "no object": ([7], r"images\[0\]: expected an object, got int"),
    "no name": ([{"id": 5, "height": 1, "width": 1}], "file_name of image 5 must be a text"),
    "leads out": (
        [coco_image(5) | {"file_name": "../5.png"}],
        "image 5: the file name '../5.png' leads out",
    ),
    "absolute": (
        [coco_image(5) | {"file_name": "/5.png"}],
        "image 5: the file name '/5.png' leads out",
    ),
    "windows": (
        [coco_image(5) | {"file_name": "a\\..\\5.png"}],
        "image 5: the file name .* backslash",
    ),
    "zero byte": (
        [coco_image(5) | {"file_name": "5.png\0"}],
        "image 5: the file name .* has a NUL",
    ),
    "half a letter": ([coco_image(5) | {"file_name": "\ud800"}], "cannot be one"),
    "no height": ([{"id": 5, "file_name": "5.png", "width": 3}], "height of image 5 must be a pos"),
    "no area": ([coco_image(5, width=0)], "width of image 5 must be a positive number, got 0"),
    "huge": ([coco_image(5, width=2**31)], "width of image 5 must be a positive number"),
}
WRONG_CATEGORIES = {
    "two of one id": ([{"id": 9, "name": "a"}, {"id": 9, "name": "b"}], "have the id 9"),
    "two of one name": ([{"id": 9, "name": "a"}, {"id": 8, "name": "a"}], "have the name 'a'"),
    "no name": ([{"id": 9}], "name of category 9 must be a text"),
    "text for id": ([{"id": "9", "name": "a"}], "id must be a whole number"),
    "no object": (["car"], r"categories\[0\]: expected an object, got str"),
}
WRONG_DOCUMENTS = {
    **WRONG_FILES,
    **{
        f"images: {name}": ({**coco_document([]), "images": images}, message)
        for name, (images, message) in WRONG_IMAGES.items()
    },
    **{
        f"categories: {name}": ({**coco_document([]), "categories": categories}, message)
        for name, (categories, message) in WRONG_CATEGORIES.items()
    },
}


@pytest.mark.parametrize("bad_annotations", ["raise", "drop"])
@pytest.mark.parametrize(("document", "told"), WRONG_DOCUMENTS.values(), ids=WRONG_DOCUMENTS)
def test_a_file_that_is_wrong_as_a_whole_is_refused(tmp_path, document, told, bad_annotations):
    path = tmp_path / "wrong.json"
    path.write_text(json.dumps(document))
    with pytest.raises(ValueError, match=rf"(?s)wrong.json: .*{told}"):
        CocoDataset(path, tmp_path, bad_annotations=bad_annotations)


@pytest.mark.parametrize("text", ["", '{"images": [', "{} {}", "[" * 100_000, "\xff", "9" * 10_000])
def test_what_is_no_whole_json_is_refused(tmp_path, text):
    path = tmp_path / "cut.json"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(ValueError, match=r"cut.json: (not whole JSON|nested too deeply)"):
        CocoDataset(path, tmp_path)


def test_a_folder_is_no_annotation_file(tmp_path):
    with pytest.raises(ValueError, match="expected a JSON file, got a folder"):
        CocoDataset(tmp_path, tmp_path)


def turned_set(folder, orientation, listed):
    """A picture of 12 x 16 as it is stored, which its EXIF orientation turns."""
    exif = PILImage.Exif()
    exif[274] = orientation
    entry = coco_object(1, bbox=(2, 1, 4, 4), segmentation=[SQUARE], keypoints=[2, 1, 2])
    path = write_coco(folder, [entry], images=[coco_image(5, *listed)])
    write_picture(folder / "5.png", 12, 16, exif=exif)
    return CocoDataset(path, folder)


@pytest.mark.parametrize("orientation", [5, 6, 7, 8])
def test_labels_of_a_stored_picture_are_turned_with_it(tmp_path, orientation):
    stored, upright = (
        turned_set(tmp_path, 1, (12, 16))[0],
        turned_set(tmp_path, orientation, (12, 16))[0],
    )
    assert upright["img"].shape == (3, 16, 12)
    assert upright["ori_shape"] == upright["gt_bboxes"].canvas_size == (16, 12)
    left, top, right, bottom = upright["gt_bboxes"][0].int().tolist()
    assert torch.equal(upright["gt_masks"][0], pixels((16, 12), (top, bottom, left, right)))
    assert upright["gt_keypoints"].frac().eq(0.5).all()  # centres of pixels, still
    x, y = upright["gt_keypoints"][0, 0].int().tolist()
    assert torch.equal(upright["img"][:, y, x], stored["img"][:, 1, 2])
    inside = upright["img"][:, top:bottom, left:right].flatten(1)
    assert sorted(inside.T.tolist()) == sorted(stored["img"][:, 1:5, 2:6].flatten(1).T.tolist())


@pytest.mark.parametrize("orientation", [5, 6, 7, 8])
def test_labels_of_the_upright_picture_stay(tmp_path, orientation):
    sample = turned_set(tmp_path, orientation, (16, 12))[0]
    assert sample["gt_bboxes"].tolist() == [[2, 1, 6, 5]]
    assert torch.equal(sample["gt_masks"][0], pixels((16, 12), (1, 5, 2, 6)))


def test_a_picture_without_objects_can_be_turned(tmp_path):
    exif = PILImage.Exif()
    exif[274] = 6
    path = write_coco(tmp_path, [coco_object(1, 7, segmentation=[SQUARE])],
                      images=[coco_image(5), coco_image(7)])  # fmt: skip
    write_picture(tmp_path / "5.png", exif=exif)
    assert CocoDataset(path, tmp_path)[0]["gt_masks"].shape == (0, 16, 12)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(["size", "counts", "id"]), inner, max_size=3)
    ),
    max_leaves=6,
)
COUNTS = st.text(st.characters(min_codepoint=40, max_codepoint=115), max_size=8)
RLES = st.fixed_dictionaries({"size": st.just([12, 16]), "counts": COUNTS})
POLYGONS = st.lists(st.lists(st.floats() | st.integers(-40, 40), max_size=9), max_size=2)


def changed(strategy):
    """One entry of a document, one or two of whose values are anything."""
    keys = st.sampled_from(["id", "image_id", "category_id", "bbox", "iscrowd", "segmentation",
                            "keypoints", "file_name", "height", "name"])  # fmt: skip
    return st.dictionaries(keys, strategy, max_size=2)


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    changes=st.lists(changed(VALUES | RLES | POLYGONS), min_size=3, max_size=3),
    kind=st.sampled_from(["images", "categories", "annotations"]),
    bad_annotations=st.sampled_from(["raise", "drop"]),
)
def test_any_values_give_samples_or_an_error_that_names_a_file(
    tmp_path, changes, kind, bad_annotations
):
    document = coco_document([coco_object(1), coco_object(2, 0, 4), coco_object(3, 77, 0)])
    document[kind] = [entry | change for entry, change in zip(document[kind], changes, strict=True)]
    path = tmp_path / "any.json"
    path.write_text(json.dumps(document))
    for image_id in (5, 0, 77):
        write_picture(tmp_path / f"{image_id}.png")
    with error_names(tmp_path):
        list(CocoDataset(path, tmp_path, bad_annotations=bad_annotations))


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.data())
def test_any_damage_gives_samples_or_an_error_that_names_a_file(tmp_path, data):
    whole = json.dumps(coco_document([masked(coco_object(1))])).encode()
    place = data.draw(st.integers(0, len(whole)))
    new = data.draw(st.binary(max_size=4))
    path = tmp_path / "any.json"
    path.write_bytes(whole[:place] + new + whole[place + data.draw(st.integers(0, 40)) :])
    for image_id in (5, 0, 77):
        write_picture(tmp_path / f"{image_id}.png")
    with error_names(tmp_path):
        list(CocoDataset(path, tmp_path))


def test_boxes_and_masks_are_flipped_with_the_picture(tmp_path):
    dataset = CocoDataset(coco_folder(tmp_path), tmp_path, v2.RandomHorizontalFlip(p=1))
    sample = dataset[1]
    assert sample["gt_bboxes"].tolist() == [[10, 1, 14, 5]]
    assert torch.equal(sample["gt_masks"][0], pixels((12, 16), (1, 5, 10, 14)))


def test_a_description_counts_the_objects(dataset):
    description = dataset.describe()
    assert dict(description.num_objects) == {2: 1, 0: 1, 1: 1}
    assert description.num_empty == 1


def test_a_mapped_data_set_is_sent_to_workers_by_its_folder(tmp_path, caplog):
    caplog.set_level(logging.INFO)
    path = coco_folder(tmp_path)
    mapped = CocoDataset(path, tmp_path, index_dir=tmp_path / "index")
    sent = pickle.loads(pickle.dumps(mapped))
    assert torch.equal(sent[0]["gt_masks"], mapped[0]["gt_masks"])
