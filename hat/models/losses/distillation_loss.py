"""A student learns the scores of a teacher."""

import torch.nn.functional as F
from torch import Tensor, nn

from hat.models.losses.inputs import at_least_float32


class DistillationLoss(nn.Module):
    """KL divergence of softened probabilities of a student from those of its teacher.

    Called with scores before softmax of the student and of the teacher, both (N, C) or
    (N, C, H, W). Each picture, or pixel, counts the same. The teacher gets no gradient.

    Args:
        temperature: What both scores are divided by, above 0. The divergence is multiplied
            with its square, so that gradients keep their size as it changes.
        weight: Factor of the loss.

    Raises:
        ValueError: If the shapes differ, or the temperature is not above 0.

    Example:
        >>> loss = DistillationLoss(temperature=2.0)
        >>> loss(torch.tensor([[1.0, 2.0]]), torch.tensor([[3.0, 4.0]]))
        tensor(0.)

    Reference:
        Hinton et al., Distilling the Knowledge in a Neural Network, 2015, section 2. KL
        divergence has the gradients of its cross entropy and is 0 where both agree.
    """

    def __init__(self, temperature: float = 4.0, weight: float = 1.0) -> None:
        super().__init__()
        if not temperature > 0:
            raise ValueError(f"temperature must be above 0, got {temperature}")
        self.temperature = temperature
        self.weight = weight

    def forward(self, logits: Tensor, teacher_logits: Tensor) -> Tensor:
        """A scalar; shapes as in the class."""
        if logits.shape != teacher_logits.shape:
            raise ValueError(
                f"student and teacher must score the same, got shapes {tuple(logits.shape)} and "
                f"{tuple(teacher_logits.shape)}"
            )
        student = (at_least_float32(logits) / self.temperature).log_softmax(dim=1)
        teacher = (at_least_float32(teacher_logits.detach()) / self.temperature).log_softmax(dim=1)
        divergence = F.kl_div(student, teacher, reduction="sum", log_target=True)
        num_places = max(logits[:, :1].numel(), 1)
        return self.weight * self.temperature**2 * divergence / num_places
