"""Places of feature maps in the picture."""

import pytest
import torch

from hat.models import check_levels, flatten_maps, grid_points


def test_points_are_the_centres_of_cells_row_after_row():
    (points,) = grid_points([(2, 3)], [4])
    assert points.tolist() == [[2, 2], [6, 2], [10, 2], [2, 6], [6, 6], [10, 6]]


def test_points_may_be_the_corners_of_cells():
    assert grid_points([(1, 2)], [4], offset=0)[0].tolist() == [[0, 0], [4, 0]]


def test_every_level_has_its_points():
    points = grid_points([(4, 6), (2, 3), (0, 1)], [8, 16, 32])
    assert [len(level) for level in points] == [24, 6, 0]
    assert points[1][-1].tolist() == [40, 24]


def test_levels_without_a_stride_are_refused():
    with pytest.raises(ValueError, match=r"2 sizes need as many strides, got \[8\]"):
        grid_points([(1, 1), (1, 1)], [8])


def test_points_stand_where_a_flattened_map_has_them():
    (points,) = grid_points([(3, 5)], [8])
    xs = torch.arange(5.0).expand(3, 5)
    ys = torch.arange(3.0)[:, None].expand(3, 5)
    flat = torch.stack([xs, ys])[None].flatten(2)[0].T  # as (N, C, h, w) goes
    assert torch.equal(points, (flat + 0.5) * 8)


@pytest.mark.parametrize("size", [(64, 96), (65, 97), (71, 103)])
@pytest.mark.parametrize("rounded", [lambda n: n // 8, lambda n: -(-n // 8)], ids=["down", "up"])
def test_maps_of_rounded_sizes_pass(size, rounded):
    check_levels([torch.zeros(1, 2, *map(rounded, size))], [8], size)


@pytest.mark.parametrize("size", [(8, 12), (4, 12), (8, 6), (2, 3)])
def test_a_map_of_another_stride_is_refused_with_its_level(size):
    maps = [torch.zeros(1, 2, 8, 12), torch.zeros(1, 2, *size)]
    with pytest.raises(ValueError, match=r"level 1: a picture of 64x96 at stride 16 has about 4x6"):
        check_levels(maps, [8, 16], (64, 96))


def test_more_maps_than_strides_are_refused():
    with pytest.raises(ValueError, match=r"2 feature maps need as many strides.*\[8\]"):
        check_levels([torch.zeros(1, 1, 8, 8)] * 2, [8], (64, 64))


def test_maps_become_rows_by_place_and_then_anchor():
    # Channel 2 * a + c of anchor a; place number in the tens.
    values = torch.tensor([0.0, 1, 2, 3])[:, None] + 10 * torch.arange(6)
    rows = flatten_maps([values.reshape(1, 4, 2, 3)], 2)
    assert rows[0, :4].tolist() == [[0, 1], [2, 3], [10, 11], [12, 13]]
    assert rows.shape == (1, 12, 2)


def test_maps_follow_each_other_level_by_level():
    rows = flatten_maps([torch.zeros(2, 3, 2, 2), torch.ones(2, 3, 1, 1)], 3)
    assert rows[:, :, 0].tolist() == [[0, 0, 0, 0, 1]] * 2


def test_rows_of_low_precision_maps_are_float32():
    assert flatten_maps([torch.zeros(1, 4, 1, 1, dtype=torch.bfloat16)], 4).dtype == torch.float32


def test_channels_last_maps_give_the_same_rows():
    maps = torch.randn(2, 6, 4, 5)
    last = maps.contiguous(memory_format=torch.channels_last)
    assert torch.equal(flatten_maps([last], 3), flatten_maps([maps], 3))
