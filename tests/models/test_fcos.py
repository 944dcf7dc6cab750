"""FCOS: the same numbers as torchvision's, and what torchvision's cannot do."""

import pytest
import torch
from detector_pairs import (
    CHANNELS,
    NUM_CLASSES,
    batch_of,
    fcos_pair,
    gradients,
    our_name,
    require_close,
    their_targets,
)
from torch import nn
from torchvision.models.detection import fcos_resnet50_fpn

from hat.models import (
    FPN,
    ConvNet,
    FcosHead,
    FcosTask,
    OneStageDetector,
    ResNet50,
)

NAMES = {"classification": "cls", "bbox_regression": "bbox", "bbox_ctrness": "centerness"}
COUNTS = [(0, 3), (0, 0), (1,), (50, 20)]


@pytest.fixture(scope="module")
def pair():
    return fcos_pair()


def tiny(**options):
    task = FcosTask(2, strides=[8], **options)
    return OneStageDetector(ConvNet([8, 8, 8], depth=1), FcosHead(8, 2, 1), task, FPN([8], 8))


def maps(task_classes=2, size=(4, 4), bbox=1.0):
    """Outputs of a head that is sure of nothing, one level."""
    return {
        "cls": (torch.zeros(1, task_classes, *size, requires_grad=True),),
        "bbox": (torch.full((1, 4, *size), bbox, requires_grad=True),),
        "centerness": (torch.zeros(1, 1, *size, requires_grad=True),),
    }


def one_object(box, **keys):
    return {
        "img": torch.zeros(1, 3, 32, 32),
        "gt_bboxes": [torch.tensor([box])],
        "gt_classes": [torch.tensor([1])],
        **keys,
    }


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
        flat = torch.cat([each.flatten(2) for each in outputs[name]], dim=2).transpose(1, 2)
        torch.testing.assert_close(flat, expected[theirs_name], rtol=0, atol=1e-5)


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
def test_a_file_of_torchvisions_resnet50_detector_loads_and_gives_its_losses(tmp_path):
    theirs = fcos_resnet50_fpn(weights=None, weights_backbone=None, num_classes=NUM_CLASSES)
    theirs.transform = fcos_pair()[0].transform
    # Published files are of frozen norms, which count no batches.
    weights = {n: w for n, w in theirs.state_dict().items() if "num_batches" not in n}
    torch.save(weights, tmp_path / "fcos_resnet50_fpn_coco.pth")
    ours = OneStageDetector(
        ResNet50(),
        FcosHead(256, NUM_CLASSES),
        FcosTask(NUM_CLASSES, offset=0),
        FPN([512, 1024, 2048], extra="p6p7"),
        weights=str(tmp_path / "fcos_resnet50_fpn_coco.pth"),
    )
    batch = batch_of([4])
    expected, losses = their_losses(theirs, batch), ours.train()(batch).losses
    require_close(losses, expected)
    require_close(gradients(ours, losses), gradients(theirs, expected))


def test_the_names_of_weights_are_torchvisions(pair):
    theirs, ours = pair
    assert list(ours.state_dict()) == [our_name(name) for name in theirs.state_dict()]


def test_losses_worked_by_hand():
    # Points at 4, 12, 20, 28; the box has its centre at (16, 16), is 24 wide and high. Within
    # 1.5 strides, 12 pixels, of the centre and inside are the four points at 12 and 20.
    losses = FcosTask(2, strides=[8]).losses(maps(bbox=1.5), one_object([4.0, 4.0, 28.0, 28.0]))
    # 28 negatives and 4 positives of p = 1/2: (28 * 0.75 + 4 * 0.25) * 0.25 * ln 2 / 4.
    assert losses["cls"].item() == pytest.approx(22 * 0.25 * 0.693147 / 4, rel=1e-5)
    # Predicted are boxes of 24x24 around the points, each 4 off in x and y. They share
    # 20 * 20 of 752; around both are 28 * 28: GIoU = 400 / 752 - (784 - 752) / 784.
    assert losses["bbox"].item() == pytest.approx(1 - 400 / 752 + 32 / 784, rel=1e-5)
    # Centerness is sqrt(8/16 * 8/16) = 1/2 in all four: the entropy of 1/2 with it is ln 2.
    assert losses["centerness"].item() == pytest.approx(0.693147, rel=1e-5)


def test_a_picture_without_objects_has_gradients_everywhere():
    model = tiny()
    batch = {
        "img": torch.randn(1, 3, 33, 49),
        "gt_bboxes": [torch.zeros(0, 4)],
        "gt_classes": [torch.zeros(0, dtype=torch.int64)],
    }
    torch.stack(list(model(batch).losses.values())).sum().backward()
    assert all(p.grad.isfinite().all() for p in model.parameters())


def test_a_batch_without_truth_has_no_losses():
    assert tiny()({"img": torch.randn(1, 3, 32, 32)}).losses == {}


def test_places_in_ignored_regions_have_no_loss_of_class():
    outputs = maps()
    region = {"gt_ignore_bboxes": [torch.tensor([[0.0, 0.0, 32.0, 8.0]])]}
    batch = one_object([4.0, 12.0, 20.0, 28.0], **region)
    FcosTask(2, strides=[8]).losses(outputs, batch)["cls"].backward()
    has_loss = outputs["cls"][0].grad[0].abs().sum(0) > 0
    assert has_loss.tolist() == [[False] * 4, [True] * 4, [True] * 4, [True] * 4]


def test_an_object_in_an_ignored_region_is_still_learned():
    outputs = maps()
    region = {"gt_ignore_bboxes": [torch.tensor([[0.0, 0.0, 32.0, 32.0]])]}
    batch = one_object([8.0, 8.0, 16.0, 16.0], **region)
    FcosTask(2, strides=[8]).losses(outputs, batch)["cls"].backward()
    assert (outputs["cls"][0].grad[0].abs().sum(0) > 0).nonzero().tolist() == [[1, 1]]


def test_crowds_are_no_objects():
    crowd = {"gt_crowd": [torch.tensor([True])]}
    outputs = maps()
    losses = FcosTask(2, strides=[8]).losses(outputs, one_object([4.0, 4.0, 28.0, 28.0], **crowd))
    assert losses["bbox"].item() == 0


def test_detections_end_at_the_picture_without_padding():
    batch = {"img": torch.zeros(1, 3, 32, 32), "img_shape": [(20, 24)]}
    found = FcosTask(2, strides=[8], score_threshold=0.1).predictions(maps(bbox=9.0), batch)
    assert found["bboxes"][0].amax(0).tolist() == [0, 0, 24, 20]


def test_a_place_is_found_where_it_says():
    outputs = maps()
    with torch.no_grad():
        outputs["cls"][0][0, 1, 2, 1] = 9.0
        outputs["centerness"][0][0, 0, 2, 1] = 9.0
    batch = {"img": torch.zeros(1, 3, 32, 32)}
    found = FcosTask(2, strides=[8], score_threshold=0.9).predictions(outputs, batch)
    assert found["bboxes"][0].tolist() == [[4, 12, 20, 28]]
    assert found["classes"][0].tolist() == [1]
    assert found["scores"][0].item() == pytest.approx(0.99988, abs=1e-5)


@pytest.mark.slow
def test_it_learns_where_objects_are():
    model = tiny(score_threshold=0.5)
    draw = torch.Generator().manual_seed(0)
    img = 0.1 * torch.randn(2, 3, 32, 32, generator=draw)
    img[0, 0, 8:24, 8:24] += 2
    img[1, 1, 2:14, 16:30] += 2
    batch = {
        "img": img,
        "gt_bboxes": [
            torch.tensor([[8.0, 8.0, 24.0, 24.0]]),
            torch.tensor([[16.0, 2.0, 30.0, 14.0]]),
        ],
        "gt_classes": [torch.tensor([0]), torch.tensor([1])],
    }
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    for _ in range(150):
        optimizer.zero_grad()
        torch.stack(list(model(batch).losses.values())).sum().backward()
        optimizer.step()
    found = model.eval()(batch).preds
    assert [classes.tolist()[:1] for classes in found["classes"]] == [[0], [1]]
    torch.testing.assert_close(found["bboxes"][0][0], batch["gt_bboxes"][0][0], rtol=0, atol=2.0)


def test_strides_that_the_features_do_not_have_are_refused():
    task = FcosTask(2, strides=[8])
    with pytest.raises(ValueError, match="level 0: a picture of 32x32 at stride 8 has about 4x4"):
        task.predictions(maps(size=(16, 16)), {"img": torch.zeros(1, 3, 32, 32)})


def test_limits_must_lie_between_levels():
    with pytest.raises(ValueError, match="need 1, got \\[64, 128\\]"):
        FcosTask(2, strides=[8, 16], limits=[64, 128])


def test_a_loss_that_gives_a_mean_is_refused():
    task = FcosTask(2, strides=[8], cls_loss=nn.BCEWithLogitsLoss())
    with pytest.raises(ValueError, match=r"cls_loss=BCEWithLogitsLoss gives .* reduction='none'"):
        task.losses(maps(), one_object([4.0, 4.0, 28.0, 28.0]))


def test_a_class_beyond_the_last_is_refused():
    with pytest.raises(ValueError, match="gt_classes go from 1 to 1, but num_classes=1"):
        FcosTask(1, strides=[8]).losses(maps(1), one_object([4.0, 4.0, 28.0, 28.0]))


def test_low_precision_outputs_give_float32_losses():
    outputs = {name: tuple(m.bfloat16() for m in each) for name, each in maps().items()}
    losses = FcosTask(2, strides=[8]).losses(outputs, one_object([4.0, 4.0, 28.0, 28.0]))
    assert {loss.dtype for loss in losses.values()} == {torch.float32}


@pytest.mark.parametrize("channels", [3, 8, 24, 48, CHANNELS, 256])
def test_a_head_of_any_width_works_on_a_map_of_one_place(channels):
    outputs = FcosHead(channels, 2, 1).train()((torch.randn(1, channels, 1, 1),))
    assert outputs["cls"][0].shape == (1, 2, 1, 1)


def test_a_head_starts_with_a_probability_of_one_in_a_hundred():
    outputs = FcosHead(64, 3)((torch.randn(1, 64, 8, 8),))
    assert outputs["cls"][0].sigmoid().mean().item() == pytest.approx(0.01, rel=0.2)
