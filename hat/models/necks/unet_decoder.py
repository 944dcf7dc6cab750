"""The expanding path of a U-Net."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.ops import Conv2dNormActivation

from hat.models.necks.levels import last_levels


class UNetDecoder(nn.Module):
    """Coarse features, step by step, brought to the size of finer ones and joined to them.

    Each step enlarges what came so far to exactly the size of the next finer feature, puts
    the two together and applies two 3x3 convolutions, each with BatchNorm and ReLU.

    Args:
        in_channels: Of the features, finest first; the last `len(in_channels)` features of
            the backbone are used.
        channels: Of each step's output, finest first: one fewer than features.

    Attributes:
        in_channels: As given, a tuple.
        out_channels: Channels of each feature that `forward` returns.

    Raises:
        ValueError: If there are fewer than two features, or not one step between each two.

    Example:
        >>> neck = UNetDecoder([8, 16, 32], channels=[8, 16])
        >>> features = (torch.zeros(1, 8, 25, 17), torch.zeros(1, 16, 13, 9))
        >>> decoded = neck((*features, torch.zeros(1, 32, 7, 5)))
        >>> [tuple(feature.shape[1:]) for feature in decoded]
        [(8, 25, 17), (16, 13, 9)]

    Reference:
        Ronneberger et al., U-Net: Convolutional Networks for Biomedical Image Segmentation,
        MICCAI 2015, section 2; here with BatchNorm, with padded convolutions, so that nothing
        has to be cropped, and with bilinear interpolation, which meets any size, in place of
        the 2x2 up-convolutions.
    """

    def __init__(self, in_channels: Sequence[int], channels: Sequence[int]) -> None:
        super().__init__()
        if len(in_channels) < 2 or len(channels) != len(in_channels) - 1:
            raise ValueError(
                "UNetDecoder needs in_channels of two features or more, and channels of one "
                f"fewer, got {list(in_channels)} and {list(channels)}"
            )
        self.in_channels = tuple(in_channels)
        self.out_channels = tuple(channels)
        coarser = (*channels[1:], in_channels[-1])
        self.steps = nn.ModuleList(
            _double_conv(skip + below, after)
            for skip, below, after in zip(in_channels[:-1], coarser, channels, strict=True)
        )

    def forward(self, features: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """A feature for each step, finest first, of the sizes of all but the last one given."""
        *skips, feature = last_levels(features, self.in_channels, "UNetDecoder")
        decoded = []
        for skip, step in zip(reversed(skips), reversed(self.steps), strict=True):
            larger = F.interpolate(feature, skip.shape[2:], mode="bilinear", align_corners=False)
            feature = step(torch.cat([skip, larger], dim=1))
            decoded.append(feature)
        return tuple(reversed(decoded))


def _double_conv(in_channels: int, out_channels: int) -> nn.Sequential:
    return nn.Sequential(
        Conv2dNormActivation(in_channels, out_channels),
        Conv2dNormActivation(out_channels, out_channels),
    )
