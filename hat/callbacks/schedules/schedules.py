"""Learning rate as a pure function of how much work is done.

A schedule gives the factor by which the configured learning rate is multiplied. It is
asked with `done`, committed steps or whole epochs, and `total`, how many there will be;
the unit is that of the `LrUpdater` that asks.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass


class Schedule(ABC):
    """From work done to a factor on the learning rate; it has no memory."""

    #: Whether the factor depends on how long the run is.
    needs_total = False

    @abstractmethod
    def factor(self, done: int, total: int) -> float:
        """The factor for the work after `done` units of `total`, with `done` below `total`."""


@dataclass(frozen=True)
class ConstantLr(Schedule):
    """The configured learning rate throughout."""

    def factor(self, done: int, total: int) -> float:
        return 1.0


@dataclass(frozen=True)
class StepLr(Schedule):
    """Multiplied by `gamma` every `size` units.

    Args:
        size: Units between drops, at least 1.
        gamma: Factor of each drop.
    """

    size: int
    gamma: float = 0.1

    def __post_init__(self) -> None:
        if self.size < 1:
            raise ValueError(f"size must be at least 1, got {self.size}")

    def factor(self, done: int, total: int) -> float:
        return float(self.gamma ** (done // self.size))


@dataclass(frozen=True)
class MultiStepLr(Schedule):
    """Multiplied by `gamma` at each of some milestones.

    Args:
        milestones: Units done when the rate drops, rising.
        gamma: Factor of each drop.
    """

    milestones: Sequence[int]
    gamma: float = 0.1

    def __post_init__(self) -> None:
        if list(self.milestones) != sorted(set(self.milestones)):
            raise ValueError(f"milestones must rise, got {list(self.milestones)}")

    def factor(self, done: int, total: int) -> float:
        return float(self.gamma ** sum(done >= milestone for milestone in self.milestones))


@dataclass(frozen=True)
class PolyLr(Schedule):
    """Falls as `(1 - done / total) ** power`, not below `min_factor`.

    Args:
        power: 1 is a straight line; 0.9 is usual in segmentation.
        min_factor: The least factor.

    Reference:
        Chen et al., DeepLab, TPAMI 2018, section 4.1 ("poly" policy).
    """

    needs_total = True
    power: float = 0.9
    min_factor: float = 0.0

    def factor(self, done: int, total: int) -> float:
        return max(self.min_factor, float((1 - done / total) ** self.power))


@dataclass(frozen=True)
class CosineLr(Schedule):
    """Falls from 1 to `min_factor` along half a cosine.

    Args:
        min_factor: The factor at the end.

    Reference:
        Loshchilov and Hutter, SGDR, ICLR 2017, eq. 5, without restarts.
    """

    needs_total = True
    min_factor: float = 0.0

    def factor(self, done: int, total: int) -> float:
        return self.min_factor + (1 - self.min_factor) * (1 + math.cos(math.pi * done / total)) / 2


@dataclass(frozen=True)
class ExponentialLr(Schedule):
    """Multiplied by `gamma` with every unit.

    Args:
        gamma: Factor of each unit.
    """

    gamma: float

    def factor(self, done: int, total: int) -> float:
        return float(self.gamma**done)


@dataclass(frozen=True)
class OneCycleLr(Schedule):
    """Rises along half a cosine to the configured rate, then falls far below its start.

    The last unit has the final factor, as in torch's `OneCycleLR` with cosine annealing;
    momentum is left alone.

    Args:
        pct_start: Share of the run in which the rate rises.
        div_factor: How much lower than its peak the rate starts.
        final_div_factor: How much lower than its start the rate ends.

    Reference:
        Smith and Topin, Super-Convergence, 2018.
    """

    needs_total = True
    pct_start: float = 0.3
    div_factor: float = 25.0
    final_div_factor: float = 1e4

    def __post_init__(self) -> None:
        if not 0 < self.pct_start < 1:
            raise ValueError(f"pct_start must be between 0 and 1, got {self.pct_start}")

    def factor(self, done: int, total: int) -> float:
        start = 1 / self.div_factor
        peak_at = self.pct_start * total - 1
        if done <= peak_at:
            return _cosine(start, 1.0, done / peak_at if peak_at else 1.0)
        share = min(1.0, (done - peak_at) / (total - 1 - peak_at))
        return _cosine(1.0, start / self.final_div_factor, share)


@dataclass(frozen=True)
class NoamLr(Schedule):
    """Rises linearly for `num_warmup`, then falls with the square root of the work done.

    The factor is 1 at its peak; the paper's rate at the peak is
    `(model_dim * num_warmup) ** -0.5`.

    Args:
        num_warmup: Units until the peak, at least 1.

    Reference:
        Vaswani et al., Attention Is All You Need, NIPS 2017, eq. 3.
    """

    num_warmup: int

    def __post_init__(self) -> None:
        if self.num_warmup < 1:
            raise ValueError(f"num_warmup must be at least 1, got {self.num_warmup}")

    def factor(self, done: int, total: int) -> float:
        unit = done + 1  # the paper counts from 1
        return min(unit / self.num_warmup, math.sqrt(self.num_warmup / unit))


def _cosine(start: float, end: float, share: float) -> float:
    return end + (start - end) * (1 + math.cos(math.pi * share)) / 2
