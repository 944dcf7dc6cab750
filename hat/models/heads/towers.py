"""What the heads of dense detectors are built of."""

import math
from collections.abc import Callable
from typing import Literal

from torch import Tensor, nn

Norm = Literal["group", "batch", "none"]


def norm_layer(norm: Norm) -> Callable[[int], nn.Module] | None:
    """What makes a normalisation layer from a number of channels; none for `none`.

    Raises:
        ValueError: If it is not one of the three.
    """
    if norm not in ("group", "batch", "none"):
        raise ValueError(f"norm must be 'group', 'batch' or 'none', got {norm!r}")
    layers: dict[str, Callable[[int], nn.Module]] = {"group": _group_norm, "batch": nn.BatchNorm2d}
    return layers.get(norm)


def _group_norm(channels: int) -> nn.Module:
    # 32 groups, as the paper and torchvision have; fewer where a group would be one channel,
    # of which nothing is left on a map of one place.
    return nn.GroupNorm(min(math.gcd(32, channels), max(1, channels // 2)), channels)


def init_convs(module: nn.Module) -> None:
    """Weights of all convolutions from N(0, 0.01), biases 0 (Lin et al., Focal Loss, 4.1)."""
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.normal_(layer.weight, std=0.01)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)


def init_prior(conv: nn.Module, probability: float = 0.01) -> None:
    """A bias with which each place starts at this probability (Lin et al., Focal Loss, 3.3)."""
    if isinstance(conv.bias, Tensor):
        nn.init.constant_(conv.bias, -math.log((1 - probability) / probability))
