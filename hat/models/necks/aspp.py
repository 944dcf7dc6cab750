"""Atrous spatial pyramid pooling: one feature, seen at several scales."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.ops import Conv2dNormActivation

from hat.models.necks.levels import last_levels


class ASPP(nn.Module):
    """Dilated convolutions of several rates side by side, with a pooled picture beside them.

    A 1x1 convolution, one 3x3 convolution for each rate and the mean over the picture are
    put together and brought to `out_channels` by a 1x1 convolution, each with BatchNorm and
    ReLU. The names of the weights are those of torchvision's ASPP, unless `separable`.

    In training, a batch of one picture has nothing to normalise its pooled feature with:
    that one layer then takes its running statistics, as in evaluation.

    Args:
        in_channels: Of the feature, the last of the backbone: a list of one number.
        out_channels: Of the feature that comes out.
        rates: Dilation of each 3x3 convolution; 6, 12 and 18 suit a feature of stride 16,
            twice as much one of stride 8.
        separable: Whether the 3x3 convolutions are a depthwise and a 1x1 one, each with
            BatchNorm and ReLU.
        dropout: Share of values set to zero in training, 0 to below 1.

    Attributes:
        in_channels: As given, a tuple.
        out_channels: Channels of the one feature that `forward` returns, a tuple.

    Raises:
        ValueError: If an argument is out of range.

    Example:
        >>> neck = ASPP([32], out_channels=8, rates=[1, 2])
        >>> (feature,) = neck((torch.zeros(2, 32, 9, 7),))
        >>> feature.shape
        torch.Size([2, 8, 9, 7])

    Reference:
        Chen et al., Rethinking Atrous Convolution for Semantic Image Segmentation, 2017,
        section 3.3; Chen et al., Encoder-Decoder with Atrous Separable Convolution for
        Semantic Image Segmentation, ECCV 2018, section 3.1, for `separable`.
    """

    def __init__(
        self,
        in_channels: Sequence[int],
        out_channels: int = 256,
        rates: Sequence[int] = (6, 12, 18),
        *,
        separable: bool = False,
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        if len(in_channels) != 1 or min(*in_channels, out_channels, *rates, 1) < 1:
            raise ValueError(
                "ASPP needs in_channels of one feature, and channels and rates of 1 or more, got "
                f"{list(in_channels)}, {out_channels} and {list(rates)}"
            )
        if not 0 <= dropout < 1:
            raise ValueError(f"dropout must be in [0, 1), got {dropout}")
        self.in_channels = tuple(in_channels)
        self.out_channels = (out_channels,)
        (width,) = in_channels
        conv3x3 = separable_conv if separable else Conv2dNormActivation
        self.convs = nn.ModuleList(
            [
                Conv2dNormActivation(width, out_channels, 1),
                *(conv3x3(width, out_channels, dilation=rate) for rate in rates),
                _Pooling(width, out_channels),
            ]
        )
        self.project = nn.Sequential(
            *Conv2dNormActivation(len(self.convs) * out_channels, out_channels, 1),
            nn.Dropout(dropout),
        )

    def forward(self, features: tuple[Tensor, ...]) -> tuple[Tensor]:
        """One feature (N, out_channels, H, W) of the size of the last one given."""
        (feature,) = last_levels(features, self.in_channels, "ASPP")
        scales = [conv(feature) for conv in self.convs]
        return (self.project(torch.cat(scales, dim=1)),)


def separable_conv(in_channels: int, out_channels: int, dilation: int = 1) -> nn.Sequential:
    """A depthwise 3x3 convolution and one of 1x1, each with BatchNorm and ReLU."""
    return nn.Sequential(
        Conv2dNormActivation(in_channels, in_channels, groups=in_channels, dilation=dilation),
        Conv2dNormActivation(in_channels, out_channels, 1),
    )


class _Pooling(nn.Sequential):
    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__(
            nn.AdaptiveAvgPool2d(1),
            nn.Conv2d(in_channels, out_channels, 1, bias=False),
            _PooledNorm(out_channels),
            nn.ReLU(inplace=True),
        )

    def forward(self, feature: Tensor) -> Tensor:
        pooled = super().forward(feature)  # (N, C, 1, 1)
        return pooled.expand(-1, -1, *feature.shape[2:])


class _PooledNorm(nn.BatchNorm2d):
    def forward(self, pooled: Tensor) -> Tensor:
        if len(pooled) > 1:
            return super().forward(pooled)
        # One value has no variance: torch refuses it, and a mean of it alone would give 0.
        return F.batch_norm(
            pooled, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps
        )
