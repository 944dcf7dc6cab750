"""Draws what a model says of the first samples beside the truth."""

import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from hat.callbacks.base import Callback
from hat.data.labelled import cut_batch
from hat.data.sample import Batch, Sample, num_samples
from hat.files import replacing
from hat.visualize.grid import picture_grid, write_png
from hat.visualize.overlay import Layer, draw_sample

logger = logging.getLogger(__name__)

PICTURES_NAME = "predictions.png"
#: The truth that a prediction is drawn like. `classes` of a picture are its `label`.
_TRUTH_OF = {
    "masks": "gt_masks",
    "bboxes": "gt_bboxes",
    "keypoints": "gt_keypoints",
    "seg": "gt_seg",
    "depth": "gt_depth",
    "classes": "gt_classes",
    "scores": "scores",
}
_OF_OBJECTS = ("gt_masks", "gt_bboxes", "gt_classes", "scores")
_POINTS = ("gt_bboxes", "gt_keypoints")
_LAYERS: tuple[Layer, ...] = (
    "gt_depth", "gt_seg", "gt_masks", "gt_bboxes", "gt_keypoints", "label"
)  # fmt: skip
_FROM_BATCH = ("img", "gt_classes", "gt_visibility", "labelled", *_LAYERS)
_FONT = cv2.FONT_HERSHEY_SIMPLEX

Picture = NDArray[np.uint8]


class PredictionPictures(Callback):
    """Draws the first samples of a `Predictor` as a grid, truth and prediction side by side.

    A row is a sample. The tasks of a `GraphModel` have two columns each; one that says only
    the class of a picture has it written on the first of them. Drawn are `bboxes` with
    `classes` and `scores`, `masks`, `keypoints`, `seg`, `depth` (near in red, far in blue, by
    the range of the truth), and `classes` of pictures.

    The file is replaced each time that the predictor is through, so that of a training run
    shows its last validation. Nothing is drawn where there is no place for the file, as in
    `hat validate`.

    Args:
        path: The PNG file; by default `predictions.png` in the run's folder, also where a
            `Trainer` has the folder and validates with the predictor.
        num_samples: How many rows.
        score_threshold: Objects below this score are left out.
        side: The longer side of each picture, in pixels: larger ones are shrunk, smaller ones
            enlarged by a whole factor to at least this.

    Raises:
        ValueError: If `num_samples` or `side` is below 1. When the engine is built, if it
            trains: most models make no predictions then. When called, if `img` is not uint8.
    """

    def __init__(
        self,
        path: str | Path | None = None,
        *,
        num_samples: int = 8,
        score_threshold: float = 0.3,
        side: int = 384,
    ) -> None:
        for name, value in (("num_samples", num_samples), ("side", side)):
            if value < 1:
                raise ValueError(f"PredictionPictures: {name} must be at least 1, got {value}")
        self.path = None if path is None else Path(path)
        self.num_samples = num_samples
        self.score_threshold = score_threshold
        self.side = side
        self._preds: list[dict[str, Any]] = []
        self._rows: list[_Row] = []

    def check(self, *, optimizer: torch.optim.Optimizer | None, **kwargs: Any) -> None:
        if optimizer is not None:
            raise ValueError(
                "PredictionPictures: most models make no predictions in training; give it to the "
                "callbacks of a Predictor, and that to Validation"
            )

    def on_loop_begin(self, **kwargs: Any) -> None:
        self._preds, self._rows = [], []

    def on_batch_end(self, *, preds: dict[str, Any], **kwargs: Any) -> None:
        self._preds.append(preds)

    def on_step_end(self, *, batches: Sequence[Any], run_dir: Path | None, **kwargs: Any) -> None:
        preds_of_step, self._preds = self._preds, []
        if self._target(run_dir) is None:
            return
        # These batches are as the loader gave them: their pictures are not normalised.
        for batch, preds in zip(batches, preds_of_step, strict=True):
            num_wanted = self.num_samples - len(self._rows)
            if num_wanted > 0 and isinstance(batch, dict) and "img" in batch:
                self._rows += self._rows_of(batch, preds, num_wanted)

    def on_loop_end(self, *, data_loader: Any, run_dir: Path | None, **kwargs: Any) -> None:
        path = self._target(run_dir)
        if path is None:
            return
        tasks = list(dict.fromkeys(task for row in self._rows for task in row.preds))
        if not tasks:
            logger.warning(
                "PredictionPictures: nothing to draw: no batch had `img` and a prediction of %s",
                ", ".join(_TRUTH_OF),
            )
            return
        grid = _grid(self._rows, tasks, getattr(data_loader, "dataset", None), self.side)
        with replacing(path) as temporary:
            write_png(temporary, grid)
        self._rows = []

    def _target(self, run_dir: Path | None) -> Path | None:
        return run_dir / PICTURES_NAME if self.path is None and run_dir is not None else self.path

    def _rows_of(self, batch: Batch, preds: dict[str, Any], num_wanted: int) -> Iterator["_Row"]:
        for number in range(min(num_wanted, num_samples(batch))):
            truth = _truth(batch, number)
            by_task = _predictions(preds, number)
            for sample in by_task.values():
                _drop_below(self.score_threshold, sample)
            factor = self.side / max(truth["img"].shape[-2:])
            if factor < 1:
                truth = _shrunk(truth, factor)
                by_task = {task: _shrunk(sample, factor) for task, sample in by_task.items()}
            yield _Row(truth, _merged(by_task))


class _Row:
    """A sample, and what is said of it by each task, by the keys of samples."""

    def __init__(self, truth: Sample, preds: dict[str, Sample]) -> None:
        self.truth = truth
        self.preds = preds

    def layers(self, task: str) -> list[Layer]:
        return [layer for layer in _LAYERS if layer in self.preds.get(task, {})]

    def cells(self, task: str, dataset: Any, side: int) -> list[Picture]:
        """Truth and prediction of a task."""
        layers, img = self.layers(task), self.truth["img"]
        truth = {key: value for key, value in self.truth.items() if key != "img"}
        preds = self.preds.get(task, {})
        span = _depth_range(truth if "gt_depth" in truth else preds)
        cells = []
        for sample, lacking in ((truth, "not labelled"), (preds, "not predicted")):
            picture = draw_sample(
                {"img": img, **sample}, dataset, layers=layers, min_side=side, depth_range=span
            )
            if not any(layer in sample for layer in layers):
                picture = _text(lacking, np.full_like(picture, 200))
            cells.append(picture)
        return cells


def _truth(batch: Batch, row: int) -> Sample:
    """What the loader says of a sample, on the CPU."""
    img = batch["img"][row]
    if img.dtype != torch.uint8:
        raise ValueError(
            f"PredictionPictures draws uint8 pictures, got {img.dtype}: leave it to normalize= of "
            "the Predictor to make them floats"
        )
    seen = {key: batch[key] for key in _FROM_BATCH if key in batch}
    sample = {key: value[0] for key, value in cut_batch(seen, torch.tensor([row])).items()}
    if "label" in sample and np.ndim(sample["label"]):
        del sample["label"]  # shares of several classes have no one name
    return {key: _plain(value) for key, value in sample.items()}


def _predictions(preds: dict[str, Any], row: int) -> dict[str, Sample]:
    """What is said of a sample, by task and by the keys of samples; "" where there is one task."""
    by_task: dict[str, Sample] = {}
    for key, values in preds.items():
        task, _, name = key.rpartition("/")
        if name not in _TRUTH_OF:
            continue
        is_of_picture = isinstance(values, Tensor) and name in ("classes", "scores")
        if is_of_picture and name == "scores":
            continue
        target = "label" if is_of_picture else _TRUTH_OF[name]
        by_task.setdefault(task, {})[target] = _plain(values[row])
    return {
        task: sample for task, sample in by_task.items() if any(key in sample for key in _LAYERS)
    }


def _plain(value: Any) -> Any:
    """On the CPU, in a type that NumPy has."""
    if not isinstance(value, Tensor):
        return value
    value = value.detach().as_subclass(Tensor).cpu()
    return value.float() if value.is_floating_point() else value


def _drop_below(threshold: float, sample: Sample) -> None:
    if "gt_bboxes" in sample and "scores" in sample:
        kept = sample["scores"] >= threshold
        sample |= {key: sample[key][kept] for key in _OF_OBJECTS if key in sample}


def _merged(by_task: dict[str, Sample]) -> dict[str, Sample]:
    """A class of the whole picture stands with what else is said of it."""
    labels = {task: sample for task, sample in by_task.items() if sample.keys() == {"label"}}
    others = {task: sample for task, sample in by_task.items() if task not in labels}
    if others and labels:
        first = next(iter(others))
        others[first] = next(iter(labels.values())) | others[first]
    return others or labels


def _shrunk(sample: Sample, factor: float) -> Sample:
    """With picture, maps and coordinates smaller by a factor."""
    small = dict(sample)
    for key, value in sample.items():
        if key in _POINTS:
            small[key] = value * factor
        elif key in ("img", "gt_masks", "gt_seg", "gt_depth"):
            mode = "area" if key == "img" else "nearest-exact"
            planes = value.reshape(1, -1, *value.shape[-2:]).float()
            size = [max(1, round(length * factor)) for length in value.shape[-2:]]
            if planes.shape[1]:
                planes = nn.functional.interpolate(planes, size, mode=mode)
            small[key] = planes.reshape(*value.shape[:-2], *size).to(value.dtype)
    return small


def _depth_range(sample: Sample) -> tuple[float, float] | None:
    depth = sample.get("gt_depth")
    known = None if depth is None else depth[depth > 0]
    return None if known is None or not len(known) else (float(known.min()), float(known.max()))


def _grid(rows: Sequence[_Row], tasks: Sequence[str], dataset: Any, side: int) -> Picture:
    pictures = [
        picture for row in rows for task in tasks for picture in row.cells(task, dataset, side)
    ]
    width = max(picture.shape[1] for picture in pictures)
    titles = [f"{task} {what}".strip() for task in tasks for what in ("truth", "predicted")]
    heads = [_text(title, np.full((22, width, 3), 255, np.uint8)) for title in titles]
    gap = 4
    top = picture_grid(heads, len(heads), gap=gap)[:-gap]
    return np.concatenate([top, picture_grid(pictures, len(heads), gap=gap)])


def _text(text: str, ground: Picture) -> Picture:
    cv2.putText(ground, text, (2, 16), _FONT, 0.5, (0, 0, 0), 1, cv2.LINE_AA)
    return ground
