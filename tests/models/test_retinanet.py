"""RetinaNet: the same numbers as torchvision's, and what torchvision's cannot do."""

import pytest
import torch
from detector_pairs import (
    NUM_CLASSES,
    batch_of,
    gradients,
    our_name,
    require_close,
    retinanet_pair,
    their_targets,
)
from torch import nn
from torchvision.models.detection import retinanet_resnet50_fpn_v2

from hat.models import (
    FPN,
    ConvNet,
    GIoULoss,
    OneStageDetector,
    ResNet50,
    RetinaNetHead,
    RetinaNetTask,
)

NAMES = {"classification": "cls", "bbox_regression": "bbox"}
COUNTS = [(0, 3), (0, 0), (1,), (50, 20)]


@pytest.fixture(scope="module")
def pair():
    return retinanet_pair()


def one_anchor(**options):
    """A task with one square anchor of 16 pixels every 8."""
    options = {"num_classes": 2, "anchor_sizes": [[16]], "aspect_ratios": [1.0], **options}
    return RetinaNetTask(strides=[8], **options)


def maps(channels=2, size=(4, 4)):
    return {
        "cls": (torch.zeros(1, channels, *size, requires_grad=True),),
        "bbox": (torch.zeros(1, 4, *size, requires_grad=True),),
    }


def one_object(box, **keys):
    return {
        "img": torch.zeros(1, 3, 32, 32),
        "gt_bboxes": [torch.tensor([box])],
        "gt_classes": [torch.tensor([1])],
        **keys,
    }


def learned(task, batch):
    """Where the loss of class has a gradient, (h, w)."""
    outputs = maps()
    task.losses(outputs, batch)["cls"].backward()
    return (outputs["cls"][0].grad[0].abs().sum(0) > 0).tolist()


def their_losses(theirs, batch):
    losses = theirs.train()(list(batch["img"]), their_targets(batch))
    return {NAMES[name]: value for name, value in losses.items()}


@pytest.mark.parametrize("counts", COUNTS, ids=str)
def test_losses_and_gradients_are_torchvisions(pair, counts):
    theirs, ours = pair
    batch = batch_of(counts)
    expected, losses = their_losses(theirs, batch), ours.train()(batch).losses
    require_close(losses, expected)
    require_close(gradients(ours, losses), gradients(theirs, expected))


@pytest.mark.slow
@pytest.mark.parametrize("count", range(51))
def test_losses_of_any_number_of_boxes_are_torchvisions(pair, count):
    theirs, ours = pair
    batch = batch_of([count, 50 - count], seed=count)
    with torch.no_grad():
        require_close(ours.train()(batch).losses, their_losses(theirs, batch))


def test_raw_outputs_are_torchvisions(pair):
    theirs, ours = pair[0].eval(), pair[1].eval()
    img = batch_of([0])["img"]
    with torch.no_grad():
        expected = theirs.head(list(theirs.backbone(img).values()))
        outputs = ours.network(img)
    for theirs_name, name in zip(expected, outputs, strict=True):
        flat = expected[theirs_name].flatten(1)
        per_place = [each.permute(0, 2, 3, 1).flatten(1) for each in outputs[name]]
        torch.testing.assert_close(torch.cat(per_place, dim=1), flat, rtol=1e-5, atol=1e-5)


def test_detections_are_torchvisions(pair):
    theirs, ours = pair[0].eval(), pair[1].eval()
    batch = batch_of([0, 0])
    with torch.no_grad():
        expected = theirs(list(batch["img"]))
    found = ours(batch).preds
    for index, each in enumerate(expected):
        assert len(each["labels"]) > 50
        torch.testing.assert_close(found["bboxes"][index], each["boxes"])
        torch.testing.assert_close(found["scores"][index], each["scores"])
        assert torch.equal(found["classes"][index], each["labels"])


@pytest.mark.slow
def test_a_file_of_torchvisions_second_version_loads_and_gives_its_losses(tmp_path):
    theirs = retinanet_resnet50_fpn_v2(weights=None, weights_backbone=None, num_classes=NUM_CLASSES)
    theirs.transform = retinanet_pair()[0].transform
    torch.save(theirs.state_dict(), tmp_path / "retinanet_resnet50_fpn_v2_coco.pth")
    ours = OneStageDetector(
        ResNet50(),
        RetinaNetHead(256, NUM_CLASSES, norm="group"),
        RetinaNetTask(NUM_CLASSES, bbox_loss=GIoULoss(), bbox_loss_on="boxes"),
        FPN([512, 1024, 2048], extra="p6p7_on_c5"),
        weights=str(tmp_path / "retinanet_resnet50_fpn_v2_coco.pth"),
    )
    batch = batch_of([4])
    expected, losses = their_losses(theirs, batch), ours.train()(batch).losses
    require_close(losses, expected)
    require_close(gradients(ours, losses), gradients(theirs, expected))


def test_the_names_of_weights_are_torchvisions(pair):
    theirs, ours = pair
    assert list(ours.state_dict()) == [our_name(name) for name in theirs.state_dict()]


def test_losses_worked_by_hand():
    # Anchors of 16 around 0, 8, 16, 24. The box is the one around (16, 16), moved by 4 to the
    # right: IoU with it and with the one around (24, 16) is 12 / 20 = 0.6; with those around
    # (16, 8), (24, 8), (16, 24), (24, 24) it is 12 * 8 / (512 - 96) = 0.23.
    losses = one_anchor().losses(maps(), one_object([12.0, 8.0, 28.0, 24.0]))
    # Two positives of 32 scores at p = 1/2: (30 * 0.75 + 2 * 0.25) * 0.25 * ln 2 / 2.
    assert losses["cls"].item() == pytest.approx(23 * 0.25 * 0.693147 / 2, rel=1e-5)
    # Both are 4 of 16 pixels off in x.
    assert losses["bbox"].item() == pytest.approx(0.25)


def test_losses_are_means_over_pictures():
    # The second picture has no object: 32 * 0.75 * 0.25 * ln 2.
    outputs = {name: (each[0].repeat(2, 1, 1, 1),) for name, each in maps().items()}
    batch = {
        "img": torch.zeros(2, 3, 32, 32),
        "gt_bboxes": [torch.tensor([[12.0, 8.0, 28.0, 24.0]]), torch.zeros(0, 4)],
        "gt_classes": [torch.tensor([1]), torch.zeros(0, dtype=torch.int64)],
    }
    losses = one_anchor().losses(outputs, batch)
    expected = (23 * 0.25 / 2 + 24 * 0.25) * 0.693147 / 2
    assert losses["cls"].item() == pytest.approx(expected, rel=1e-5)
    assert losses["bbox"].item() == pytest.approx(0.125)


def test_a_loss_of_boxes_compares_boxes():
    task = one_anchor(bbox_loss=GIoULoss(), bbox_loss_on="boxes")
    # IoU 12 / 20; the smallest box around both is their union.
    losses = task.losses(maps(), one_object([12.0, 8.0, 28.0, 24.0]))
    assert losses["bbox"].item() == pytest.approx(0.4)


def test_anchors_between_background_and_object_have_no_loss_of_class():
    # A box of 16 at (11, 8): IoU 13 / 19 with the anchor around (16, 16), and 11 / 21 = 0.52
    # with that around (24, 16), which `high` makes too little and `low` too much.
    found = learned(one_anchor(high=0.6), one_object([11.0, 8.0, 27.0, 24.0]))
    assert found == [[True] * 4, [True] * 4, [True, True, True, False], [True] * 4]


def test_anchors_mostly_in_ignored_regions_have_no_loss_of_class():
    # Of the anchors around y = 0, 8, 16, 24 the region covers 1/4, 3/4, 3/4, 1/4.
    region = {"gt_ignore_bboxes": [torch.tensor([[-16.0, 4.0, 48.0, 20.0]])]}
    found = learned(one_anchor(), one_object([8.0, 8.0, 24.0, 24.0], **region))
    assert found == [[True] * 4, [False] * 4, [False, False, True, False], [True] * 4]


def test_crowds_are_no_objects():
    crowd = {"gt_crowd": [torch.tensor([True])]}
    losses = one_anchor().losses(maps(), one_object([8.0, 8.0, 24.0, 24.0], **crowd))
    assert losses["bbox"].item() == 0


def test_a_picture_without_objects_has_gradients_everywhere():
    task = one_anchor()
    model = OneStageDetector(
        ConvNet([8, 8, 8], depth=1), RetinaNetHead(8, 2, 1, num_convs=1), task, FPN([8], 8)
    )
    batch = {
        "img": torch.randn(1, 3, 33, 49),
        "gt_bboxes": [torch.zeros(0, 4)],
        "gt_classes": [torch.zeros(0, dtype=torch.int64)],
    }
    torch.stack(list(model(batch).losses.values())).sum().backward()
    assert all(p.grad.isfinite().all() for p in model.parameters())


def test_a_box_without_area_is_for_no_anchor():
    losses = one_anchor().losses(maps(), one_object([8.0, 8.0, 8.0, 24.0]))
    assert losses["bbox"].item() == 0
    assert losses["cls"].item() == pytest.approx(24 * 0.25 * 0.693147, rel=1e-5)


def test_a_batch_without_truth_has_no_losses():
    assert one_anchor().losses(maps(), {"img": torch.zeros(1, 3, 32, 32)}) == {}


def test_an_anchor_is_found_where_it_says():
    outputs = maps()
    with torch.no_grad():
        outputs["cls"][0][0, 1, 2, 1] = 9.0
        outputs["bbox"][0][0, :2, 2, 1] = 0.25
    batch = {"img": torch.zeros(1, 3, 32, 32), "img_shape": [(32, 18)]}
    found = one_anchor(score_threshold=0.9).predictions(outputs, batch)
    assert found["bboxes"][0].tolist() == [[4, 12, 18, 28]]
    assert found["classes"][0].tolist() == [1]
    assert found["scores"][0].item() == pytest.approx(0.99988, abs=1e-5)


def test_default_anchors_are_those_of_the_paper():
    task = RetinaNetTask(2)
    assert task.num_anchors == 9
    areas = (task.cells[0][:, 2:] - task.cells[0][:, :2]).prod(dim=1).sqrt()
    torch.testing.assert_close(areas, torch.tensor([32.0, 40.3, 50.8] * 3), rtol=0.03, atol=0)


def test_a_head_of_other_anchors_is_refused():
    with pytest.raises(ValueError, match=r"1 anchors of 2 classes .* the head gives 6: set num_an"):
        one_anchor().predictions(maps(6), {"img": torch.zeros(1, 3, 32, 32)})


def test_levels_must_have_as_many_anchors():
    with pytest.raises(ValueError, match=r"each of 2 strides, got \[\[32\], \[64, 80\]\]"):
        RetinaNetTask(2, strides=[8, 16], anchor_sizes=[[32], [64, 80]])


def test_what_the_loss_compares_must_be_known():
    with pytest.raises(ValueError, match="must be 'deltas' or 'boxes', got 'points'"):
        RetinaNetTask(2, bbox_loss_on="points")


def test_a_loss_that_gives_a_mean_is_refused():
    with pytest.raises(ValueError, match=r"bbox_loss=L1Loss gives .* reduction='none'"):
        one_anchor(bbox_loss=nn.L1Loss()).losses(maps(), one_object([8.0, 8.0, 24.0, 24.0]))


def test_low_precision_outputs_give_float32_losses():
    outputs = {name: tuple(m.bfloat16() for m in each) for name, each in maps().items()}
    losses = one_anchor().losses(outputs, one_object([8.0, 8.0, 24.0, 24.0]))
    assert {loss.dtype for loss in losses.values()} == {torch.float32}


def test_an_unknown_norm_is_refused():
    with pytest.raises(ValueError, match="norm must be 'group', 'batch' or 'none', got 'layer'"):
        RetinaNetHead(8, 2, norm="layer")
