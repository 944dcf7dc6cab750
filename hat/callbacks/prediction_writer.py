"""Writes what a model says of each sample, as JSON."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from hat.callbacks.base import Callback
from hat.callbacks.class_names import class_names, label_class_names
from hat.callbacks.plain_json import json_values
from hat.data.sample import Batch, num_samples
from hat.engine.scores import Scores
from hat.files import replacing

#: Too much to read, and of use only inside the model.
_LEFT_OUT = ("logits",)
_FROM_BATCH = ("img_id", "img_path", "label")


class PredictionWriter(Callback):
    """Collects predictions and writes them at the end, a record for each sample.

    The file holds `scores`, `classes` and `predictions`; a prediction has the sample's
    `img_id`, `img_path` and `label` where there are such, and every prediction but the
    logits; `class_names` beside `classes`. Those of a `GraphModel` are called by their task:
    `det/bboxes`, `det/class_names`.

    Args:
        path: The JSON file.
        classes: The class names; by default those of the data set. Of several tasks, a dict
            of them by task.
        label_classes: The names of the classes of pictures, where they are not `classes`; by
            default those of the data set.
    """

    def __init__(
        self,
        path: str | Path,
        classes: Sequence[str] | Mapping[str, Sequence[str]] | None = None,
        label_classes: Sequence[str] | None = None,
    ) -> None:
        self.path = Path(path)
        self.classes = classes
        self.label_classes = label_classes
        self._records: list[dict[str, Any]] = []

    def on_loop_begin(self, *, data_loader: Any, **kwargs: Any) -> None:
        self._records = []
        if self.classes is None:
            self.classes = class_names(data_loader)
            self.label_classes = self.label_classes or label_class_names(data_loader)

    def on_batch_end(self, *, batch: Batch, preds: dict[str, Any], **kwargs: Any) -> None:
        count = num_samples(batch)
        columns = {key: _column(batch, key, count) for key in _FROM_BATCH if key in batch}
        columns |= {key: v for key, v in preds.items() if key.split("/")[-1] not in _LEFT_OUT}
        for number in range(count):
            record = {}
            for key, column in columns.items():
                if (value := _json_value(column[number])) is None:
                    continue
                record[key] = value
                task, _, name = key.rpartition("/")
                if name == "classes" and (names := self._names(task, value)) is not None:
                    record[f"{key[: -len(name)]}class_names"] = _named(value, names)
            self._records.append(record)

    def on_loop_end(self, *, scores: Scores, **kwargs: Any) -> None:
        content = {
            "scores": {name: scores.last(name).value for name in scores},
            "classes": _plain(self.classes),
            **({"label_classes": list(self.label_classes)} if self.label_classes else {}),
            "predictions": self._records,
        }
        self.path.parent.mkdir(parents=True, exist_ok=True)
        text = json.dumps(json_values(content), indent=1) + "\n"
        with replacing(self.path) as temporary:
            temporary.write_text(text, encoding="utf-8")

    def _names(self, task: str, classes: Any) -> Sequence[str] | None:
        """The names of the classes of one prediction: a number for a picture, else a list."""
        if isinstance(self.classes, Mapping):
            return self.classes.get(task)
        is_of_picture = not isinstance(classes, list)
        return self.label_classes if is_of_picture and self.label_classes else self.classes


def _column(batch: Batch, key: str, count: int) -> Sequence[Any]:
    """The value of each sample, None for one without."""
    rows = batch.get("labelled", {}).get(key)
    if rows is None:
        values: Sequence[Any] = batch[key]
        return values
    of_row = dict(zip(rows.tolist(), batch[key], strict=True))
    return [of_row.get(row) for row in range(count)]


def _named(classes: Any, names: Sequence[str]) -> Any:
    if isinstance(classes, list):
        return [_named(each, names) for each in classes]
    return names[classes]


def _json_value(value: Any) -> Any:
    return value.tolist() if isinstance(value, torch.Tensor) else value


def _plain(names: Sequence[str] | Mapping[str, Sequence[str]] | None) -> Any:
    if isinstance(names, Mapping):
        return {task: list(of_task) for task, of_task in names.items()}
    return None if names is None else list(names)
