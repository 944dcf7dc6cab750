"""What a YOLOX-style head learns, and which boxes it finds."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, one_hot
from torchvision.ops import clip_boxes_to_image, generalized_box_iou_loss

from hat.data.sample import Batch
from hat.models.boxes.coders import decode_boxes
from hat.models.boxes.nms import select_detections
from hat.models.boxes.points import check_levels, flatten_maps, grid_points
from hat.models.boxes.simota import assign_simota
from hat.models.task_modules.task_module import TaskModule
from hat.models.truth import Objects, image_sizes, objects_of

Maps = Mapping[str, Sequence[Tensor]]


class _Cells(NamedTuple):
    """All cells of N pictures, level after level, and what is predicted there."""

    cls: Tensor  # (N, P, num_classes), logits
    obj: Tensor  # (N, P), logits
    boxes: Tensor  # (N, P, 4), XYXY in pixels
    points: Tensor  # (P, 2), centres
    strides: Tensor  # (P,)


class YoloxTask(TaskModule):
    """Detection without anchors: objectness, class and box of each cell, assigned by SimOTA.

    Of the four channels of `bbox` two shift the box's centre from the cell's left top
    corner, in strides, and two are logarithms of width and height in strides. Cells in
    ignored regions that learn no object do not learn that there is none.

    Args:
        num_classes: How many classes there are.
        strides: Pixels of `img` for each cell of each level, finest first.
        bbox_loss: Called with predicted and true boxes, (K, 4) each, gives K values; by
            default 1 - GIoU.
        bbox_weight: Of the loss of boxes; those of objectness and class have 1.
        radius: See `assign_simota`.
        score_threshold: Detections must be above this.
        num_candidates: How many go into NMS at most.
        iou_threshold: Above this a worse detection of the same class is left out.
        max_detections: In one picture.

    Raises:
        ValueError: When called, if the maps do not have these strides, or `bbox_loss` does
            not give one value for each box.

    Example:
        >>> task = YoloxTask(num_classes=3, strides=[8])
        >>> maps = YoloxHead([16], num_classes=3)((torch.zeros(1, 16, 4, 4),))
        >>> batch = {
        ...     "img": torch.zeros(1, 3, 32, 32),
        ...     "gt_bboxes": [torch.tensor([[0.0, 0.0, 8.0, 8.0]])],
        ...     "gt_classes": [torch.tensor([2])],
        ... }
        >>> sorted(task.losses(maps, batch))
        ['bbox', 'cls', 'obj']

    Reference:
        Ge et al., YOLOX: Exceeding YOLO Series in 2021, section 2.1; there boxes are learnt
        by 1 - IoU squared. That the class learns the IoU in place of 1, and the weight of 5,
        are of the code that the authors published.
    """

    truth_keys = ("gt_bboxes", "gt_classes")

    def __init__(
        self,
        num_classes: int,
        strides: Sequence[int],
        *,
        bbox_loss: Callable[[Tensor, Tensor], Tensor] | None = None,
        bbox_weight: float = 5.0,
        radius: float = 2.5,
        score_threshold: float = 0.01,
        num_candidates: int = 1000,
        iou_threshold: float = 0.65,
        max_detections: int = 100,
    ) -> None:
        super().__init__()
        self.num_classes = num_classes
        self.strides = tuple(strides)
        self.bbox_loss = generalized_box_iou_loss if bbox_loss is None else bbox_loss
        self.bbox_weight = bbox_weight
        self.radius = radius
        self.score_threshold = score_threshold
        self.num_candidates = num_candidates
        self.iou_threshold = iou_threshold
        self.max_detections = max_detections

    def losses(self, outputs: Maps, batch: Batch) -> dict[str, Tensor]:
        """`bbox`, `obj` and `cls`, each a sum divided by the number of cells with an object.

        Args:
            outputs: Of `YoloxHead`.
            batch: `gt_bboxes` and `gt_classes`; also `gt_crowd` and `gt_ignore_bboxes`.

        Returns:
            Empty if the batch has no `gt_bboxes`.
        """
        if "gt_bboxes" not in batch:
            return {}
        cells = self._cells(outputs, batch)
        learns, counts, boxes, classes, ious = self._targets(cells, objects_of(batch))
        num = max(len(boxes), 1)
        bbox = self.bbox_loss(cells.boxes[learns], boxes)
        if bbox.shape != (len(boxes),):
            raise ValueError(
                f"bbox_loss gave {tuple(bbox.shape)} for {len(boxes)} boxes: it must give one "
                "value for each, without a mean"
            )
        cls = one_hot(classes, self.num_classes) * ious[:, None]
        obj = binary_cross_entropy_with_logits(cells.obj, learns.float(), reduction="none")
        return {
            "bbox": self.bbox_weight * bbox.sum() / num,
            "obj": (obj * counts).sum() / num,
            "cls": binary_cross_entropy_with_logits(cells.cls[learns], cls, reduction="sum") / num,
        }

    def predictions(self, outputs: Maps, batch: Batch) -> dict[str, Any]:
        """The detections of each picture, best first.

        Returns:
            Lists of N: `bboxes` (M, 4), XYXY within the picture, `classes` int64 (M,) and
            `scores` (M,), objectness times probability of the class.
        """
        with torch.no_grad():
            cells = self._cells(outputs, batch)
            scores = cells.cls.sigmoid() * cells.obj.sigmoid()[..., None]  # (N, P, C)
            found = [
                select_detections(
                    clip_boxes_to_image(boxes, size),
                    each,
                    score_threshold=self.score_threshold,
                    num_candidates=self.num_candidates,
                    iou_threshold=self.iou_threshold,
                    max_detections=self.max_detections,
                )
                for boxes, each, size in zip(cells.boxes, scores, image_sizes(batch), strict=True)
            ]
        return {
            "bboxes": [each.boxes for each in found],
            "classes": [each.classes for each in found],
            "scores": [each.scores for each in found],
        }

    def _cells(self, outputs: Maps, batch: Batch) -> _Cells:
        check_levels(outputs["obj"], self.strides, tuple(batch["img"].shape[-2:]))
        sizes = [(each.shape[-2], each.shape[-1]) for each in outputs["obj"]]
        device = outputs["obj"][0].device
        points = torch.cat(grid_points(sizes, self.strides, device=device))
        strides = torch.cat(
            [
                torch.full((height * width,), float(stride), device=device)
                for (height, width), stride in zip(sizes, self.strides, strict=True)
            ]
        )
        half = strides[:, None] / 2
        # The square of one stride around the cell's left top corner.
        anchors = torch.cat([points - 2 * half, points], dim=1)
        return _Cells(
            cls=flatten_maps(outputs["cls"], self.num_classes),
            obj=flatten_maps(outputs["obj"], 1).squeeze(2),
            boxes=decode_boxes(anchors, flatten_maps(outputs["bbox"], 4)),
            points=points,
            strides=strides,
        )

    def _targets(
        self, cells: _Cells, pictures: Sequence[Objects]
    ) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """Which cells learn an object, which count in objectness; boxes, classes, IoUs."""
        learns, counts, boxes, classes, ious = [], [], [], [], []
        scores = (cells.cls.sigmoid() * cells.obj.sigmoid()[..., None]).detach().sqrt()
        for index, picture in enumerate(pictures):
            assigned = assign_simota(
                cells.boxes[index].detach(),
                scores[index],
                points=cells.points,
                strides=cells.strides,
                gt_boxes=picture.boxes,
                gt_classes=picture.classes,
                radius=self.radius,
            )
            learning = assigned.objects >= 0
            objects = assigned.objects[learning]
            learns.append(learning)
            counts.append(learning | ~_inside(cells.points, picture.ignored))
            boxes.append(picture.boxes[objects])
            classes.append(picture.classes[objects])
            ious.append(assigned.ious[learning])
        return (
            torch.stack(learns),  # (N, P) bool
            torch.stack(counts),  # (N, P) bool
            torch.cat(boxes),
            torch.cat(classes),
            torch.cat(ious),
        )


def _inside(points: Tensor, regions: Tensor) -> Tensor:
    """Which of P points are in any of K regions: bool (P,)."""
    low, high = regions[:, None, :2], regions[:, None, 2:]
    return ((points > low) & (points < high)).all(dim=2).any(dim=0)
