"""Scores of a segmentation head into losses and the class of every pixel."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from hat.data.sample import Batch
from hat.models.losses.cross_entropy_loss import CrossEntropyLoss
from hat.models.task_modules.task_module import TaskModule


class SegmentationTask(TaskModule):
    """Losses and predictions of semantic segmentation, at full resolution.

    Scores come at any resolution and are brought to that of the labels, or of the picture, by
    bilinear interpolation (pixel centres aligned, not corners).

    Args:
        num_classes: Scores of each pixel.
        losses: By name, each called with scores before softmax (N, num_classes, H, W) and
            `gt_seg` (N, H, W), giving a scalar mean. By default `ce`, cross entropy over
            the labelled pixels, which is 0 where no pixel is labelled.
        aux_weight: Factor on the losses of auxiliary heads, 0 or more; they are called
            `aux0_ce`, `aux1_ce` and so on.
        ignore_index: Label of pixels that the default loss leaves out. Losses that are
            given have their own.

    Raises:
        ValueError: If an argument is out of range; when called, if the scores have
            another number of classes, or the labels are not (N, H, W).

    Example:
        >>> task = SegmentationTask(num_classes=2)
        >>> batch = {"img": torch.zeros(1, 3, 8, 8), "gt_seg": torch.zeros(1, 8, 8).long()}
        >>> outputs = {"seg": torch.zeros(1, 2, 2, 2)}
        >>> task.losses(outputs, batch)
        {'ce': tensor(0.6931)}
        >>> task.predictions(outputs, batch)["seg"].shape
        torch.Size([1, 8, 8])

    Reference:
        Long et al., Fully Convolutional Networks for Semantic Segmentation, CVPR 2015,
        section 4; the auxiliary losses are those of Zhao et al., Pyramid Scene Parsing
        Network, CVPR 2017, section 3.3, whose weight is 0.4 too.
    """

    truth_keys = ("gt_seg",)

    def __init__(
        self,
        num_classes: int,
        losses: Mapping[str, nn.Module] | None = None,
        aux_weight: float = 0.4,
        *,
        ignore_index: int = 255,
    ) -> None:
        super().__init__()
        if num_classes < 1:
            raise ValueError(f"num_classes must be at least 1, got {num_classes}")
        if aux_weight < 0:
            raise ValueError(f"aux_weight must be 0 or more, got {aux_weight}")
        if losses is not None and not losses:
            raise ValueError("SegmentationTask needs at least one loss, got losses={}")
        self.num_classes = num_classes
        self.aux_weight = aux_weight
        self.terms = nn.ModuleDict(losses or {"ce": CrossEntropyLoss(ignore_index=ignore_index)})

    def losses(self, outputs: Tensor | dict[str, Any], batch: Batch) -> dict[str, Tensor]:
        """Named scalars, weighted; none where the batch has no `gt_seg`.

        Args:
            outputs: `seg` (N, num_classes, h, w), and `aux`, a tuple of the same kind; or
                `seg` by itself.
            batch: `gt_seg`, int64 (N, H, W).
        """
        if "gt_seg" not in batch:
            return {}
        labels = batch["gt_seg"]
        outputs = _by_name(outputs)
        found = self._losses_of(outputs["seg"], labels)
        for index, scores in enumerate(outputs.get("aux", ())):
            for name, value in self._losses_of(scores, labels).items():
                found[f"aux{index}_{name}"] = self.aux_weight * value
        return found

    def predictions(self, outputs: Tensor | dict[str, Any], batch: Batch) -> dict[str, Tensor]:
        """The best class of every pixel: `seg`, int64 (N, H, W), in the size of `img`."""
        scores = self._checked(_by_name(outputs)["seg"].detach()).float()
        size = batch["img"].shape[-2:]
        # One picture at a time: full scores of a whole batch can be gigabytes. `max` finds the
        # same index as `argmax`, several times faster along a dimension that is not the last.
        classes = [_resized(one, size).max(dim=1).indices for one in scores.split(1)]
        return {"seg": torch.cat(classes)}

    def _losses_of(self, scores: Tensor, labels: Tensor) -> dict[str, Tensor]:
        if labels.ndim != 3 or len(labels) != len(scores):
            raise ValueError(
                f"gt_seg must be (N, H, W) with N = {len(scores)}, got {tuple(labels.shape)}"
            )
        logits = _resized(self._checked(scores).float(), labels.shape[-2:])
        return {name: loss(logits, labels) for name, loss in self.terms.items()}

    def _checked(self, scores: Tensor) -> Tensor:
        if scores.ndim != 4 or scores.shape[1] != self.num_classes:
            raise ValueError(
                f"scores must be (N, num_classes={self.num_classes}, h, w), got "
                f"{tuple(scores.shape)}: give head and task the same num_classes"
            )
        return scores


def _by_name(outputs: Tensor | dict[str, Any]) -> dict[str, Any]:
    return {"seg": outputs} if isinstance(outputs, Tensor) else outputs


def _resized(scores: Tensor, size: torch.Size) -> Tensor:
    """Scores of the wanted (H, W); left alone where they have it."""
    if scores.shape[-2:] == size:
        return scores
    # Few classes innermost, as after a network with channels last, take a seventh longer on a CPU,
    # and the softmax that follows copies them.
    return F.interpolate(scores.contiguous(), size=size, mode="bilinear", align_corners=False)
