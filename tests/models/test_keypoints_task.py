"""Keypoints become heatmaps, and heatmaps keypoints."""

import math

import pytest
import torch
from torchvision.tv_tensors import KeyPoints

from hat.models import (
    ConvNet,
    DeconvDecoder,
    EncoderDecoder,
    KeypointHead,
    KeypointTask,
)
from hat.models.task_modules.keypoint_task import gaussian_heatmaps, highest_places

SIZE = (32, 48)
STRIDE = 4


def batch_of(points, visibility=None):
    """One picture for each list of objects; an object is a list of points."""
    batch = {
        "img": torch.zeros(len(points), 3, *SIZE),
        "gt_keypoints": [torch.tensor(each).reshape(-1, 2, 2) for each in points],
    }
    if visibility is not None:
        batch["gt_visibility"] = [torch.tensor(each).reshape(-1, 2) for each in visibility]
    return batch


def heatmaps_of(*points):
    """What is to be learnt for one picture with these points."""
    places = torch.tensor([points]) / STRIDE
    return gaussian_heatmaps(places, (SIZE[0] // STRIDE, SIZE[1] // STRIDE), sigma=2.0)


def loss_of(heatmaps, batch):
    return KeypointTask(2, STRIDE).losses(heatmaps, batch)["heatmap"]


FIRST, SECOND = [10.0, 14.0], [30.0, 6.0]


def test_a_gaussian_has_its_height_at_its_point():
    maps = gaussian_heatmaps(torch.tensor([[[2.5, 1.5]]]), (4, 5), sigma=2.0)
    assert maps[0, 0, 1, 2] == 1
    assert maps.argmax() == 1 * 5 + 2


def test_a_gaussian_falls_as_its_formula_says():
    maps = gaussian_heatmaps(torch.tensor([[[2.0, 1.0]]]), (4, 5), sigma=2.0)
    # The centre of place (x, y) = (4, 3) is at (4.5, 3.5): 2.5 and 2.5 away.
    assert maps[0, 0, 3, 4].item() == pytest.approx(math.exp(-(2.5**2 + 2.5**2) / 8))


def test_the_highest_place_moves_a_quarter_towards_the_higher_neighbour():
    maps = torch.zeros(1, 1, 5, 6)
    maps[0, 0, 2, 3] = 1.0
    maps[0, 0, 2, 2] = 0.5  # left
    maps[0, 0, 3, 3] = 0.1  # below
    points, heights = highest_places(maps)
    assert points.tolist() == [[[3.25, 2.75]]]
    assert heights.tolist() == [[1.0]]


@pytest.mark.parametrize(
    ("place", "point"), [((0, 0), (0.5, 0.5)), ((4, 5), (5.5, 4.5))], ids=["first", "last"]
)
def test_a_highest_place_in_a_corner_stays_there(place, point):
    maps = torch.rand(1, 1, 5, 6, generator=torch.Generator().manual_seed(0))
    maps[0, 0, *place] = 2.0
    points, _ = highest_places(maps)
    assert points.tolist() == [[list(point)]]


def test_one_place_may_be_the_whole_map():
    points, heights = highest_places(torch.full((1, 1, 1, 1), 0.3))
    assert points.tolist() == [[[0.5, 0.5]]]
    torch.testing.assert_close(heights, torch.tensor([[0.3]]))


def test_points_off_the_border_come_back_within_a_quarter_of_a_place():
    draw = torch.Generator().manual_seed(0)
    points = torch.rand(50, 2, 2, generator=draw) * torch.tensor([40.0, 24.0]) + 4
    maps = gaussian_heatmaps(points / STRIDE, (8, 12), sigma=2.0)
    preds = KeypointTask(2, STRIDE).predictions(maps, {"img": torch.zeros(50, 3, *SIZE)})
    found = torch.cat(preds["keypoints"])
    assert (found - points).abs().max() <= STRIDE / 4 + 1e-4


def test_predictions_have_one_object_in_each_picture():
    preds = KeypointTask(2, STRIDE).predictions(
        torch.rand(3, 2, 8, 12), {"img": torch.zeros(3, 3, *SIZE)}
    )
    assert [tuple(each.shape) for each in preds["keypoints"]] == [(1, 2, 2)] * 3
    assert [tuple(each.shape) for each in preds["keypoint_scores"]] == [(1, 2)] * 3
    assert [tuple(each.shape) for each in preds["scores"]] == [(1,)] * 3


def test_the_score_of_an_object_is_the_mean_of_its_heights():
    maps = torch.zeros(1, 2, 8, 12)
    maps[0, :, 3, 3] = torch.tensor([0.2, 0.6])
    preds = KeypointTask(2, STRIDE).predictions(maps, {"img": torch.zeros(1, 3, *SIZE)})
    torch.testing.assert_close(preds["scores"][0], torch.tensor([0.4]))


def test_the_right_heatmaps_have_no_loss():
    assert loss_of(heatmaps_of(FIRST, SECOND), batch_of([[FIRST, SECOND]])) == 0


def test_the_loss_is_the_mean_square_over_keypoints():
    wrong = heatmaps_of(FIRST, SECOND)
    wrong[:, 0] += 0.1  # squared 0.01 on one map of two
    assert loss_of(wrong, batch_of([[FIRST, SECOND]])).item() == pytest.approx(0.005)


def test_keypoints_that_are_not_labelled_are_not_learnt():
    wrong = heatmaps_of(FIRST, SECOND)
    wrong[:, 0] += 0.1
    wrong[:, 1] += 1.0
    loss = loss_of(wrong, batch_of([[FIRST, [0.0, 0.0]]], [[1, 0]]))
    assert loss.item() == pytest.approx(0.01)


def test_keypoints_outside_the_picture_are_not_learnt():
    wrong = heatmaps_of(FIRST, SECOND)
    wrong[:, 0] += 0.1
    loss = loss_of(wrong, batch_of([[FIRST, [48.0, 6.0]]]))
    assert loss.item() == pytest.approx(0.01)


def test_a_picture_without_an_object_is_not_learnt():
    wrong = torch.cat([heatmaps_of(FIRST, SECOND) + 0.1, torch.ones(1, 2, 8, 12)])
    loss = loss_of(wrong, batch_of([[FIRST, SECOND], []], [[2, 2], []]))
    assert loss.item() == pytest.approx(0.01)


def test_nothing_to_learn_is_a_loss_of_zero_with_a_gradient():
    heatmaps = torch.ones(1, 2, 8, 12, requires_grad=True)
    loss = loss_of(heatmaps, batch_of([[]]))
    loss.backward()
    assert loss == 0
    assert (heatmaps.grad == 0).all()


def test_keypoints_may_be_those_of_torchvision():
    batch = batch_of([[FIRST, SECOND]])
    batch["gt_keypoints"] = [KeyPoints(each, canvas_size=SIZE) for each in batch["gt_keypoints"]]
    assert type(loss_of(torch.zeros(1, 2, 8, 12), batch)) is torch.Tensor


def test_there_are_no_losses_without_truth():
    assert KeypointTask(2).losses(torch.zeros(1, 2, 8, 8), {"img": torch.zeros(1, 3, 32, 32)}) == {}


def test_several_objects_in_a_picture_are_refused():
    batch = batch_of([[], [[FIRST, SECOND], [SECOND, FIRST]]])
    with pytest.raises(ValueError, match=r"picture 1 .*2 objects.*a picture of its own"):
        loss_of(torch.zeros(2, 2, 8, 12), batch)


def test_another_number_of_keypoints_is_refused():
    with pytest.raises(ValueError, match=r"gt_keypoints must be \(M, 3, 2\), got \(1, 2, 2\)"):
        KeypointTask(3).losses(torch.zeros(1, 3, 8, 12), batch_of([[FIRST, SECOND]]))


def test_another_number_of_heatmaps_is_refused():
    with pytest.raises(ValueError, match=r"\(N, num_keypoints=2, h, w\), got \(1, 3, 8, 12\)"):
        loss_of(torch.zeros(1, 3, 8, 12), batch_of([[FIRST, SECOND]]))


def test_heatmaps_of_another_stride_are_refused():
    with pytest.raises(ValueError, match="its stride is about 2"):
        loss_of(torch.zeros(1, 2, 16, 24), batch_of([[FIRST, SECOND]]))


@pytest.mark.parametrize("arguments", [(0,), (2, 0), (2, 4, 0.0)], ids=str)
def test_a_task_that_cannot_work_is_refused(arguments):
    with pytest.raises(ValueError, match="KeypointTask needs num_keypoints and stride"):
        KeypointTask(*arguments)


def test_a_head_without_keypoints_is_refused():
    with pytest.raises(ValueError, match="1 keypoint or more, got 0"):
        KeypointHead(8, 0)


def test_a_decoder_without_convolutions_is_refused():
    with pytest.raises(ValueError, match="DeconvDecoder needs in_channels and channels"):
        DeconvDecoder([8], [])


@pytest.mark.slow
def test_keypoints_are_learnt_by_heart():
    draw = torch.Generator().manual_seed(0)
    points = torch.rand(4, 1, 2, 2, generator=draw) * torch.tensor([40.0, 24.0]) + 4
    batch = {"img": torch.randn(4, 3, *SIZE, generator=draw), "gt_keypoints": list(points)}
    torch.manual_seed(0)
    model = EncoderDecoder(
        ConvNet([8, 16, 32]),
        DeconvDecoder([32], [16]),
        KeypointHead(16, 2),
        KeypointTask(2, STRIDE, sigma=1.0),
    )
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    history = []
    for _ in range(150):
        loss = sum(model(batch).losses.values())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        history.append(loss.item())
    found = model.task.predictions(model.network(batch["img"]), batch)["keypoints"]
    assert history[-1] < history[0] / 10
    assert (torch.stack(found) - points).norm(dim=-1).max() < STRIDE
