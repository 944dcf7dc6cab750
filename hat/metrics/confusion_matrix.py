"""Which classes were taken for which."""

from typing import Any

from torch import Tensor

from hat.metrics.confusion import ConfusionCounts
from hat.metrics.figures import axes_or_new

#: With more classes the numbers in the cells of a plot would not be read.
_MAX_CLASSES_WITH_NUMBERS = 20


class ConfusionMatrix(ConfusionCounts):
    """How often each true class was predicted as each class, over a data set.

    It is a table and no score, so nothing is written of it: `compute` it, or `plot` it, after
    validation. For pixels give `pred_key="seg"`, `target_key="gt_seg"`, `ignore_index=255`.

    Args:
        num_classes: Number of classes.
        ignore_index: Label of samples or pixels that do not count; at least `num_classes`.
        classes: Names of the classes, for the plot.
        name: What it is called in a checkpoint; by default `confusion`.
        pred_key: Key of the predicted classes, or of scores of each class.
        target_key: Key of the true classes.

    Example:
        >>> metric = ConfusionMatrix(num_classes=2, classes=["cat", "dog"])
        >>> logits = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.0, 1.0]])
        >>> metric.update({"label": torch.tensor([0, 1, 0])}, {"logits": logits})
        >>> metric.compute()
        tensor([[1, 1],
                [0, 1]])
        >>> figure, _ = metric.plot()
        >>> figure.savefig("confusion.png")
    """

    higher_is_better = None
    default_name = "confusion"

    @property
    def score_names(self) -> list[str]:
        """None: a table is no score."""
        return []

    def compute(self) -> Tensor:
        """Counts, int64 (num_classes, num_classes): rows are true classes."""
        return self.counts

    def plot(self, ax: Any = None) -> tuple[Any, Any]:
        """Draw the share of each true class that was predicted as each class.

        Args:
            ax: Axes of matplotlib to draw in; None makes a figure.

        Returns:
            Figure and axes.

        Raises:
            ImportError: If matplotlib is not installed.
        """
        counts = self.compute().cpu().double()
        shares = (counts / counts.sum(dim=1, keepdim=True)).numpy()
        inches = 2.5 + 0.4 * self.num_classes
        figure, ax = axes_or_new(ax, (inches, inches))
        # A class that does not occur has the share NaN, which is drawn as an empty row.
        image = ax.imshow(shares, vmin=0, vmax=1, cmap="Blues")
        names = self.classes or [str(each) for each in range(self.num_classes)]
        ax.set_xticks(range(len(names)), names, rotation=45, ha="right", rotation_mode="anchor")
        ax.set_yticks(range(len(names)), names)
        ax.set(xlabel="predicted", ylabel="true")
        figure.colorbar(image, ax=ax, label="share of the true class", shrink=0.8)
        if self.num_classes <= _MAX_CLASSES_WITH_NUMBERS:
            _write_shares(ax, shares)
        return figure, ax


def _write_shares(ax: Any, shares: Any) -> None:
    for row, of_row in enumerate(shares):
        for column, share in enumerate(of_row):
            if share >= 0.005:  # what would be written as 0.00 is not; nor is NaN
                color = "white" if share > 0.5 else "black"
                ax.text(column, row, f"{share:.2f}", ha="center", va="center", color=color)
