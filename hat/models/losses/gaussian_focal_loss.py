"""Focal loss of heat maps whose peaks are objects."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hat.models.losses.inputs import at_least_float32


class GaussianFocalLoss(nn.Module):
    """Focal loss of each cell of a heat map, unreduced: the caller divides by its peaks.

    Called with scores before sigmoid and a heat map from 0 to 1, of the same shape, any. A
    cell is positive only where the map is exactly 1; around it, negatives count less the
    nearer they are.

    Args:
        alpha: How strongly easy cells are discounted, 0 or more.
        beta: How strongly negatives near a peak are discounted, 0 or more.

    Raises:
        ValueError: If an exponent is negative, or the shapes differ.

    Example:
        >>> loss = GaussianFocalLoss()  # (1 - p)^2 * -log(p) with p = 1/2
        >>> loss(torch.tensor([0.0]), torch.tensor([1.0]))
        tensor([0.1733])

    Reference:
        Law and Deng, CornerNet: Detecting Objects as Paired Keypoints, ECCV 2018, eq. 1;
        Zhou et al., Objects as Points, 2019, eq. 1.
    """

    def __init__(self, alpha: float = 2.0, beta: float = 4.0) -> None:
        super().__init__()
        if not alpha >= 0 or not beta >= 0:
            raise ValueError(f"alpha and beta must be 0 or more, got {alpha=}, {beta=}")
        self.alpha = alpha
        self.beta = beta

    def forward(self, logits: Tensor, heatmap: Tensor) -> Tensor:
        """The loss of each cell, of the shape of the inputs."""
        if logits.shape != heatmap.shape:
            raise ValueError(
                f"scores and heat map must have one shape, got {tuple(logits.shape)} and "
                f"{tuple(heatmap.shape)}"
            )
        logits = at_least_float32(logits)
        heatmap = heatmap.to(logits.dtype)
        # Logarithms from the scores themselves: those of rounded probabilities are infinite.
        positive = -F.logsigmoid(logits) * torch.sigmoid(-logits) ** self.alpha
        negative = -F.logsigmoid(-logits) * torch.sigmoid(logits) ** self.alpha
        return torch.where(heatmap == 1, positive, negative * (1 - heatmap) ** self.beta)
