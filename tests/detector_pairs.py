"""A dense detector twice, torchvision's and ours with its weights, and pictures for both."""

import torch
from torch import nn
from torchvision.models import resnet18
from torchvision.models.detection import FCOS, RetinaNet
from torchvision.models.detection.backbone_utils import BackboneWithFPN
from torchvision.models.detection.image_list import ImageList
from torchvision.ops.feature_pyramid_network import LastLevelP6P7

from hat.models import (
    FPN,
    FcosHead,
    FcosTask,
    OneStageDetector,
    ResNet18,
    RetinaNetHead,
    RetinaNetTask,
)

NUM_CLASSES = 7
#: Multiples of 128, the largest stride: torchvision divides to find strides.
SIZE = (128, 128)
CHANNELS = 64
IN_CHANNELS = [128, 256, 512]


class Untouched(nn.Module):
    """In place of torchvision's transform, which resizes."""

    def forward(self, images, targets):
        return ImageList(torch.stack(images), [tuple(img.shape[1:]) for img in images]), targets

    def postprocess(self, result, image_shapes, original_image_sizes):
        return result


def torchvisions(kind, **options):
    layers = {"layer2": "0", "layer3": "1", "layer4": "2"}
    backbone = BackboneWithFPN(
        resnet18(weights=None), layers, IN_CHANNELS, CHANNELS, LastLevelP6P7(CHANNELS, CHANNELS)
    )
    model = kind(backbone, NUM_CLASSES, **options)
    model.transform = Untouched()
    # As they are drawn, all scores are nearly the same: spread them, so that their order counts.
    for layer in model.head.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
    return model


def our_name(name):
    return name.replace("backbone.body.", "backbone.").replace("backbone.fpn.", "neck.")


def with_weights_of(theirs, ours):
    ours.load_state_dict({our_name(name): w for name, w in theirs.state_dict().items()})
    return ours


def fcos_pair():
    torch.manual_seed(0)
    theirs = torchvisions(FCOS)
    task = FcosTask(NUM_CLASSES, offset=0, score_threshold=0.2)
    neck = FPN(IN_CHANNELS, CHANNELS, extra="p6p7")
    ours = OneStageDetector(ResNet18(), FcosHead(CHANNELS, NUM_CLASSES), task, neck)
    return theirs, with_weights_of(theirs, ours)


def retinanet_pair():
    torch.manual_seed(0)
    theirs = torchvisions(RetinaNet)
    task = RetinaNetTask(NUM_CLASSES)
    neck = FPN(IN_CHANNELS, CHANNELS, extra="p6p7")
    ours = OneStageDetector(ResNet18(), RetinaNetHead(CHANNELS, NUM_CLASSES), task, neck)
    return theirs, with_weights_of(theirs, ours)


def batch_of(counts, seed=0, size=SIZE):
    """Random pictures with so many boxes each, of all sizes."""
    draw = torch.Generator().manual_seed(seed)
    return {
        "img": torch.randn(len(counts), 3, *size, generator=draw),
        "gt_bboxes": [random_boxes(count, size, draw) for count in counts],
        "gt_classes": [torch.randint(NUM_CLASSES, (n,), generator=draw) for n in counts],
    }


def random_boxes(count, size, draw):
    limit = torch.tensor([size[1], size[0]])
    start = torch.rand(20 * count, 2, generator=draw) * (limit - 9)
    extent = 8 + torch.rand(20 * count, 2, generator=draw) ** 2 * (limit - 8 - start)
    # torchvision's FCOS takes areas from 1e8 in float32, which rounds them to multiples of 8:
    # it cannot tell apart two that differ by less. Here they differ by 16 at least.
    areas, order = extent.prod(dim=1).sort()
    order, areas = order[areas % 32 < 16], areas[areas % 32 < 16]
    order = order[(areas // 32).diff(prepend=torch.zeros(1)) > 0]
    chosen = order[torch.randperm(len(order), generator=draw)[:count]]
    return torch.cat([start, torch.minimum(start + extent, limit)], dim=1)[chosen]


def their_targets(batch):
    rows = zip(batch["gt_bboxes"], batch["gt_classes"], strict=True)
    return [{"boxes": boxes, "labels": classes} for boxes, classes in rows]


def gradients(model, losses):
    """Gradients of the sum of the losses, by our names."""
    model.zero_grad()
    torch.stack(list(losses.values())).sum().backward()
    return {our_name(name): parameter.grad for name, parameter in model.named_parameters()}


def require_close(ours, theirs):
    """Equal to 1e-5 of the largest number of each tensor."""
    assert ours.keys() == theirs.keys()
    for name, value in theirs.items():
        scale = value.abs().max().item()
        torch.testing.assert_close(
            ours[name], value, rtol=0, atol=1e-5 * max(scale, 1e-3), msg=name
        )
