"""A plain stack of 3x3 convolutions, for small pictures."""

from collections.abc import Sequence
from itertools import pairwise

from torch import Tensor, nn


class ConvNet(nn.Module):
    """Stages of 3x3 convolutions, BatchNorm and ReLU, each followed by 2x2 max pooling.

    Args:
        channels: Of each stage.
        depth: Convolutions in each stage, at least 1.
        in_channels: Of the picture.

    Attributes:
        out_channels: Channels of each feature map that `forward` returns.

    Example:
        >>> features = ConvNet([8, 16])(torch.zeros(1, 3, 32, 32))
        >>> [f.shape[1:] for f in features]
        [torch.Size([8, 16, 16]), torch.Size([16, 8, 8])]

    Reference:
        Simonyan and Zisserman, Very Deep Convolutional Networks for Large-Scale Image
        Recognition, ICLR 2015, section 2; here with BatchNorm and without the fully
        connected layers.
    """

    def __init__(
        self, channels: Sequence[int] = (32, 64, 128), depth: int = 2, in_channels: int = 3
    ) -> None:
        super().__init__()
        if depth < 1 or not channels:
            raise ValueError(f"needs a stage and a convolution, got {channels=} and {depth=}")
        widths = [in_channels, *channels]
        self.stages = nn.ModuleList(
            _stage(before, after, depth) for before, after in pairwise(widths)
        )
        self.out_channels = tuple(channels)

    def forward(self, img: Tensor) -> tuple[Tensor, ...]:
        """Feature maps of all stages, finest first; stage n has 1/2**(n+1) of the size."""
        features = []
        for stage in self.stages:
            img = stage(img)
            features.append(img)
        return tuple(features)


def _stage(in_channels: int, out_channels: int, depth: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for number in range(depth):
        before = out_channels if number else in_channels
        layers += [
            nn.Conv2d(before, out_channels, 3, padding=1, bias=False),
            nn.BatchNorm2d(out_channels),
            nn.ReLU(inplace=True),
        ]
    return nn.Sequential(*layers, nn.MaxPool2d(2))
