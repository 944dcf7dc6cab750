"""The YOLOX-style head and task, by hand."""

import math

import pytest
import torch
from torch import nn

from hat.models import FPN, ConvNet, OneStageDetector, YoloxHead, YoloxTask


def flat_maps(num_classes=2, size=(1, 4), level=0.0):
    """Maps of one level whose every logit and every box value is `level`."""
    channels = {"cls": num_classes, "bbox": 4, "obj": 1}
    return {name: (torch.full((1, n, *size), level),) for name, n in channels.items()}


def batch_of(boxes, classes, size=(8, 32), **keys):
    return {
        "img": torch.zeros(1, 3, *size),
        "gt_bboxes": [torch.tensor(boxes).reshape(-1, 4)],
        "gt_classes": [torch.tensor(classes, dtype=torch.int64)],
        **keys,
    }


def detector(num_classes=3):
    torch.manual_seed(0)
    return OneStageDetector(
        ConvNet([8, 8, 8], depth=1),
        YoloxHead([8, 8], num_classes, channels=8, num_convs=1),
        YoloxTask(num_classes, strides=[4, 8]),
        FPN([8, 8], 8),
    )


def test_a_box_of_zeros_is_one_stride_around_the_corner_of_its_cell():
    maps = flat_maps(num_classes=1, size=(2, 2), level=0.0)
    maps["obj"][0][0, 0] = torch.tensor([[-9.0, -9.0], [-9.0, 9.0]])
    maps["bbox"][0][0, 3] = math.log(0.5)
    task = YoloxTask(1, strides=[8], score_threshold=0.1)
    preds = task.predictions(maps, {"img": torch.zeros(1, 3, 16, 16)})
    torch.testing.assert_close(preds["bboxes"][0], torch.tensor([[4.0, 6.0, 12.0, 10.0]]))


def test_scores_are_objectness_times_class():
    maps = flat_maps(size=(1, 1), level=0.0)
    maps["cls"][0][0, :, 0, 0] = torch.tensor([math.log(3), -9.0])  # 3 / 4
    preds = YoloxTask(2, strides=[8], score_threshold=0.1).predictions(
        maps, {"img": torch.zeros(1, 3, 8, 8)}
    )
    torch.testing.assert_close(preds["scores"][0], torch.tensor([0.375]))
    assert preds["classes"][0].tolist() == [0]


def test_losses_are_those_worked_by_hand():
    # One cell of 8 x 8 pixels; its box, (-4, -4, 4, 4), and the object, (0, 0, 4, 4), have
    # IoU 16 / 64 and that hull: GIoU is 1/4. All logits are 0, each cross entropy is log 2.
    losses = YoloxTask(2, strides=[8]).losses(
        flat_maps(size=(1, 1)), batch_of([0.0, 0.0, 4.0, 4.0], [1], size=(8, 8))
    )
    assert losses["bbox"].item() == pytest.approx(5 * 0.75)
    assert losses["obj"].item() == pytest.approx(math.log(2))
    assert losses["cls"].item() == pytest.approx(2 * math.log(2))


def test_objectness_of_empty_pictures_is_the_sum_over_cells():
    losses = YoloxTask(2, strides=[8]).losses(flat_maps(), batch_of([], []))
    assert losses["obj"].item() == pytest.approx(4 * math.log(2))
    assert losses["bbox"].item() == losses["cls"].item() == 0


def test_cells_in_ignored_regions_do_not_count():
    region = [torch.tensor([[16.0, 0.0, 32.0, 8.0]])]  # the last two of four cells
    losses = YoloxTask(2, strides=[8]).losses(
        flat_maps(), batch_of([], [], gt_ignore_bboxes=region)
    )
    assert losses["obj"].item() == pytest.approx(2 * math.log(2))


def test_crowds_are_ignored_too():
    crowd = [torch.tensor([True])]
    batch = batch_of([0.0, 0.0, 8.0, 8.0], [0], gt_crowd=crowd)
    losses = YoloxTask(2, strides=[8]).losses(flat_maps(), batch)
    assert losses["obj"].item() == pytest.approx(3 * math.log(2))


def test_without_truth_there_are_no_losses():
    task = YoloxTask(2, strides=[8])
    assert task.losses(flat_maps(), {"img": torch.zeros(1, 3, 8, 32)}) == {}


def test_other_strides_are_refused():
    with pytest.raises(ValueError, match="stride"):
        YoloxTask(2, strides=[16]).losses(flat_maps(), batch_of([], []))


def test_a_box_loss_that_takes_the_mean_is_refused():
    task = YoloxTask(2, strides=[8], bbox_loss=nn.L1Loss())
    with pytest.raises(ValueError, match="without a mean"):
        task.losses(flat_maps(), batch_of([0.0, 0.0, 8.0, 8.0], [0]))


def test_a_head_without_levels_is_refused():
    with pytest.raises(ValueError, match="level"):
        YoloxHead([], 3)


def test_the_first_probabilities_are_the_prior():
    maps = YoloxHead([8], 3, channels=8, prior=0.01)((torch.zeros(1, 8, 2, 2),))
    torch.testing.assert_close(maps["obj"][0].sigmoid(), torch.full((1, 1, 2, 2), 0.01))


@pytest.mark.parametrize("num_boxes", [0, 1, 60])
def test_every_parameter_gets_a_finite_gradient(num_boxes):
    model = detector()
    low = torch.rand(num_boxes, 2) * 40
    batch = {
        "img": torch.randn(2, 3, 65, 97),
        "gt_bboxes": [torch.cat([low, low + 20], dim=1), torch.zeros(0, 4)],
        "gt_classes": [torch.randint(3, (num_boxes,)), torch.zeros(0, dtype=torch.int64)],
    }
    sum(model(batch).losses.values()).backward()
    assert all(parameter.grad.isfinite().all() for parameter in model.parameters())


def test_detections_lie_in_the_picture_without_its_margins():
    batch = {"img": torch.randn(1, 3, 65, 97), "img_shape": [(40, 50)]}
    model = detector().eval()
    model.task.score_threshold = 0.0
    boxes = model(batch).preds["bboxes"][0]
    assert len(boxes) == 100
    assert boxes.min() >= 0
    assert (boxes.amax(dim=0) <= torch.tensor([50, 40, 50, 40])).all()
