"""Feeds metrics with every batch and writes their values as scores."""

import logging
import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torchmetrics

from hat.callbacks.base import Callback
from hat.data.sample import Batch
from hat.engine.progress import Progress
from hat.engine.scores import Scores

logger = logging.getLogger(__name__)


class MetricUpdater(Callback):
    """Computes metrics over each epoch, of the predictions that training made anyway.

    Args:
        metrics: Each has a `name` and `update(batch, preds)`, as those in `hat.metrics`.
            A metric may compute one value, or a dict of names to values; it then says which
            in `score_names`. One with an empty `score_names` is updated and kept for its user
            to compute or plot, as `ConfusionMatrix` is. `higher_is_better` is one for all of
            its scores, or a dict by their names.
        where: The scores are called `<where>/<name>`.

    A value that is not a number, as of a class that did not occur, is written as NaN and named
    in the log; it is never the best one.

    Raises:
        ValueError: If two metrics, or two scores, have one name.
    """

    def __init__(self, metrics: Sequence[torchmetrics.Metric], where: str = "train") -> None:
        self.metrics = {str(metric.name): metric for metric in metrics}
        self.where = where
        _refuse_twice([str(metric.name) for metric in metrics])
        _refuse_twice(self.writes())

    def writes(self) -> list[str]:
        return [
            f"{self.where}/{key}"
            for metric in self.metrics.values()
            for key in _score_names(metric)
        ]

    def move_to(self, device: torch.device) -> None:
        """Count on a device, where the predictions are."""
        for metric in self.metrics.values():
            metric.to(device)

    def on_loop_begin(self, *, model: torch.nn.Module, progress: Progress, **kwargs: Any) -> None:
        parameter = next(model.parameters(), None)
        if parameter is not None:
            self.move_to(parameter.device)

    def on_epoch_begin(self, *, progress: Progress, **kwargs: Any) -> None:
        if progress.is_between_epochs:  # not when a run resumes inside one
            for metric in self.metrics.values():
                metric.reset()

    def on_batch_end(self, *, batch: Batch, preds: dict[str, Any], **kwargs: Any) -> None:
        for metric in self.metrics.values():
            metric.update(batch, preds)

    def on_epoch_end(self, *, progress: Progress, scores: Scores, **kwargs: Any) -> None:
        if not progress.is_between_epochs:
            return
        for metric in self.metrics.values():
            if not _score_names(metric):
                continue
            values = _values(metric)
            for key, value in values.items():
                name = f"{self.where}/{key}"
                scores.write(name, value, progress.num_steps_done, _higher_is_better(metric, key))
            self._report_nan(values)

    def _report_nan(self, values: Mapping[str, float]) -> None:
        names = [f"{self.where}/{key}" for key, value in values.items() if math.isnan(value)]
        if names:
            logger.warning(
                "%s: NaN, as the epoch had nothing to count for it (no such truth, or all of it "
                "ignored), or predictions were NaN",
                ", ".join(names),
            )

    def state_dict(self) -> dict[str, Any]:
        return {name: _metric_state(metric) for name, metric in self.metrics.items()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        for name, metric in self.metrics.items():
            expected = {path: {*inner._defaults, "count"} for path, inner in _nested(metric)}
            found = {path: set(sums) for path, sums in state.get(name, {}).items()}
            if found != expected:
                raise ValueError(
                    f"the metric '{name}' has the sums {_shown(expected)}, the checkpoint has "
                    f"{_shown(found)}"
                )
            _load_metric_state(metric, state[name])


def _score_names(metric: torchmetrics.Metric) -> Sequence[str]:
    names: Sequence[str] = getattr(metric, "score_names", [metric.name])
    return names


def _values(metric: torchmetrics.Metric) -> dict[str, float]:
    value = metric.compute()
    values = value if isinstance(value, Mapping) else {str(metric.name): value}
    return {key: float(number) for key, number in values.items()}


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
