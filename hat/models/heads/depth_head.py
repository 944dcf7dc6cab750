"""A feature into the depth of every place."""

import math

from torch import Tensor, nn


class DepthHead(nn.Module):
    """One 3x3 convolution that gives the logarithm of depth.

    Args:
        in_channels: Channels of the feature that is used.
        in_index: Which of the features is used; by default the first, the finest.
        start_depth: What it predicts nearly everywhere before it is trained, metres.

    Raises:
        ValueError: If `start_depth` is not above 0.

    Example:
        >>> round(DepthHead(8)((torch.zeros(2, 8, 12, 16),)).exp().mean().item(), 3)
        10.0

    Reference:
        The logarithm is that of Eigen et al., Depth Map Prediction from a Single Image using a
        Multi-Scale Deep Network, NeurIPS 2014, section 3.2.
    """

    def __init__(self, in_channels: int, in_index: int = 0, start_depth: float = 10.0) -> None:
        super().__init__()
        if start_depth <= 0:
            raise ValueError(f"start_depth of DepthHead must be above 0 metres, got {start_depth}")
        self.in_channels = in_channels
        self.in_index = in_index
        self.conv = nn.Conv2d(in_channels, 1, 3, padding=1)
        if self.conv.bias is not None:
            nn.init.constant_(self.conv.bias, math.log(start_depth))

    def forward(self, features: tuple[Tensor, ...]) -> Tensor:
        """Natural logarithm of depth in metres, (N, 1, h, w), in the size of the used feature."""
        log_depth: Tensor = self.conv(features[self.in_index])
        return log_depth
