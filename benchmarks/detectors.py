"""What a training step of a detector costs, against torchvision's.

    python benchmarks/detectors.py

The same weights, pictures and boxes, one thread, forward, backward and a step of SGD. The two
take turns, step by step; the ratio is the median over pairs of steps. torchvision's transform,
which resizes and normalises, is left out on its side. The numbers of both are the same, see
tests/models/test_fcos.py, test_retinanet.py and test_two_stage_matches_torchvision.py.

To add a detector, add a function that returns torchvision's and ours to `PAIRS`.
"""

from collections.abc import Callable
from statistics import median
from time import perf_counter
from typing import Any

import torch
from torch import Tensor, nn
from torchvision.models import resnet18
from torchvision.models.detection import FCOS, FasterRCNN, RetinaNet
from torchvision.models.detection.backbone_utils import BackboneWithFPN
from torchvision.models.detection.image_list import ImageList
from torchvision.ops.feature_pyramid_network import LastLevelP6P7

from hat.models import (
    FPN,
    FcosHead,
    FcosTask,
    OneStageDetector,
    RegionProposalNetwork,
    ResNet18,
    RetinaNetHead,
    RetinaNetTask,
    RoIHeads,
    TwoStageDetector,
)

NUM_CLASSES = 20
CHANNELS = 128
IN_CHANNELS = [128, 256, 512]
SIZE = (256, 384)
NUM_BOXES = (3, 12)
NUM_STEPS = 15


class Untouched(nn.Module):
    """In place of torchvision's transform."""

    def forward(self, images: list[Tensor], targets: Any) -> tuple[ImageList, Any]:
        return ImageList(torch.stack(images), [SIZE] * len(images)), targets

    def postprocess(self, result: Any, shapes: Any, original_shapes: Any) -> Any:
        return result


def theirs(kind: type[Any]) -> nn.Module:
    layers = {"layer2": "0", "layer3": "1", "layer4": "2"}
    extra = LastLevelP6P7(CHANNELS, CHANNELS)
    backbone = BackboneWithFPN(resnet18(weights=None), layers, IN_CHANNELS, CHANNELS, extra)
    model: nn.Module = kind(backbone, NUM_CLASSES)
    model.transform = Untouched()
    return model


def with_weights(ours: nn.Module, model: nn.Module) -> nn.Module:
    renamed = {
        name.replace("backbone.body.", "backbone.").replace("backbone.fpn.", "neck."): value
        for name, value in model.state_dict().items()
    }
    ours.load_state_dict(renamed)
    return ours


def fcos() -> tuple[nn.Module, nn.Module]:
    model = theirs(FCOS)
    neck = FPN(IN_CHANNELS, CHANNELS, extra="p6p7")
    task = FcosTask(NUM_CLASSES, offset=0)
    ours = OneStageDetector(ResNet18(), FcosHead(CHANNELS, NUM_CLASSES), task, neck)
    return model, with_weights(ours, model)


def retinanet() -> tuple[nn.Module, nn.Module]:
    model = theirs(RetinaNet)
    neck = FPN(IN_CHANNELS, CHANNELS, extra="p6p7")
    task = RetinaNetTask(NUM_CLASSES)
    ours = OneStageDetector(ResNet18(), RetinaNetHead(CHANNELS, NUM_CLASSES), task, neck)
    return model, with_weights(ours, model)


def faster_rcnn() -> tuple[nn.Module, nn.Module]:
    layers = {f"layer{number + 1}": str(number) for number in range(4)}
    channels = [64, *IN_CHANNELS]
    backbone = BackboneWithFPN(resnet18(weights=None), layers, channels, CHANNELS)
    model: nn.Module = FasterRCNN(backbone, NUM_CLASSES + 1)
    model.transform = Untouched()
    neck = FPN(channels, CHANNELS, extra="pool")
    rpn, roi_heads = RegionProposalNetwork(CHANNELS), RoIHeads(CHANNELS, NUM_CLASSES)
    return model, with_weights(TwoStageDetector(ResNet18(), neck, rpn, roi_heads), model)


#: torchvision's and ours, with the same weights.
PAIRS: dict[str, Callable[[], tuple[nn.Module, nn.Module]]] = {
    "FCOS": fcos,
    "RetinaNet": retinanet,
    "Faster R-CNN": faster_rcnn,
}


def random_batch() -> dict[str, Any]:
    height, width = SIZE
    boxes = []
    for count in NUM_BOXES:
        start = torch.rand(count, 2) * torch.tensor([width - 20, height - 20])
        extent = 16 + torch.rand(count, 2) ** 2 * 200
        stop = torch.minimum(start + extent, torch.tensor([width, height]))
        boxes.append(torch.cat([start, stop], dim=1))
    return {
        "img": torch.randn(len(NUM_BOXES), 3, *SIZE),
        "gt_bboxes": boxes,
        "gt_classes": [torch.randint(1, NUM_CLASSES, (n,)) for n in NUM_BOXES],
    }


def losses_of(model: nn.Module, batch: dict[str, Any]) -> dict[str, Tensor]:
    if hasattr(model, "transform"):  # torchvision's
        rows = zip(batch["gt_bboxes"], batch["gt_classes"], strict=True)
        return model(list(batch["img"]), [{"boxes": b, "labels": c} for b, c in rows])
    return model(batch).losses


def step(model: nn.Module, optimizer: torch.optim.Optimizer, batch: dict[str, Any]) -> float:
    begun = perf_counter()
    optimizer.zero_grad()
    torch.stack(list(losses_of(model, batch).values())).sum().backward()
    optimizer.step()
    return perf_counter() - begun


def compare(make: Callable[[], tuple[nn.Module, nn.Module]]) -> list[list[float]]:
    """Seconds of each step of torchvision's and of ours."""
    torch.manual_seed(0)
    models = [model.train() for model in make()]
    optimizers = [torch.optim.SGD(model.parameters(), lr=1e-4) for model in models]
    batch = random_batch()
    seconds: list[list[float]] = [[], []]
    for number in range(NUM_STEPS + 1):
        # Who goes first changes, in case the second finds warm caches.
        for which in (0, 1) if number % 2 else (1, 0):
            took = step(models[which], optimizers[which], batch)
            if number:
                seconds[which].append(took)
    return seconds


def main() -> None:
    torch.set_num_threads(1)
    print(f"{'a training step':18} {'torchvision':>12} {'hat':>10} {'ratio':>7}")
    for name, make in PAIRS.items():
        theirs_s, ours_s = compare(make)
        ratio = median(ours / other for ours, other in zip(ours_s, theirs_s, strict=True))
        print(
            f"{name:18} {1e3 * median(theirs_s):9.1f} ms {1e3 * median(ours_s):7.1f} ms "
            f"{ratio:7.3f}"
        )


if __name__ == "__main__":
    main()
