"""A feature pyramid with a second path, from the finest level back to the coarsest."""

from collections.abc import Sequence
from functools import partial
from typing import Literal

from torch import Tensor, nn
from torchvision.ops import Conv2dNormActivation

from hat.models.necks.levels import last_levels, resized_like

_ACTIVATIONS = {"none": None, "relu": nn.ReLU, "silu": nn.SiLU}


class PAFPN(nn.Module):
    """Path aggregation network: a feature pyramid, then a path from fine to coarse.

    Features go through 1x1 convolutions to `out_channels`, are added top down, smoothed by
    3x3 convolutions, then added bottom up through 3x3 convolutions of stride 2.

    Args:
        in_channels: Of the features, finest first; the last `len(in_channels)` features of
            the backbone are used.
        out_channels: Of every level.
        batch_norm: Whether BatchNorm follows each convolution, which then has no bias.
        activation: What follows each convolution; `none` as in FPN.
        depthwise: Whether 3x3 convolutions are depthwise with a 1x1 convolution behind, as
            light detectors have them.

    Attributes:
        in_channels: As given, a tuple.
        out_channels: Channels of each level that `forward` returns.

    Raises:
        ValueError: If there are no features to use, or `activation` is another word.

    Example:
        >>> neck = PAFPN([16, 32], out_channels=8, batch_norm=True, activation="silu")
        >>> levels = neck((torch.zeros(2, 16, 9, 7), torch.zeros(2, 32, 5, 4)))
        >>> [tuple(level.shape[1:]) for level in levels]
        [(8, 9, 7), (8, 5, 4)]

    Reference:
        Liu et al., Path Aggregation Network for Instance Segmentation, CVPR 2018, section
        3.1. With BatchNorm, SiLU and one width for all levels it serves detectors like YOLOX
        (Ge et al., 2021), whose own neck concatenates where this one adds.
    """

    def __init__(
        self,
        in_channels: Sequence[int],
        out_channels: int = 256,
        *,
        batch_norm: bool = False,
        activation: Literal["none", "relu", "silu"] = "none",
        depthwise: bool = False,
    ) -> None:
        super().__init__()
        if not in_channels:
            raise ValueError("PAFPN needs in_channels of one feature or more, got none")
        if activation not in _ACTIVATIONS:
            raise ValueError(
                f"activation of PAFPN must be one of {', '.join(_ACTIVATIONS)}, got {activation!r}"
            )
        layer = partial(
            Conv2dNormActivation,
            norm_layer=nn.BatchNorm2d if batch_norm else None,
            activation_layer=_ACTIVATIONS[activation],
        )
        square = partial(_square, layer, out_channels, depthwise)
        self.in_channels = tuple(in_channels)
        self.out_channels = (out_channels,) * len(self.in_channels)
        self.lateral = nn.ModuleList(layer(width, out_channels, 1) for width in in_channels)
        self.smooth = nn.ModuleList(square() for _ in in_channels)
        self.down = nn.ModuleList(square(stride=2) for _ in in_channels[1:])
        self.fuse = nn.ModuleList(square() for _ in in_channels[1:])
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_uniform_(module.weight, a=1)

    def forward(self, features: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """One level of `out_channels` for each feature used, of its size, finest first."""
        used = last_levels(features, self.in_channels, "PAFPN")
        levels = [lateral(feature) for lateral, feature in zip(self.lateral, used, strict=True)]
        for finer in range(len(levels) - 2, -1, -1):
            levels[finer] = levels[finer] + resized_like(levels[finer + 1], levels[finer])
        levels = [smooth(level) for smooth, level in zip(self.smooth, levels, strict=True)]
        paths = [levels[0]]
        for down, fuse, level in zip(self.down, self.fuse, levels[1:], strict=True):
            paths.append(fuse(resized_like(down(paths[-1]), level) + level))
        return tuple(paths)


def _square(layer: partial[nn.Module], width: int, depthwise: bool, stride: int = 1) -> nn.Module:
    if not depthwise:
        return layer(width, width, 3, stride)
    return nn.Sequential(layer(width, width, 3, stride, groups=width), layer(width, width, 1))
