"""Which of a backbone's features a neck works on, and how sizes are matched."""

from torch import Tensor
from torch.nn import functional


def last_levels(
    features: tuple[Tensor, ...], in_channels: tuple[int, ...], neck: str
) -> tuple[Tensor, ...]:
    """The last `len(in_channels)` features, checked.

    Args:
        features: Of a backbone, finest first, (N, C, H, W) each.
        in_channels: What the neck was built for, finest first.
        neck: Its name, for the message.

    Returns:
        As many features as there are `in_channels`.

    Raises:
        ValueError: If there are fewer features, or their channels differ.
    """
    used = tuple(features)[-len(in_channels) :]
    channels = tuple(feature.shape[1] for feature in used)
    if channels != in_channels:
        raise ValueError(
            f"{neck} was built for in_channels={in_channels}, but the last features have "
            f"{channels} channels; in_channels must be those of the backbone's last features"
        )
    return used


def resized_like(level: Tensor, other: Tensor) -> Tensor:
    """A level with the height and width of another one, by the nearest pixel.

    Of an odd size the coarser level has half, rounded up or down as the backbone does it;
    doubling would not meet the finer one.
    """
    size = other.shape[-2:]
    return level if level.shape[-2:] == size else functional.interpolate(level, size=size)
