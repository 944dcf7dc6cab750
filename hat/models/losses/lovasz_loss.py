"""The IoU of classes as a loss, by its Lovasz extension."""

import torch
from torch import Tensor, nn

from hat.models.losses.inputs import at_least_float32, check_labels, one_hot


class LovaszLoss(nn.Module):
    """Lovasz-softmax: a convex surrogate of 1 - IoU, mean over the classes in the labels.

    At probabilities of 0 and 1 it is 1 - IoU exactly; in between it goes on piecewise
    linearly. IoU is over all labelled pixels of the batch, not of each picture; classes that
    no pixel of it has are left out ("present"). Without any labelled pixel the loss is 0.

    Called with scores before softmax, (N, C, H, W), and classes, int64 (N, H, W). All pixels
    are sorted once for each class.

    Args:
        ignore_index: Label of pixels that are not labelled.
        weight: Factor of the loss.

    Raises:
        ValueError: If the labels do not have the shape of the scores without classes.

    Example:
        >>> logits = torch.tensor([[[[50.0, 50.0]], [[0.0, 0.0]]]])
        >>> LovaszLoss()(logits, torch.tensor([[[0, 1]]]))  # IoU 1/2 and 0
        tensor(0.7500)

    Reference:
        Berman et al., The Lovasz-Softmax Loss: A Tractable Surrogate for the Optimization of
        the Intersection-over-Union Measure in Neural Networks, CVPR 2018, algorithm 1 and
        section 3.2. The steps of the IoU are computed in closed form, not as differences.
    """

    def __init__(self, ignore_index: int = 255, weight: float = 1.0) -> None:
        super().__init__()
        self.ignore_index = ignore_index
        self.weight = weight

    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        """A scalar; shapes as in the class."""
        check_labels(logits, labels)
        labels = labels.flatten()
        ignored = labels == self.ignore_index
        probs = at_least_float32(logits).softmax(dim=1).transpose(0, 1).flatten(1)  # (C, N*H*W)
        truth = one_hot(labels, ignored, len(probs))
        # With an error of 0, ignored pixels come last in the order and add nothing.
        errors = (truth.to(probs.dtype) - probs).abs() * ~ignored
        num_present = truth.any(dim=1).sum().clamp(min=1)
        return self.weight * _lovasz_extension(errors, truth).sum() / num_present


def _lovasz_extension(errors: Tensor, truth: Tensor) -> Tensor:
    """The extension of 1 - IoU of each class, (C,), at errors (C, P) of truth (C, P).

    It is 0 for a class without a pixel.
    """
    ordered, order = errors.sort(dim=1, descending=True)
    steps = _iou_steps(truth.gather(1, order), errors.dtype)
    return (ordered * steps).sum(dim=1)


def _iou_steps(truth: Tensor, dtype: torch.dtype) -> Tensor:
    """How much 1 - IoU grows as one pixel after the other, in order, becomes wrong.

    A pixel of the class leaves the intersection I and stays in the union U, so that I / U
    falls by 1 / U; another one joins U, and I / (U - 1) falls to I / U.
    """
    found = truth.cumsum(dim=1, dtype=torch.int32)
    size = found[:, -1:]
    others = (~truth).cumsum(dim=1, dtype=torch.int32)
    intersection = (size - found).to(dtype)
    union = (size + others).to(dtype)
    return torch.where(truth, 1 / union, intersection / (union * (union - 1)).clamp(min=1))
