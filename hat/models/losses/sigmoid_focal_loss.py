"""Binary cross entropy in which what is easy counts less."""

from torch import Tensor, nn
from torchvision.ops import sigmoid_focal_loss

from hat.models.losses.inputs import at_least_float32


class SigmoidFocalLoss(nn.Module):
    """Focal loss of each score, unreduced: the caller divides by its positives.

    Called with scores before sigmoid and targets from 0 to 1, of the same shape, any.

    Args:
        alpha: Weight of positives, 0 to 1; negatives have 1 - alpha.
        gamma: How strongly easy ones are discounted, 0 or more.

    Raises:
        ValueError: If alpha or gamma is out of range, or the shapes differ.

    Example:
        >>> loss = SigmoidFocalLoss()  # alpha * (1 - p)^gamma * -log(p) with p = 1/2
        >>> loss(torch.tensor([0.0]), torch.tensor([1.0]))
        tensor([0.0433])

    Reference:
        Lin et al., Focal Loss for Dense Object Detection, ICCV 2017, eq. 5.
    """

    def __init__(self, alpha: float = 0.25, gamma: float = 2.0) -> None:
        super().__init__()
        if not 0 <= alpha <= 1 or not gamma >= 0:
            raise ValueError(f"alpha must be in [0, 1] and gamma >= 0, got {alpha=}, {gamma=}")
        self.alpha = alpha
        self.gamma = gamma

    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        """The loss of each element, of the shape of the inputs."""
        logits = at_least_float32(logits)
        return sigmoid_focal_loss(logits, targets.to(logits.dtype), self.alpha, self.gamma)
