"""The encoder's pyramid and the decoder of DeepLabV3+."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.ops import Conv2dNormActivation

from hat.models.necks.aspp import ASPP, separable_conv


class DeepLabV3PlusHead(nn.Module):
    """Scores of pixels from a coarse feature at several scales and a fine one.

    The last feature goes through `ASPP`, is enlarged to the size of the finest one given,
    which is brought to few channels, and both go through two 3x3 convolutions.

    The backbone should be dilated, so that its last feature has stride 16 or 8:
    `TimmBackbone("resnet50", out_indices=[1, 4], options=dict(output_stride=16))`.

    Args:
        in_channels: Of the last features of the backbone, finest first, two or more. The
            first of them, of stride 4 in the paper, and the last are used.
        num_classes: Scores to give.
        channels: Of the pyramid and of the decoder.
        low_channels: What the fine feature is brought to.
        rates: Dilation of the pyramid's convolutions: 6, 12, 18 at stride 16 and 12, 24, 36
            at stride 8.
        separable: Whether 3x3 convolutions are a depthwise and a 1x1 one: faster.
        dropout: Share of the pyramid's values set to zero in training, 0 to below 1.

    Attributes:
        in_channels: As given, a tuple.

    Raises:
        ValueError: If there are fewer than two features, or an argument is out of range.

    Example:
        >>> head = DeepLabV3PlusHead([8, 32], num_classes=3, channels=16, rates=[1, 2])
        >>> head((torch.zeros(2, 8, 17, 13), torch.zeros(2, 32, 5, 4))).shape
        torch.Size([2, 3, 17, 13])

    Reference:
        Chen et al., Encoder-Decoder with Atrous Separable Convolution for Semantic Image
        Segmentation, ECCV 2018, section 3.1 and, for the widths of the decoder, section 4.1.
    """

    def __init__(
        self,
        in_channels: Sequence[int],
        num_classes: int,
        channels: int = 256,
        *,
        low_channels: int = 48,
        rates: Sequence[int] = (6, 12, 18),
        separable: bool = False,
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        if len(in_channels) < 2 or min(*in_channels, num_classes, channels, low_channels) < 1:
            raise ValueError(
                "DeepLabV3PlusHead needs in_channels of two features or more and all numbers "
                f"1 or more, got {list(in_channels)}, {num_classes=}, {channels=}, {low_channels=}"
            )
        self.in_channels = tuple(in_channels)
        self.num_classes = num_classes
        self.aspp = ASPP(in_channels[-1:], channels, rates, separable=separable, dropout=dropout)
        self.reduce = Conv2dNormActivation(in_channels[0], low_channels, 1)
        conv3x3 = separable_conv if separable else Conv2dNormActivation
        self.decoder = nn.Sequential(
            conv3x3(channels + low_channels, channels), conv3x3(channels, channels)
        )
        self.classifier = nn.Conv2d(channels, num_classes, 1)

    def forward(self, features: tuple[Tensor, ...]) -> Tensor:
        """Scores before softmax, (N, num_classes, h, w), in the size of the fine feature."""
        low = self.reduce(features[-len(self.in_channels)])
        (deep,) = self.aspp(features)
        deep = F.interpolate(deep, low.shape[2:], mode="bilinear", align_corners=False)
        scores: Tensor = self.classifier(self.decoder(torch.cat([deep, low], dim=1)))
        return scores
