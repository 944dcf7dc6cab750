"""What a structure asks of its task."""

from abc import ABC, abstractmethod
from typing import Any

from torch import Tensor, nn

from hat.data.sample import Batch


class TaskModule(nn.Module, ABC):
    """The raw outputs of a head into losses and predictions; the base of a task of yours.

    It casts outputs to float32, as they may come out of a network under autocast.

    Attributes:
        truth_keys: The keys of a sample that it cannot learn without.
    """

    truth_keys: tuple[str, ...] = ()

    @abstractmethod
    def losses(self, outputs: Any, batch: Batch) -> dict[str, Tensor]:
        """Named scalars, weights applied, whose plain sum is minimised.

        Empty where the batch has no truth for this task; connected to all outputs where
        there is nothing to find.
        """

    @abstractmethod
    def predictions(self, outputs: Any, batch: Batch) -> dict[str, Any]:
        """Predictions of each picture, by the keys of a sample without `gt_`, detached."""
