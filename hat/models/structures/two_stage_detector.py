"""Detection in two stages: backbone, neck, proposals, then what is in each of them."""

from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.models.detection.roi_heads import paste_masks_in_image

from hat.data.sample import Batch
from hat.models.compiling import compile_parts
from hat.models.heads.region_proposal_network import RegionProposalNetwork
from hat.models.heads.roi_heads import RoIHeads
from hat.models.links import check_links
from hat.models.output import ModelOutput
from hat.models.truth import image_sizes, objects_of
from hat.models.weights import load_weights


class TwoStageDetector(nn.Module):
    """Boxes, and masks if the second stage makes them: Faster R-CNN and Mask R-CNN.

    Crowds and `gt_ignore_bboxes` are no objects: what is found there counts as background. In
    evaluation there are no losses, as torchvision's second stage has them in training alone.

    Args:
        backbone: Pictures (N, 3, H, W) into a tuple of features, finest first.
        neck: From the tuple of features to the levels of a pyramid, such as
            `FPN(..., extra="pool")`.
        rpn: The first stage, on all levels.
        roi_heads: The second stage, on the levels that its `strides` name.
        weights: A local file, or a checkpoint folder, with weights of this whole model.

    Raises:
        ValueError: If the parts have different channels or strides, or the weights do not fit.

    Example:
        >>> model = TwoStageDetector(
        ...     ConvNet([8, 8]),
        ...     FPN([8, 8], 8),
        ...     RegionProposalNetwork(8, strides=[2, 4], anchor_sizes=[8, 16]),
        ...     RoIHeads(8, num_classes=3, strides=[2, 4], hidden_channels=16),
        ... ).eval()
        >>> len(model({"img": torch.zeros(2, 3, 32, 32)}).preds["bboxes"])
        2

    Reference:
        Ren et al., Faster R-CNN, NeurIPS 2015; He et al., Mask R-CNN, ICCV 2017.
    """

    def __init__(
        self,
        backbone: nn.Module,
        neck: nn.Module,
        rpn: RegionProposalNetwork,
        roi_heads: RoIHeads,
        weights: str | None = None,
    ) -> None:
        super().__init__()
        check_links(backbone=backbone, neck=neck, head=rpn, head_name="rpn")
        check_links(backbone=backbone, neck=neck, head=roi_heads, head_name="roi_heads")
        if rpn.strides[: len(roi_heads.strides)] != roi_heads.strides:
            raise ValueError(
                f"roi_heads.strides is {list(roi_heads.strides)}, rpn.strides "
                f"{list(rpn.strides)}: the two must begin with the same levels"
            )
        self.backbone = backbone
        self.neck = neck
        self.rpn = rpn
        self.roi_heads = roi_heads
        if weights is not None:
            load_weights(self, weights)

    def network(self, img: Tensor) -> dict[str, tuple[Tensor, ...]]:
        """The pyramid `features`, and `cls` and `bbox` of the first stage on each level.

        This is the part that is compiled and exported: the second stage has as many inputs as
        there are proposals.
        """
        features = self.neck(self.backbone(img))
        return {"features": features, **self.rpn(features)}

    def forward(self, batch: Batch) -> ModelOutput:
        """Losses in training where the batch has truth; boxes in evaluation.

        Args:
            batch: `img` (N, 3, H, W) float32, normalised; `gt_bboxes` and `gt_classes`, and
                `gt_masks` if there are to be masks.

        Returns:
            Losses `rpn_cls`, `rpn_bbox`, `roi_cls`, `roi_bbox` and `roi_mask`; in evaluation
            `bboxes` (M, 4), `classes` (M,), `scores` (M,) and `masks` bool (M, H, W) of each
            picture, best first.
        """
        if self.training and "gt_bboxes" not in batch:
            return ModelOutput({}, {})
        sizes = image_sizes(batch)
        padded_size = (batch["img"].shape[2], batch["img"].shape[3])
        targets = self._targets(batch) if self.training else None
        outputs = self.network(batch["img"])
        proposals, rpn_losses = self.rpn.propose(outputs, sizes, padded_size, targets)
        found, roi_losses = self.roi_heads(outputs["features"], proposals, sizes, targets)
        preds = {} if self.training else _preds(found, sizes, padded_size)
        return ModelOutput({**rpn_losses, **roi_losses}, preds)

    def compile(self, **options: Any) -> None:
        """Compile the network with `torch.compile`; what follows runs as it is."""
        compile_parts(self.backbone, self.neck, self.rpn, **options)

    def _targets(self, batch: Batch) -> list[dict[str, Tensor]]:
        """The truth as torchvision has it: labels from 1, as 0 is the background."""
        objects = objects_of(batch)
        targets = [{"boxes": each.boxes, "labels": each.classes + 1} for each in objects]
        for index, target in enumerate(targets):
            _check_boxes(target["boxes"], index)
        if self.roi_heads.has_mask():
            if "gt_masks" not in batch:
                raise ValueError(
                    "roi_heads has with_masks=True, but the batch has no 'gt_masks': read them, "
                    "as CocoDataset does with with_masks=True, or set with_masks=False"
                )
            for each, target, masks in zip(objects, targets, batch["gt_masks"], strict=True):
                target["masks"] = masks.as_subclass(Tensor)[each.kept]
        return targets


def _check_boxes(boxes: Tensor, index: int) -> None:
    is_empty = (boxes[:, 2:] <= boxes[:, :2]).any(dim=1)
    if is_empty.any():
        box = boxes[is_empty][0].tolist()
        raise ValueError(
            f"picture {index} of the batch has a box without area, {box} (XYXY), which cannot be "
            "learnt: leave such boxes out with the transform FilterBoxes"
        )


def _preds(
    found: list[dict[str, Tensor]], sizes: list[tuple[int, int]], padded_size: tuple[int, int]
) -> dict[str, Any]:
    """What torchvision found, in HAT's keys: classes from 0, masks over the whole picture."""
    preds = {
        "bboxes": [each["boxes"].detach() for each in found],
        "classes": [each["labels"] - 1 for each in found],
        "scores": [each["scores"].detach() for each in found],
    }
    if "masks" in found[0]:
        preds["masks"] = [
            _whole_masks(each, size, padded_size) for each, size in zip(found, sizes, strict=True)
        ]
    return preds


def _whole_masks(
    found: dict[str, Tensor], size: tuple[int, int], padded_size: tuple[int, int]
) -> Tensor:
    """Masks at half probability, bool (M, H, W) as `gt_masks` of a padded batch is."""
    masks = paste_masks_in_image(found["masks"].detach(), found["boxes"].detach(), size)[:, 0] > 0.5
    margins = (0, padded_size[1] - size[1], 0, padded_size[0] - size[0])
    return F.pad(masks, margins)
