"""Precision, recall and F1 of classes, and their means."""

from typing import Any

import torch
from torch import Tensor

from hat.metrics.confusion import ConfusionCounts
from hat.metrics.score_names import by_name


def precision_of_classes(counts: Tensor) -> Tensor:
    """Give the share of what was predicted as a class that is of the class.

    Args:
        counts: Of `confusion_matrix`, int64 (C, C), rows are true classes.

    Returns:
        float64 (C,); 0 for a class that occurs and was never predicted, NaN for one that
        neither occurs nor was predicted.

    Example:
        >>> precision_of_classes(torch.tensor([[3, 1], [0, 1]]))
        tensor([1.0000, 0.5000], dtype=torch.float64)
    """
    return _share(counts, counts.diag(), counts.sum(dim=0))


def recall_of_classes(counts: Tensor) -> Tensor:
    """Give the share of a class that was found.

    Args:
        counts: Of `confusion_matrix`, int64 (C, C), rows are true classes.

    Returns:
        float64 (C,); 0 for a class that was predicted and never occurs, NaN for one that
        neither occurs nor was predicted.

    Example:
        >>> recall_of_classes(torch.tensor([[3, 1], [0, 1]]))
        tensor([0.7500, 1.0000], dtype=torch.float64)
    """
    return _share(counts, counts.diag(), counts.sum(dim=1))


def f1_of_classes(counts: Tensor) -> Tensor:
    """Give the harmonic mean of precision and recall of each class.

    For pixels it is the Dice score of the data set.

    Args:
        counts: Of `confusion_matrix`, int64 (C, C), rows are true classes.

    Returns:
        float64 (C,); NaN for a class that neither occurs nor was predicted.

    Example:
        >>> f1_of_classes(torch.tensor([[3, 1], [0, 1]]))  # 2 * 3 / (3 + 4), 2 * 1 / (2 + 1)
        tensor([0.8571, 0.6667], dtype=torch.float64)
    """
    return _share(counts, 2 * counts.diag(), counts.sum(dim=0) + counts.sum(dim=1))


def _share(counts: Tensor, hits: Tensor, of: Tensor) -> Tensor:
    is_absent = counts.sum(dim=0) + counts.sum(dim=1) == 0
    return (hits.double() / of.clamp(min=1)).masked_fill(is_absent, torch.nan)


class Precision(ConfusionCounts):
    """Mean over classes of the share of what was predicted as a class that is of it.

    Counts are summed over the data set and divided once. A class that occurs and was never
    predicted counts as 0; one that neither occurs nor was predicted is left out of the mean.
    The micro average of single labels, over samples and not classes, is `Accuracy`.

    Args:
        num_classes: Number of classes.
        ignore_index: Label of samples that do not count; at least `num_classes`.
        classes: Names of the classes; then each has a score too, `precision_<class>`.
        name: What the mean is called, after `train/` or `val/`; by default `precision`.
        pred_key: Key of the predicted classes, or of scores of each class; `seg` for pixels.
        target_key: Key of the true classes; `gt_seg` for pixels.

    Example:
        >>> metric = Precision(num_classes=2)
        >>> logits = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.0, 1.0]])
        >>> metric.update({"label": torch.tensor([0, 1, 0])}, {"logits": logits})
        >>> metric.compute()  # (1/1 + 1/2) / 2
        tensor(0.7500, dtype=torch.float64)
    """

    default_name = class_score = "precision"

    def compute(self) -> Any:
        """Mean in 0..1, float64 scalar; with `classes` a dict of it and of each class."""
        of_classes = precision_of_classes(self.counts)
        return by_name(self.score_names, [of_classes.nanmean()], of_classes)


class Recall(ConfusionCounts):
    """Mean over classes of the share of a class that was found.

    Counts are summed over the data set and divided once. A class that was predicted and
    never occurs counts as 0; one that neither occurs nor was predicted is left out of the
    mean. The micro average of single labels, over samples and not classes, is `Accuracy`.

    Args:
        num_classes: Number of classes.
        ignore_index: Label of samples that do not count; at least `num_classes`.
        classes: Names of the classes; then each has a score too, `recall_<class>`.
        name: What the mean is called, after `train/` or `val/`; by default `recall`.
        pred_key: Key of the predicted classes, or of scores of each class; `seg` for pixels.
        target_key: Key of the true classes; `gt_seg` for pixels.

    Example:
        >>> metric = Recall(num_classes=2)
        >>> logits = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.0, 1.0]])
        >>> metric.update({"label": torch.tensor([0, 1, 0])}, {"logits": logits})
        >>> metric.compute()  # (1/2 + 1/1) / 2
        tensor(0.7500, dtype=torch.float64)
    """

    default_name = class_score = "recall"

    def compute(self) -> Any:
        """Mean in 0..1, float64 scalar; with `classes` a dict of it and of each class."""
        of_classes = recall_of_classes(self.counts)
        return by_name(self.score_names, [of_classes.nanmean()], of_classes)


class F1(ConfusionCounts):
    """Mean over classes of the harmonic mean of precision and recall.

    Counts are summed over the data set and divided once. A class that neither occurs nor was
    predicted is left out of the mean. Of pixels it is the Dice score of the data set. The
    micro average of single labels, over samples and not classes, is `Accuracy`.

    Args:
        num_classes: Number of classes.
        ignore_index: Label of samples that do not count; at least `num_classes`.
        classes: Names of the classes; then each has a score too, `f1_<class>`.
        name: What the mean is called, after `train/` or `val/`; by default `f1`.
        pred_key: Key of the predicted classes, or of scores of each class; `seg` for pixels.
        target_key: Key of the true classes; `gt_seg` for pixels.

    Example:
        >>> metric = F1(num_classes=2)
        >>> logits = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.0, 1.0]])
        >>> metric.update({"label": torch.tensor([0, 1, 0])}, {"logits": logits})
        >>> metric.compute()  # 2/3 for either class
        tensor(0.6667, dtype=torch.float64)
    """

    default_name = class_score = "f1"

    def compute(self) -> Any:
        """Mean in 0..1, float64 scalar; with `classes` a dict of it and of each class."""
        of_classes = f1_of_classes(self.counts)
        return by_name(self.score_names, [of_classes.nanmean()], of_classes)
