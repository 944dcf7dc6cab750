"""A head that finds the centres of objects, and their sizes there."""

from collections.abc import Sequence

from torch import Tensor, nn

#: The bias of `cls`: probabilities start at 0.1.
_PRIOR_BIAS = -2.19


class CenterNetHead(nn.Module):
    """Three branches on one feature, each a 3x3 convolution, ReLU and a 1x1 convolution.

    Args:
        in_channels: Of the feature that is used.
        num_classes: How many classes there are.
        channels: Inside each branch.
        in_index: Which of the features is used; by default the first, the finest.

    Raises:
        ValueError: If `num_classes` is below 1.

    Example:
        >>> maps = CenterNetHead(8, num_classes=3)((torch.zeros(1, 8, 4, 4),))
        >>> {name: tuple(level.shape[1] for level in levels) for name, levels in maps.items()}
        {'cls': (3,), 'size': (2,), 'offset': (2,)}

    Reference:
        Zhou et al., Objects as Points, 2019, section 5.1.
    """

    def __init__(
        self, in_channels: int, num_classes: int, *, channels: int = 64, in_index: int = 0
    ) -> None:
        super().__init__()
        if num_classes < 1:
            raise ValueError(f"CenterNetHead needs 1 class or more, got {num_classes}")
        self.in_channels = in_channels
        self.num_classes = num_classes
        self.in_index = in_index
        self.cls = _branch(in_channels, channels, num_classes)
        self.size = _branch(in_channels, channels, 2)
        self.offset = _branch(in_channels, channels, 2)
        nn.init.constant_(self.cls[-1].bias, _PRIOR_BIAS)  # type: ignore[arg-type]

    def forward(self, features: Sequence[Tensor]) -> dict[str, tuple[Tensor, ...]]:
        """Raw maps, one of each kind.

        Args:
            features: (N, C, h, w) each, finest first.

        Returns:
            Logits `cls` (N, num_classes, h, w) that an object's centre is in a cell; `size`
            (N, 2, h, w), width and height in cells; `offset` (N, 2, h, w), of the centre
            from the left top corner of its cell, in cells.
        """
        feature = features[self.in_index]
        return {
            "cls": (self.cls(feature),),
            "size": (self.size(feature),),
            "offset": (self.offset(feature),),
        }


def _branch(in_channels: int, channels: int, out_channels: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(in_channels, channels, 3, padding=1),
        nn.ReLU(inplace=True),
        nn.Conv2d(channels, out_channels, 1),
    )
