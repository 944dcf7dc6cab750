"""The share of keypoints that are near enough, by hand."""

import pytest
import torch

from hat.metrics import PCK

#: A box of 20 x 10 pixels: with alpha 0.2, four pixels are allowed.
BOX = torch.tensor([[0.0, 0.0, 20.0, 10.0]])
POINTS = torch.tensor([[[5.0, 5.0], [10.0, 5.0], [15.0, 5.0]]])
#: Off by 4, by 5 (3 and 4), and by 0 pixels.
FOUND = torch.tensor([[[5.0, 9.0], [13.0, 9.0], [15.0, 5.0]]])


def batch_of(visibility=(2, 2, 2)):
    return {
        "gt_bboxes": [BOX],
        "gt_keypoints": [POINTS],
        "gt_visibility": [torch.tensor([visibility])],
    }


def value_of(metric, batch=None, found=FOUND):
    metric.update(batch or batch_of(), {"keypoints": [found]})
    return metric.compute()


@pytest.mark.parametrize(("alpha", "share"), [(0.19, 1 / 3), (0.2, 2 / 3), (0.25, 1)])
def test_a_keypoint_is_correct_up_to_a_share_of_the_longer_side(alpha, share):
    assert value_of(PCK(3, alpha)).item() == share


def test_hidden_keypoints_count_and_unlabelled_ones_do_not():
    assert value_of(PCK(3), batch_of((0, 1, 2))).item() == 1 / 2


def test_all_keypoints_count_without_visibility():
    batch = batch_of((0, 0, 0))
    del batch["gt_visibility"]
    assert value_of(PCK(3), batch).item() == 2 / 3


def test_the_reference_may_be_the_distance_of_two_keypoints():
    # keypoints 0 and 2 are 10 pixels apart: 0.5 of it allows 5, 0.45 allows 4.5
    assert value_of(PCK(3, 0.5, reference=(0, 2))).item() == 1
    assert value_of(PCK(3, 0.45, reference=(0, 2))).item() == 2 / 3


def test_an_object_without_its_reference_does_not_count():
    assert value_of(PCK(3, reference=(0, 2)), batch_of((0, 2, 2))).isnan()


def test_no_boxes_are_needed_where_keypoints_are_the_reference():
    batch = batch_of()
    del batch["gt_bboxes"]
    assert value_of(PCK(3, 0.5, reference=(0, 2)), batch).item() == 1


def test_each_keypoint_has_a_score_if_it_has_a_name():
    values = value_of(PCK(3, names=["nose", "ear", "eye"], name="pose/PCK"), batch_of((2, 2, 0)))
    assert list(values) == ["pose/PCK", "pose/PCK_nose", "pose/PCK_ear", "pose/PCK_eye"]
    values = [value.item() for value in values.values()]
    assert values == pytest.approx([1 / 2, 1, 0, torch.nan], nan_ok=True)


def test_keypoints_are_summed_over_objects_and_divided_once():
    metric = PCK(3)
    metric.update(batch_of((2, 0, 0)), {"keypoints": [POINTS]})
    # 1 of 1, then 2 of 3: 3 / 4, not the mean of 1 and 2/3
    assert value_of(metric).item() == 3 / 4


def test_pictures_without_objects_count_nothing():
    metric = PCK(3)
    empty = {"gt_bboxes": [BOX[:0]], "gt_keypoints": [POINTS[:0]]}
    metric.update(empty, {"keypoints": [POINTS[:0]]})
    metric.update({"gt_bboxes": [], "gt_keypoints": []}, {"keypoints": []})
    assert metric.compute().isnan()
    assert value_of(metric).item() == 2 / 3


def test_a_picture_without_objects_counts_nothing_whatever_is_found_in_it():
    metric = PCK(3)
    empty = {"gt_bboxes": [BOX[:0]], "gt_keypoints": [POINTS[:0]]}
    metric.update(empty, {"keypoints": [FOUND]})
    assert value_of(metric).item() == 2 / 3


def test_a_prediction_that_is_nan_is_not_correct():
    assert value_of(PCK(3), found=FOUND * torch.nan).item() == 0


def test_predictions_for_other_objects_are_refused():
    with pytest.raises(ValueError, match=r"have \[1\] gt_keypoints and \[2\] predicted"):
        value_of(PCK(3), found=torch.cat([FOUND, FOUND]))


def test_another_number_of_keypoints_is_refused():
    with pytest.raises(ValueError, match=r"gt_keypoints must be \(M, 4, 2\) in each picture"):
        value_of(PCK(4))


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"alpha": 0}, "alpha must be above 0, got 0"),
        ({"names": ["a"]}, "got 1 names for 3 keypoints"),
        ({"reference": (0, 3)}, r"two of the 3 keypoints, from 0, got \(0, 3\)"),
    ],
)
def test_impossible_arguments_are_refused(kwargs, message):
    with pytest.raises(ValueError, match=message):
        PCK(3, **kwargs)
