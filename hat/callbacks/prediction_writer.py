"""Writes what a model says of each sample, as JSON."""

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from hat.callbacks.base import Callback
from hat.callbacks.plain_json import json_values
from hat.data.sample import Batch, num_samples
from hat.engine.scores import Scores

#: Too much to read, and of use only inside the model.
_LEFT_OUT = ("logits",)
_FROM_BATCH = ("img_id", "img_path", "label")


class PredictionWriter(Callback):
    """Collects predictions and writes them at the end, a record for each sample.

    The file holds `scores`, `classes` and `predictions`; a prediction has the sample's
    `img_id`, `img_path` and `label` where it has them, and every prediction but the
    logits; `class_names` beside `classes`.

    Args:
        path: The JSON file.
        classes: The class names; by default those of the data set.
    """

    def __init__(self, path: str | Path, classes: Sequence[str] | None = None) -> None:
        self.path = Path(path)
        self.classes = classes
        self._records: list[dict[str, Any]] = []

    def on_loop_begin(self, *, data_loader: Any, **kwargs: Any) -> None:
        self._records = []
        if self.classes is None:
            self.classes = getattr(getattr(data_loader, "dataset", None), "classes", None)

    def on_batch_end(self, *, batch: Batch, preds: dict[str, Any], **kwargs: Any) -> None:
        columns = {key: value for key, value in preds.items() if key not in _LEFT_OUT}
        for number, record in enumerate(_from_batch(batch)):
            record |= {key: _json_value(value[number]) for key, value in columns.items()}
            if self.classes is not None and "classes" in record:
                record["class_names"] = self._names_of(record["classes"])
            self._records.append(record)

    def on_loop_end(self, *, scores: Scores, **kwargs: Any) -> None:
        content = {
            "scores": {name: scores.last(name).value for name in scores},
            "classes": None if self.classes is None else list(self.classes),
            "predictions": self._records,
        }
        self.path.parent.mkdir(parents=True, exist_ok=True)
        temporary = self.path.with_name(f".{self.path.name}.writing")
        temporary.write_text(json.dumps(json_values(content), indent=1) + "\n", encoding="utf-8")
        os.replace(temporary, self.path)

    def _names_of(self, classes: Any) -> Any:
        assert self.classes is not None
        if isinstance(classes, list):
            return [self._names_of(each) for each in classes]
        return self.classes[classes]


def _from_batch(batch: Batch) -> list[dict[str, Any]]:
    """What a batch says of each sample; a key that only some have is in the records of those."""
    records: list[dict[str, Any]] = [{} for _ in range(num_samples(batch))]
    labelled = batch.get("labelled", {})
    for key in _FROM_BATCH:
        if key in batch:
            rows = labelled[key].tolist() if key in labelled else range(len(records))
            for row, value in zip(rows, batch[key], strict=True):
                records[row][key] = _json_value(value)
    return records


def _json_value(value: Any) -> Any:
    return value.tolist() if isinstance(value, torch.Tensor) else value
