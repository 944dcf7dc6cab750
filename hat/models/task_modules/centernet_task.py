"""What a CenterNet head learns, and which boxes it finds."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import l1_loss, max_pool2d
from torchvision.ops import clip_boxes_to_image

from hat.data.sample import Batch
from hat.models.boxes.heatmaps import draw_centers, gaussian_radii
from hat.models.boxes.points import check_levels, grid_points
from hat.models.losses.gaussian_focal_loss import GaussianFocalLoss
from hat.models.task_modules.task_module import TaskModule
from hat.models.truth import Objects, image_sizes, objects_of

Maps = Mapping[str, Sequence[Tensor]]


class CenterNetTask(TaskModule):
    """Detection of centres: a heatmap of each class, and size and offset at its peaks.

    A detection is a cell that is the highest of the nine around it, so none are left out by
    their overlap. Cells in ignored regions do not learn that there is no object.

    Args:
        num_classes: How many classes there are.
        stride: Pixels of `img` for each cell.
        cls_loss: Of logits and heatmaps, gives one value for each cell; by default
            `GaussianFocalLoss`.
        size_weight: Of the loss of sizes, which are in cells; the others have 1.
        min_iou: See `gaussian_radii`.
        score_threshold: Detections must be above this.
        max_detections: In one picture.

    Raises:
        ValueError: When called, if the maps do not have this stride, or `cls_loss` does not
            give one value for each cell.

    Example:
        >>> task = CenterNetTask(num_classes=3)
        >>> maps = CenterNetHead(8, num_classes=3)((torch.zeros(1, 8, 4, 4),))
        >>> batch = {
        ...     "img": torch.zeros(1, 3, 16, 16),
        ...     "gt_bboxes": [torch.tensor([[0.0, 0.0, 8.0, 8.0]])],
        ...     "gt_classes": [torch.tensor([2])],
        ... }
        >>> sorted(task.losses(maps, batch))
        ['cls', 'offset', 'size']

    Reference:
        Zhou et al., Objects as Points, 2019, eq. 1 to 4 and section 4. Sizes are in cells
        and not in pixels, as in the code that the authors published.
    """

    truth_keys = ("gt_bboxes", "gt_classes")

    def __init__(
        self,
        num_classes: int,
        stride: int = 4,
        *,
        cls_loss: nn.Module | None = None,
        size_weight: float = 0.1,
        min_iou: float = 0.7,
        score_threshold: float = 0.01,
        max_detections: int = 100,
    ) -> None:
        super().__init__()
        self.num_classes = num_classes
        self.stride = stride
        self.cls_loss = GaussianFocalLoss() if cls_loss is None else cls_loss
        self.size_weight = size_weight
        self.min_iou = min_iou
        self.score_threshold = score_threshold
        self.max_detections = max_detections

    def losses(self, outputs: Maps, batch: Batch) -> dict[str, Tensor]:
        """`cls`, `size` and `offset`, each a sum divided by the number of objects.

        Args:
            outputs: Of `CenterNetHead`.
            batch: `gt_bboxes` and `gt_classes`; also `gt_crowd` and `gt_ignore_bboxes`.

        Returns:
            Empty if the batch has no `gt_bboxes`.
        """
        if "gt_bboxes" not in batch:
            return {}
        cls, size, offset = self._maps(outputs, batch)
        pictures = objects_of(batch)
        boxes = torch.cat([picture.boxes for picture in pictures]) / self.stride  # (M, 4)
        which = torch.cat(
            [torch.full((len(p.boxes),), n, device=cls.device) for n, p in enumerate(pictures)]
        )
        centers = (boxes[:, :2] + boxes[:, 2:]) / 2
        cells = self._cells_of(centers, cls)
        column, row = cells.unbind(dim=1)
        num = max(len(boxes), 1)
        sizes, offsets = boxes[:, 2:] - boxes[:, :2], centers - cells
        size_loss = l1_loss(size[which, :, row, column], sizes, reduction="sum")
        return {
            "cls": self._heatmap_loss(cls, pictures) / num,
            "size": self.size_weight * size_loss / num,
            "offset": l1_loss(offset[which, :, row, column], offsets, reduction="sum") / num,
        }

    def predictions(self, outputs: Maps, batch: Batch) -> dict[str, Any]:
        """The detections of each picture, best first.

        Returns:
            Lists of N: `bboxes` (M, 4), XYXY within the picture, `classes` int64 (M,) and
            `scores` (M,).
        """
        with torch.no_grad():
            cls, size, offset = self._maps(outputs, batch)
            heat = cls.sigmoid()
            peaks = heat * (heat == max_pool2d(heat, 3, stride=1, padding=1))
            _, _, height, width = heat.shape
            num = min(self.max_detections, peaks[0].numel())
            scores, places = peaks.flatten(1).topk(num, dim=1)  # (N, K)
            classes, cells = places // (height * width), places % (height * width)
            boxes = self._boxes(cells, size, offset)  # (N, K, 4)
            keep = scores > self.score_threshold
        limits = image_sizes(batch)
        return {
            "bboxes": [
                clip_boxes_to_image(each[kept], limit)
                for each, kept, limit in zip(boxes, keep, limits, strict=True)
            ],
            "classes": [each[kept] for each, kept in zip(classes, keep, strict=True)],
            "scores": [each[kept] for each, kept in zip(scores, keep, strict=True)],
        }

    def _maps(self, outputs: Maps, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
        height, width = batch["img"].shape[-2:]
        check_levels(outputs["cls"], [self.stride], (height, width))
        (cls,), (size,), (offset,) = outputs["cls"], outputs["size"], outputs["offset"]
        return cls.float(), size.float(), offset.float()

    def _cells_of(self, centers: Tensor, cls: Tensor) -> Tensor:
        """Column and row of the cells that hold M centres, int64 (M, 2)."""
        last = centers.new_tensor([cls.shape[3] - 1, cls.shape[2] - 1])
        return centers.floor().clamp(min=0).minimum(last).long()

    def _heatmap_loss(self, cls: Tensor, pictures: Sequence[Objects]) -> Tensor:
        heatmaps = torch.stack([self._heatmap(cls, picture) for picture in pictures])
        values = self.cls_loss(cls, heatmaps)
        if values.shape != cls.shape:
            raise ValueError(
                f"cls_loss gave {tuple(values.shape)} for maps of {tuple(cls.shape)}: it must "
                "give one value for each cell, without a mean"
            )
        ignored = torch.stack([self._ignored(cls, picture) for picture in pictures])
        counts = (heatmaps == 1) | ~ignored[:, None]
        return (values * counts).sum()

    def _heatmap(self, cls: Tensor, picture: Objects) -> Tensor:
        boxes = picture.boxes / self.stride
        return draw_centers(
            self._cells_of((boxes[:, :2] + boxes[:, 2:]) / 2, cls),
            gaussian_radii(boxes[:, 2:] - boxes[:, :2], min_iou=self.min_iou),
            picture.classes,
            num_classes=self.num_classes,
            size=(cls.shape[2], cls.shape[3]),
        )

    def _ignored(self, cls: Tensor, picture: Objects) -> Tensor:
        """Which cells have their centre in an ignored region: bool (h, w)."""
        height, width = cls.shape[2:]
        (points,) = grid_points([(height, width)], [self.stride], device=cls.device)
        low, high = picture.ignored[:, None, :2], picture.ignored[:, None, 2:]
        inside = ((points > low) & (points < high)).all(dim=2).any(dim=0)
        return inside.reshape(height, width)

    def _boxes(self, cells: Tensor, size: Tensor, offset: Tensor) -> Tensor:
        """XYXY in pixels from K cells of each picture: (N, K, 4)."""
        at = cells[:, None, :].expand(-1, 2, -1)  # (N, 2, K)
        sizes = size.flatten(2).gather(2, at).transpose(1, 2).clamp(min=0)
        offsets = offset.flatten(2).gather(2, at).transpose(1, 2)
        width = size.shape[3]
        centers = torch.stack([cells % width, cells // width], dim=2) + offsets
        return torch.cat([centers - sizes / 2, centers + sizes / 2], dim=2) * self.stride
