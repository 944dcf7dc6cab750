"""Any metric of torchmetrics, given the keys of a batch to look at."""

from typing import Any

import torchmetrics
from torchmetrics.wrappers.abstract import WrapperMetric

from hat.data.sample import Batch


class TorchMetric(WrapperMetric):
    """Feeds a torchmetrics metric with one prediction and one truth of each batch.

    Args:
        metric: The metric, called with (prediction, truth).
        name: What the score is called, after `train/` or `val/`.
        pred_key: Key in the model's predictions.
        target_key: Key in the batch.

    Example:
        >>> from torchmetrics.classification import MulticlassF1Score
        >>> f1 = TorchMetric(MulticlassF1Score(num_classes=3), name="f1")
    """

    def __init__(
        self,
        metric: torchmetrics.Metric,
        name: str,
        pred_key: str = "logits",
        target_key: str = "label",
    ) -> None:
        super().__init__()
        self.metric = metric
        self.name = name
        self.pred_key = pred_key
        self.target_key = target_key

    @property
    def higher_is_better(self) -> bool | None:  # type: ignore[override]
        """As the wrapped metric says."""
        return self.metric.higher_is_better

    def update(self, batch: Batch, preds: dict[str, Any]) -> None:
        """Pass one batch on."""
        self.metric.update(preds[self.pred_key], batch[self.target_key])

    def forward(self, batch: Batch, preds: dict[str, Any]) -> Any:
        """Pass one batch on and return its own value."""
        return self.metric(preds[self.pred_key], batch[self.target_key])

    def compute(self) -> Any:
        """The value of the wrapped metric."""
        return self.metric.compute()

    def reset(self) -> None:
        """Forget all batches."""
        super().reset()
        self.metric.reset()
