"""Which object each place is for."""

import pytest
import torch

from hat.models import (
    assign_fcos,
    boxes_in_boxes,
    centerness,
    grid_points,
    points_in_boxes,
)

#: 4, 12, 20, 28 along both sides, then 8 and 24.
POINTS = grid_points([(4, 4), (2, 2)], [8, 16])
STRIDES = [8, 16]


def assigned(boxes, **options):
    options = {"limits": [16], "radius": 100.0, **options}
    objects = assign_fcos(POINTS, STRIDES, torch.tensor(boxes), **options)
    fine, coarse = objects.split([16, 4])
    return fine.reshape(4, 4).tolist(), coarse.reshape(2, 2).tolist()


NOTHING = [[-1, -1], [-1, -1]]


def test_places_inside_a_small_box_are_for_it_on_the_fine_level():
    fine, coarse = assigned([[0.0, 0.0, 15.0, 8.0]])
    assert fine == [[0, 0, -1, -1], [-1] * 4, [-1] * 4, [-1] * 4]
    assert coarse == NOTHING


def test_places_far_from_a_side_are_on_the_coarse_level():
    # Of (4, 4) and the like the farthest side is 28 away, of (12, 12) 20, and of (8, 8) 24.
    fine, coarse = assigned([[0.0, 0.0, 32.0, 32.0]])
    assert fine == [[-1] * 4] * 4
    assert coarse == [[0, 0], [0, 0]]


def test_places_far_from_the_centre_are_background():
    # The centre is (15, 15); within 1.5 * 8 of it are 4 to 26, so 4, 12 and 20.
    fine, _ = assigned([[0.0, 0.0, 30.0, 30.0]], limits=[100], radius=1.5)
    assert fine == [[0, 0, 0, -1], [0, 0, 0, -1], [0, 0, 0, -1], [-1] * 4]


def test_the_radius_is_in_strides_of_the_level():
    _, coarse = assigned([[0.0, 0.0, 32.0, 32.0]], limits=[0], radius=0.4)
    assert coarse == NOTHING  # 8 from the centre, where 0.4 * 16 = 6.4
    _, coarse = assigned([[0.0, 0.0, 32.0, 32.0]], limits=[0], radius=0.6)
    assert coarse == [[0, 0], [0, 0]]


def test_a_place_in_two_boxes_is_for_the_smaller():
    fine, _ = assigned([[0.0, 0.0, 32.0, 32.0], [0.0, 0.0, 16.0, 32.0]], limits=[100])
    assert fine == [[1, 1, 0, 0]] * 4


def test_a_place_in_two_boxes_of_nearly_one_area_is_for_the_smaller():
    boxes = [[0.0, 0.0, 31.9, 31.9], [0.0, 0.0, 31.9, 31.8]]
    assert assigned(boxes, limits=[100])[0] == [[1] * 4] * 4


def test_a_place_on_a_side_is_outside():
    fine, _ = assigned([[4.0, 0.0, 32.0, 8.0]], limits=[100])
    assert fine[0] == [-1, 0, 0, 0]


def test_a_box_that_covers_everything_is_for_the_last_level():
    _, coarse = assigned([[-1e5, -1e5, 1e5, 1e5]], limits=[64], radius=1e6)
    assert coarse == [[0, 0], [0, 0]]


def test_without_boxes_all_is_background():
    objects = assign_fcos(POINTS, STRIDES, torch.zeros(0, 4), limits=[16])
    assert objects.tolist() == [-1] * 20


def test_there_is_one_limit_less_than_levels():
    with pytest.raises(ValueError, match=r"2 levels need 1 limits between them, got \[\]"):
        assign_fcos(POINTS, STRIDES, torch.zeros(0, 4), limits=[])


def test_centerness_worked_by_hand():
    # sqrt(2/8 * 1/4), and the centre
    distances = torch.tensor([[2.0, 4.0, 8.0, 1.0], [3.0, 7.0, 3.0, 7.0]])
    assert centerness(distances).tolist() == [0.25, 1.0]


def test_points_are_in_any_of_the_boxes():
    points = torch.tensor([[1.0, 1.0], [5.0, 5.0], [9.0, 9.0], [2.0, 1.0]])
    boxes = torch.tensor([[0.0, 0.0, 2.0, 2.0], [8.0, 8.0, 10.0, 10.0]])
    assert points_in_boxes(points, boxes).tolist() == [True, False, True, False]
    assert points_in_boxes(points, boxes[:0]).tolist() == [False] * 4


def test_boxes_are_in_others_by_more_than_their_share():
    inner = torch.tensor([[0.0, 0.0, 4.0, 4.0], [0.0, 0.0, 4.0, 8.0], [2.0, 0.0, 8.0, 4.0]])
    outer = torch.tensor([[0.0, 0.0, 4.0, 4.0], [20.0, 20.0, 30.0, 30.0]])
    # All, half and a third of them.
    assert boxes_in_boxes(inner, outer).tolist() == [True, False, False]
    assert boxes_in_boxes(inner, outer, share=0.4).tolist() == [True, True, False]
    assert boxes_in_boxes(inner, outer[:0]).tolist() == [False] * 3


def test_boxes_that_touch_corners_share_nothing():
    inner = torch.tensor([[0.0, 0.0, 4.0, 4.0]])
    outer = torch.tensor([[-9.0, -9.0, -1.0, -1.0]])  # both extents are negative
    assert boxes_in_boxes(inner, outer, share=0.0).tolist() == [False]
