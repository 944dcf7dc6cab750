"""What losses over places and boxes have in common: checks, and what sums are divided by."""

from collections.abc import Sequence

import torch
from torch import Tensor, distributed, nn

from hat.models.truth import Objects


def loss_values(loss: nn.Module, preds: Tensor, targets: Tensor, *, name: str) -> Tensor:
    """The losses of each place or box.

    Args:
        loss: Called with predictions and targets; gives values, not their mean.
        preds: (K, ...).
        targets: (K, ...).
        name: Of the loss in the task, for errors.

    Returns:
        (K, ...), of as many dimensions as the loss gives.

    Raises:
        ValueError: If the loss gives one number.
    """
    values: Tensor = loss(preds, targets)
    if values.shape[:1] != preds.shape[:1]:
        raise ValueError(
            f"{name}={type(loss).__name__} gives {tuple(values.shape)} for "
            f"{tuple(preds.shape)}: the task sums by itself and needs the loss of each "
            "element; set reduction='none'"
        )
    return values


def num_positives(count: Tensor, *, training: bool) -> Tensor:
    """What sums over a batch are divided by: its positives, at least 1.

    In training on several processes it is the mean over them: gradients are averaged after,
    so that the same pictures give the same step on any number of processes. In evaluation
    processes may have different numbers of batches and do not wait for each other.

    Args:
        count: Of this process, a scalar.
        training: Whether the task is in training.

    Returns:
        float32 scalar, at least 1 (a share of it, where only the sum over processes is).
    """
    if not (training and distributed.is_available() and distributed.is_initialized()):
        return count.float().clamp(min=1)
    total = count.to(torch.float32, copy=True)
    distributed.all_reduce(total)
    return total.clamp(min=1) / distributed.get_world_size()


def check_classes(truths: Sequence[Objects], num_classes: int) -> None:
    """Refuse objects of classes that the task does not have.

    Raises:
        ValueError: If a class is not from 0 to below `num_classes`.
    """
    classes = torch.cat([objects.classes for objects in truths])
    if len(classes) and not 0 <= int(classes.min()) <= int(classes.max()) < num_classes:
        raise ValueError(
            f"gt_classes go from {int(classes.min())} to {int(classes.max())}, but "
            f"num_classes={num_classes}: classes start at 0 and end below it"
        )
