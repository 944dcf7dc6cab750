"""The coarsest feature enlarged by deconvolutions."""

from collections.abc import Sequence
from itertools import pairwise

from torch import Tensor, nn

from hat.models.necks.levels import last_levels


class DeconvDecoder(nn.Module):
    """Transposed convolutions on the last feature, each of which doubles its size.

    Args:
        in_channels: Of the features; the last one alone is used.
        channels: Of each transposed convolution, 4x4 of stride 2 with BatchNorm and ReLU.

    Attributes:
        in_channels: As given, a tuple.
        out_channels: Channels of the one feature that `forward` returns.

    Raises:
        ValueError: If there are no features, or no convolutions.

    Example:
        >>> decoder = DeconvDecoder([32], channels=[16, 16])
        >>> [tuple(feature.shape) for feature in decoder((torch.zeros(1, 32, 3, 2),))]
        [(1, 16, 12, 8)]

    Reference:
        Xiao et al., Simple Baselines for Human Pose Estimation and Tracking, ECCV 2018,
        section 2: three convolutions of 256 channels.
    """

    def __init__(
        self, in_channels: Sequence[int], channels: Sequence[int] = (256, 256, 256)
    ) -> None:
        super().__init__()
        if not in_channels or not channels:
            raise ValueError(
                "DeconvDecoder needs in_channels and channels of one or more, got "
                f"{list(in_channels)} and {list(channels)}"
            )
        self.in_channels = tuple(in_channels)
        self.out_channels = (channels[-1],)
        self.steps = nn.Sequential(
            *(_doubling(*widths) for widths in pairwise([in_channels[-1], *channels]))
        )

    def forward(self, features: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """One feature, `2 ** len(channels)` times as high and wide as the last one."""
        return (self.steps(last_levels(features, self.in_channels, "DeconvDecoder")[-1]),)


def _doubling(in_channels: int, out_channels: int) -> nn.Sequential:
    deconv = nn.ConvTranspose2d(in_channels, out_channels, 4, stride=2, padding=1, bias=False)
    nn.init.normal_(deconv.weight, std=0.001)
    return nn.Sequential(deconv, nn.BatchNorm2d(out_channels), nn.ReLU(inplace=True))
