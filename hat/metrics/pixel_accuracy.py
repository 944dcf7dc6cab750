"""The share of pixels whose class was found."""

from collections.abc import Sequence
from typing import Any

from hat.metrics.confusion import ConfusionCounts
from hat.metrics.score_names import by_name, names_in_task


class PixelAccuracy(ConfusionCounts):
    """Share of all labelled pixels whose class was found, and its mean over classes.

    Sums are over the whole data set. `mean_acc` is the mean over classes of the share of a
    class's pixels that was found; classes that do not occur are NaN and left out of it.

    Args:
        num_classes: Number of classes.
        ignore_index: Pixels of `gt_seg` with this value do not count; at least `num_classes`.
        classes: Names of the classes; then each has a score too, `acc_<class>`.
        name: What the share of all pixels is called, after `train/` or `val/`.

    Raises:
        ValueError: If `classes` are not one for each class, or `ignore_index` is a class. On
            update, if a pixel holds what is no class, or the sizes differ.

    Example:
        >>> metric = PixelAccuracy(num_classes=2)
        >>> batch = {"gt_seg": torch.tensor([[[0, 0, 0, 1]]])}
        >>> metric.update(batch, {"seg": torch.tensor([[[0, 0, 1, 1]]])})
        >>> {name: round(float(value), 3) for name, value in metric.compute().items()}
        {'pixel_acc': 0.75, 'mean_acc': 0.833}

    Reference:
        Long et al., Fully Convolutional Networks for Semantic Segmentation, CVPR 2015,
        section 5 (pixel accuracy, mean accuracy).
    """

    class_score = "acc"

    def __init__(
        self,
        num_classes: int,
        ignore_index: int = 255,
        *,
        classes: Sequence[str] | None = None,
        name: str = "pixel_acc",
    ) -> None:
        super().__init__(
            num_classes,
            ignore_index,
            classes=classes,
            name=name,
            pred_key="seg",
            target_key="gt_seg",
        )

    @property
    def score_names(self) -> list[str]:
        """Both shares, then that of each class that has a name."""
        return names_in_task(self.name, "mean_acc", *(f"acc_{each}" for each in self.classes))

    def compute(self) -> Any:
        """Both shares in 0..1, float64, by name; with `classes` also `acc_<class>`."""
        hits = self.counts.diag().double()
        of_classes = hits / self.counts.sum(dim=1)
        return by_name(
            self.score_names, [hits.sum() / self.counts.sum(), of_classes.nanmean()], of_classes
        )
