"""Which of a backbone's features a neck works on."""

from torch import Tensor


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
