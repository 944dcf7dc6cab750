"""Depth whose scale is only half as wrong as its shape."""

import torch
from torch import Tensor, nn

from hat.models.losses.inputs import at_least_float32


class ScaleInvariantLogLoss(nn.Module):
    """Squared error of log depth, less a part of what one factor for the picture would mend.

    With d = log(depth) - log(true depth) at the n pixels of a picture whose depth is known,
    mean(d^2) - lambd * mean(d)^2; mean over the pictures that have such a pixel, 0 without.

    Called with depth and true depth, both (N, H, W) or (N, 1, H, W), metres; a true depth
    of 0 is not known.

    Args:
        lambd: How far a common factor is forgiven: 0 not at all, 1 entirely.
        min_depth: What smaller predictions are raised to, metres, above 0: a logarithm
            needs it.
        weight: Factor of the loss.

    Raises:
        ValueError: If the shapes differ, or an argument is out of range.

    Example:
        >>> loss = ScaleInvariantLogLoss()  # d = log 2 everywhere: (1 - 1/2) * d^2
        >>> loss(torch.full((1, 2, 2), 6.0), torch.full((1, 2, 2), 3.0))
        tensor(0.2402)

    Reference:
        Eigen et al., Depth Map Prediction from a Single Image using a Multi-Scale Deep
        Network, NeurIPS 2014, eq. 4, where lambda is 0.5.
    """

    def __init__(self, lambd: float = 0.5, min_depth: float = 1e-3, weight: float = 1.0) -> None:
        super().__init__()
        if not 0 <= lambd <= 1 or not min_depth > 0:
            raise ValueError(
                f"lambd must be in [0, 1] and min_depth above 0, got {lambd=}, {min_depth=}"
            )
        self.lambd = lambd
        self.min_depth = min_depth
        self.weight = weight

    def forward(self, depth: Tensor, gt_depth: Tensor) -> Tensor:
        """A scalar; shapes as in the class."""
        if depth.shape != gt_depth.shape:
            raise ValueError(
                f"depth and true depth must have one shape, got {tuple(depth.shape)} and "
                f"{tuple(gt_depth.shape)}"
            )
        known = gt_depth.flatten(1) > 0
        pred = at_least_float32(depth).flatten(1).clamp(min=self.min_depth)
        truth = torch.where(known, gt_depth.flatten(1).to(pred.dtype), 1)
        difference = torch.where(known, pred.log() - truth.log(), 0)
        num_known = known.sum(dim=1).clamp(min=1)
        mean = difference.sum(dim=1) / num_known
        losses = difference.square().sum(dim=1) / num_known - self.lambd * mean.square()
        return self.weight * losses.sum() / known.any(dim=1).sum().clamp(min=1)
