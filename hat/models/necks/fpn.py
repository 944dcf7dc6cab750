"""A feature pyramid, as torchvision builds it."""

from collections.abc import Sequence
from typing import Literal

from torch import Tensor, nn
from torchvision.ops import FeaturePyramidNetwork
from torchvision.ops.feature_pyramid_network import LastLevelMaxPool, LastLevelP6P7

from hat.models.necks.levels import last_levels

Extra = Literal["none", "pool", "p6p7", "p6p7_on_c5"]


class FPN(FeaturePyramidNetwork):
    """Feature pyramid network: coarse features are added to the finer ones, top down.

    The names of its weights are those of torchvision's detectors below `backbone.fpn`.

    Args:
        in_channels: Of the features, finest first; the last `len(in_channels)` features of
            the backbone are used.
        out_channels: Of every level that comes out.
        extra: Levels beyond the coarsest feature. `none`; `pool`: one more level by
            subsampling (Faster R-CNN); `p6p7`: two more levels by 3x3 convolutions of
            stride 2 on the coarsest level (FCOS and RetinaNet of torchvision);
            `p6p7_on_c5`: the same on the coarsest feature of the backbone (RetinaNet of the
            paper, `retinanet_resnet50_fpn_v2` of torchvision).
        batch_norm: Whether BatchNorm follows each convolution, which then has no bias, as in
            `fasterrcnn_resnet50_fpn_v2` of torchvision. The extra levels never have one.

    Attributes:
        in_channels: As given, a tuple.
        out_channels: Channels of each level that `forward` returns.

    Raises:
        ValueError: If there are no features to use, or `extra` is another word.

    Example:
        >>> neck = FPN([16, 32], out_channels=8, extra="p6p7")
        >>> levels = neck((torch.zeros(1, 16, 9, 7), torch.zeros(1, 32, 5, 4)))
        >>> [tuple(level.shape[1:]) for level in levels]
        [(8, 9, 7), (8, 5, 4), (8, 3, 2), (8, 2, 1)]

    Reference:
        Lin et al., Feature Pyramid Networks for Object Detection, CVPR 2017, section 3; the
        extra levels are those of section 4.1 there (footnote 2) and of Lin et al., Focal Loss
        for Dense Object Detection, ICCV 2017, section 4 (footnote 2).
    """

    def __init__(
        self,
        in_channels: Sequence[int],
        out_channels: int = 256,
        *,
        extra: Extra = "none",
        batch_norm: bool = False,
    ) -> None:
        if not in_channels:
            raise ValueError("FPN needs in_channels of one feature or more, got none")
        super().__init__(
            list(in_channels),
            out_channels,
            _extra_block(extra, in_channels[-1], out_channels),
            norm_layer=nn.BatchNorm2d if batch_norm else None,
        )
        num_extra = {"none": 0, "pool": 1}.get(extra, 2)
        self.in_channels = tuple(in_channels)
        self.out_channels = (out_channels,) * (len(self.in_channels) + num_extra)

    def forward(self, features: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """Levels of `out_channels` each, finest first: as many as features, then the extra ones."""
        used = last_levels(features, self.in_channels, "FPN")
        levels = super().forward({str(number): level for number, level in enumerate(used)})
        return tuple(levels.values())


def _extra_block(extra: str, c5_channels: int, out_channels: int) -> nn.Module | None:
    if extra == "none":
        return None
    if extra == "pool":
        return LastLevelMaxPool()
    if extra not in ("p6p7", "p6p7_on_c5"):
        raise ValueError(
            f"extra of FPN must be 'none', 'pool', 'p6p7' or 'p6p7_on_c5', got {extra!r}"
        )
    on_c5 = extra == "p6p7_on_c5"
    block = LastLevelP6P7(c5_channels if on_c5 else out_channels, out_channels)
    # torchvision guesses it from the channels, and is wrong where both have as many.
    block.use_P5 = not on_c5
    return block
