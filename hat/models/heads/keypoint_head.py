"""A feature into one heatmap for each keypoint."""

from torch import Tensor, nn


class KeypointHead(nn.Module):
    """One 1x1 convolution that gives how likely each keypoint is at each place.

    Args:
        in_channels: Channels of the feature that is used.
        num_keypoints: Heatmaps to give.
        in_index: Which of the features is used; by default the first, the finest.

    Raises:
        ValueError: If `num_keypoints` is below 1.

    Example:
        >>> KeypointHead(8, num_keypoints=17)((torch.zeros(2, 8, 64, 48),)).shape
        torch.Size([2, 17, 64, 48])

    Reference:
        Xiao et al., Simple Baselines for Human Pose Estimation and Tracking, ECCV 2018,
        section 2; the deconvolutions before it are `DeconvDecoder`.
    """

    def __init__(self, in_channels: int, num_keypoints: int, in_index: int = 0) -> None:
        super().__init__()
        if num_keypoints < 1:
            raise ValueError(f"KeypointHead needs 1 keypoint or more, got {num_keypoints}")
        self.in_channels = in_channels
        self.num_keypoints = num_keypoints
        self.in_index = in_index
        self.conv = nn.Conv2d(in_channels, num_keypoints, 1)
        nn.init.normal_(self.conv.weight, std=0.001)
        if self.conv.bias is not None:
            nn.init.zeros_(self.conv.bias)

    def forward(self, features: tuple[Tensor, ...]) -> Tensor:
        """Heatmaps, about 0 to 1, (N, num_keypoints, h, w), in the size of the used feature."""
        heatmaps: Tensor = self.conv(features[self.in_index])
        return heatmaps
