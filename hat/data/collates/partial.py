"""Samples of which some lack labels, in one batch."""

from collections.abc import Callable, Sequence
from typing import Any

import torch

from hat.data.collates.stack import BatchError, Packer, StackCollate, name_of
from hat.data.sample import Batch, Sample, is_label

#: What says how many samples a batch has, and what a model runs on.
_INPUTS = ("img", "imgs", "points", "img_id")


class PartialCollate:
    """Packs samples of which some lack labels, without making any up.

    A key that only K of N samples have is packed over those K, and `labelled` of the batch
    says which they are: `labelled[key]` holds their rows, int64 (K,), ascending. Keys that
    all have are packed as ever and are not in `labelled`; one that no sample has is not in
    the batch; a batch whose samples all have the same keys has no `labelled`. Margins of
    `PadCollate` are those of the whole batch.

    Args:
        collate: Packs what all samples have, and each other key; by default `StackCollate`.
            One of yours needs a method `packer(samples)`, which returns what is called with
            a key and those of these samples that have it.
        optional: Which keys samples may lack; by default `label` and all that begin with
            `gt_`.

    Raises:
        TypeError: If `collate` has no `packer`, or `optional` is a text; or, when called,
            if a sample is no dict.
        ValueError: If `optional` names an input, such as `img`.
        BatchError: When called, if a sample lacks any other key that another one has. It is
            a ValueError.

    Example:
        >>> img = torch.zeros(3, 4, 4)
        >>> batch = PartialCollate()([{"img": img}, {"img": img, "label": 7}])
        >>> batch["label"], batch["labelled"]
        (tensor([7]), {'label': tensor([1])})
    """

    def __init__(
        self,
        collate: Callable[[list[Sample]], Batch] | None = None,
        optional: Sequence[str] | None = None,
    ) -> None:
        self.collate: Any = StackCollate() if collate is None else collate
        if not hasattr(self.collate, "packer"):
            name = getattr(collate, "__name__", type(collate).__name__)
            raise TypeError(
                f"PartialCollate packs key by key, and {name} has no packer(samples) to do so: use "
                "one of HAT's collates, or write that method"
            )
        if isinstance(optional, str):
            raise TypeError(f"optional must be a list of keys, got the text {optional!r}")
        if inputs := set(_INPUTS) & set(optional or ()):
            raise ValueError(f"all samples must have {sorted(inputs)}: only labels can be optional")
        self.optional = None if optional is None else tuple(optional)

    def __call__(self, samples: list[Sample]) -> Batch:
        rows = _rows_of_keys(samples)
        partial = {key: have for key, have in rows.items() if len(have) < len(samples)}
        if not partial:
            batch: Batch = self.collate(samples)
            return batch
        self._check(partial, samples)
        common = [{key: sample[key] for key in sample if key not in partial} for sample in samples]
        batch = self.collate(common)
        pack: Packer = self.collate.packer(samples)
        for key, have in partial.items():
            batch[key] = pack(key, [samples[row] for row in have])
        batch["labelled"] = {key: torch.tensor(have) for key, have in partial.items()}
        return batch

    def _check(self, partial: dict[str, list[int]], samples: Sequence[Sample]) -> None:
        for key, have in partial.items():
            if is_label(key) if self.optional is None else key in self.optional:
                continue
            lacking = next(sample for sample in samples if key not in sample)
            may = "labels" if self.optional is None else ", ".join(self.optional)
            raise BatchError(
                f"{name_of(samples[have[0]])} has '{key}', {name_of(lacking)} has not: only "
                f"{may} may be missing. Drop the key, or name it in optional="
            )


def _rows_of_keys(samples: Sequence[Sample]) -> dict[str, list[int]]:
    """Which samples have each key that any has.

    Raises:
        TypeError: If a sample is no dict.
    """
    rows: dict[str, list[int]] = {}
    for row, sample in enumerate(samples):
        if not isinstance(sample, dict):
            raise TypeError(
                f"a sample must be a dict, got {type(sample).__name__}: wrap a data set of "
                "pairs in TorchvisionDataset"
            )
        for key in sample:
            rows.setdefault(key, []).append(row)
    return rows
