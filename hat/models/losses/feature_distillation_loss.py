"""A student looks where its teacher looks."""

import torch.nn.functional as F
from torch import Tensor, nn

from hat.models.losses.inputs import at_least_float32


class FeatureDistillationLoss(nn.Module):
    """Squared distance of the attention maps of a student's and a teacher's feature.

    The attention map of a feature is the sum over its channels of their squares, scaled to a
    length of 1 over the picture. So the two may have different numbers of channels, and no
    layer between them has to be learnt. The teacher gets no gradient.

    Called with the features (N, C, H, W) and (N, C', H, W); mean over the pictures, from 0,
    alike, to 2.

    Args:
        weight: Factor of the loss.

    Raises:
        ValueError: If the two are not feature maps of one size.

    Example:
        >>> feature = torch.tensor([[[[3.0, 0.0]]]])  # they look at different cells
        >>> FeatureDistillationLoss()(feature, torch.tensor([[[[0.0, 1.0]]]]))
        tensor(2.)

    Reference:
        Zagoruyko and Komodakis, Paying More Attention to Attention: Improving the Performance
        of Convolutional Neural Networks via Attention Transfer, ICLR 2017, eq. 2 with p = 2
        and the distance squared, so that it is smooth where the maps agree.
    """

    def __init__(self, weight: float = 1.0) -> None:
        super().__init__()
        self.weight = weight

    def forward(self, feature: Tensor, teacher_feature: Tensor) -> Tensor:
        """A scalar; shapes as in the class."""
        shapes = tuple(feature.shape), tuple(teacher_feature.shape)
        if feature.ndim != 4 or (shapes[0][:1], shapes[0][2:]) != (shapes[1][:1], shapes[1][2:]):
            raise ValueError(
                f"features must be (N, C, H, W) of one size, got {shapes[0]} and {shapes[1]}: "
                "resize the teacher's to the student's"
            )
        distance = _attention(feature) - _attention(teacher_feature.detach())
        return self.weight * distance.square().sum() / max(len(feature), 1)


def _attention(feature: Tensor) -> Tensor:
    """Where a feature (N, C, H, W) is strong: (N, H * W), each row of length 1."""
    return F.normalize(at_least_float32(feature).square().sum(dim=1).flatten(1), dim=1)
