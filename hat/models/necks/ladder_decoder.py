"""The ladder of SwiftNet: coarse features added to finer ones."""

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.ops import Conv2dNormActivation

from hat.models.necks.levels import last_levels


class LadderDecoder(nn.Module):
    """Coarse features enlarged, added to finer ones and smoothed: cheap, and quick to learn.

    A 1x1 convolution brings each feature to `channels`. From coarse to fine the sum so far is
    enlarged to exactly the size of the next one and added to it; a 3x3 convolution with
    BatchNorm and ReLU follows at the end. In short trainings from scratch the sums, through
    which gradients pass unchanged, do better than the concatenations of a U-Net.

    Args:
        in_channels: Of the features, finest first; the last `len(in_channels)` features of
            the backbone are used.
        channels: Of the sums, and of the feature that comes out.

    Attributes:
        in_channels: As given, a tuple.
        out_channels: Channels of the one feature that `forward` returns.

    Raises:
        ValueError: If there is no feature.

    Example:
        >>> neck = LadderDecoder([8, 16], channels=12)
        >>> (decoded,) = neck((torch.zeros(1, 8, 25, 17), torch.zeros(1, 16, 13, 9)))
        >>> tuple(decoded.shape[1:])
        (12, 25, 17)

    Reference:
        Oršić et al., In Defense of Pre-trained ImageNet Architectures for Real-time Semantic
        Segmentation of Road-driving Images, CVPR 2019, section 3.3; here without its pooling
        pyramid, and with one 3x3 convolution at the end in place of one after each sum.
    """

    def __init__(self, in_channels: Sequence[int], channels: int = 64) -> None:
        super().__init__()
        if not in_channels:
            raise ValueError("LadderDecoder needs in_channels of one feature or more, got none")
        self.in_channels = tuple(in_channels)
        self.out_channels = (channels,)
        self.laterals = nn.ModuleList(nn.Conv2d(width, channels, 1) for width in in_channels)
        self.smooth = Conv2dNormActivation(channels, channels)

    def forward(self, features: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """One feature, of the size of the finest one that is used."""
        used = last_levels(features, self.in_channels, "LadderDecoder")
        *finer, total = (lateral(f) for lateral, f in zip(self.laterals, used, strict=True))
        for level in reversed(finer):
            larger = F.interpolate(total, level.shape[2:], mode="bilinear", align_corners=False)
            total = level + larger
        return (self.smooth(total),)
