"""The real sets of COCO's and VOC's formats, and the bad files that were made of them."""

import csv
import shutil

import pytest
import torch

from hat.data import CocoDataset, VocDataset

pytestmark = pytest.mark.shared

BLOOD_CELLS = ("RBC", "WBC", "Platelets")

#: What a bad COCO file does when it is opened; None: it gives a sample.
COCO_ERRORS = {
    "coco_bad_rle.json": "runs of 150 pixels for a picture of 360 x 480",
    "coco_crowd_rle.json": None,
    "coco_duplicate_image_id.json": "2 images have the id 1",
    "coco_nan_box.json": r"bbox \[10.0, 10.0, nan, 40.0\]",
    "coco_negative_width.json": r"bbox \[10.0, 10.0, -5.0, 40.0\]",
    "coco_truncated.json": "not whole JSON",
    "coco_two_point_polygon.json": r"segmentation \[\[10, 10, 60, 10\]\]",
    "coco_unknown_category.json": "category_id 99",
    "coco_unknown_image.json": "annotation 1 of image 99: no such image",
}
#: Of those, what `bad_annotations="drop"` opens, with the annotation left out.
COCO_DROPPED = [
    "coco_bad_rle.json",
    "coco_nan_box.json",
    "coco_negative_width.json",
    "coco_two_point_polygon.json",
    "coco_unknown_category.json",
    "coco_unknown_image.json",
]
VOC_ERRORS = {
    "voc_box_outside.xml": None,
    "voc_box_zero_area.xml": "box without width or height: 1",
    "voc_missing_image.xml": None,
    "voc_no_objects.xml": None,
    "voc_unknown_class.xml": "object 1: 'unicorn'",
    "voc_wrong_size.xml": None,
}


def failing(errors):
    return [(name, error) for name, error in errors.items() if error is not None]


@pytest.fixture
def bad_coco(shared_data):
    inputs = shared_data / "bad_inputs"
    return lambda name, **options: CocoDataset(
        inputs / "annotations" / name, inputs / "images", **options
    )


@pytest.fixture
def bad_voc(shared_data, tmp_path):
    """A set of the one annotation, beside the picture that all of them are of."""
    inputs = shared_data / "bad_inputs"

    def opened(name, **options):
        for folder in ("Annotations", "JPEGImages", "ImageSets/Main"):
            (tmp_path / folder).mkdir(parents=True)
        shutil.copy(inputs / "annotations" / name, tmp_path / "Annotations")
        shutil.copy(inputs / "images/reference.jpg", tmp_path / "JPEGImages")
        (tmp_path / "ImageSets/Main/train.txt").write_text(name.removesuffix(".xml"))
        return VocDataset(tmp_path, **options)

    return opened


def test_every_bad_file_of_the_two_formats_has_an_expectation(shared_data):
    with open(shared_data / "bad_inputs/manifest.csv", newline="") as file:
        names = {row["file"].removeprefix("annotations/") for row in csv.DictReader(file)}
    listed = {name for name in names if name.startswith(("coco_", "voc_"))}
    assert listed == COCO_ERRORS.keys() | VOC_ERRORS.keys()


@pytest.mark.parametrize(("name", "error"), failing(COCO_ERRORS))
def test_a_bad_coco_file_is_refused_by_name(bad_coco, name, error):
    with pytest.raises(ValueError, match=rf"(?s){name}: .*{error}"):
        bad_coco(name)


@pytest.mark.parametrize("name", COCO_DROPPED)
def test_a_bad_annotation_of_coco_can_be_dropped(bad_coco, caplog, name):
    dataset = bad_coco(name, bad_annotations="drop")
    assert list(dataset.dropped.values()) == [1]
    assert len(dataset[0]["gt_bboxes"]) == 0
    assert f"{name}: dropped annotations: " in caplog.text


@pytest.mark.parametrize("name", ["coco_duplicate_image_id.json", "coco_truncated.json"])
def test_what_is_wrong_with_the_whole_file_cannot_be_dropped(bad_coco, name):
    with pytest.raises(ValueError, match=name):
        bad_coco(name, bad_annotations="drop")


def test_a_crowd_of_plain_run_lengths_is_accepted(bad_coco):
    sample = bad_coco("coco_crowd_rle.json")[0]
    assert sample["gt_crowd"].tolist() == [True]
    # 100 pixels down the first column are none of it, the next 50 are.
    expected = torch.zeros(1, 360, 480, dtype=torch.bool)
    expected[0, 100:150, 0] = True
    assert torch.equal(sample["gt_masks"].as_subclass(torch.Tensor), expected)


@pytest.mark.parametrize(("name", "error"), failing(VOC_ERRORS))
def test_a_bad_voc_file_is_refused_by_name(bad_voc, name, error):
    with pytest.raises(ValueError, match=rf"(?s){error}"):
        bad_voc(name)


@pytest.mark.parametrize(("name", "error"), failing(VOC_ERRORS))
def test_a_bad_object_of_voc_can_be_dropped(bad_voc, name, error):
    dataset = bad_voc(name, bad_annotations="drop")
    assert list(dataset.dropped.values()) == [1]
    assert len(dataset[0]["gt_bboxes"]) == 0


def test_a_box_of_voc_that_reaches_past_the_picture_is_clipped_and_counted(bad_voc, caplog):
    assert bad_voc("voc_box_outside.xml")[0]["gt_bboxes"].tolist() == [[0, 9, 480, 360]]
    assert "clipped 1 boxes" in caplog.text


def test_a_file_of_voc_without_objects_is_an_empty_picture(bad_voc):
    assert bad_voc("voc_no_objects.xml")[0]["gt_bboxes"].shape == (0, 4)


def test_a_file_of_voc_without_its_picture_says_so(bad_voc):
    with pytest.raises(FileNotFoundError, match=r"does_not_exist.jpg: no such file"):
        bad_voc("voc_missing_image.xml")[0]


def test_a_file_of_voc_with_a_wrong_size_is_logged(bad_voc, caplog):
    assert bad_voc("voc_wrong_size.xml")[0]["ori_shape"] == (360, 480)
    assert "voc_wrong_size.xml says 4800 x 360, the picture is 480 x 360" in caplog.text


def coad(shared_data, split, **options):
    folder = shared_data / "coad_coco" / split
    return CocoDataset(folder / "_annotations.coco.json", folder, **options)


def test_street_scenes_are_read_but_for_the_one_that_is_missing(shared_data, caplog):
    assert len(coad(shared_data, "train")) == 124
    dataset = coad(shared_data, "train", missing_images="skip")
    assert len(dataset) == 123
    assert dataset.num_missing_images == 1
    assert "left out 1 of 124 pictures" in caplog.text


def test_the_missing_street_scene_is_named_when_it_is_read(shared_data):
    dataset = coad(shared_data, "train")
    name = "Clases0000_jpg.rf.a968008492a77ec63e8325b8dc137706.jpg"
    (index,) = [n for n in range(len(dataset)) if dataset.source(n).endswith(name)]
    with pytest.raises(FileNotFoundError, match=name):
        dataset[index]


def test_masks_of_street_scenes_lie_in_their_boxes(shared_data):
    dataset = coad(
        shared_data, "valid", classes=["Moto", "Obstaculo", "Peaton", "Pista", "Vehiculo"]
    )
    shares = []
    for sample in dataset:
        for mask, box in zip(sample["gt_masks"], sample["gt_bboxes"], strict=True):
            left, top, right, bottom = box.round().int().tolist()
            inside = mask[max(top - 1, 0) : bottom + 1, max(left - 1, 0) : right + 1]
            shares.append((inside.sum() / mask.sum()).item())
    assert len(dataset) == 35
    assert len(shares) == 229
    assert min(shares) > 0.98


def test_blood_cells_have_the_published_counts(shared_data):
    counts = torch.zeros(3, dtype=torch.int64)
    dropped = 0
    for split in ("train", "val", "test"):
        dataset = VocDataset(
            shared_data / "bccd_voc", split, classes=BLOOD_CELLS, bad_annotations="drop"
        )
        dropped += dataset.dropped.get("box without width or height", 0)
        for n in range(len(dataset)):
            counts += dataset.annotation(n)["gt_classes"].bincount(minlength=3)
    # Published: 4,155, 372 and 361. The two without area are red blood cells.
    assert dropped == 2
    assert counts.tolist() == [4155 - 2, 372, 361]


@pytest.mark.parametrize(("split", "name"), [("val", "00338"), ("train", "00343")])
def test_blood_cells_without_area_are_told_as_published(shared_data, split, name):
    with pytest.raises(ValueError, match=rf"BloodImage_{name}.xml, object \d+: bndbox"):
        VocDataset(shared_data / "bccd_voc", split, classes=BLOOD_CELLS)
