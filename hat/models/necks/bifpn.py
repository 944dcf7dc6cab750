"""Repeated two-way fusion of levels with learned weights."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from hat.models.necks.levels import last_levels, resized_like


class BiFPN(nn.Module):
    """Bidirectional feature pyramid: levels are fused top down and bottom up, repeatedly.

    Args:
        in_channels: Of the features, finest first, two or more; the last `len(in_channels)`
            features of the backbone are used.
        out_channels: Of every level.
        num_layers: How often the two-way fusion is repeated.
        num_extra: Levels beyond the coarsest feature, by max pooling: 2 make P3 to P7 of
            P3 to P5.

    Attributes:
        in_channels: As given, a tuple.
        out_channels: Channels of each level that `forward` returns.

    Raises:
        ValueError: If there are fewer than two features, or no layer.

    Example:
        >>> neck = BiFPN([16, 32], out_channels=8, num_layers=2, num_extra=1)
        >>> levels = neck((torch.zeros(2, 16, 9, 7), torch.zeros(2, 32, 5, 4)))
        >>> [tuple(level.shape[1:]) for level in levels]
        [(8, 9, 7), (8, 5, 4), (8, 3, 2)]

    Reference:
        Tan et al., EfficientDet: Scalable and Efficient Object Detection, CVPR 2020, section
        3 and figure 3; sizes in table 1. As in the authors' implementation, a feature that
        is used twice by the first layer has two 1x1 convolutions of its own.
    """

    def __init__(
        self,
        in_channels: Sequence[int],
        out_channels: int = 64,
        *,
        num_layers: int = 3,
        num_extra: int = 2,
    ) -> None:
        super().__init__()
        if len(in_channels) < 2 or num_layers < 1:
            raise ValueError(
                "BiFPN needs in_channels of two features or more and one layer or more, got "
                f"in_channels={list(in_channels)} and {num_layers=}"
            )
        self.in_channels = tuple(in_channels)
        self.num_extra = num_extra
        num_levels = len(self.in_channels) + num_extra
        self.out_channels = (out_channels,) * num_levels
        self.lateral = nn.ModuleList(_lateral(width, out_channels) for width in in_channels)
        # The finest feature is used once; so is the coarsest one if there is no extra level.
        twice = in_channels[1:] if num_extra else in_channels[1:-1]
        self.skip = nn.ModuleList(_lateral(width, out_channels) for width in twice)
        self.extra = _lateral(in_channels[-1], out_channels) if num_extra else None
        self.layers = nn.ModuleList(_Layer(num_levels, out_channels) for _ in range(num_layers))

    def forward(self, features: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """Levels of `out_channels` each, finest first: as many as features, then the extra ones."""
        used = last_levels(features, self.in_channels, "BiFPN")
        levels = [lateral(feature) for lateral, feature in zip(self.lateral, used, strict=True)]
        skips = [skip(feature) for skip, feature in zip(self.skip, used[1:], strict=False)]
        coarsest = self.extra(used[-1]) if self.extra is not None else levels[-1]
        for _ in range(self.num_extra):
            coarsest = _halved(coarsest)
            levels.append(coarsest)
        skips = [levels[0], *skips, *levels[1 + len(skips) :]]
        for layer in self.layers:
            levels = skips = layer(levels, skips)
        return tuple(levels)


class _Layer(nn.Module):
    """One pass top down, one bottom up."""

    def __init__(self, num_levels: int, channels: int) -> None:
        super().__init__()
        self.top_down = nn.ModuleList(_Fusion(2, channels) for _ in range(num_levels - 1))
        inputs = [3] * (num_levels - 2) + [2]
        self.bottom_up = nn.ModuleList(_Fusion(count, channels) for count in inputs)

    def forward(self, levels: list[Tensor], skips: list[Tensor]) -> list[Tensor]:
        downward = list(levels)
        for finer in range(len(levels) - 2, -1, -1):
            coarser = resized_like(downward[finer + 1], levels[finer])
            downward[finer] = self.top_down[finer]([levels[finer], coarser])
        fused = [downward[0]]
        for number, fusion in enumerate(self.bottom_up, start=1):
            finer_one = resized_like(_halved(fused[-1]), levels[number])
            middle = [downward[number]] if number < len(self.bottom_up) else []
            fused.append(fusion([skips[number], *middle, finer_one]))
        return fused


class _Fusion(nn.Module):
    """Weighted sum, then SiLU and a depthwise separable convolution."""

    def __init__(self, num_inputs: int, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(num_inputs))
        self.conv = nn.Sequential(
            nn.SiLU(),
            nn.Conv2d(channels, channels, 3, padding=1, groups=channels, bias=False),
            nn.Conv2d(channels, channels, 1),
            _norm(channels),
        )

    def forward(self, inputs: list[Tensor]) -> Tensor:
        weight = functional.relu(self.weight)
        weight = weight / (weight.sum() + 1e-4)  # fast normalised fusion, section 3.3
        summed: Tensor = sum(w * x for w, x in zip(weight.unbind(), inputs, strict=True))  # type: ignore[assignment]
        return self.conv(summed)


def _lateral(in_channels: int, out_channels: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(in_channels, out_channels, 1), _norm(out_channels))


def _norm(channels: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, eps=1e-3, momentum=0.01)  # as the authors have it


def _halved(level: Tensor) -> Tensor:
    return functional.max_pool2d(level, 3, stride=2, padding=1)
