"""How often each true class was taken for each class: what many scores are made of."""

from collections.abc import Sequence
from typing import Any

import torch
import torchmetrics
from torch import Tensor

from hat.data.sample import Batch
from hat.metrics.score_names import names_in_task


def confusion_matrix(
    labels: Tensor, preds: Tensor, *, num_classes: int, ignore_index: int | None = None
) -> Tensor:
    """Count how often each true class was predicted as each class.

    Args:
        labels: True classes, of an integer type, any shape.
        preds: Predicted classes, of an integer type, shape of `labels`.
        num_classes: Both are below it.
        ignore_index: What `labels` hold where nothing is counted; `num_classes` or above.

    Returns:
        int64 (num_classes, num_classes): rows are true classes, columns predicted ones.

    Raises:
        ValueError: If the shapes differ, or a value is neither a class nor `ignore_index`.

    Example:
        >>> labels, preds = torch.tensor([0, 0, 1, 255]), torch.tensor([0, 1, 1, 1])
        >>> confusion_matrix(labels, preds, num_classes=2, ignore_index=255)
        tensor([[1, 1],
                [0, 1]])
    """
    if labels.shape != preds.shape:
        raise ValueError(
            f"labels and predicted classes need one shape, got {tuple(labels.shape)} and "
            f"{tuple(preds.shape)}"
        )
    # The row of `ignore_index` is counted and dropped: six times faster than to drop its
    # pixels first, which copies both tensors.
    num_rows = num_classes if ignore_index is None else max(num_classes, ignore_index + 1)
    check_classes("predicted classes", preds, num_classes)
    check_classes("labels", labels, num_classes, ignore_index)
    pairs = labels.long() * num_classes + preds
    counts = torch.bincount(pairs.flatten(), minlength=num_rows * num_classes)
    counts = counts.view(num_rows, num_classes)
    between = counts[num_classes:-1].sum(dim=1).nonzero()
    if len(between):  # labels from num_classes to ignore_index, which are neither
        raise ValueError(_no_class("labels", num_classes + int(between[-1]), num_classes))
    return counts[:num_classes]


def check_classes(
    what: str, values: Tensor, num_classes: int, ignore_index: int | None = None
) -> None:
    """Refuse values below 0, or above all classes and `ignore_index`.

    Raises:
        ValueError: If there is one.
    """
    if values.numel() == 0:
        return
    least, most = (int(value) for value in torch.aminmax(values))
    if least < 0 or (most >= num_classes and most > (ignore_index or 0)):
        raise ValueError(_no_class(what, least if least < 0 else most, num_classes))


def _no_class(what: str, value: int, num_classes: int) -> str:
    return (
        f"{what} hold {value}, which is none of the {num_classes} classes from 0: set num_classes "
        "to that of the data set, and ignore_index to what it has where nothing is labelled"
    )


class ConfusionCounts(torchmetrics.Metric):
    """What is computed of the confusion matrix of a data set, which it sums over batches.

    The counts are int64, so they are exact, and are summed over processes.

    Args:
        num_classes: Number of classes.
        ignore_index: What the truth holds where nothing is counted; at least `num_classes`.
        classes: Names of the classes; then each has a score too.
        name: What the first score is called, after `train/` or `val/`.
        pred_key: Key of the predicted classes, or of float scores (N, num_classes, ...), of
            which the best counts.
        target_key: Key of the true classes, or of mixed labels: float (N, num_classes, ...),
            of which the largest counts.

    Raises:
        ValueError: If `classes` are not one for each class, or `ignore_index` is a class. On
            update, if a value is no class, or the shapes differ.
    """

    higher_is_better: Any = True
    full_state_update = False
    #: The name of the score if none is given.
    default_name = ""
    #: Scores of single classes are called `<this>_<class>`.
    class_score = ""
    counts: Tensor

    def __init__(
        self,
        num_classes: int,
        ignore_index: int | None = None,
        *,
        classes: Sequence[str] | None = None,
        name: str | None = None,
        pred_key: str = "logits",
        target_key: str = "label",
    ) -> None:
        super().__init__()
        if classes is not None and len(classes) != num_classes:
            raise ValueError(f"got {len(classes)} names in classes for {num_classes} classes")
        if ignore_index is not None and ignore_index < num_classes:
            raise ValueError(
                f"ignore_index is {ignore_index}, a class or negative: with {num_classes} classes "
                f"it must be {num_classes} or above"
            )
        self.name = name or self.default_name
        self.num_classes = num_classes
        self.ignore_index = ignore_index
        self.classes = [] if classes is None else list(classes)
        self.pred_key = pred_key
        self.target_key = target_key
        counts = torch.zeros((num_classes, num_classes), dtype=torch.int64)
        self.add_state("counts", counts, dist_reduce_fx="sum")

    @property
    def score_names(self) -> list[str]:
        """The scores that `compute` gives: of all classes, then of each that has a name."""
        return names_in_task(self.name, *(f"{self.class_score}_{each}" for each in self.classes))

    def update(self, batch: Batch, preds: dict[str, Any]) -> None:
        """Count a batch."""
        self.counts += confusion_matrix(
            _classes_of(batch[self.target_key]),
            _classes_of(preds[self.pred_key]),
            num_classes=self.num_classes,
            ignore_index=self.ignore_index,
        )


def _classes_of(values: Tensor) -> Tensor:
    """Classes as they are, and the best where there are scores of each class."""
    return values.argmax(dim=1) if values.is_floating_point() else values
