"""The mean loss over data that is not trained on."""

from typing import Any

from torch import Tensor

from hat.callbacks.base import Callback
from hat.data.sample import num_samples
from hat.engine.progress import Progress
from hat.engine.scores import Scores


class LossAverage(Callback):
    """Writes the loss of a whole pass over the data, each sample counted once.

    Args:
        where: The score is called `<where>/loss`.
    """

    def __init__(self, where: str = "val") -> None:
        self.where = where
        self._sum: Tensor | None = None
        self._num_samples = 0

    def writes(self) -> list[str]:
        return [f"{self.where}/loss"]

    def on_loop_begin(self, **kwargs: Any) -> None:
        self._sum, self._num_samples = None, 0

    def on_batch_end(self, *, batch: Any, loss: Tensor | None, **kwargs: Any) -> None:
        if loss is None:
            return
        count = num_samples(batch)
        self._sum = loss.double() * count + (0 if self._sum is None else self._sum)
        self._num_samples += count

    def on_epoch_end(self, *, progress: Progress, scores: Scores, **kwargs: Any) -> None:
        if self._sum is not None:
            mean = (self._sum / self._num_samples).item()
            scores.write(f"{self.where}/loss", mean, progress.num_steps_done, False)
