"""Feeds metrics with every batch and writes their values as scores."""

import logging
import math
import warnings
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch
import torch.distributed as dist
import torchmetrics
from torch import nn

from hat.callbacks.base import Callback
from hat.data.labelled import cut_batch, labelled_rows, take_rows
from hat.data.sample import Batch, num_samples
from hat.engine.progress import Progress
from hat.engine.scores import Scores
from hat.models.graph.ownership import as_graph
from hat.registry import did_you_mean

logger = logging.getLogger(__name__)


Metrics = Sequence[torchmetrics.Metric] | Mapping[str, Sequence[torchmetrics.Metric]]


class MetricUpdater(Callback):
    """Computes metrics over each epoch, of the predictions that training made anyway.

    Args:
        metrics: Each has a `name` and `update(batch, preds)`, as those in `hat.metrics`.
            A metric may compute one value, or a dict of names to values; it then says which
            in `score_names`. One with an empty `score_names` is updated and kept for its user
            to compute or plot, as `ConfusionMatrix` is. `higher_is_better` is one for all of
            its scores, or a dict by their names. With a `GraphModel`, a dict from tasks to
            such lists: a metric then sees its task's predictions, by their own names, of the
            samples that are labelled for the task, and its scores are called
            `<where>/<task>/<name>`.
        where: The scores are called `<where>/<name>`.

    A value that is not a number, as of a class that did not occur, is written as NaN and named
    in the log; it is never the best one.

    Raises:
        ValueError: If two metrics, or two scores, have one name. When the engine is built, if
            the model has no such task, or makes no predictions in training.
    """

    def __init__(self, metrics: Metrics, where: str = "train") -> None:
        self.where = where
        self.by_task = isinstance(metrics, Mapping)
        entries = _entries(metrics)
        _refuse_twice([entry.name for entry in entries])
        self.metrics = {entry.name: entry for entry in entries}
        _refuse_twice(self.writes())

    def writes(self) -> list[str]:
        return [
            f"{self.where}/{entry.score(key)}"
            for entry in self.metrics.values()
            for key in _score_names(entry.metric)
        ]

    def check(
        self, *, model: nn.Module, optimizer: torch.optim.Optimizer | None, **kwargs: Any
    ) -> None:
        if not self.by_task:
            return
        graph = as_graph(model)
        for entry in self.metrics.values():
            if entry.task not in graph.task_names:
                raise ValueError(
                    f"metrics has '{entry.task}', but the model has no such task; it has "
                    f"{', '.join(graph.task_names)}.{did_you_mean(entry.task, graph.task_names)}"
                )
        if optimizer is not None:
            raise ValueError(
                "MetricUpdater: a GraphModel makes no predictions in training; give the metrics "
                "to a Predictor, and that to Validation"
            )

    def move_to(self, device: torch.device) -> None:
        """Count on a device, where the predictions are."""
        for entry in self.metrics.values():
            entry.metric.to(device)

    def on_loop_begin(self, *, model: nn.Module, progress: Progress, **kwargs: Any) -> None:
        parameter = next(model.parameters(), None)
        if parameter is not None:
            self.move_to(parameter.device)

    def on_epoch_begin(self, *, progress: Progress, **kwargs: Any) -> None:
        if progress.is_between_epochs:  # not when a run resumes inside one
            for entry in self.metrics.values():
                entry.metric.reset()

    def on_batch_end(
        self, *, model: nn.Module, batch: Batch, preds: dict[str, Any], **kwargs: Any
    ) -> None:
        if not self.by_task:
            for entry in self.metrics.values():
                entry.metric.update(batch, preds)
            return
        graph = as_graph(model)
        for task in dict.fromkeys(entry.task for entry in self.metrics.values()):
            seen = part_of_task(task, graph.tasks[task].truth_keys, batch, preds)
            for entry in self.metrics.values():
                if entry.task == task and seen is not None:
                    entry.metric.update(*seen)

    def on_epoch_end(self, *, progress: Progress, scores: Scores, **kwargs: Any) -> None:
        if not progress.is_between_epochs:
            return
        for entry in self.metrics.values():
            if not _score_names(entry.metric):
                continue
            values = {}
            for key, value in _values(entry.metric).items():
                name = f"{self.where}/{entry.score(key)}"
                higher = _higher_is_better(entry.metric, key)
                scores.write(name, value, progress.num_steps_done, higher)
                values[name] = value
            _report_nan(values)

    def state_dict(self) -> dict[str, Any]:
        return {name: _metric_state(entry.metric) for name, entry in self.metrics.items()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        for name, entry in self.metrics.items():
            metric = entry.metric
            expected = {path: {*inner._defaults, "count"} for path, inner in _nested(metric)}
            found = {path: set(sums) for path, sums in state.get(name, {}).items()}
            if found != expected:
                raise ValueError(
                    f"the metric '{name}' has the sums {_shown(expected)}, the checkpoint has "
                    f"{_shown(found)}"
                )
            _load_metric_state(metric, state[name])


class _Entry(NamedTuple):
    """A metric, and the task whose predictions it sees, if it is of one."""

    metric: torchmetrics.Metric
    task: str = ""

    @property
    def name(self) -> str:
        return self.score(str(self.metric.name))

    def score(self, key: str) -> str:
        """What a score of the metric is called, after `val/`."""
        if not self.task:
            return key
        return f"{self.task}/{key.removeprefix(f'{self.task}/')}"


def _entries(metrics: Metrics) -> list[_Entry]:
    if not isinstance(metrics, Mapping):
        return [_Entry(metric) for metric in metrics]
    for task, of_task in metrics.items():
        if not isinstance(of_task, Sequence):
            raise ValueError(
                f"metrics of the task '{task}' must be a list, got {type(of_task).__name__}"
            )
    entries = [_Entry(metric, task) for task, of_task in metrics.items() for metric in of_task]
    if len({id(entry.metric) for entry in entries}) < len(entries):
        raise ValueError("a metric counts for one task: make another for each, in a config too")
    return entries


def part_of_task(
    task: str, truth_keys: Sequence[str], batch: Batch, preds: Mapping[str, Any]
) -> tuple[Batch, dict[str, Any]] | None:
    """What a metric of one task sees of a batch.

    Args:
        task: Its name.
        truth_keys: The keys of a sample that it needs.
        batch: See `PartialCollate`.
        preds: By the names of tasks and their own: `det/bboxes`.

    Returns:
        The batch and the predictions, these by their own names, of the samples that are labelled
        for the task; None if there are none, or the batch is not for the task.

    Example:
        >>> batch = {"label": torch.tensor([1]), "labelled": {"label": torch.tensor([2])}}
        >>> preds = {"scene/classes": torch.tensor([0, 0, 3]), "det/classes": [[], [], []]}
        >>> part_of_task("scene", ["label"], batch, preds)
        ({'label': tensor([1])}, {'classes': tensor([3])})
    """
    if task not in batch.get("tasks", [task]):
        return None
    prefix = f"{task}/"
    own = {key[len(prefix) :]: value for key, value in preds.items() if key.startswith(prefix)}
    rows = labelled_rows(batch, truth_keys)
    if rows is None and "labelled" not in batch:
        return batch, own
    if rows is None:  # cut all the same: keys that some samples lack do not fit the others
        rows = torch.arange(num_samples(batch))
    if len(rows) == 0:
        return None
    return cut_batch(batch, rows), take_rows(own, rows)


def _score_names(metric: torchmetrics.Metric) -> Sequence[str]:
    names: Sequence[str] = getattr(metric, "score_names", [metric.name])
    return names


def _values(metric: torchmetrics.Metric) -> dict[str, float]:
    is_counted = any(inner._update_count for _, inner in _nested(metric))
    if not (is_counted or (dist.is_available() and dist.is_initialized())):
        return dict.fromkeys(_score_names(metric), math.nan)
    with warnings.catch_warnings():  # another process may have counted something
        warnings.filterwarnings("ignore", ".*called before the ``update`` method.*")
        value = metric.compute()
    values = value if isinstance(value, Mapping) else {str(metric.name): value}
    return {key: float(number) for key, number in values.items()}


def _report_nan(values: Mapping[str, float]) -> None:
    names = [name for name, value in values.items() if math.isnan(value)]
    if names:
        logger.warning(
            "%s: NaN, as the epoch had nothing to count for it (no such truth, or all of it "
            "ignored), or predictions were NaN",
            ", ".join(names),
        )


def _higher_is_better(metric: torchmetrics.Metric, key: str) -> bool | None:
    higher: Any = metric.higher_is_better
    is_better: bool | None = higher[key] if isinstance(higher, Mapping) else higher
    return is_better


def _refuse_twice(names: Sequence[str]) -> None:
    if len(set(names)) < len(names):
        raise ValueError(f"metrics need different names, got {names}: set name=")


def _shown(sums: Mapping[str, set[str]]) -> list[str]:
    return sorted(f"{path}.{key}".lstrip(".") for path, keys in sums.items() for key in keys)


def _metric_state(metric: torchmetrics.Metric) -> dict[str, Any]:
    """The running sums of a metric and of the metrics inside it."""
    return {
        path: {
            "count": inner._update_count,
            **{key: getattr(inner, key) for key in inner._defaults},
        }
        for path, inner in _nested(metric)
    }


def _load_metric_state(metric: torchmetrics.Metric, state: Mapping[str, Any]) -> None:
    for path, inner in _nested(metric):
        for key in inner._defaults:
            setattr(inner, key, _copied(state[path][key]))
        inner._update_count = state[path]["count"]
        inner._computed = None  # a value that was computed of other sums


def _copied(value: Any) -> Any:
    if isinstance(value, list):
        return [_copied(item) for item in value]
    return value.clone() if isinstance(value, torch.Tensor) else value


def _nested(metric: torchmetrics.Metric) -> list[tuple[str, torchmetrics.Metric]]:
    return [(p, m) for p, m in metric.named_modules() if isinstance(m, torchmetrics.Metric)]
