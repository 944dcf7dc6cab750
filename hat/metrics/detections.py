"""What every metric of detections keeps: the objects and the predictions of all pictures."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
import torchmetrics
from numpy.typing import NDArray
from torch import Tensor

from hat.data.sample import Batch

#: Arrays of one length, by the name of the column; `image` is the number of the picture.
Columns = dict[str, NDArray[Any]]

_BOXES, _FLAGS = torch.zeros((0, 4)), torch.zeros(0, dtype=torch.bool)
_NUMBERS, _WHOLE = torch.zeros(0), torch.zeros(0, dtype=torch.int64)
#: Every key that can be kept, as no rows of it.
_EMPTY = {
    "gt_bboxes": _BOXES,
    "gt_classes": _WHOLE,
    "gt_crowd": _FLAGS,
    "gt_difficult": _FLAGS,
    "gt_truncated": _NUMBERS,
    "gt_occluded": _WHOLE,
    "gt_mask_areas": _WHOLE,
    "gt_mask_lengths": _WHOLE,
    "gt_ignore_bboxes": _BOXES,
    "bboxes": _BOXES,
    "classes": _WHOLE,
    "scores": _NUMBERS,
    "mask_lengths": _WHOLE,
}


class DetectionMetric(torchmetrics.Metric):
    """Keeps boxes of truth and predictions; a subclass computes something of them.

    Rows are kept as they come, on the metric's device, with a count for each picture. So
    they can be joined over processes: the pictures of each process are numbered on from
    those of the one before. A picture must be seen by one process only.

    Args:
        truth: The keys of objects to keep beside `gt_bboxes` and `gt_classes`.
        preds: The keys of predictions to keep beside `bboxes`, `classes` and `scores`.
    """

    higher_is_better = True
    full_state_update = False

    def __init__(self, truth: Sequence[str] = (), preds: Sequence[str] = ()) -> None:
        super().__init__()
        self._truth = ("gt_bboxes", "gt_classes", *truth)
        self._preds = ("bboxes", "classes", "scores", *preds)
        self._empty: dict[str, Tensor] = {}
        for name in (*self._truth, "gt_ignore_bboxes", *self._preds):
            self.add_column(name, _EMPTY[name])
        for name in ("num_truth", "num_ignored", "num_preds"):
            self.add_column(name, _WHOLE)

    def add_column(self, name: str, empty: Tensor) -> None:
        """Keep one more column.

        Args:
            name: Of the state that holds it.
            empty: No rows of it, of its dtype.
        """
        self._empty[name] = empty
        self.add_state(name, [], dist_reduce_fx="cat")

    def keep(self, name: str, rows: Tensor) -> None:
        """Add rows to a column."""
        empty = self._empty[name]
        getattr(self, name).append(rows.detach().to(self.device, empty.dtype))

    def update(self, batch: Batch, preds: dict[str, Any]) -> None:
        """Keep a batch.

        Args:
            batch: With the truth's keys, lists of N.
            preds: With `bboxes` (M, 4), `classes` (M,) and `scores` (M,), lists of N.

        Raises:
            ValueError: If a key is missing, or its pictures or rows do not fit the others.
        """
        self._keep_rows("num_truth", self._truth, batch, "the batch")
        num = len(batch["gt_bboxes"])
        regions = batch.get("gt_ignore_bboxes") or [_BOXES] * num
        self._keep_rows("num_ignored", ["gt_ignore_bboxes"], {"gt_ignore_bboxes": regions})
        self._keep_rows("num_preds", self._preds, preds, "the model's predictions")
        if len(preds["bboxes"]) != num or len(regions) != num:
            raise ValueError(
                f"the batch has {num} pictures with {len(regions)} gt_ignore_bboxes, the "
                f"predictions are of {len(preds['bboxes'])}: each picture needs one of each"
            )

    def _keep_rows(
        self, counts: str, names: Sequence[str], source: Mapping[str, Any], where: str = ""
    ) -> None:
        lengths = _lengths(names, source, where)
        getattr(self, counts).append(torch.tensor(lengths, dtype=torch.int64, device=self.device))
        if not lengths:
            return
        for name in names:
            shape = (-1, *self._empty[name].shape[1:])
            rows = [value.as_subclass(Tensor).reshape(shape) for value in source[name]]
            self.keep(name, torch.cat(rows))

    def sync(self, *args: Any, **kwargs: Any) -> None:
        """Join the rows of all processes, those of one that saw no picture too."""
        for name in self._empty:
            setattr(self, name, [self._joined(name)])
        super().sync(*args, **kwargs)

    def _joined(self, name: str) -> Tensor:
        state = getattr(self, name)
        if isinstance(state, Tensor):  # joined over processes
            return state
        return torch.cat([self._empty[name].to(self.device), *state])

    def column(self, name: str) -> NDArray[Any]:
        """All rows of a column."""
        return self._joined(name).cpu().numpy()

    @property
    def num_images(self) -> int:
        """How many pictures were seen."""
        return len(self.column("num_truth"))

    def truths(self) -> Columns:
        """The objects of all pictures; boxes are float64."""
        return self._columns("num_truth", self._truth)

    def ignored(self) -> Columns:
        """The regions in which nothing is labelled."""
        return self._columns("num_ignored", ["gt_ignore_bboxes"])

    def predictions(self) -> Columns:
        """The predictions for all pictures.

        Raises:
            ValueError: If a box or score is not finite.
        """
        columns = self._columns("num_preds", self._preds)
        for name in ("bboxes", "scores"):
            if not np.isfinite(columns[name]).all():
                raise ValueError(
                    f"{type(self).__name__}: predicted {name} hold NaN or infinity, which "
                    "cannot be ranked: the model has diverged, or its post-processing divides by 0"
                )
        return columns

    def _columns(self, counts: str, names: Sequence[str]) -> Columns:
        lengths = self.column(counts)
        columns = {name: self.column(name) for name in names}
        for name in ("gt_bboxes", "gt_ignore_bboxes", "bboxes", "scores"):
            if name in columns:
                columns[name] = columns[name].astype(np.float64)
        return {"image": np.repeat(np.arange(len(lengths)), lengths), **columns}


def _lengths(names: Sequence[str], source: Mapping[str, Any], where: str) -> list[int]:
    """How many rows each picture has, which all keys must agree on."""
    missing = [name for name in names if name not in source]
    if missing:
        raise ValueError(
            f"{where} has no {', '.join(missing)}, which the metric needs; it has "
            f"{', '.join(map(str, source))}"
        )
    lengths = [len(value) for value in source[names[0]]]
    for name in names[1:]:
        others = [len(value) for value in source[name]]
        if others != lengths:
            raise ValueError(
                f"{where} has {lengths} {names[0]} and {others} {name} by picture: there must "
                "be one of each for each object"
            )
    return lengths


def check_classes(classes: NDArray[np.int64], names: Sequence[str], what: str) -> None:
    """See that all class numbers have names.

    Args:
        classes: Numbers from 0.
        names: The names of the classes.
        what: Whose classes they are, for the message.

    Raises:
        ValueError: If one has none.
    """
    if len(classes) and not (classes.min() >= 0 and classes.max() < len(names)):
        raise ValueError(
            f"{what} has classes from {classes.min()} to {classes.max()}, but classes= names "
            f"{len(names)}: give the names of the data set, in its order"
        )
