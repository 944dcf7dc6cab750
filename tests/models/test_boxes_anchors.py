"""Anchors and the objects they are for."""

import pytest
import torch
from torchvision.models.detection._utils import Matcher
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.image_list import ImageList
from torchvision.ops import box_iou

from hat.models import cell_anchors, grid_anchors, match_by_iou

RATIOS = [0.5, 1.0, 2.0]
SIZES = [[32, 40, 50], [64, 80, 101]]


def theirs(size, maps):
    generator = AnchorGenerator(SIZES, [RATIOS] * len(SIZES))
    pictures = ImageList(torch.zeros(1, 3, *size), [size])
    return generator(pictures, [torch.zeros(1, 1, *each) for each in maps])[0]


def test_cell_anchors_worked_by_hand():
    # Area 32**2 at height / width 4: 16 wide, 64 high.
    assert cell_anchors([32], [4.0]).tolist() == [[-8, -32, 8, 32]]


def test_all_sizes_of_a_ratio_stand_together():
    widths = (cell_anchors([8, 16], [1.0, 4.0])[:, 2] * 2).tolist()
    assert widths == [8, 16, 4, 8]


@pytest.mark.parametrize("sizes", [[32, 40, 50], [15, 31], [512.0]])
def test_cell_anchors_are_torchvisions(sizes):
    ratios = [0.37, 0.5, 1.0, 2.0, 3.1]
    expected = AnchorGenerator().generate_anchors(sizes, ratios)
    assert torch.equal(cell_anchors(sizes, ratios), expected)


def test_grid_anchors_are_torchvisions():
    cells = [cell_anchors(sizes, RATIOS) for sizes in SIZES]
    maps = [(8, 12), (4, 6)]
    ours = torch.cat(grid_anchors(maps, [8, 16], cells))
    assert torch.equal(ours, theirs((64, 96), maps))


def test_anchors_may_lie_in_the_middle_of_cells():
    (anchors,) = grid_anchors([(1, 2)], [8], [cell_anchors([8], [1.0])], offset=0.5)
    assert anchors.tolist() == [[0, 0, 8, 8], [8, 0, 16, 8]]


def test_levels_without_anchors_are_refused():
    with pytest.raises(ValueError, match="2 sizes need as many cells, got 1"):
        grid_anchors([(1, 1), (1, 1)], [8, 16], [cell_anchors([8], [1.0])])


def test_matches_worked_by_hand():
    ious = torch.tensor(
        [
            [0.0, 0.39, 0.4, 0.49, 0.5, 0.7],
            [0.1, 0.10, 0.3, 0.10, 0.6, 0.2],
        ]
    )
    assert match_by_iou(ious, low=0.4, high=0.5).tolist() == [-1, -1, -2, -2, 1, 0]


def test_an_object_keeps_its_best_anchors_ties_included():
    ious = torch.tensor([[0.2, 0.2, 0.1, 0.0], [0.0, 0.0, 0.9, 0.0]])
    assert match_by_iou(ious, low=0.4, high=0.5, keep_best=True).tolist() == [0, 0, 1, -1]


def test_a_best_anchor_may_be_for_another_object():
    # Its best anchor overlaps more with object 1.
    ious = torch.tensor([[0.3, 0.0], [0.45, 0.8]])
    assert match_by_iou(ious, low=0.4, high=0.5, keep_best=True).tolist() == [1, 1]


def test_an_object_without_overlap_keeps_nothing():
    ious = torch.tensor([[0.0, 0.0], [0.0, 0.8]])
    assert match_by_iou(ious, low=0.4, high=0.5, keep_best=True).tolist() == [-1, 1]


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("keep_best", [False, True])
def test_matches_are_torchvisions(seed, keep_best):
    draw = torch.Generator().manual_seed(seed)
    start = torch.rand(12, 2, generator=draw) * 80
    boxes = torch.cat([start, start + 10 + 60 * torch.rand(12, 2, generator=draw)], dim=1)
    anchors = torch.cat(grid_anchors([(12, 12)], [8], [cell_anchors([16, 40], RATIOS)]))
    ious = box_iou(boxes, anchors)
    matched = match_by_iou(ious, low=0.4, high=0.5, keep_best=keep_best)
    assert torch.equal(matched, Matcher(0.5, 0.4, allow_low_quality_matches=keep_best)(ious))
    assert len(matched.unique()) > 3


def test_without_objects_all_is_background():
    assert match_by_iou(torch.zeros(0, 3), low=0.4, high=0.5).tolist() == [-1, -1, -1]


def test_thresholds_must_be_in_order():
    with pytest.raises(ValueError, match=r"low must not be above high, got low=0\.6 and high=0\.5"):
        match_by_iou(torch.zeros(1, 1), low=0.6, high=0.5)
