"""Features into the scores of every place: convolutions and nothing else."""

from torch import Tensor, nn


class FcnHead(nn.Module):
    """Convolutions of 3x3, dropout, and one of 1x1 that gives the scores.

    Args:
        in_channels: Channels of the feature that is used.
        num_classes: Scores to give.
        channels: Channels of the 3x3 convolutions; by default a quarter of `in_channels`,
            as in torchvision's FCN.
        num_convs: How many 3x3 convolutions, each with BatchNorm and ReLU, 0 or more.
        in_index: Which of the features is used; by default the last, the coarsest.
        dropout: Share of channels set to zero in training, 0 to below 1.
        upscale: How much finer the scores are than the feature: the last convolution gives
            those of upscale x upscale places at once. Thin things are kept that scores
            interpolated from coarse ones would lose.

    Raises:
        ValueError: If an argument is out of range.

    Example:
        >>> head = FcnHead(8, num_classes=3, channels=4, in_index=0)
        >>> head((torch.zeros(2, 8, 12, 16), torch.zeros(2, 16, 6, 8))).shape
        torch.Size([2, 3, 12, 16])

    Reference:
        Long et al., Fully Convolutional Networks for Semantic Segmentation, CVPR 2015,
        section 4.1; with one 3x3 convolution before the scores, as in torchvision's
        `FCNHead` and in the auxiliary heads of Zhao et al., Pyramid Scene Parsing Network,
        CVPR 2017. `upscale` is the sub-pixel convolution of Shi et al., Real-Time Single Image
        and Video Super-Resolution Using an Efficient Sub-Pixel Convolutional Neural Network,
        CVPR 2016, section 2.2.
    """

    def __init__(
        self,
        in_channels: int,
        num_classes: int,
        channels: int | None = None,
        *,
        num_convs: int = 1,
        in_index: int = -1,
        dropout: float = 0.0,
        upscale: int = 1,
    ) -> None:
        super().__init__()
        channels = max(1, in_channels // 4) if channels is None else channels
        if min(in_channels, num_classes, channels, upscale) < 1 or num_convs < 0:
            raise ValueError(
                "in_channels, num_classes, channels and upscale must be at least 1 and num_convs "
                f"at least 0, got {in_channels}, {num_classes}, {channels}, {upscale} and "
                f"{num_convs}"
            )
        if not 0 <= dropout < 1:
            raise ValueError(f"dropout must be in [0, 1), got {dropout}")
        self.in_channels = in_channels
        self.num_classes = num_classes
        self.in_index = in_index
        layers: list[nn.Module] = []
        width = in_channels
        for _ in range(num_convs):
            layers += [
                nn.Conv2d(width, channels, 3, padding=1, bias=False),
                nn.BatchNorm2d(channels),
                nn.ReLU(inplace=True),
            ]
            width = channels
        self.convs = nn.Sequential(*layers)
        self.dropout = nn.Dropout2d(dropout)
        self.classifier = nn.Conv2d(width, num_classes * upscale**2, 1)
        self.shuffle = nn.PixelShuffle(upscale)

    def forward(self, features: tuple[Tensor, ...]) -> Tensor:
        """Scores before softmax, (N, num_classes, h, w): `upscale` times the feature's size."""
        scores: Tensor = self.classifier(self.dropout(self.convs(features[self.in_index])))
        return self.shuffle(scores)
