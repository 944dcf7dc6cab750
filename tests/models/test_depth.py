"""Depth is learnt where it is known, and predicted everywhere."""

import math

import pytest
import torch
from torch import nn

from hat.data import DataLoader, RoadScenes
from hat.data.pixels import Mask
from hat.metrics import DepthErrors
from hat.models import ConvNet, DepthHead, DepthTask, EncoderDecoder, UNetDecoder


def batch_of(depth):
    depth = torch.as_tensor(depth)
    return {"img": torch.zeros(len(depth), 3, *depth.shape[1:]), "gt_depth": depth}


class MeanDepth(nn.Module):
    def forward(self, depth, gt_depth):
        return depth.mean()


def make_model(max_depth=None):
    torch.manual_seed(0)
    return EncoderDecoder(
        ConvNet([8, 16, 32]),
        UNetDecoder([8, 16, 32], [8, 16]),
        DepthHead(8),
        DepthTask(None, max_depth),
    )


def test_an_untrained_head_starts_at_the_depth_that_is_asked_for():
    head = DepthHead(4, start_depth=20.0)
    log_depth = head((torch.zeros(1, 4, 3, 3),))
    torch.testing.assert_close(log_depth.exp(), torch.full((1, 1, 3, 3), 20.0))


def test_a_head_may_use_another_feature():
    head = DepthHead(4, in_index=1)
    assert head((torch.zeros(1, 8, 6, 6), torch.zeros(1, 4, 3, 3))).shape == (1, 1, 3, 3)


def test_a_start_that_is_no_depth_is_refused():
    with pytest.raises(ValueError, match="start_depth of DepthHead must be above 0 metres, got 0"):
        DepthHead(4, start_depth=0)


def test_the_loss_is_that_of_the_logarithms():
    # Differences of log depth are log 2 and 0: their mean square less half the squared mean is
    # log(2)^2 * (1/2 - 1/2 * 1/4). The third pixel is not known.
    loss = DepthTask().losses(torch.zeros(1, 1, 1, 3), batch_of([[[2.0, 1.0, 0.0]]]))
    assert loss["silog"].item() == pytest.approx(math.log(2) ** 2 * 3 / 8)


def test_what_is_not_known_has_no_gradient():
    log_depth = torch.zeros(1, 1, 1, 3, requires_grad=True)
    DepthTask().losses(log_depth, batch_of([[[2.0, 1.0, 0.0]]]))["silog"].backward()
    assert log_depth.grad[0, 0, 0, 2] == 0
    assert (log_depth.grad[0, 0, 0, :2] != 0).all()


def test_what_is_too_far_is_not_learnt():
    task = DepthTask(max_depth=10)
    log_depth = torch.zeros(1, 1, 1, 3)
    near = task.losses(log_depth, batch_of([[[2.0, 10.0, 0.0]]]))
    torch.testing.assert_close(task.losses(log_depth, batch_of([[[2.0, 10.0, 11.0]]])), near)


def test_nothing_known_is_a_loss_of_zero_with_a_gradient():
    log_depth = torch.zeros(1, 1, 2, 2, requires_grad=True)
    loss = DepthTask().losses(log_depth, batch_of(torch.zeros(1, 4, 4)))["silog"]
    loss.backward()
    assert loss == 0
    assert (log_depth.grad == 0).all()


def test_other_losses_are_called_with_depth_in_metres():
    task = DepthTask({"mean": MeanDepth()})
    loss = task.losses(torch.full((1, 1, 2, 2), math.log(3)), batch_of(torch.zeros(1, 4, 4)))
    assert loss["mean"].item() == pytest.approx(3)


def test_there_are_no_losses_without_truth():
    assert DepthTask().losses(torch.zeros(1, 1, 2, 2), {"img": torch.zeros(1, 3, 4, 4)}) == {}


def test_the_truth_may_be_a_mask():
    batch = batch_of([[[2.0, 1.0, 0.0]]])
    batch["gt_depth"] = Mask(batch["gt_depth"])
    loss = DepthTask().losses(torch.zeros(1, 1, 1, 3), batch)["silog"]
    assert type(loss) is torch.Tensor


def test_predictions_are_brought_to_the_size_of_the_picture():
    log_depth = torch.tensor([[[[math.log(1), math.log(16)]]]])
    depth = DepthTask().predictions(log_depth, {"img": torch.zeros(1, 3, 1, 4)})["depth"]
    # Half as wide: new pixels lie at a quarter and three quarters between two old ones.
    torch.testing.assert_close(depth, torch.tensor([[[1.0, 2.0, 8.0, 16.0]]]))


def test_predictions_end_at_the_limit():
    preds = DepthTask(max_depth=80).predictions(
        torch.full((1, 1, 2, 2), 9.0), {"img": torch.zeros(1, 3, 2, 2)}
    )
    assert preds["depth"].unique().tolist() == [80.0]


def test_predictions_are_float32_of_half_precision():
    log_depth = torch.zeros(1, 1, 2, 2, dtype=torch.bfloat16)
    preds = DepthTask().predictions(log_depth, {"img": torch.zeros(1, 3, 2, 2)})
    assert preds["depth"].dtype == torch.float32


@pytest.mark.parametrize(
    ("arguments", "message"),
    [({"losses": {}}, "at least one loss"), ({"max_depth": 0}, "max_depth of DepthTask must be")],
    ids=["no losses", "no depth"],
)
def test_a_task_that_cannot_work_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        DepthTask(**arguments)


def test_two_channels_are_refused():
    with pytest.raises(ValueError, match=r"\(N, 1, h, w\), got \(1, 2, 4, 4\)"):
        DepthTask().losses(torch.zeros(1, 2, 4, 4), batch_of(torch.zeros(1, 4, 4)))


def test_a_truth_of_other_shape_is_refused():
    with pytest.raises(ValueError, match=r"\(N, H, W\) with N = 2, got \(1, 4, 4\)"):
        DepthTask().losses(torch.zeros(2, 1, 4, 4), batch_of(torch.zeros(1, 4, 4)))


def test_odd_pictures_get_depth_of_every_pixel():
    preds = make_model().eval()({"img": torch.randn(1, 3, 33, 47)}).preds
    assert preds["depth"].shape == (1, 33, 47)


@pytest.mark.slow
def test_the_depth_of_road_scenes_is_learnt_by_heart():
    torch.manual_seed(0)
    scenes = RoadScenes(4, (32, 64), keys=["gt_depth"])
    batch = next(iter(DataLoader(scenes, batch_size=4)))
    batch["img"] = batch["img"].as_subclass(torch.Tensor).float() / 255 - 0.5
    model = make_model()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    for _ in range(200):
        loss = sum(model(batch).losses.values())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    metric = DepthErrors()
    with torch.no_grad():
        outputs = model.network(batch["img"])
    metric.update(batch, model.task.predictions(outputs, batch))
    scores = metric.compute()
    assert scores["abs_rel"] < 0.15
    assert scores["delta1"] > 0.85
