"""CenterNet's heatmaps, head and task, by hand."""

import math

import pytest
import torch
from torch import nn

from hat.models import (
    CenterNetHead,
    CenterNetTask,
    ConvNet,
    OneStageDetector,
    draw_centers,
    gaussian_radii,
)


def maps_of(num_classes=1, size=(4, 4), level=0.0):
    channels = {"cls": num_classes, "size": 2, "offset": 2}
    return {name: (torch.full((1, n, *size), level),) for name, n in channels.items()}


def batch_of(boxes, classes, size=(16, 16), **keys):
    return {
        "img": torch.zeros(1, 3, *size),
        "gt_bboxes": [torch.tensor(boxes).reshape(-1, 4)],
        "gt_classes": [torch.tensor(classes, dtype=torch.int64)],
        **keys,
    }


def least_iou(width, height, radius):
    """The least IoU of a box with one whose corners moved by a radius, in the three ways."""
    area = width * height
    kept = (width - radius) * (height - radius)
    inner = (width - 2 * radius) * (height - 2 * radius)
    outer = (width + 2 * radius) * (height + 2 * radius)
    return min(kept / (2 * area - kept), inner / area, area / outer)


@pytest.mark.parametrize(("width", "height"), [(10.0, 10.0), (3.0, 40.0), (100.0, 7.0)])
@pytest.mark.parametrize("min_iou", [0.3, 0.5, 0.7, 0.9])
def test_at_the_radius_the_least_iou_is_as_asked(width, height, min_iou):
    radius = gaussian_radii(torch.tensor([[width, height]], dtype=torch.float64), min_iou=min_iou)
    assert least_iou(width, height, radius.item()) == pytest.approx(min_iou)


def test_boxes_without_area_have_a_radius_of_0():
    assert gaussian_radii(torch.tensor([[0.0, 5.0], [0.0, 0.0]])).tolist() == [0, 0]


def test_gaussians_of_a_class_meet_at_the_higher_value():
    cells = torch.tensor([[0, 0], [2, 0]])
    heatmap = draw_centers(
        cells, torch.tensor([2.0, 1.0]), torch.tensor([0, 0]), num_classes=2, size=(1, 4)
    )
    # Deviations 5/6 and 1/2; one cell from the second exp(-2), from the first exp(-0.72).
    expected = [1, math.exp(-0.72), 1, math.exp(-2)]
    torch.testing.assert_close(heatmap[0, 0], torch.tensor(expected))
    assert heatmap[1].sum() == 0


def test_losses_are_those_worked_by_hand():
    # A box of 2 x 2 cells whose centre, (1.5, 1.5), is in cell (1, 1): its radius is below 1.
    losses = CenterNetTask(1).losses(maps_of(), batch_of([2.0, 2.0, 10.0, 10.0], [0]))
    # All 16 cells: (1/2)^2 * log 2, the others of the map being 0 there.
    assert losses["cls"].item() == pytest.approx(16 * 0.25 * math.log(2))
    assert losses["size"].item() == pytest.approx(0.1 * 4)
    assert losses["offset"].item() == pytest.approx(1)


def test_empty_pictures_have_a_heatmap_loss_alone():
    losses = CenterNetTask(1).losses(maps_of(), batch_of([], []))
    assert losses["cls"].item() == pytest.approx(16 * 0.25 * math.log(2))
    assert losses["size"].item() == losses["offset"].item() == 0


def test_cells_in_ignored_regions_do_not_count():
    region = [torch.tensor([[0.0, 0.0, 16.0, 8.0]])]  # half of the picture
    losses = CenterNetTask(1).losses(maps_of(), batch_of([], [], gt_ignore_bboxes=region))
    assert losses["cls"].item() == pytest.approx(8 * 0.25 * math.log(2))


def test_a_peak_becomes_its_box():
    maps = maps_of(num_classes=2, level=-9.0)
    maps["cls"][0][0, 1, 2, 1] = math.log(3)  # 3 / 4, at column 1 and row 2
    maps["size"][0][0, :, 2, 1] = torch.tensor([2.0, 1.0])
    maps["offset"][0][0, :, 2, 1] = torch.tensor([0.5, 0.25])
    preds = CenterNetTask(2).predictions(maps, batch_of([], []))
    torch.testing.assert_close(preds["bboxes"][0], torch.tensor([[2.0, 7.0, 10.0, 11.0]]))
    assert preds["classes"][0].tolist() == [1]
    torch.testing.assert_close(preds["scores"][0], torch.tensor([0.75]))


def test_lower_neighbours_of_a_peak_are_no_detections():
    maps = maps_of(level=-9.0)
    maps["cls"][0][0, 0, 1] = torch.tensor([0.5, 1.0, 0.5, 0.75])
    preds = CenterNetTask(1).predictions(maps, batch_of([], []))
    assert len(preds["scores"][0]) == 2


def test_a_centre_on_the_last_edge_belongs_to_the_last_cell():
    losses = CenterNetTask(1).losses(maps_of(), batch_of([16.0, 16.0, 16.0, 16.0], [0]))
    assert losses["offset"].item() == pytest.approx(2)


def test_a_heatmap_loss_that_takes_the_mean_is_refused():
    task = CenterNetTask(1, cls_loss=nn.BCEWithLogitsLoss())
    with pytest.raises(ValueError, match="without a mean"):
        task.losses(maps_of(), batch_of([], []))


def test_another_stride_is_refused():
    with pytest.raises(ValueError, match="stride"):
        CenterNetTask(1, stride=8).losses(maps_of(), batch_of([], []))


@pytest.mark.parametrize("num_boxes", [0, 1, 60])
def test_every_parameter_gets_a_finite_gradient(num_boxes):
    torch.manual_seed(0)
    model = OneStageDetector(
        ConvNet([8, 8], depth=1), CenterNetHead(8, 3, in_index=1), CenterNetTask(3)
    )
    low = torch.rand(num_boxes, 2) * 40
    batch = {
        "img": torch.randn(2, 3, 65, 97),
        "gt_bboxes": [torch.cat([low, low + 20], dim=1), torch.zeros(0, 4)],
        "gt_classes": [torch.randint(3, (num_boxes,)), torch.zeros(0, dtype=torch.int64)],
    }
    sum(model(batch).losses.values()).backward()
    assert all(parameter.grad.isfinite().all() for parameter in model.parameters())
