"""What one training step does with batches for several tasks, on one process or on many."""

import logging
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from hat.data.sample import Batch, num_samples
from hat.engine.gradient_plan import GradientPlan
from hat.engine.processors.batch_processor import (
    BatchProcessor,
    Hooks,
    Precision,
    add_losses,
    total_loss,
)
from hat.engine.progress import StepOutcome
from hat.models.structures.graph_model import GraphModel

logger = logging.getLogger(__name__)

#: Steps without any truth, one after the other, that are taken for chance.
_MAX_WITHOUT_TRUTH = 100
#: What counts for losses that are of no task.
_SAMPLES = ""
_Counts = Counter[str]


class MultiTaskBatchProcessor(BatchProcessor):
    """One optimizer step from batches for several tasks, each labelled in part.

    A step's gradient is that of one batch with all samples of the step: the loss of a task
    counts, in each batch, by the share of the step's samples labelled for the task that the
    batch holds. This is exact where a task's loss is a mean over samples. Losses that are of no
    task count by the share of samples. The losses of the step are its means, by name.

    With several processes (`torch.distributed` is initialised) the step is what all of them
    hold: they sum how much is labelled for each task before the first batch, and the
    gradients after the last one, see `GradientPlan`. A task may be on one process alone, and
    a process may have nothing to learn from. The loss of the step is then that of all
    processes; its losses by name are means over the process's own samples.

    A batch that no task learns from is left out. A step without any is skipped, as may happen
    where few samples are labelled or a task was stopped; no hook of a batch is called in it.

    Args:
        normalize: Turns a uint8 `img` into floats on the device; by default into 0..1.
        batch_transforms: See `InputPreparation`.
        precision: See `BatchProcessor`.
        bucket_mib: How much of the gradients is summed at once; see `GradientPlan`.

    Raises:
        ValueError: If the precision is unknown. While training, if a hundred steps in
            succession have no truth.
        TypeError: While training, if the model is no `GraphModel`.
    """

    def __init__(
        self,
        normalize: Callable[[Tensor], Tensor] | None = None,
        batch_transforms: Sequence[Callable[..., Any]] = (),
        precision: Precision = "fp32",
        *,
        bucket_mib: float = 25,
    ) -> None:
        super().__init__(normalize, batch_transforms, precision)
        self.bucket_mib = bucket_mib
        self._plan: GradientPlan | None = None
        self._num_without_truth = 0

    def _accumulate(
        self, batches: Sequence[Batch], model: nn.Module, hooks: Hooks, outcome: StepOutcome
    ) -> None:
        if not isinstance(model, GraphModel):
            raise TypeError(
                f"MultiTaskBatchProcessor trains the tasks of a GraphModel, got "
                f"{type(model).__name__}: give the trainer a BatchProcessor"
            )
        used = [(batch, counts) for batch in batches if (counts := _counts(batch, model))]
        own = sum((counts for _, counts in used), Counter())
        plan = self._plan_of(model)
        total = own if plan is None else _summed(own, plan)
        if not total:
            self._skip(model, outcome)
            return
        self._num_without_truth = 0
        for batch, counts in used:
            share = None if counts == total else _Share(counts, own, total)
            self._batch(batch, model, hooks, outcome, share)
        if plan is not None:
            plan.all_reduce([name for name in model.task_names if total[name]])
            self._sum_loss(outcome, plan)

    def _weigh(
        self, losses: dict[str, Tensor], loss: Tensor, share: Any, outcome: StepOutcome
    ) -> Tensor:
        if share is None:
            return super()._weigh(losses, loss, None, outcome)
        weighted = total_loss({name: value * share.of_step(name) for name, value in losses.items()})
        add_losses(outcome, weighted, losses, map(share.of_process, losses))
        return weighted

    def _plan_of(self, model: nn.Module) -> GradientPlan | None:
        """What sums over processes; None for one process."""
        if not (dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1):
            return None
        if self._plan is None or self._plan.model is not model:
            self._plan = GradientPlan(model, bucket_mib=self.bucket_mib)
        return self._plan

    def _sum_loss(self, outcome: StepOutcome, plan: GradientPlan) -> None:
        loss = torch.zeros((), dtype=torch.float64, device=self.inputs.device)
        if outcome.loss is not None:
            loss += outcome.loss
        dist.all_reduce(loss, group=plan.group)
        outcome.loss = loss

    def _skip(self, model: GraphModel, outcome: StepOutcome) -> None:
        self._num_without_truth += 1
        reason = f"no batch has truth for an active task, {', '.join(model.active_tasks) or 'none'}"
        if self._num_without_truth == 1:
            logger.warning("left a step out: %s", reason)
        if self._num_without_truth >= _MAX_WITHOUT_TRUTH:
            keys = {
                key: None for name in model.active_tasks for key in model.tasks[name].truth_keys
            }
            raise ValueError(
                f"{reason}, in {_MAX_WITHOUT_TRUTH} steps in succession: give the data set the "
                f"keys that they learn from, {', '.join(keys) or 'none'}, or end the run earlier"
            )
        outcome.skip(reason)


class _Share:
    """What the losses of a batch count in its step."""

    def __init__(self, batch: _Counts, process: _Counts, step: _Counts) -> None:
        self._of_process = {key: count / process[key] for key, count in batch.items()}
        self._of_step = {key: count / step[key] for key, count in batch.items()}

    def of_step(self, loss: str) -> float:
        return self._of_step.get(loss.partition("/")[0], self._of_step[_SAMPLES])

    def of_process(self, loss: str) -> float:
        return self._of_process.get(loss.partition("/")[0], self._of_process[_SAMPLES])


def _counts(batch: Batch, model: GraphModel) -> _Counts:
    """How many samples are labelled for each task, and how many there are; nothing if for none."""
    counts = +Counter(model.num_labelled(batch))
    if counts:
        counts[_SAMPLES] = num_samples(batch)
    return counts


def _summed(own: _Counts, plan: GradientPlan) -> _Counts:
    """What all processes hold together."""
    assert isinstance(plan.model, GraphModel)
    names = (_SAMPLES, *plan.model.task_names)
    total = torch.tensor([own[name] for name in names])
    dist.all_reduce(total, group=plan.control_group)
    return +Counter(dict(zip(names, total.tolist(), strict=True)))
