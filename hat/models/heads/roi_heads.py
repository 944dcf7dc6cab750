"""The second stage of Faster R-CNN and Mask R-CNN: what is in each proposal."""

from collections.abc import Mapping, Sequence
from itertools import pairwise

import torch
from torch import Tensor
from torchvision.models.detection import roi_heads
from torchvision.models.detection.faster_rcnn import FastRCNNPredictor, TwoMLPHead
from torchvision.models.detection.mask_rcnn import MaskRCNNHeads, MaskRCNNPredictor
from torchvision.ops import MultiScaleRoIAlign

from hat.models.losses.inputs import at_least_float32

Detections = list[dict[str, Tensor]]


class RoIHeads(roi_heads.RoIHeads):
    """Class, box and, if asked for, mask of each proposal; torchvision's, with its weights' names.

    Features of a proposal are cut out of the level of the pyramid that fits its size, 7x7 for
    its class and box, 14x14 for its mask.

    Args:
        in_channels: Channels of every level.
        num_classes: Classes to tell apart, the background not counted.
        strides: Pixels of the picture between two places of each level that is used, finest
            first, each twice the one before. Further levels are left out.
        hidden_channels: Of the two linear layers before class and box.
        num_samples: Proposals of a picture that the losses see, at most a quarter of them on
            objects.
        score_threshold: Detections must be above this.
        nms_threshold: Of two detections of a class with an IoU above this, the better stays.
        max_detections: Of one picture.
        with_masks: Whether to predict masks, as Mask R-CNN does; training then needs `gt_masks`.
        mask_channels: Of the four convolutions before the mask and the one that enlarges it.

    Attributes:
        strides: As given, a tuple.

    Raises:
        ValueError: If `num_classes` is below 1, or the strides are not as they must be.

    Example:
        >>> heads = RoIHeads(8, num_classes=3, strides=[4, 8]).eval()
        >>> features = (torch.zeros(1, 8, 16, 16), torch.zeros(1, 8, 8, 8))
        >>> found, losses = heads(features, [torch.tensor([[0.0, 0.0, 32.0, 32.0]])], [(64, 64)])
        >>> sorted(found[0])
        ['boxes', 'labels', 'scores']

    Reference:
        Ren et al., Faster R-CNN, NeurIPS 2015; He et al., Mask R-CNN, ICCV 2017, section 3 and
        figure 4 (right); which level fits: Lin et al., Feature Pyramid Networks, CVPR 2017,
        eq. 1.
    """

    def __init__(
        self,
        in_channels: int = 256,
        num_classes: int = 80,
        *,
        strides: Sequence[int] = (4, 8, 16, 32),
        hidden_channels: int = 1024,
        num_samples: int = 512,
        score_threshold: float = 0.05,
        nms_threshold: float = 0.5,
        max_detections: int = 100,
        with_masks: bool = False,
        mask_channels: int = 256,
    ) -> None:
        _check(num_classes, strides)
        super().__init__(
            _pooling(strides, 7),
            TwoMLPHead(in_channels * 7 * 7, hidden_channels),
            _BoxPredictor(hidden_channels, num_classes + 1),
            fg_iou_thresh=0.5,
            bg_iou_thresh=0.5,
            batch_size_per_image=num_samples,
            positive_fraction=0.25,
            bbox_reg_weights=(10.0, 10.0, 5.0, 5.0),
            score_thresh=score_threshold,
            nms_thresh=nms_threshold,
            detections_per_img=max_detections,
        )
        if with_masks:
            self.mask_roi_pool = _pooling(strides, 14)
            self.mask_head = MaskRCNNHeads(in_channels, (mask_channels,) * 4, 1)
            self.mask_predictor = _MaskPredictor(mask_channels, mask_channels, num_classes + 1)
        self.in_channels = in_channels
        self.num_classes = num_classes
        self.strides = tuple(strides)

    def forward(
        self,
        features: Sequence[Tensor],
        proposals: Sequence[Tensor],
        image_sizes: Sequence[tuple[int, int]],
        targets: Sequence[Mapping[str, Tensor]] | None = None,
    ) -> tuple[Detections, dict[str, Tensor]]:
        """Detections in evaluation, losses in training, in torchvision's conventions.

        Args:
            features: One (N, C, h, w) for each level, finest first.
            proposals: Of each picture, XYXY in pixels, (P, 4).
            image_sizes: (H, W) of each picture without padding.
            targets: For each picture `boxes` (M, 4), `labels` (M,) from 1, 0 being the
                background, and with masks `masks` (M, H, W); needed in training alone.

        Returns:
            For each picture `boxes` (D, 4), `labels` (D,) from 1, `scores` (D,), and with masks
            `masks`, probabilities (D, 1, 28, 28) inside the box; and the losses `roi_cls`,
            `roi_bbox` and `roi_mask`.
        """
        levels = {str(number): level for number, level in enumerate(features)}
        found, losses = super().forward(levels, list(proposals), list(image_sizes), targets)
        return found, {_LOSSES[name]: loss for name, loss in losses.items()}


_LOSSES = {"loss_classifier": "roi_cls", "loss_box_reg": "roi_bbox", "loss_mask": "roi_mask"}


class _BoxPredictor(FastRCNNPredictor):
    """Gives float32 under autocast too: the 8 bits of bfloat16 know no fractions of a pixel."""

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        scores, deltas = super().forward(x)
        return at_least_float32(scores), at_least_float32(deltas)


class _MaskPredictor(MaskRCNNPredictor):
    """Gives float32 under autocast too."""

    def forward(self, x: Tensor) -> Tensor:
        return at_least_float32(super().forward(x))


def _pooling(strides: Sequence[int], size: int) -> MultiScaleRoIAlign:
    pooling = MultiScaleRoIAlign([str(level) for level in range(len(strides))], size, 2)
    # It derives its scales from the first batch that it sees, by rounding, which may be wrong
    # for small pictures and padded ones. So it sees maps of just the right size first.
    side = strides[-1]
    maps = {str(level): torch.zeros(1, 1, side // s, side // s) for level, s in enumerate(strides)}
    pooling(maps, [torch.zeros(1, 4)], [(side, side)])
    return pooling


def _check(num_classes: int, strides: Sequence[int]) -> None:
    if num_classes < 1:
        raise ValueError(f"RoIHeads needs num_classes of 1 or more, got {num_classes}")
    doubles = all(2 * fine == coarse for fine, coarse in pairwise(strides))
    if not strides or strides[0].bit_count() != 1 or not doubles:
        raise ValueError(
            "strides of RoIHeads must be powers of two, each twice the one before, such as "
            f"[4, 8, 16, 32], got {list(strides)}"
        )
