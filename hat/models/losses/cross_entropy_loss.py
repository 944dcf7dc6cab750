"""Cross entropy of pixels and of pictures, some of them not labelled."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hat.models.losses.inputs import at_least_float32, check_labels


class CrossEntropyLoss(nn.Module):
    """Mean cross entropy of what is labelled; 0, not NaN, where nothing is.

    Called with scores before softmax, (N, C) or (N, C, H, W), and classes, int64 (N,) or
    (N, H, W), or shares of the classes, float, of the shape of the scores. Otherwise as
    `torch.nn.CrossEntropyLoss`: with class weights the sum is divided by the sum of the
    weights of the labels.

    Args:
        class_weight: One factor for each class, such as the inverse of its frequency.
        ignore_index: Label of what is not labelled.
        label_smoothing: Share of each label that is spread over all classes, 0 to 1.
        weight: Factor of the loss.

    Raises:
        ValueError: If the labels do not have the shape of the scores without classes.

    Example:
        >>> loss = CrossEntropyLoss(class_weight=[1.0, 2.0])
        >>> loss(torch.zeros(1, 2, 2, 2), torch.tensor([[[0, 1], [1, 255]]]))
        tensor(0.6931)
    """

    class_weight: Tensor | None

    def __init__(
        self,
        class_weight: Sequence[float] | None = None,
        ignore_index: int = 255,
        label_smoothing: float = 0.0,
        weight: float = 1.0,
    ) -> None:
        super().__init__()
        self.register_buffer("class_weight", class_weights(class_weight), persistent=False)
        self.ignore_index = ignore_index
        self.label_smoothing = label_smoothing
        self.weight = weight

    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        """A scalar; shapes as in the class."""
        logits = at_least_float32(logits)
        factors = None if self.class_weight is None else self.class_weight.to(logits.dtype)
        smoothing = self.label_smoothing
        if labels.is_floating_point() and labels.shape == logits.shape:
            shares = labels.to(logits.dtype)
            return self.weight * F.cross_entropy(logits, shares, factors, label_smoothing=smoothing)
        check_labels(logits, labels)
        total = F.cross_entropy(
            logits,
            labels.long(),
            factors,
            ignore_index=self.ignore_index,
            reduction="sum",
            label_smoothing=smoothing,
        )
        counted = label_weights(labels, factors, self.ignore_index).sum()
        return self.weight * total / torch.where(counted > 0, counted, 1)


def class_weights(factors: Sequence[float] | None) -> Tensor | None:
    """The factors of classes as a tensor.

    Raises:
        ValueError: If one is negative or not finite.
    """
    if factors is None:
        return None
    weights = torch.as_tensor(factors, dtype=torch.float32)
    if weights.ndim != 1 or not (weights.isfinite() & (weights >= 0)).all():
        raise ValueError(f"class_weight must be one number of 0 or more for each class: {factors}")
    return weights


def label_weights(labels: Tensor, factors: Tensor | None, ignore_index: int) -> Tensor:
    """The factor of each label's class: 1 without factors, 0 where it is to be ignored."""
    counted = labels != ignore_index
    if factors is None:
        return counted
    return factors[labels.long() * counted] * counted
