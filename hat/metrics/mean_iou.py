"""How well the pixels of each class were found: intersection over union."""

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from hat.metrics.confusion import ConfusionCounts
from hat.metrics.score_names import by_name


def iou_of_classes(counts: Tensor) -> Tensor:
    """Give the intersection over union of each class.

    Args:
        counts: Of `confusion_matrix`, int64 (C, C), rows are true classes.

    Returns:
        float64 (C,) in 0..1: true positives over those that are of the class or were taken
        for it; NaN for a class that neither occurs nor was predicted.

    Example:
        >>> iou_of_classes(torch.tensor([[3, 1], [0, 2]]))
        tensor([0.7500, 0.6667], dtype=torch.float64)
    """
    hits = counts.diag()
    return hits.double() / (counts.sum(dim=0) + counts.sum(dim=1) - hits)


class MeanIoU(ConfusionCounts):
    """Mean over classes of the intersection over union of the whole data set.

    Pixels are summed over all pictures and divided once at the end, as papers on Cityscapes,
    CamVid or ADE20K do. It is not the mean of the values of single pictures. A class that
    neither occurs nor was predicted has the value NaN and is left out of the mean.

    Args:
        num_classes: Number of classes.
        ignore_index: Pixels of `gt_seg` with this value do not count; at least `num_classes`.
        classes: Names of the classes; then each has a score too, `IoU_<class>`.
        name: What the score is called, after `train/` or `val/`.

    Raises:
        ValueError: If `classes` are not one for each class, or `ignore_index` is a class. On
            update, if a pixel holds what is no class, or the sizes differ.

    Example:
        >>> metric = MeanIoU(num_classes=2)
        >>> metric.update({"gt_seg": torch.tensor([[[0, 1]]])}, {"seg": torch.tensor([[[1, 1]]])})
        >>> metric.compute()  # (0 + 1/2) / 2
        tensor(0.2500, dtype=torch.float64)

    Reference:
        Everingham et al., The Pascal Visual Object Classes Challenge: A Retrospective, IJCV
        2015, section 4.3 (segmentation accuracy).
    """

    class_score = "IoU"

    def __init__(
        self,
        num_classes: int,
        ignore_index: int = 255,
        *,
        classes: Sequence[str] | None = None,
        name: str = "mIoU",
    ) -> None:
        super().__init__(
            num_classes,
            ignore_index,
            classes=classes,
            name=name,
            pred_key="seg",
            target_key="gt_seg",
        )

    def compute(self) -> Any:
        """Mean IoU in 0..1, float64 scalar; with `classes` a dict of it and of `IoU_<class>`."""
        of_classes = iou_of_classes(self.counts)
        return by_name(self.score_names, [of_classes.nanmean()], of_classes)
