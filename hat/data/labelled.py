"""Batches in which only some samples have some labels."""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

from hat.data.sample import OF_THE_BATCH, Batch, num_samples


def labelled_rows(batch: Batch, keys: Iterable[str]) -> Tensor | None:
    """Which samples of a batch have all of some keys.

    Args:
        batch: Its `labelled`, where there is one, maps keys to the rows of the samples that
            have them; see `PartialCollate`.
        keys: Of samples.

    Returns:
        int64 (K,), ascending; none if no sample has a key; None if all samples have all.

    Example:
        >>> labelled = {"gt_seg": torch.tensor([0, 3])}
        >>> batch = {"img": torch.zeros(4, 1), "gt_seg": torch.zeros(2, 1), "labelled": labelled}
        >>> labelled_rows(batch, ["img", "gt_seg"])
        tensor([0, 3])
    """
    labelled = batch.get("labelled", {})
    rows: Tensor | None = None
    for key in keys:
        if key not in batch:
            return torch.zeros(0, dtype=torch.int64)
        if key in labelled:
            own = labelled[key]
            rows = own if rows is None else rows[torch.isin(rows, own)]
    return rows


def num_labelled(batch: Batch, keys: Iterable[str]) -> int:
    """How many samples of a batch have all of some keys; see `labelled_rows`."""
    rows = labelled_rows(batch, keys)
    return num_samples(batch) if rows is None else len(rows)


def cut_batch(batch: Batch, rows: Tensor) -> Batch:
    """Some samples of a batch, with the keys that all of them have.

    Args:
        batch: See `labelled_rows`.
        rows: int64 (K,), ascending.

    Example:
        >>> batch = {"img_id": ["a", "b"], "label": torch.tensor([7]),
        ...          "labelled": {"label": torch.tensor([1])}}
        >>> cut_batch(batch, torch.tensor([1]))
        {'img_id': ['b'], 'label': tensor([7])}
    """
    labelled = batch.get("labelled", {})
    part = {}
    for key, value in batch.items():
        if key in OF_THE_BATCH:
            continue
        if key not in labelled:
            part[key] = take_rows(value, rows)
            continue
        own = labelled[key]
        if bool(torch.isin(rows, own).all()):
            part[key] = take_rows(value, torch.searchsorted(own, rows))
    return part


def take_rows(value: Any, rows: Tensor) -> Any:
    """Some rows of a tensor, items of a list, or both of all that a tuple or dict holds.

    A list holds one item of each sample; a tuple and a dict hold parts, such as the levels
    of a pyramid, each with all samples.

    Example:
        >>> take_rows((torch.arange(3), ["a", "b", "c"]), torch.tensor([0, 2]))
        (tensor([0, 2]), ['a', 'c'])
    """
    if isinstance(value, Tensor):
        return value[rows.to(value.device)]
    if isinstance(value, dict):
        return {key: take_rows(item, rows) for key, item in value.items()}
    if isinstance(value, tuple):
        items = [take_rows(item, rows) for item in value]
        return type(value)(*items) if hasattr(value, "_fields") else tuple(items)
    if isinstance(value, list):
        return [value[row] for row in rows.tolist()]
    return value
