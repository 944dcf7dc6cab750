"""The share of samples whose class was found."""

from typing import Any

import torch
import torchmetrics
from torch import Tensor

from hat.data.sample import Batch


def count_top_k_hits(logits: Tensor, labels: Tensor, top_k: int = 1) -> Tensor:
    """How many labels are among the classes with the highest scores.

    Args:
        logits: Scores, float, shape (N, num_classes).
        labels: True class, int64, shape (N,).
        top_k: How many classes count as found, at most num_classes. Of equal scores
            those of `torch.topk` come first.

    Returns:
        int64 scalar.

    Raises:
        ValueError: If the shapes do not fit, or `top_k` exceeds the classes.

    Example:
        >>> count_top_k_hits(torch.eye(3), torch.tensor([0, 1, 0]))
        tensor(2)
    """
    if logits.ndim != 2 or labels.shape != logits.shape[:1]:
        raise ValueError(
            f"logits must be (N, num_classes) and labels (N,), got {tuple(logits.shape)} and "
            f"{tuple(labels.shape)}"
        )
    if top_k > logits.shape[1]:
        raise ValueError(f"top_k is {top_k}, but there are only {logits.shape[1]} classes")
    best = logits.topk(top_k, dim=1).indices  # (N, top_k)
    return (best == labels[:, None]).sum()


class Accuracy(torchmetrics.Metric):
    """Share of all samples whose label is among the `top_k` best classes.

    Hits and samples are summed and divided once, so a short last batch counts as
    what it is. Both are summed over processes.

    Args:
        top_k: See `count_top_k_hits`.
        name: What the score is called, after `train/` or `val/`; by default `acc`, or
            `acc_top5`.
    """

    higher_is_better = True
    full_state_update = False
    hits: Tensor
    num_samples: Tensor

    def __init__(self, top_k: int = 1, name: str | None = None) -> None:
        super().__init__()
        if top_k < 1:
            raise ValueError(f"top_k must be at least 1, got {top_k}")
        self.top_k = top_k
        self.name = name or ("acc" if top_k == 1 else f"acc_top{top_k}")
        self.add_state("hits", torch.tensor(0), dist_reduce_fx="sum")
        self.add_state("num_samples", torch.tensor(0), dist_reduce_fx="sum")

    def update(self, batch: Batch, preds: dict[str, Any]) -> None:
        """Count a batch: `label` (N,), or mixed labels (N, num_classes) by their largest."""
        labels = batch["label"]
        if labels.ndim == 2:
            labels = labels.argmax(dim=1)
        self.hits += count_top_k_hits(preds["logits"], labels, self.top_k)
        self.num_samples += len(labels)

    def compute(self) -> Tensor:
        """Accuracy in 0..1, float64 scalar."""
        return self.hits.double() / self.num_samples
