"""What several losses do with their inputs first."""

import torch
from torch import Tensor


def at_least_float32(values: Tensor) -> Tensor:
    """The values in float32 where they are of lower precision, as under autocast."""
    return values.to(torch.promote_types(values.dtype, torch.float32))


def check_labels(logits: Tensor, labels: Tensor) -> None:
    """Refuse labels that are not one class for each place of the scores.

    Args:
        logits: Scores before softmax, (N, C, ...).
        labels: Classes, integers, (N, ...).

    Raises:
        ValueError: If the shapes do not agree or the labels are not integers.
    """
    expected = (logits.shape[0], *logits.shape[2:])
    if tuple(labels.shape) != expected:
        raise ValueError(
            f"labels must have the shape {expected} for logits of {tuple(logits.shape)}, got "
            f"{tuple(labels.shape)}: resize the logits to the labels first"
        )
    if labels.is_floating_point():
        raise ValueError(f"labels must be classes, int64, got {labels.dtype}")


def one_hot(labels: Tensor, ignored: Tensor, num_classes: int) -> Tensor:
    """The labels as shares of classes.

    Args:
        labels: Classes, (P,).
        ignored: Places without a class, bool (P,).
        num_classes: C.

    Returns:
        Bool (C, P); False for all classes where ignored.
    """
    known = labels.long().masked_fill(ignored, 0)
    truth = torch.zeros(num_classes, *known.shape, dtype=torch.bool, device=known.device)
    return truth.scatter_(0, known[None], ~ignored[None])
