"""What a structure answers to a batch."""

from typing import Any, NamedTuple

from torch import Tensor


class ModelOutput(NamedTuple):
    """Losses and predictions of one batch.

    Args:
        losses: Named scalars whose plain sum is what training minimises; each is a
            mean over the samples of the batch, its weight already applied. Empty where
            the batch has no truth to compare with.
        preds: Predictions by the keys of `hat.data.sample.KEYS` without `gt_`, first
            dimension or list the samples of the batch; cut from the graph.
    """

    losses: dict[str, Tensor]
    preds: dict[str, Any]
