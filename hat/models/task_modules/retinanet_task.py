"""RetinaNet: every anchor says whether it is an object, and how far off it is."""

from collections.abc import Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torchvision.ops import box_iou, clip_boxes_to_image

from hat.data.sample import Batch
from hat.models.boxes.anchors import cell_anchors, grid_anchors
from hat.models.boxes.assigners import boxes_in_boxes
from hat.models.boxes.coders import decode_boxes, encode_boxes
from hat.models.boxes.matchers import BETWEEN, match_by_iou
from hat.models.boxes.nms import select_detections
from hat.models.boxes.points import check_levels, flatten_maps
from hat.models.losses.sigmoid_focal_loss import SigmoidFocalLoss
from hat.models.task_modules.sums import check_classes, loss_values
from hat.models.task_modules.task_module import TaskModule
from hat.models.truth import Objects, image_sizes, objects_of

Outputs = dict[str, tuple[Tensor, ...]]


class RetinaNetTask(TaskModule):
    """Losses and detections of `RetinaNetHead`.

    The losses are `cls` over all anchors but those between background and object, and
    `bbox` over those that are for an object: sums over a picture, divided by its number of
    the latter, then the mean over pictures. Anchors of which more than half lies inside a
    region where nothing is labelled, and for no object, are left out.

    With pictures whose sides are multiples of the largest stride all numbers are
    torchvision's; it measures strides by dividing sizes, where HAT takes them as given.

    Args:
        num_classes: Of objects.
        strides: Pixels of `img` between two places of each level.
        anchor_sizes: For each level the square roots of the areas of its anchors, as many
            for each; by default 4 * stride times 1, 2**(1/3) and 2**(2/3), rounded down.
        aspect_ratios: Height / width of anchors.
        offset: Where in its cell of stride x stride pixels a place lies; 0, the left top
            corner, is torchvision's.
        low: Anchors with an IoU below this with all objects are background.
        high: Anchors with an IoU of at least this are for the object.
        cls_loss: Called with scores before sigmoid and targets 0 or 1, gives the loss of
            each; by default `SigmoidFocalLoss()`.
        bbox_loss: Called with predictions and targets (K, 4), gives losses (K, 4) or (K,);
            by default `torch.nn.L1Loss(reduction="none")`.
        bbox_loss_on: What `bbox_loss` compares: `deltas`, or `boxes` (XYXY) as the likes of
            `GIoULoss` need.
        score_threshold: Detections have a score above this.
        num_candidates: Of each level, that NMS sees at most.
        iou_threshold: Of NMS between detections of one class.
        max_detections: In a picture.

    Attributes:
        num_anchors: Of each place.

    Raises:
        ValueError: If there are not as many anchors for each level, or, on use, if the
            features do not have these strides or anchors.

    Example:
        >>> task = RetinaNetTask(3, strides=[8], anchor_sizes=[[32]])
        >>> outputs = RetinaNetHead(64, 3, task.num_anchors)((torch.zeros(2, 64, 8, 8),))
        >>> batch = {
        ...     "img": torch.zeros(2, 3, 64, 64),
        ...     "gt_bboxes": [torch.tensor([[8.0, 8.0, 40.0, 40.0]]), torch.zeros(0, 4)],
        ...     "gt_classes": [torch.tensor([2]), torch.zeros(0, dtype=torch.int64)],
        ... }
        >>> sorted(task.losses(outputs, batch))
        ['bbox', 'cls']
        >>> len(task.predictions(outputs, batch)["bboxes"])
        2

    Reference:
        Lin et al., Focal Loss for Dense Object Detection, ICCV 2017, section 4; there with
        smooth L1.
    """

    truth_keys = ("gt_bboxes", "gt_classes")

    def __init__(
        self,
        num_classes: int,
        strides: Sequence[int] = (8, 16, 32, 64, 128),
        *,
        anchor_sizes: Sequence[Sequence[float]] | None = None,
        aspect_ratios: Sequence[float] = (0.5, 1.0, 2.0),
        offset: float = 0.0,
        low: float = 0.4,
        high: float = 0.5,
        cls_loss: nn.Module | None = None,
        bbox_loss: nn.Module | None = None,
        bbox_loss_on: Literal["deltas", "boxes"] = "deltas",
        score_threshold: float = 0.05,
        num_candidates: int = 1000,
        iou_threshold: float = 0.5,
        max_detections: int = 300,
    ) -> None:
        super().__init__()
        if anchor_sizes is None:
            anchor_sizes = [[int(4 * s * 2 ** (n / 3)) for n in range(3)] for s in strides]
        if len(anchor_sizes) != len(strides) or len({len(sizes) for sizes in anchor_sizes}) != 1:
            raise ValueError(
                f"anchor_sizes must have as many sizes for each of {len(strides)} strides, "
                f"got {[list(sizes) for sizes in anchor_sizes]}"
            )
        if bbox_loss_on not in ("deltas", "boxes"):
            raise ValueError(f"bbox_loss_on must be 'deltas' or 'boxes', got {bbox_loss_on!r}")
        self.num_classes = num_classes
        self.strides = list(strides)
        self.cells = [cell_anchors(sizes, aspect_ratios) for sizes in anchor_sizes]
        self.num_anchors = len(self.cells[0])
        self.offset = offset
        self.low = low
        self.high = high
        self.cls_loss = SigmoidFocalLoss() if cls_loss is None else cls_loss
        self.bbox_loss = nn.L1Loss(reduction="none") if bbox_loss is None else bbox_loss
        self.bbox_loss_on = bbox_loss_on
        self.score_threshold = score_threshold
        self.num_candidates = num_candidates
        self.iou_threshold = iou_threshold
        self.max_detections = max_detections

    def losses(self, outputs: Outputs, batch: Batch) -> dict[str, Tensor]:
        """Named losses; none where the batch has no `gt_bboxes`.

        Args:
            outputs: From `RetinaNetHead`.
            batch: `img` (N, 3, H, W); for N pictures `gt_bboxes` and `gt_classes`; see
                `objects_of` for what else counts.
        """
        if "gt_bboxes" not in batch:
            return {}
        anchors = torch.cat(self._anchors(outputs, batch))  # (P, 4)
        logits = flatten_maps(outputs["cls"], self.num_classes)  # (N, P, C)
        deltas = flatten_maps(outputs["bbox"], 4)
        one_hot = torch.zeros_like(logits)
        truths = objects_of(batch)
        check_classes(truths, self.num_classes)
        matches = [self._match(anchors, objects) for objects in truths]
        bbox = []
        for index, (objects, matched) in enumerate(zip(truths, matches, strict=True)):
            rows = (matched >= 0).nonzero().squeeze(1)  # (K,)
            one_hot[index, rows, objects.classes[matched[rows]]] = 1.0
            boxes = objects.boxes[matched[rows]]
            bbox.append(self._bbox_loss(anchors[rows], deltas[index, rows], boxes))
        cls = loss_values(self.cls_loss, logits, one_hot, name="cls_loss").sum(dim=2)
        matched = torch.stack(matches)  # (N, P)
        num = (matched >= 0).sum(dim=1).clamp(min=1)  # (N,)
        cls = torch.where(matched == BETWEEN, 0.0, cls).sum(dim=1)
        return {"cls": (cls / num).mean(), "bbox": (torch.stack(bbox) / num).mean()}

    @torch.no_grad()
    def predictions(self, outputs: Outputs, batch: Batch) -> dict[str, Any]:
        """Detections of each picture: `bboxes`, `classes` and `scores`, lists of N, best first.

        Args:
            outputs: From `RetinaNetHead`.
            batch: `img` (N, 3, H, W), and `img_shape` where it is padded: boxes end there.
        """
        levels = self._anchors(outputs, batch)
        boxes = decode_boxes(torch.cat(levels), flatten_maps(outputs["bbox"], 4))  # (N, P, 4)
        scores = flatten_maps(outputs["cls"], self.num_classes).sigmoid()
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

    def _anchors(self, outputs: Outputs, batch: Batch) -> tuple[Tensor, ...]:
        maps = outputs["cls"]
        height, width = batch["img"].shape[-2:]
        check_levels(maps, self.strides, (height, width))
        if maps[0].shape[1] != self.num_anchors * self.num_classes:
            raise ValueError(
                f"{self.num_anchors} anchors of {self.num_classes} classes need "
                f"{self.num_anchors * self.num_classes} channels, but the head gives "
                f"{maps[0].shape[1]}: set num_anchors={self.num_anchors} of the head"
            )
        sizes = [(each.shape[-2], each.shape[-1]) for each in maps]
        return grid_anchors(
            sizes, self.strides, self.cells, offset=self.offset, device=maps[0].device
        )

    def _match(self, anchors: Tensor, objects: Objects) -> Tensor:
        """The object of each anchor, (P,); -1 for background, -2 for what has no loss."""
        ious = box_iou(objects.boxes, anchors)  # (M, P)
        matched = match_by_iou(ious, low=self.low, high=self.high, keep_best=True)
        if len(objects.ignored):
            unknown = (matched == -1) & boxes_in_boxes(anchors, objects.ignored)
            matched = matched.masked_fill(unknown, BETWEEN)
        return matched

    def _bbox_loss(self, anchors: Tensor, deltas: Tensor, boxes: Tensor) -> Tensor:
        if self.bbox_loss_on == "boxes":
            preds, targets = decode_boxes(anchors, deltas), boxes
        else:
            preds, targets = deltas, encode_boxes(anchors, boxes)
        return loss_values(self.bbox_loss, preds, targets, name="bbox_loss").sum()
