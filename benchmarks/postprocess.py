"""What it costs to get the detections of one picture out of what a network says.

    python benchmarks/postprocess.py

First 1,000 candidate boxes with scores of 80 classes each, of which so many pairs are above the
threshold: threshold, the best 1,000 pairs, NMS class by class, the best 100; bound is 10 ms on
one core. Beside it torchvision's RetinaNet.postprocess_detections on the same scores and boxes.
Then whole pictures of RetinaNet (800 x 1088, five levels) by both.
"""

from collections.abc import Callable
from statistics import median
from time import perf_counter

import torch
from torch import Tensor
from torchvision.models import resnet18
from torchvision.models.detection import RetinaNet
from torchvision.models.detection.backbone_utils import BackboneWithFPN

from hat.models import (
    RetinaNetTask,
    cell_anchors,
    encode_boxes,
    flatten_maps,
    grid_anchors,
    select_detections,
)

NUM_CLASSES = 80
SIZE = (800, 1088)
STRIDES = (8, 16, 32, 64, 128)
NUM_RUNS = 15


def torchvisions() -> RetinaNet:
    backbone = BackboneWithFPN(resnet18(weights=None), {"layer4": "0"}, [512], 16)
    return RetinaNet(backbone, NUM_CLASSES, detections_per_img=100).eval()


def clustered_boxes(count: int) -> Tensor:
    """Boxes in clusters of about 20, as a detector has them around objects."""
    centres = torch.rand(count // 20, 2).repeat(20, 1) * torch.tensor([SIZE[1], SIZE[0]])
    sizes = (30 + 150 * torch.rand(count // 20, 2)).repeat(20, 1)
    centres = centres + 6 * torch.randn(count, 2)
    sizes = sizes * (1 + 0.2 * torch.rand(count, 2))
    return torch.cat([centres - sizes / 2, centres + sizes / 2], dim=1).clamp(min=0, max=1088)


def scores_above(share: float, count: int) -> Tensor:
    """Scores of which about this share is above 0.05."""
    low, high = 0.05 * torch.rand(count, NUM_CLASSES), torch.rand(count, NUM_CLASSES)
    return torch.where(torch.rand(count, NUM_CLASSES) < share, high, low)


def candidates(share: float) -> tuple[Callable[[], object], Callable[[], object]]:
    boxes, scores = clustered_boxes(1000), scores_above(share, 1000)
    logits, model = scores.logit(eps=1e-6)[None], torchvisions()
    deltas = encode_boxes(boxes, boxes)[None]

    def ours() -> object:
        return select_detections(
            boxes,
            scores,
            score_threshold=0.05,
            num_candidates=1000,
            iou_threshold=0.5,
            max_detections=100,
        )

    def theirs() -> object:
        outputs = {"cls_logits": [logits], "bbox_regression": [deltas]}
        return model.postprocess_detections(outputs, [[boxes]], [SIZE])

    return ours, theirs


def picture(share: float) -> tuple[Callable[[], object], Callable[[], object]]:
    task, model = RetinaNetTask(NUM_CLASSES, max_detections=100), torchvisions()
    sizes = [(-(-SIZE[0] // stride), -(-SIZE[1] // stride)) for stride in STRIDES]
    cls, bbox = [], []
    for height, width in sizes:
        scores = scores_above(share, 9 * height * width).logit(eps=1e-6)
        cls.append(scores.T.reshape(1, -1, height, width))
        bbox.append(0.1 * torch.randn(1, 36, height, width))
    outputs = {"cls": tuple(cls), "bbox": tuple(bbox)}
    batch = {"img": torch.zeros(1, 3, *SIZE)}
    ratios = [0.5, 1.0, 2.0]
    cells = [cell_anchors([4 * s, 5 * s, 6 * s], ratios) for s in STRIDES]
    anchors = list(grid_anchors(sizes, STRIDES, cells))

    def theirs() -> object:
        flat = {
            "cls_logits": [flatten_maps([each], NUM_CLASSES) for each in cls],
            "bbox_regression": [flatten_maps([each], 4) for each in bbox],
        }
        return model.postprocess_detections(flat, [anchors], [SIZE])

    return lambda: task.predictions(outputs, batch), theirs


def milliseconds(ways: tuple[Callable[[], object], ...], num_runs: int) -> list[float]:
    seconds: list[list[float]] = [[] for _ in ways]
    for _ in range(num_runs):
        for way, taken in zip(ways, seconds, strict=True):
            begun = perf_counter()
            way()
            taken.append(perf_counter() - begun)
    return [1e3 * median(taken[1:]) for taken in seconds]


def main() -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    print(f"{'':40} {'hat':>10} {'torchvision':>14}")
    for share in (1.0, 0.05, 0.01):
        with torch.no_grad():
            ours, theirs = milliseconds(candidates(share), NUM_RUNS)
        name = f"1,000 boxes x 80 classes, {share:.0%} above"
        print(f"{name:40} {ours:7.2f} ms {theirs:11.2f} ms")
    for share in (1e-3, 1e-5):
        with torch.no_grad():
            ours, theirs = milliseconds(picture(share), 6)
        name = f"a picture of RetinaNet, {share:.3%} above"
        print(f"{name:40} {ours:7.1f} ms {theirs:11.1f} ms")


if __name__ == "__main__":
    main()
