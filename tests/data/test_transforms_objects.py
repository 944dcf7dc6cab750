"""Which objects stay, and of which class they are."""

import pytest
import torch
from torchvision import tv_tensors

from hat.data import DropKeys, FilterBoxes, RemapClasses
from hat.data.pixels import Mask
from hat.data.transforms.objects import boxes_of_masks

NAMES = ["car", "bus", "man", "child"]


def sample(*boxes):
    count = len(boxes)
    rows = torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4)
    return {
        "gt_bboxes": tv_tensors.BoundingBoxes(rows, format="XYXY", canvas_size=(9, 9)),
        "gt_classes": torch.arange(count),
        "gt_masks": Mask(torch.zeros(count, 9, 9, dtype=torch.bool)),
        "gt_keypoints": tv_tensors.KeyPoints(torch.zeros(count, 2, 2), canvas_size=(9, 9)),
        "gt_bboxes_3d": torch.zeros(count, 7),
        "label": torch.tensor(4),
    }


def kept(transform, *boxes):
    return transform(sample(*boxes))["gt_classes"].tolist()


def test_boxes_without_a_pixel_are_dropped():
    assert kept(FilterBoxes(), (0, 0, 4, 4), (1, 1, 1, 5), (1, 1, 1.5, 5), (3, 0, 2, 4)) == [0]


def test_a_side_of_the_least_size_is_kept():
    assert kept(FilterBoxes(min_size=2), (0, 0, 2, 2), (0, 0, 1.9, 2)) == [0]


def test_boxes_of_a_small_area_are_dropped():
    assert kept(FilterBoxes(min_area=6), (0, 0, 2, 3), (0, 0, 5, 1)) == [0]


def test_slivers_are_dropped():
    assert kept(FilterBoxes(max_aspect=3), (0, 0, 2, 6), (0, 0, 7, 2), (0, 0, 2, 7)) == [0]


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_boxes_that_are_not_finite_are_dropped(value):
    assert kept(FilterBoxes(min_size=0), (0, 0, value, 4), (0, 0, 2, 2)) == [1]


def test_with_no_least_size_empty_boxes_stay_and_reversed_ones_go():
    assert kept(FilterBoxes(min_size=0), (1, 1, 1, 1), (2, 0, 1, 4)) == [0]


def test_objects_whose_mask_is_too_small_are_dropped():
    boxes = sample((0, 0, 4, 4), (0, 0, 4, 4))
    boxes["gt_masks"][1, 0, :2] = True
    assert FilterBoxes(min_mask_area=2)(boxes)["gt_classes"].tolist() == [1]


def test_every_key_of_objects_loses_the_row():
    out = FilterBoxes()(sample((0, 0, 4, 4), (1, 1, 1, 5)))
    keys = ("gt_bboxes", "gt_classes", "gt_masks", "gt_keypoints", "gt_bboxes_3d")
    assert [len(out[key]) for key in keys] == [1] * 5
    assert isinstance(out["gt_bboxes"], tv_tensors.BoundingBoxes)
    assert out["label"] == 4


def test_a_key_with_another_number_of_rows_is_refused():
    broken = sample((0, 0, 4, 4)) | {"gt_crowd": torch.zeros(2, dtype=torch.bool)}
    with pytest.raises(ValueError, match="gt_crowd has 2 rows for 1 objects"):
        FilterBoxes()(broken)


def test_a_sample_without_boxes_passes():
    assert FilterBoxes()({"label": 3}) == {"label": 3}


@pytest.mark.parametrize("wrong", [dict(min_size=-1), dict(min_area=-1), dict(max_aspect=0.5)])
def test_limits_that_make_no_sense_are_refused(wrong):
    with pytest.raises(ValueError, match=r"below 0|at least 1"):
        FilterBoxes(**wrong)


def test_a_transform_of_samples_refuses_anything_else():
    with pytest.raises(TypeError, match="FilterBoxes takes a sample, which is a dict, got Tensor"):
        FilterBoxes()(torch.zeros(3, 4, 4))


# --- classes

MERGES = {"vehicle": ["bus", "car"], "person": ["man", "child"]}


def test_classes_are_merged_in_the_order_of_the_new_names():
    remap = RemapClasses(MERGES, NAMES)
    out = remap({"gt_classes": torch.tensor([0, 1, 2, 3, 0])})
    assert out["gt_classes"].tolist() == [0, 0, 1, 1, 0]
    assert remap.classes == ["vehicle", "person"]


def test_classes_may_be_numbers():
    remap = RemapClasses({"b": [1], "a": [0]})
    assert remap({"gt_classes": torch.tensor([0, 1])})["gt_classes"].tolist() == [1, 0]


def test_pixels_that_are_not_labelled_stay_so():
    remap = RemapClasses(MERGES, NAMES, key="gt_seg")
    out = remap({"gt_seg": Mask(torch.tensor([[3, 255, 0]], dtype=torch.uint8))})
    assert out["gt_seg"].tolist() == [[1, 255, 0]]
    assert out["gt_seg"].dtype == torch.uint8


@pytest.mark.parametrize("label", [2, torch.tensor(2)])
def test_a_label_is_remapped(label):
    out = RemapClasses(MERGES, NAMES, key="label")({"label": label})["label"]
    assert out == 1
    assert type(out) is type(label)


def test_objects_of_other_classes_are_dropped_on_request():
    remap = RemapClasses({"person": ["man"]}, NAMES, unmapped="drop")
    out = remap(sample((0, 0, 1, 1), (0, 0, 2, 2), (0, 0, 3, 3)))
    assert out["gt_bboxes"].tolist() == [[0, 0, 3, 3]]
    assert out["gt_classes"].tolist() == [0]


def test_pixels_of_other_classes_become_unlabelled_on_request():
    remap = RemapClasses({"person": ["man"]}, NAMES, key="gt_seg", unmapped="drop")
    out = remap({"gt_seg": Mask(torch.tensor([[0, 2, 77, 255]], dtype=torch.uint8))})
    assert out["gt_seg"].tolist() == [[255, 0, 255, 255]]


@pytest.mark.parametrize(
    ("key", "value"), [("gt_classes", [1, 9]), ("gt_seg", [[1, 9]]), ("label", 1)]
)
def test_a_class_that_is_left_out_is_an_error(key, value):
    remap = RemapClasses({"person": ["man"]}, NAMES, key=key)
    with pytest.raises(ValueError, match=rf"{key} has classes that no merge takes: 1 \(bus\)"):
        remap({key: torch.tensor(value)})


def test_a_name_that_no_class_has_is_refused():
    with pytest.raises(ValueError, match=r"no class is named 'buss'\. Did you mean 'bus'\?"):
        RemapClasses({"vehicle": ["buss"]}, NAMES)


def test_a_class_in_two_merges_is_refused():
    with pytest.raises(ValueError, match="'car' is in 'a' and in 'b'"):
        RemapClasses({"a": ["car"], "b": ["car"]}, NAMES)


def test_names_without_the_old_names_are_refused():
    with pytest.raises(ValueError, match="give the old names as classes="):
        RemapClasses({"a": ["car"]})


@pytest.mark.parametrize("number", [-1, 4])
def test_a_number_that_no_class_has_is_refused(number):
    with pytest.raises(ValueError, match=f"there is no class {number}"):
        RemapClasses({"a": [number]}, NAMES)


def test_one_name_in_place_of_a_list_is_refused():
    with pytest.raises(ValueError, match="'a' takes a list of classes, got 'car'"):
        RemapClasses({"a": "car"}, NAMES)


@pytest.mark.parametrize(
    "wrong", [dict(key="classes"), dict(unmapped="keep"), dict(key="label", unmapped="drop")]
)
def test_options_that_do_not_exist_are_refused(wrong):
    with pytest.raises(ValueError, match=r"must be|cannot be dropped"):
        RemapClasses(MERGES, NAMES, **wrong)


# --- the rest


def test_keys_are_left_out():
    assert DropKeys(["a", "z"])({"a": 1, "b": 2}) == {"b": 2}


def test_one_key_in_place_of_a_list_is_refused():
    with pytest.raises(TypeError, match="got the text 'label'"):
        DropKeys("label")


def test_boxes_of_masks_are_those_of_torchvision_with_exclusive_ends():
    from torchvision.ops import masks_to_boxes

    masks = torch.rand(20, 9, 13, generator=torch.Generator().manual_seed(0)) > 0.95
    masks = masks[masks.flatten(1).any(1)]
    expected = masks_to_boxes(masks) + torch.tensor([0, 0, 1, 1])
    assert torch.equal(boxes_of_masks(masks), expected)


def test_the_box_of_an_empty_mask_is_zero():
    assert boxes_of_masks(torch.zeros(1, 3, 3, dtype=torch.bool)).tolist() == [[0, 0, 0, 0]]
