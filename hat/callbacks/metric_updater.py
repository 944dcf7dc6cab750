"""Feeds metrics with every batch and writes their values as scores."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torchmetrics

from hat.callbacks.base import Callback
from hat.data.sample import Batch
from hat.engine.progress import Progress
from hat.engine.scores import Scores


class MetricUpdater(Callback):
    """Computes metrics over each epoch, of the predictions that training made anyway.

    Args:
        metrics: Each has a `name` and `update(batch, preds)`, as those in `hat.metrics`.
            A metric may compute one value, or a dict of names to values; it then says which
            in `score_names`.
        where: The scores are called `<where>/<name>`.

    Raises:
        ValueError: If two metrics have one name.
    """

    def __init__(self, metrics: Sequence[torchmetrics.Metric], where: str = "train") -> None:
        self.metrics = {str(metric.name): metric for metric in metrics}
        self.where = where
        if len(self.metrics) < len(metrics):
            names = [metric.name for metric in metrics]
            raise ValueError(f"metrics need different names, got {names}: set name=")

    def writes(self) -> list[str]:
        return [
            f"{self.where}/{key}"
            for name, metric in self.metrics.items()
            for key in getattr(metric, "score_names", [name])
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
        for name, metric in self.metrics.items():
            value = metric.compute()
            values = value if isinstance(value, Mapping) else {name: value}
            for key, number in values.items():
                scores.write(
                    f"{self.where}/{key}",
                    float(number),
                    progress.num_steps_done,
                    metric.higher_is_better,
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
