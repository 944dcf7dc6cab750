"""A feature becomes class scores."""

from torch import Tensor, nn


class LinearHead(nn.Module):
    """Global average pooling, dropout and one linear layer.

    Args:
        in_channels: Channels of the feature.
        num_classes: Scores to give.
        dropout: Share of pooled features set to zero in training, 0 to below 1.

    Example:
        >>> LinearHead(8, 3)(torch.zeros(2, 8, 4, 4)).shape
        torch.Size([2, 3])
    """

    def __init__(self, in_channels: int, num_classes: int, dropout: float = 0.0) -> None:
        super().__init__()
        if not 0 <= dropout < 1:
            raise ValueError(f"dropout must be in [0, 1), got {dropout}")
        self.in_channels = in_channels
        self.num_classes = num_classes
        self.dropout = nn.Dropout(dropout)
        self.fc = nn.Linear(in_channels, num_classes)

    def forward(self, feature: Tensor) -> Tensor:
        """Scores before softmax, (N, num_classes), of a feature (N, C, H, W) or (N, C)."""
        pooled = feature.mean(dim=(2, 3)) if feature.ndim == 4 else feature
        logits: Tensor = self.fc(self.dropout(pooled))
        return logits
