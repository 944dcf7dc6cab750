"""The mean loss over data that is not trained on."""

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from hat.callbacks.base import Callback
from hat.data.labelled import num_labelled
from hat.data.sample import Batch, num_samples
from hat.engine.progress import Progress
from hat.engine.scores import Scores


class LossAverage(Callback):
    """Writes the loss of a whole pass over the data, each sample counted once.

    Args:
        where: The score is called `<where>/loss`.
        tasks: Those of a `GraphModel`: each has its own `<where>/<task>/loss`, a mean over the
            samples that are labelled for it, and `<where>/loss` is their sum.
    """

    def __init__(self, where: str = "val", tasks: Sequence[str] = ()) -> None:
        self.where = where
        self.tasks = tuple(tasks)
        self._sums: dict[str, Tensor] = {}
        self._num_samples: dict[str, int] = {}

    def writes(self) -> list[str]:
        return [f"{self.where}/loss", *(f"{self.where}/{task}/loss" for task in self.tasks)]

    def on_loop_begin(self, **kwargs: Any) -> None:
        self._sums, self._num_samples = {}, {}

    def on_batch_end(
        self,
        *,
        model: nn.Module,
        batch: Any,
        losses: dict[str, Tensor],
        loss: Tensor | None,
        **kwargs: Any,
    ) -> None:
        if loss is None:
            return
        # The sum is enough where all losses are of the same samples.
        for name, value in (losses if self.tasks else {"loss": loss}).items():
            count = self._count(name, model, batch)
            self._sums[name] = value.double() * count + self._sums.get(name, 0)
            self._num_samples[name] = self._num_samples.get(name, 0) + count

    def on_epoch_end(self, *, progress: Progress, scores: Scores, **kwargs: Any) -> None:
        means = {name: (s / self._num_samples[name]).item() for name, s in self._sums.items()}
        parts = {"loss": list(means.values())}
        for name, mean in means.items():
            if _task_of(name) in self.tasks:
                parts.setdefault(f"{_task_of(name)}/loss", []).append(mean)
        for name, values in parts.items():
            if values:
                scores.write(f"{self.where}/{name}", sum(values), progress.num_steps_done, False)

    def _count(self, loss: str, model: Any, batch: Batch) -> int:
        task = _task_of(loss)
        if task not in self.tasks:
            return num_samples(batch)
        return num_labelled(batch, model.tasks[task].truth_keys)


def _task_of(loss: str) -> str:
    return loss.partition("/")[0]
