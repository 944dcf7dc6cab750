"""How far the regions of classes are from those of the truth, by the Dice coefficient."""

import torch
from torch import Tensor, nn

from hat.models.losses.inputs import at_least_float32, check_labels, one_hot


class DiceLoss(nn.Module):
    """1 - Dice of each class, mean over the classes that are in the labels of the batch.

    With probabilities p from softmax and truth g of 0 or 1, Dice is
    2 * sum(p * g) / (sum(p * p) + sum(g * g)), its sums over all labelled pixels of the
    batch, not of each picture. A class that no pixel has is left out: its Dice would be 0
    however small its probabilities. Without any labelled pixel the loss is 0.

    Called with scores before softmax, (N, C, H, W), and classes, int64 (N, H, W).

    Args:
        ignore_index: Label of pixels that are not labelled.
        weight: Factor of the loss.

    Raises:
        ValueError: If the labels do not have the shape of the scores without classes.

    Example:
        >>> logits = torch.tensor([[[[50.0, 0.0]], [[0.0, 50.0]]]])
        >>> DiceLoss()(logits, torch.tensor([[[0, 1]]]))
        tensor(0.)

    Reference:
        Milletari et al., V-Net: Fully Convolutional Neural Networks for Volumetric Medical
        Image Segmentation, 3DV 2016, section 3, there for one class against the background.
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
        return self.weight * _dice_loss(probs * ~ignored, truth)


def _dice_loss(probs: Tensor, truth: Tensor) -> Tensor:
    """The loss of probabilities (C, P) against truth (C, P), both 0 where not labelled."""
    size = truth.sum(dim=1)
    present = size > 0
    # An absent class could divide 0 by 0, whose gradient would stay although it is left out.
    denominator = torch.where(present, probs.square().sum(dim=1) + size, 1)
    dice = 2 * (probs * truth).sum(dim=1) / denominator
    return ((1 - dice) * present).sum() / present.sum().clamp(min=1)
