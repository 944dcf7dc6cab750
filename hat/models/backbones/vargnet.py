"""VarGNet: networks of variable group convolutions, made for embedded chips."""

from collections.abc import Sequence
from typing import Literal

from torch import Tensor, nn

from hat.models.backbones.var_group import VarGroupStyle, head_block, var_group_stage
from hat.models.weights import load_weights


class VarGNetV2(nn.Module):
    """VarGNet of the second layout: groups of a fixed number of channels, two-branch steps.

    A group convolution costs the same for each channel wherever it stands, which keeps the
    units of an embedded chip evenly busy. At the default width: 2.3 million parameters and
    346 million multiply-adds at 224x224.

    Args:
        alpha: Width multiplier. Channels are 32, 64, 128, 256 times it, rounded to whole
            groups.
        depths: Blocks of the three stages after the first block; each starts with a down
            sampling block.
        group_size: Channels of each group, S in the paper.
        expansion: How many times more channels there are inside a block.
        stem_stride: Of the first convolution. With 1, as for faces of 112 pixels, all
            strides are half.
        activation: `relu`, or `prelu` with one slope for each channel.
        squeeze: Whether normal blocks have squeeze and excitation.
        weights: A local file of weights of this network.

    Attributes:
        out_channels: Channels of each feature map that `forward` returns.

    Raises:
        ValueError: If a number is too small, an option is unknown, or the weights do not fit.

    Example:
        >>> features = VarGNetV2(alpha=0.25)(torch.zeros(2, 3, 65, 97))
        >>> [tuple(feature.shape[1:]) for feature in features]
        [(8, 17, 25), (16, 9, 13), (32, 5, 7), (64, 3, 4)]

    Reference:
        Zhang et al., VarGNet: Variable Group Convolutional Neural Network for Efficient
        Embedded Computing, arXiv:1907.05653, figure 1 and table 2. Yan et al., VarGFaceNet,
        arXiv:1910.04985, table 1: `alpha=1.25, stem_stride=1, activation="prelu",
        squeeze=True` is that network up to its embedding. The last 1x1 convolution to 1024
        channels and the classifier of the papers are left out.
    """

    def __init__(
        self,
        alpha: float = 1.0,
        depths: Sequence[int] = (3, 7, 4),
        *,
        group_size: int = 8,
        expansion: int = 2,
        stem_stride: Literal[1, 2] = 2,
        activation: Literal["relu", "prelu"] = "relu",
        squeeze: bool = False,
        weights: str | None = None,
    ) -> None:
        super().__init__()
        if alpha <= 0 or len(depths) != 3 or min(*depths, group_size, expansion) < 1:
            raise ValueError(
                "needs alpha over 0, three depths, and depths, group_size and expansion of 1 "
                f"or more, got {alpha=}, depths={tuple(depths)}, {group_size=}, {expansion=}"
            )
        if stem_stride not in (1, 2) or activation not in ("relu", "prelu"):
            raise ValueError(
                "stem_stride must be 1 or 2 and activation 'relu' or 'prelu', got "
                f"{stem_stride} and {activation!r}"
            )
        style = VarGroupStyle(group_size, expansion, activation, squeeze)
        self.out_channels = tuple(style.rounded(alpha * width) for width in (32, 64, 128, 256))
        first = self.out_channels[0]
        self.stem = nn.Sequential(
            nn.Conv2d(3, first, 3, stem_stride, padding=1, bias=False),
            nn.BatchNorm2d(first),
            style.activate(first),
        )
        self.head_block = head_block(first, style)
        steps = zip(self.out_channels[:-1], self.out_channels[1:], depths, strict=True)
        self.stages = nn.ModuleList(var_group_stage(*step, style) for step in steps)
        init_for_relu(self)
        if weights is not None:
            load_weights(self, weights)

    def forward(self, img: Tensor) -> tuple[Tensor, ...]:
        """Feature maps at strides 4, 8, 16 and 32 (half with `stem_stride=1`), finest first."""
        features = [self.head_block(self.stem(img))]
        for stage in self.stages:
            features.append(stage(features[-1]))
        return tuple(features)


class TinyVarGNetV2(VarGNetV2):
    """VarGNetV2 with fewer blocks that do not expand: 0.7 million parameters at full width.

    Args:
        alpha: Width multiplier, as of `VarGNetV2`.
        depths: Blocks of the three stages after the first block.
        group_size: Channels of each group.
        expansion: How many times more channels there are inside a block.
        weights: A local file of weights of this network.

    Example:
        >>> TinyVarGNetV2(alpha=0.5).out_channels
        (16, 32, 64, 128)

    Reference:
        No paper describes it. Blocks and widths are those of VarGNetV2; 3, 4 and 2 blocks in
        a stage are what Horizon Robotics publishes for its model of this name, and blocks
        without expansion are how it is commonly configured.
    """

    def __init__(
        self,
        alpha: float = 1.0,
        depths: Sequence[int] = (3, 4, 2),
        *,
        group_size: int = 8,
        expansion: int = 1,
        weights: str | None = None,
    ) -> None:
        super().__init__(alpha, depths, group_size=group_size, expansion=expansion, weights=weights)


def init_for_relu(network: nn.Module) -> None:
    """Draw all convolutions as He et al. (2015) derive it for ReLU, by their outputs."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
