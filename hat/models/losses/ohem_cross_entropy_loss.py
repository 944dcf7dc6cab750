"""Cross entropy of the pixels that are hard."""

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hat.models.losses.cross_entropy_loss import class_weights, label_weights
from hat.models.losses.inputs import at_least_float32, check_labels


class OhemCrossEntropyLoss(nn.Module):
    """Mean cross entropy of the hard pixels: online hard example mining.

    A pixel is hard if its true class has a probability below `threshold`. If fewer than a
    share of `min_kept` of the pixels of the batch are, those of the highest loss are taken
    up to that share, and all that tie with the last of them; fewer where fewer are labelled.
    The choice does not see the class weights; the mean does, as in `CrossEntropyLoss`.

    Called with scores before softmax, (N, C, H, W), and classes, int64 (N, H, W), at once
    for the whole batch: a batch of easy and hard pictures learns from the hard ones.

    Args:
        threshold: Probability of the true class below which a pixel is hard, above 0 and up to 1.
        min_kept: Least share of all pixels that are used, labelled or not, 0 to 1.
        class_weight: One factor for each class.
        ignore_index: Label of pixels that are not labelled.
        weight: Factor of the loss.

    Raises:
        ValueError: If the labels do not have the shape of the scores without classes.

    Example:
        >>> loss = OhemCrossEntropyLoss(min_kept=0.25)
        >>> logits = torch.tensor([[[[9.0, 9.0, 0.0, 9.0]], [[0.0, 0.0, 0.0, 0.0]]]])
        >>> loss(logits, torch.zeros(1, 1, 4, dtype=torch.long))  # one pixel is hard
        tensor(0.6931)

    Reference:
        Shrivastava et al., Training Region-based Object Detectors with Online Hard Example
        Mining, CVPR 2016, section 4, which takes a fixed number of the highest losses. The
        threshold is what implementations of segmentation networks add; their least number
        is a sixteenth of the pixels or 100,000.
    """

    class_weight: Tensor | None

    def __init__(
        self,
        threshold: float = 0.7,
        min_kept: float = 1 / 16,
        class_weight: Sequence[float] | None = None,
        ignore_index: int = 255,
        weight: float = 1.0,
    ) -> None:
        super().__init__()
        if not 0 < threshold <= 1 or not 0 <= min_kept <= 1:
            raise ValueError(
                f"threshold must be in (0, 1] and min_kept, a share of the pixels, in [0, 1], "
                f"got {threshold=} and {min_kept=}"
            )
        self.register_buffer("class_weight", class_weights(class_weight), persistent=False)
        self.threshold = threshold
        self.min_kept = min_kept
        self.ignore_index = ignore_index
        self.weight = weight

    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        """A scalar; shapes as in the class."""
        check_labels(logits, labels)
        logits = at_least_float32(logits)
        losses = F.cross_entropy(
            logits, labels.long(), ignore_index=self.ignore_index, reduction="none"
        )
        factors = None if self.class_weight is None else self.class_weight.to(logits.dtype)
        counted = label_weights(labels, factors, self.ignore_index) * self._is_hard(losses.detach())
        total = counted.sum()
        return self.weight * (losses * counted).sum() / torch.where(total > 0, total, 1)

    def _is_hard(self, losses: Tensor) -> Tensor:
        # Ignored pixels have a loss of 0, so that they come last in every order; the number
        # to keep depends on the shape alone, so that no device has to be waited for.
        hard = losses > -math.log(self.threshold)
        num_kept = math.ceil(self.min_kept * losses.numel())
        if not num_kept:
            return hard
        return hard | (losses >= losses.flatten().topk(num_kept, sorted=False).values.min())
