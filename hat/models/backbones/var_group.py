"""Variable group convolutions, and the blocks of VarGNet that are built of them."""

from dataclasses import dataclass, replace
from functools import partial
from typing import Literal

from torch import Tensor, nn
from torchvision.ops import SqueezeExcitation


@dataclass(frozen=True)
class VarGroupStyle:
    """What the blocks of one network have in common.

    Args:
        group_size: Channels of each group, S in the paper; the number of groups varies.
        expansion: How many times more channels there are after a group convolution.
        activation: `relu`, or `prelu` with one slope for each channel.
        squeeze: Whether normal blocks weight their channels by squeeze and excitation.
    """

    group_size: int = 8
    expansion: int = 2
    activation: Literal["relu", "prelu"] = "relu"
    squeeze: bool = False

    def activate(self, channels: int) -> nn.Module:
        """The activation for so many channels."""
        return nn.PReLU(channels) if self.activation == "prelu" else nn.ReLU(inplace=True)

    def rounded(self, channels: float) -> int:
        """The nearest number of channels that whole groups make, one group or more."""
        return max(1, round(channels / self.group_size)) * self.group_size


def separable(
    in_channels: int,
    out_channels: int,
    style: VarGroupStyle,
    *,
    stride: int = 1,
    activate: bool = True,
) -> nn.Sequential:
    """A variable group convolution of 3x3 with a 1x1 convolution behind, each with BatchNorm.

    Args:
        in_channels: A multiple of the group size.
        out_channels: After the 1x1 convolution.
        style: Its group size, expansion and activation are used.
        stride: Of the group convolution.
        activate: Whether an activation ends it.
    """
    middle = in_channels * style.expansion
    groups = in_channels // style.group_size
    layers = [
        nn.Conv2d(in_channels, middle, 3, stride, padding=1, groups=groups, bias=False),
        nn.BatchNorm2d(middle),
        style.activate(middle),
        nn.Conv2d(middle, out_channels, 1, bias=False),
        nn.BatchNorm2d(out_channels),
    ]
    return nn.Sequential(*layers, *([style.activate(out_channels)] if activate else []))


class VarGroupBlock(nn.Module):
    """Two separable variable group convolutions beside a shortcut.

    Where the size or the channels change, the shortcut is such a convolution itself.

    Args:
        in_channels: A multiple of the group size.
        out_channels: A multiple of the group size.
        style: What all blocks have in common.
        stride: Of the first convolution and the shortcut.
        branches: First convolutions that are summed: 1 in a normal block, 2 in a down
            sampling block. Only normal blocks squeeze.

    Reference:
        Zhang et al., VarGNet, 2019, figure 1; Yan et al., VarGFaceNet, 2019, figure 1.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        style: VarGroupStyle,
        *,
        stride: int = 1,
        branches: int = 1,
    ) -> None:
        super().__init__()
        first = partial(separable, in_channels, out_channels, style, stride=stride, activate=False)
        is_same = stride == 1 and in_channels == out_channels
        self.shortcut = nn.Identity() if is_same else first()
        self.branches = nn.ModuleList(first() for _ in range(branches))
        self.middle = style.activate(out_channels)
        self.second = separable(out_channels, out_channels, style, activate=False)
        squeezes = style.squeeze and branches == 1
        self.squeeze = _squeeze(out_channels, style) if squeezes else nn.Identity()
        self.activation = style.activate(out_channels)

    def forward(self, feature: Tensor) -> Tensor:
        """The next feature, (N, out_channels, H / stride, W / stride) rounded up."""
        summed = self.branches[0](feature)
        for branch in self.branches[1:]:
            summed = summed + branch(feature)
        residual = self.squeeze(self.second(self.middle(summed)))
        return self.activation(self.shortcut(feature) + residual)


def var_group_stage(
    in_channels: int, out_channels: int, depth: int, style: VarGroupStyle
) -> nn.Sequential:
    """A down sampling block of two branches, then normal blocks, `depth` blocks in all."""
    blocks = [VarGroupBlock(in_channels, out_channels, style, stride=2, branches=2)]
    blocks += [VarGroupBlock(out_channels, out_channels, style) for _ in range(depth - 1)]
    return nn.Sequential(*blocks)


def head_block(channels: int, style: VarGroupStyle) -> VarGroupBlock:
    """The first block: a normal one that halves the size and does not expand."""
    return VarGroupBlock(channels, channels, replace(style, expansion=1), stride=2)


def _squeeze(channels: int, style: VarGroupStyle) -> SqueezeExcitation:
    inner = channels // 4
    return SqueezeExcitation(channels, inner, activation=partial(style.activate, inner))
