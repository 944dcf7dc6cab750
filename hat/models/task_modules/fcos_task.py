"""FCOS: every place that lies in an object says how far its sides are."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits
from torchvision.ops import clip_boxes_to_image

from hat.data.sample import Batch
from hat.models.boxes.assigners import assign_fcos, centerness, points_in_boxes
from hat.models.boxes.coders import boxes_to_distances, distances_to_boxes
from hat.models.boxes.nms import select_detections
from hat.models.boxes.points import check_levels, flatten_maps, grid_points
from hat.models.losses.box_losses import GIoULoss
from hat.models.losses.sigmoid_focal_loss import SigmoidFocalLoss
from hat.models.task_modules.sums import check_classes, loss_values, num_positives
from hat.models.task_modules.task_module import TaskModule
from hat.models.truth import Objects, image_sizes, objects_of

Outputs = dict[str, tuple[Tensor, ...]]


class FcosTask(TaskModule):
    """Losses and detections of `FcosHead`.

    The losses are `cls` over all places, `bbox` and `centerness` over those that are for an
    object, each a sum divided by the number of the latter in the batch. Places inside
    regions where nothing is labelled, and for no object, are left out.

    With `offset=0`, `score_threshold=0.2` and pictures whose sides are multiples of the
    largest stride all numbers are torchvision's; it measures strides by dividing sizes,
    where HAT takes them as given.

    Args:
        num_classes: Of objects.
        strides: Pixels of `img` between two places of each level.
        offset: Where in its cell of stride x stride pixels a place lies: 0.5 is the centre,
            as in the paper, 0 the left top corner, as in torchvision.
        limits: Sizes of objects in pixels between levels, one less than levels; by default
            8 * stride of each level but the last, which is 64, 128, 256, 512 for the
            strides of the paper. See `assign_fcos`.
        radius: Places are for an object only if nearer to its centre than so many strides.
        cls_loss: Called with scores before sigmoid and targets 0 or 1, gives the loss of
            each; by default `SigmoidFocalLoss()`.
        bbox_loss: Called with boxes and true boxes (K, 4), XYXY, gives the loss of each; by
            default `GIoULoss()`.
        score_threshold: Detections have a score, sqrt(class * centerness), above this.
        num_candidates: Of each level, that NMS sees at most.
        iou_threshold: Of NMS between detections of one class.
        max_detections: In a picture.

    Raises:
        ValueError: If there are not as many limits as needed, or, on use, if the features
            do not have these strides.

    Example:
        >>> task = FcosTask(3, strides=[8])
        >>> outputs = FcosHead(64, 3)((torch.zeros(2, 64, 8, 8),))
        >>> batch = {
        ...     "img": torch.zeros(2, 3, 64, 64),
        ...     "gt_bboxes": [torch.tensor([[8.0, 8.0, 40.0, 40.0]]), torch.zeros(0, 4)],
        ...     "gt_classes": [torch.tensor([2]), torch.zeros(0, dtype=torch.int64)],
        ... }
        >>> sorted(task.losses(outputs, batch))
        ['bbox', 'centerness', 'cls']
        >>> len(task.predictions(outputs, batch)["bboxes"])
        2

    Reference:
        Tian et al., FCOS, ICCV 2019, eq. 2; with the improvements of the extended version
        (TPAMI 2022): sampling near centres, GIoU loss, sqrt of the scores' product.
    """

    truth_keys = ("gt_bboxes", "gt_classes")

    def __init__(
        self,
        num_classes: int,
        strides: Sequence[int] = (8, 16, 32, 64, 128),
        *,
        offset: float = 0.5,
        limits: Sequence[float] | None = None,
        radius: float = 1.5,
        cls_loss: nn.Module | None = None,
        bbox_loss: nn.Module | None = None,
        score_threshold: float = 0.05,
        num_candidates: int = 1000,
        iou_threshold: float = 0.6,
        max_detections: int = 100,
    ) -> None:
        super().__init__()
        self.num_classes = num_classes
        self.strides = list(strides)
        self.offset = offset
        self.limits = [8 * stride for stride in self.strides[:-1]] if limits is None else limits
        if len(self.limits) != len(self.strides) - 1:
            raise ValueError(
                f"limits lie between levels: strides={self.strides} need "
                f"{len(self.strides) - 1}, got {list(self.limits)}"
            )
        self.radius = radius
        self.cls_loss = SigmoidFocalLoss() if cls_loss is None else cls_loss
        self.bbox_loss = GIoULoss() if bbox_loss is None else bbox_loss
        self.score_threshold = score_threshold
        self.num_candidates = num_candidates
        self.iou_threshold = iou_threshold
        self.max_detections = max_detections

    def losses(self, outputs: Outputs, batch: Batch) -> dict[str, Tensor]:
        """Named losses; none where the batch has no `gt_bboxes`.

        Args:
            outputs: From `FcosHead`.
            batch: `img` (N, 3, H, W); for N pictures `gt_bboxes` and `gt_classes`; see
                `objects_of` for what else counts.
        """
        if "gt_bboxes" not in batch:
            return {}
        levels = self._points(outputs, batch)
        truths = objects_of(batch)
        check_classes(truths, self.num_classes)
        targets = [self._targets(levels, objects) for objects in truths]
        classes, boxes, counts = (torch.stack(parts) for parts in zip(*targets, strict=True))
        positive = classes >= 0  # (N, P)
        num = num_positives(positive.sum(), training=self.training)

        logits = flatten_maps(outputs["cls"], self.num_classes)  # (N, P, C)
        one_hot = torch.zeros_like(logits)
        one_hot[positive, classes[positive]] = 1.0
        cls = loss_values(self.cls_loss, logits, one_hot, name="cls_loss")
        cls = cls.sum(dim=2)[counts].sum()

        pictures, places = positive.nonzero(as_tuple=True)  # (K,) each
        points, boxes = torch.cat(levels)[places], boxes[pictures, places]
        scales = self._scales(levels)[places]
        distances = flatten_maps(outputs["bbox"], 4)[pictures, places] * scales
        found = distances_to_boxes(points, distances)
        bbox = loss_values(self.bbox_loss, found, boxes, name="bbox_loss").sum()

        central = centerness(boxes_to_distances(points, boxes))
        raw = flatten_maps(outputs["centerness"], 1)[pictures, places, 0]
        entropy = binary_cross_entropy_with_logits(raw, central, reduction="sum")
        return {"cls": cls / num, "bbox": bbox / num, "centerness": entropy / num}

    @torch.no_grad()
    def predictions(self, outputs: Outputs, batch: Batch) -> dict[str, Any]:
        """Detections of each picture: `bboxes`, `classes` and `scores`, lists of N, best first.

        Args:
            outputs: From `FcosHead`.
            batch: `img` (N, 3, H, W), and `img_shape` where it is padded: boxes end there.
        """
        levels = self._points(outputs, batch)
        distances = flatten_maps(outputs["bbox"], 4) * self._scales(levels)
        boxes = distances_to_boxes(torch.cat(levels), distances)  # (N, P, 4)
        probability = flatten_maps(outputs["cls"], self.num_classes).sigmoid()
        scores = (probability * flatten_maps(outputs["centerness"], 1).sigmoid()).sqrt()
        found = [
            select_detections(
                clip_boxes_to_image(boxes[index], size),
                scores[index],
                score_threshold=self.score_threshold,
                num_candidates=self.num_candidates,
                iou_threshold=self.iou_threshold,
                max_detections=self.max_detections,
                level_sizes=[len(level) for level in levels],
            )
            for index, size in enumerate(image_sizes(batch))
        ]
        return {
            "bboxes": [each.boxes for each in found],
            "classes": [each.classes for each in found],
            "scores": [each.scores for each in found],
        }

    def _points(self, outputs: Outputs, batch: Batch) -> tuple[Tensor, ...]:
        maps = outputs["cls"]
        height, width = batch["img"].shape[-2:]
        check_levels(maps, self.strides, (height, width))
        sizes = [(each.shape[-2], each.shape[-1]) for each in maps]
        return grid_points(sizes, self.strides, offset=self.offset, device=maps[0].device)

    def _scales(self, levels: Sequence[Tensor]) -> Tensor:
        """The stride of each place, (P, 1)."""
        parts = zip(levels, self.strides, strict=True)
        return torch.cat([level.new_full((len(level), 1), stride) for level, stride in parts])

    def _targets(self, levels: Sequence[Tensor], objects: Objects) -> "_Targets":
        assigned = assign_fcos(
            levels, self.strides, objects.boxes, limits=self.limits, radius=self.radius
        )
        positive = assigned >= 0
        counts = positive | ~points_in_boxes(torch.cat(list(levels)), objects.ignored)
        if not len(objects.boxes):
            return _Targets(assigned, objects.boxes.new_zeros((len(assigned), 4)), counts)
        rows = assigned.clamp(min=0)
        classes = objects.classes[rows].masked_fill(~positive, -1)
        return _Targets(classes, objects.boxes[rows], counts)


class _Targets(NamedTuple):
    """What P places of a picture should say.

    `classes` is int64 (P,), -1 for background; `boxes` (P, 4) are of no meaning there;
    `counts`, bool (P,), tells which places have a loss of class.
    """

    classes: Tensor
    boxes: Tensor
    counts: Tensor
