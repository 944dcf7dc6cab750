"""Scores of a classification head into losses and classes."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from hat.data.sample import Batch
from hat.models.task_modules.task_module import TaskModule


class ClassificationTask(TaskModule):
    """Losses and predictions of one class for each picture.

    Args:
        num_classes: Scores of each picture.
        losses: By name, each called with scores before softmax (N, num_classes) and `label`,
            giving a scalar mean; by default `torch.nn.CrossEntropyLoss()` under the name `ce`.

    Raises:
        ValueError: If there are no classes or no losses; when called, if the scores have
            another shape.

    Example:
        >>> task = ClassificationTask(2)
        >>> logits = torch.tensor([[0.0, 0.0]])
        >>> task.losses(logits, {"label": torch.tensor([1])})
        {'ce': tensor(0.6931)}
        >>> task.predictions(logits, {})["scores"]
        tensor([0.5000])
    """

    truth_keys = ("label",)

    def __init__(self, num_classes: int, losses: Mapping[str, nn.Module] | None = None) -> None:
        super().__init__()
        if num_classes < 1:
            raise ValueError(f"num_classes must be at least 1, got {num_classes}")
        if losses is not None and not losses:
            raise ValueError("ClassificationTask needs at least one loss, got losses={}")
        self.num_classes = num_classes
        self.terms = nn.ModuleDict(losses or {"ce": nn.CrossEntropyLoss()})

    def losses(self, outputs: Tensor, batch: Batch) -> dict[str, Tensor]:
        """Named scalars; none where the batch has no `label`.

        Args:
            outputs: Scores before softmax, (N, num_classes).
            batch: `label` (N,) int64, or (N, num_classes) shares that sum to 1.
        """
        if "label" not in batch:
            return {}
        logits = self._checked(outputs).float()
        return {name: loss(logits, batch["label"]) for name, loss in self.terms.items()}

    def predictions(self, outputs: Tensor, batch: Batch) -> dict[str, Any]:
        """`logits` (N, num_classes), the best class `classes` (N,) and its probability `scores`."""
        logits = self._checked(outputs.detach()).float()
        scores, classes = logits.softmax(dim=1).max(dim=1)
        return {"logits": logits, "classes": classes, "scores": scores}

    def _checked(self, logits: Tensor) -> Tensor:
        if logits.ndim != 2 or logits.shape[1] != self.num_classes:
            raise ValueError(
                f"scores must be (N, num_classes={self.num_classes}), got "
                f"{tuple(logits.shape)}: give head and task the same num_classes"
            )
        return logits
