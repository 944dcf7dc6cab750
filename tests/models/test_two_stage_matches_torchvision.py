"""With torchvision's weights, TwoStageDetector computes what torchvision's detectors compute."""

import copy
import re

import pytest
import torch
from torch import nn
from torchvision.models import resnet18
from torchvision.models.detection import FasterRCNN, MaskRCNN
from torchvision.models.detection.backbone_utils import BackboneWithFPN
from torchvision.models.detection.faster_rcnn import FastRCNNPredictor
from torchvision.models.detection.image_list import ImageList
from torchvision.models.detection.mask_rcnn import MaskRCNNHeads, MaskRCNNPredictor
from torchvision.models.detection.roi_heads import paste_masks_in_image

from hat.models import (
    FPN,
    RegionProposalNetwork,
    ResNet18,
    RoIHeads,
    TwoStageDetector,
    load_weights,
)

NUM_CLASSES = 3
SIZE = (64, 128)
NUM_SAMPLES = 64
MAX_DETECTIONS = 15
IN_CHANNELS = [64, 128, 256, 512]
CHANNELS = 32
MASK_CHANNELS = 16
#: Our names of torchvision's losses.
LOSSES = {
    "loss_objectness": "rpn_cls",
    "loss_rpn_box_reg": "rpn_bbox",
    "loss_classifier": "roi_cls",
    "loss_box_reg": "roi_bbox",
    "loss_mask": "roi_mask",
}


class Untouched(nn.Module):
    """In place of torchvision's transform, which resizes, and draws to which size."""

    def forward(self, images, targets):
        return ImageList(torch.stack(images), [SIZE] * len(images)), targets

    def postprocess(self, result, image_shapes, original_image_sizes):
        for each in result:
            if not self.training and "masks" in each:
                each["masks"] = paste_masks_in_image(each["masks"], each["boxes"], SIZE)
        return result


def make_theirs(with_masks):
    torch.manual_seed(0)
    layers = {"layer1": "0", "layer2": "1", "layer3": "2", "layer4": "3"}
    backbone = BackboneWithFPN(resnet18(weights=None), layers, IN_CHANNELS, CHANNELS)
    heads = {"box_predictor": FastRCNNPredictor(1024, NUM_CLASSES + 1)}
    if with_masks:
        heads["mask_head"] = MaskRCNNHeads(CHANNELS, (MASK_CHANNELS,) * 4, 1)
        heads["mask_predictor"] = MaskRCNNPredictor(MASK_CHANNELS, MASK_CHANNELS, NUM_CLASSES + 1)
    kind = MaskRCNN if with_masks else FasterRCNN
    model = kind(
        backbone,
        **heads,
        box_batch_size_per_image=NUM_SAMPLES,
        box_detections_per_img=MAX_DETECTIONS,
    )
    model.transform = Untouched()
    # As they are drawn, all scores are nearly the same: spread them, so that their order counts.
    with torch.no_grad():
        for layer in (model.rpn.head.cls_logits, model.rpn.head.bbox_pred):
            layer.weight.mul_(10)
        model.roi_heads.box_predictor.cls_score.weight.mul_(10)
    return model


def our_name(name):
    return name.replace("backbone.body.", "backbone.").replace("backbone.fpn.", "neck.")


def make_ours(theirs):
    model = TwoStageDetector(
        ResNet18(),
        FPN(IN_CHANNELS, CHANNELS, extra="pool"),
        RegionProposalNetwork(CHANNELS),
        RoIHeads(
            CHANNELS,
            NUM_CLASSES,
            num_samples=NUM_SAMPLES,
            max_detections=MAX_DETECTIONS,
            with_masks=theirs.roi_heads.has_mask(),
            mask_channels=MASK_CHANNELS,
        ),
    )
    weights = {our_name(n): w for n, w in theirs.state_dict().items()}
    model.load_state_dict(weights)
    return model


@pytest.fixture(params=[False, True], ids=["faster", "mask"], scope="module")
def pair(request):
    theirs = make_theirs(request.param)
    return theirs, make_ours(theirs)


def make_batch(num_boxes):
    """Pictures of noise with boxes of 2 to 40 pixels, each with a mask of noise."""
    draw = torch.Generator().manual_seed(sum(num_boxes))
    height, width = SIZE
    batch = {"img": torch.randn(len(num_boxes), 3, height, width, generator=draw)}
    for key in ("gt_bboxes", "gt_classes", "gt_masks"):
        batch[key] = []
    for count in num_boxes:
        corner = torch.rand(count, 2, generator=draw) * torch.tensor([width - 40, height - 40])
        sides = torch.rand(count, 2, generator=draw) * 38 + 2
        batch["gt_bboxes"].append(torch.cat([corner, corner + sides], dim=1))
        batch["gt_classes"].append(torch.randint(NUM_CLASSES, (count,), generator=draw))
        batch["gt_masks"].append(torch.rand(count, height, width, generator=draw) > 0.5)
    return batch


def their_targets(batch):
    rows = zip(batch["gt_bboxes"], batch["gt_classes"], batch["gt_masks"], strict=True)
    return [
        {"boxes": boxes, "labels": classes + 1, "masks": masks.byte()}
        for boxes, classes, masks in rows
    ]


def stepped(model, losses_of):
    """Losses and gradients of one training step, drawn from one seed."""
    model.train().zero_grad()
    torch.manual_seed(5)
    losses = losses_of(model)
    sum(losses.values()).backward()
    grads = {our_name(name): p.grad.clone() for name, p in model.named_parameters()}
    return {LOSSES.get(name, name): loss.detach() for name, loss in losses.items()}, grads


@pytest.fixture(params=[(0, 0), (1, 0), (12, 50)], ids=str, scope="module")
def steps(request, pair):
    """What both give for pictures with so many boxes: theirs, ours."""
    theirs, ours = pair
    batch = make_batch(request.param)
    imgs, targets = list(batch["img"]), their_targets(batch)
    return (
        stepped(theirs, lambda model: model(imgs, targets)),
        stepped(ours, lambda model: model(batch).losses),
    )


def require_close(ours, theirs):
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)


def test_every_loss_is_the_same(steps):
    (their_losses, _), (our_losses, _) = steps
    require_close(our_losses, their_losses)


def test_every_gradient_is_the_same(steps):
    (_, their_grads), (_, our_grads) = steps
    require_close(our_grads, their_grads)


def test_the_first_stage_gives_the_same_raw_outputs(pair):
    theirs, ours = (model.eval() for model in pair)
    img = make_batch((1, 1))["img"]
    cls, bbox = theirs.rpn.head(list(theirs.backbone(img).values()))
    outputs = ours.network(img)
    require_close(outputs["cls"], tuple(cls))
    require_close(outputs["bbox"], tuple(bbox))


def test_detections_are_the_same(pair):
    theirs, ours = (model.eval() for model in pair)
    batch = make_batch((3, 4))
    with torch.no_grad():
        expected = theirs(list(batch["img"]))
        preds = ours(batch).preds
    assert [len(each["boxes"]) for each in expected] == [MAX_DETECTIONS] * 2
    require_close(preds["bboxes"], [each["boxes"] for each in expected])
    require_close(preds["scores"], [each["scores"] for each in expected])
    assert [c.tolist() for c in preds["classes"]] == [
        (each["labels"] - 1).tolist() for each in expected
    ]


def test_masks_are_the_same():
    theirs = make_theirs(with_masks=True).eval()
    img = make_batch((3, 4))["img"]
    with torch.no_grad():
        expected = theirs(list(img))
        preds = make_ours(theirs).eval()({"img": img}).preds
    assert [masks.tolist() for masks in preds["masks"]] == [
        (each["masks"][:, 0] > 0.5).tolist() for each in expected
    ]


def published_in_2019(weights):
    """The names of weights as in `fasterrcnn_resnet50_fpn_coco` and `maskrcnn_...`."""
    old = {}
    for name, weight in weights.items():
        name = name.replace("rpn.head.conv.0.0.", "rpn.head.conv.")
        name = re.sub(r"(inner|layer)_blocks\.(\d)\.0\.", r"\1_blocks.\2.", name)
        old[re.sub(r"mask_head\.(\d)\.0\.", number_from_one, name)] = weight
    return {name: weight for name, weight in old.items() if "num_batches_tracked" not in name}


def number_from_one(match):
    return f"mask_head.mask_fcn{int(match[1]) + 1}."


@pytest.mark.parametrize("published", [dict, published_in_2019], ids=["new", "old"])
def test_a_file_of_theirs_is_loaded(pair, published, tmp_path):
    theirs, ours = pair
    path = tmp_path / "theirs.pth"
    torch.save(published(theirs.state_dict()), path)
    loaded = copy.deepcopy(ours)
    for parameter in loaded.parameters():
        torch.nn.init.zeros_(parameter)
    load_weights(loaded, path)
    expected = {our_name(name): parameter for name, parameter in theirs.named_parameters()}
    torch.testing.assert_close(dict(loaded.named_parameters()), expected, rtol=0, atol=0)
