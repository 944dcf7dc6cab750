"""A head that tells apart whether there is an object, which, and where."""

import math
from collections.abc import Sequence

from torch import Tensor, nn


class YoloxHead(nn.Module):
    """Two branches on each level, one for the class and one for the box and objectness.

    Levels share no weights. A 1x1 convolution brings each to `channels`; each branch is
    `num_convs` 3x3 convolutions with BatchNorm and SiLU, then 1x1 convolutions.

    Args:
        in_channels: Of each level, finest first; the last so many features are used.
        num_classes: How many classes there are.
        channels: Inside the head.
        num_convs: Convolutions of each branch.
        prior: The probability of an object, and of each class, with which training starts.

    Raises:
        ValueError: If there is no level, or `num_classes` is below 1.

    Example:
        >>> head = YoloxHead([8, 16], num_classes=3)
        >>> maps = head((torch.zeros(1, 8, 4, 4), torch.zeros(1, 16, 2, 2)))
        >>> {name: tuple(level.shape[1] for level in levels) for name, levels in maps.items()}
        {'cls': (3, 3), 'bbox': (4, 4), 'obj': (1, 1)}

    Reference:
        Ge et al., YOLOX: Exceeding YOLO Series in 2021, figure 2; the prior is that of Lin
        et al., Focal Loss for Dense Object Detection, ICCV 2017, section 3.3.
    """

    def __init__(
        self,
        in_channels: Sequence[int],
        num_classes: int,
        *,
        channels: int = 64,
        num_convs: int = 2,
        prior: float = 0.01,
    ) -> None:
        super().__init__()
        if not in_channels or num_classes < 1:
            raise ValueError(f"needs a level and a class, got {in_channels=} and {num_classes=}")
        self.in_channels = tuple(in_channels)
        self.num_classes = num_classes
        self.levels = nn.ModuleList(
            _Level(width, num_classes, channels, num_convs, prior) for width in in_channels
        )

    def forward(self, features: Sequence[Tensor]) -> dict[str, tuple[Tensor, ...]]:
        """Raw maps of each level.

        Args:
            features: (N, C, h, w) each, finest first.

        Returns:
            Logits `cls` (N, num_classes, h, w) and `obj` (N, 1, h, w); `bbox` (N, 4, h, w),
            which `YoloxTask` decodes.
        """
        used = features[-len(self.levels) :]
        maps = [level(feature) for level, feature in zip(self.levels, used, strict=True)]
        cls, bbox, obj = zip(*maps, strict=True)
        return {"cls": cls, "bbox": bbox, "obj": obj}


class _Level(nn.Module):
    def __init__(
        self, in_channels: int, num_classes: int, channels: int, num_convs: int, prior: float
    ) -> None:
        super().__init__()
        self.stem = _conv(in_channels, channels, 1)
        self.cls_convs = nn.Sequential(*(_conv(channels, channels, 3) for _ in range(num_convs)))
        self.bbox_convs = nn.Sequential(*(_conv(channels, channels, 3) for _ in range(num_convs)))
        self.cls = nn.Conv2d(channels, num_classes, 1)
        self.bbox = nn.Conv2d(channels, 4, 1)
        self.obj = nn.Conv2d(channels, 1, 1)
        for scores in (self.cls, self.obj):
            assert scores.bias is not None  # for mypy
            nn.init.constant_(scores.bias, -math.log((1 - prior) / prior))

    def forward(self, feature: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        feature = self.stem(feature)
        about_box = self.bbox_convs(feature)
        return self.cls(self.cls_convs(feature)), self.bbox(about_box), self.obj(about_box)


def _conv(in_channels: int, out_channels: int, kernel_size: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(in_channels, out_channels, kernel_size, padding=kernel_size // 2, bias=False),
        nn.BatchNorm2d(out_channels),
        nn.SiLU(inplace=True),
    )
