"""The first stage of Faster R-CNN: where there may be an object, of whatever class."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor
from torchvision.models.detection import rpn
from torchvision.models.detection.anchor_utils import AnchorGenerator

from hat.models.boxes.points import check_levels, flatten_maps


class RegionProposalNetwork(rpn.RegionProposalNetwork):
    """Proposals of boxes from every level of a pyramid; torchvision's, with its weights' names.

    As a head it gives one score and four deltas for each anchor. `propose` makes boxes of
    them, and the losses.

    Args:
        in_channels: Channels of every level.
        strides: Pixels of the picture between two places of each level, finest first.
        anchor_sizes: Side of a square anchor of each level, in pixels.
        aspect_ratios: Height over width of the anchors of every place.
        num_samples: Anchors of a picture that the losses see, at most half of them on objects.
        num_candidates: Best anchors of each level before NMS, in training and in evaluation.
        num_proposals: Best boxes of a picture after NMS, in training and in evaluation.
        nms_threshold: Of two proposals of a level with an IoU above this, the better stays.

    Attributes:
        strides: As given, a tuple.

    Raises:
        ValueError: If there are not as many anchor sizes as strides.

    Example:
        >>> head = RegionProposalNetwork(8, strides=[4, 8], anchor_sizes=[16, 32])
        >>> outputs = head((torch.zeros(2, 8, 16, 16), torch.zeros(2, 8, 8, 8)))
        >>> outputs["cls"][0].shape, outputs["bbox"][1].shape
        (torch.Size([2, 3, 16, 16]), torch.Size([2, 12, 8, 8]))

    Reference:
        Ren et al., Faster R-CNN, NeurIPS 2015, section 3.1; the anchors of each level are
        those of Lin et al., Feature Pyramid Networks, CVPR 2017, section 4.1. Anchors with an
        IoU of 0.7 are positive, those below 0.3 negative. torchvision derives strides from
        the size of the picture, by integer division: here they are given, so that any size
        of picture will do.
    """

    def __init__(
        self,
        in_channels: int = 256,
        *,
        strides: Sequence[int] = (4, 8, 16, 32, 64),
        anchor_sizes: Sequence[int] = (32, 64, 128, 256, 512),
        aspect_ratios: Sequence[float] = (0.5, 1.0, 2.0),
        num_samples: int = 256,
        num_candidates: tuple[int, int] = (2000, 1000),
        num_proposals: tuple[int, int] = (2000, 1000),
        nms_threshold: float = 0.7,
    ) -> None:
        if len(strides) != len(anchor_sizes):
            raise ValueError(
                f"RegionProposalNetwork has {len(strides)} strides and {len(anchor_sizes)} "
                "anchor_sizes: give one size for each level"
            )
        super().__init__(
            AnchorGenerator(
                tuple((size,) for size in anchor_sizes), (tuple(aspect_ratios),) * len(strides)
            ),
            rpn.RPNHead(in_channels, len(aspect_ratios)),
            fg_iou_thresh=0.7,
            bg_iou_thresh=0.3,
            batch_size_per_image=num_samples,
            positive_fraction=0.5,
            pre_nms_top_n=_by_mode(num_candidates),
            post_nms_top_n=_by_mode(num_proposals),
            nms_thresh=nms_threshold,
        )
        self.in_channels = in_channels
        self.strides = tuple(strides)

    def forward(self, features: Sequence[Tensor]) -> dict[str, tuple[Tensor, ...]]:
        """Raw outputs of each level.

        Returns:
            `cls`: scores before the sigmoid, (N, A, h, w) for A aspect ratios; `bbox`: deltas
            to the anchors, (N, A * 4, h, w).
        """
        scores, deltas = self.head(list(features))
        return {"cls": tuple(scores), "bbox": tuple(deltas)}

    def propose(
        self,
        outputs: Mapping[str, Sequence[Tensor]],
        image_sizes: Sequence[tuple[int, int]],
        padded_size: tuple[int, int],
        targets: Sequence[Mapping[str, Tensor]] | None = None,
    ) -> tuple[list[Tensor], dict[str, Tensor]]:
        """Boxes of raw outputs, and in training how far off these are.

        Args:
            outputs: Of `forward`.
            image_sizes: (H, W) of each picture without padding, to which boxes are clipped.
            padded_size: (H, W) of the batch.
            targets: For each picture its `boxes` (M, 4); needed in training alone.

        Returns:
            Proposals (P, 4) of each picture, XYXY in pixels, best first; and the losses
            `rpn_cls` and `rpn_bbox`, none without `targets`.
        """
        check_levels(outputs["cls"], self.strides, padded_size)
        scores = flatten_maps(outputs["cls"], 1)  # (N, P, 1)
        deltas = flatten_maps(outputs["bbox"], 4).flatten(0, 1)  # (N * P, 4)
        anchors = [self._anchors(outputs["cls"])] * len(scores)
        boxes = self.box_coder.decode(deltas.detach(), anchors).view(len(scores), -1, 4)
        num_anchors = [level[0].numel() for level in outputs["cls"]]
        proposals, _ = self.filter_proposals(boxes, scores, list(image_sizes), num_anchors)
        dtype = torch.promote_types(outputs["cls"][0].dtype, torch.float32)
        proposals = [each.to(dtype) for each in proposals]  # of the features, but for autocast
        if targets is None:
            return proposals, {}
        labels, matched = self.assign_targets_to_anchors(anchors, list(targets))
        cls, bbox = self.compute_loss(
            scores, deltas, labels, self.box_coder.encode(matched, anchors)
        )
        return proposals, {"rpn_cls": cls, "rpn_bbox": bbox}

    def _anchors(self, maps: Sequence[Tensor]) -> Tensor:
        """Those of all levels, float32 (P, 4); under autocast the maps are no float32."""
        generator = self.anchor_generator
        generator.set_cell_anchors(torch.float32, maps[0].device)
        sizes = [list(level.shape[-2:]) for level in maps]
        return torch.cat(generator.grid_anchors(sizes, [[s, s] for s in self.strides]))


def _by_mode(numbers: tuple[int, int]) -> dict[str, int]:
    return {"training": numbers[0], "testing": numbers[1]}
