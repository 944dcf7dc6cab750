"""A network that mixes dense and variable group convolutions, for embedded chips."""

from collections.abc import Sequence
from itertools import pairwise
from math import lcm

from torch import Tensor, nn

from hat.models.backbones.var_group import VarGroupStyle
from hat.models.backbones.vargnet import init_for_relu
from hat.models.weights import load_weights


class MixVarGENet(nn.Module):
    """Residual blocks of one 3x3 and one 1x1 convolution: dense early, in groups later.

    Early stages have few channels, where a chip is busiest with dense convolutions; late
    stages have groups of a fixed number of channels. Each block expands in its 3x3
    convolution and comes back in the 1x1. At the default width: 0.9 million parameters and
    768 million multiply-adds at 224x224.

    Args:
        alpha: Width multiplier of `channels`, rounded to multiples of 8, or of the group size
            where the convolutions are in groups.
        channels: Of the first convolution and stage, then of the others: of features at
            strides 2, 4, 8, 16, 32.
        depths: Blocks of each stage. The first stage keeps the size of the first
            convolution, all others halve it.
        expansions: How many times more channels there are inside a block, by stage.
        group_sizes: Channels of each group of the 3x3 convolutions, by stage; None for
            dense ones.
        weights: A local file of weights of this network.

    Attributes:
        out_channels: Channels of each feature map that `forward` returns.

    Raises:
        ValueError: If there are not as many of each, a number is too small, or the weights do
            not fit.

    Example:
        >>> features = MixVarGENet(alpha=0.5)(torch.zeros(2, 3, 65, 97))
        >>> [tuple(feature.shape[1:]) for feature in features]
        [(16, 17, 25), (32, 9, 13), (48, 5, 7), (80, 3, 4)]

    Reference:
        No paper describes MixVarGENet. Of Horizon Robotics' model of this name it is
        published that five stages end at stride 32, the first ones of blocks that expand two-
        and fourfold, the last two of twofold ones with groups of 16. The rest is this
        design: a plain inverted block (fused MBConv: Gupta and Akin, 2020), shortcuts of 1x1
        convolutions, channels and depths.
    """

    def __init__(
        self,
        alpha: float = 1.0,
        *,
        channels: Sequence[int] = (32, 32, 64, 96, 160),
        depths: Sequence[int] = (1, 2, 2, 7, 3),
        expansions: Sequence[int] = (2, 4, 4, 2, 2),
        group_sizes: Sequence[int | None] = (None, None, None, 16, 16),
        weights: str | None = None,
    ) -> None:
        super().__init__()
        sizes = {len(channels), len(depths), len(expansions), len(group_sizes)}
        if len(sizes) != 1 or len(channels) < 2:
            raise ValueError(
                "channels, depths, expansions and group_sizes must be as many, two or more, got "
                f"{len(channels)}, {len(depths)}, {len(expansions)} and {len(group_sizes)}"
            )
        known = [size for size in group_sizes if size is not None]
        if alpha <= 0 or min(*channels, *depths, *expansions, *known) < 1:
            raise ValueError(
                "alpha must be over 0, and channels, depths, expansions and group_sizes 1 or "
                f"more, got {alpha=}, {channels=}, {depths=}, {expansions=}, {group_sizes=}"
            )
        widths = _widths(alpha, channels, group_sizes)
        self.stem = nn.Sequential(
            nn.Conv2d(3, widths[0], 3, 2, padding=1, bias=False),
            nn.BatchNorm2d(widths[0]),
            nn.ReLU(inplace=True),
        )
        steps = zip(pairwise([widths[0], *widths]), depths, expansions, group_sizes, strict=True)
        self.stages = nn.ModuleList(
            _stage(*step, stride=2 if number else 1) for number, step in enumerate(steps)
        )
        self.out_channels = tuple(widths[1:])
        init_for_relu(self)
        if weights is not None:
            load_weights(self, weights)

    def forward(self, img: Tensor) -> tuple[Tensor, ...]:
        """Feature maps of all stages but the first, strides 4, 8, 16, 32, finest first."""
        feature = self.stages[0](self.stem(img))
        features = []
        for stage in self.stages[1:]:
            feature = stage(feature)
            features.append(feature)
        return tuple(features)


class _Block(nn.Module):
    """A 3x3 convolution that expands, a 1x1 that comes back, and a shortcut."""

    def __init__(
        self, widths: tuple[int, int], expansion: int, group_size: int | None, stride: int
    ) -> None:
        super().__init__()
        before, after = widths
        groups = before // group_size if group_size else 1
        middle = before * expansion
        self.convs = nn.Sequential(
            nn.Conv2d(before, middle, 3, stride, padding=1, groups=groups, bias=False),
            nn.BatchNorm2d(middle),
            nn.ReLU(inplace=True),
            nn.Conv2d(middle, after, 1, bias=False),
            nn.BatchNorm2d(after),
        )
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or before != after:
            self.shortcut = nn.Sequential(
                nn.Conv2d(before, after, 1, stride, bias=False), nn.BatchNorm2d(after)
            )
        self.activation = nn.ReLU(inplace=True)

    def forward(self, feature: Tensor) -> Tensor:
        return self.activation(self.shortcut(feature) + self.convs(feature))


def _stage(
    widths: tuple[int, int], depth: int, expansion: int, group_size: int | None, stride: int
) -> nn.Sequential:
    blocks = [_Block(widths, expansion, group_size, stride)]
    inner = (widths[1], widths[1])
    blocks += [_Block(inner, expansion, group_size, stride=1) for _ in range(depth - 1)]
    return nn.Sequential(*blocks)


def _widths(alpha: float, channels: Sequence[int], group_sizes: Sequence[int | None]) -> list[int]:
    """Channels of each stage, in whole groups of its own blocks and of the next stage's first."""
    following = [*group_sizes[1:], None]
    return [
        VarGroupStyle(lcm(own or 8, after or 8)).rounded(alpha * width)
        for width, own, after in zip(channels, group_sizes, following, strict=True)
    ]
