"""A data set of which each sample keeps only some of its labels."""

import math
from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate
from typing import Any, Literal

from hat.data.datasets.base import Transforms
from hat.data.datasets.wrapper import WrapperDataset
from hat.data.sample import KEYS, Sample, is_label
from hat.registry import did_you_mean
from hat.seeding import LABEL_STREAM, derive_key

LabelSet = Sequence[str] | Literal["all"]

#: What tells of objects, and of where none are labelled.
_WITH_BOXES = (*(key for key, spec in KEYS.items() if spec.is_per_object), "gt_ignore_bboxes")


class PartialLabels(WrapperDataset):
    """Takes labels away: each sample keeps one of several sets of them.

    So a data set with all labels becomes what several together are, one with boxes and
    another with masks, and what a model loses by that can be measured. Which set a sample
    keeps is drawn from (seed, index) alone: it is the same in every epoch, in every worker and
    in the annotations. Draws are independent, so of n samples the part with a set is near its
    share by about half of sqrt(n).

    Labels are `label` and all keys that begin with `gt_`; other keys stay. `PartialCollate`
    makes batches of such samples.

    Args:
        dataset: Whatever has `__len__` and `__getitem__` that returns a dict.
        sets: The sets: lists of keys, or `all`. `gt_bboxes` brings all keys that have a row
            for each box, and `gt_ignore_bboxes`. An empty list leaves no label.
        shares: The probability of each set, up to a factor; by default they are equal.
        seed: Of the draw.
        transform: Called with what is left of the samples; see `Dataset`. What mixes samples,
            such as `Mosaic`, belongs into the data set inside, where all have the same keys.

    Raises:
        ValueError: If there is no set, a set names what is no label, or `shares` are not one
            positive number for each set; or, when a sample is asked for, if it lacks a key
            that its set names.
        TypeError: If `sets` is not a list of lists of keys and `all`.

    Example:
        >>> scenes = RoadScenes(length=3, size=(64, 128))
        >>> partial = PartialLabels(scenes, sets=[["gt_bboxes"], ["gt_seg", "gt_depth"], "all"])
        >>> [partial.set_of(index) for index in range(3)]
        [2, 1, 2]
        >>> sorted(key for key in partial[1] if key.startswith("gt_"))
        ['gt_depth', 'gt_seg']
    """

    def __init__(
        self,
        dataset: Any,
        sets: Sequence[LabelSet],
        *,
        shares: Sequence[float] | None = None,
        seed: int = 0,
        transform: Transforms = None,
    ) -> None:
        super().__init__([dataset], transform=transform)
        if isinstance(sets, str) or not sets:
            raise _bad_kind(sets) if sets else ValueError("sets must have at least one set of keys")
        for number, keys in enumerate(sets):
            _check(number, keys)
        if shares is None:
            shares = [1.0] * len(sets)
        if len(shares) != len(sets) or not all(0 < share < math.inf for share in shares):
            raise ValueError(
                f"shares must be one positive number for each of {len(sets)} sets, "
                f"got {list(shares)}"
            )
        self.sets = tuple(keys if isinstance(keys, str) else tuple(keys) for keys in sets)
        self.shares = tuple(share / sum(shares) for share in shares)
        self.seed = seed
        self._bounds = list(accumulate(self.shares))[:-1]

    def __len__(self) -> int:
        return len(self.datasets[0])

    def locate(self, index: int) -> tuple[int, int]:
        return 0, index

    def set_of(self, index: int) -> int:
        """Which of the sets a sample keeps."""
        draw = (derive_key(self.seed, LABEL_STREAM, index) >> 11) * 2.0**-53  # of [0, 1)
        return bisect_right(self._bounds, draw)

    def load(self, index: int) -> Sample:
        sample = super().load(index)
        keys = self.sets[self.set_of(index)]
        missing = [] if keys == "all" else [key for key in keys if key not in sample]
        if missing:
            labels = ", ".join(filter(is_label, sample)) or "no labels"
            raise ValueError(
                f"set {self.set_of(index)} of PartialLabels keeps '{missing[0]}', which sample "
                f"{sample['img_id']} of {type(self.datasets[0]).__name__} lacks: it has "
                f"{labels}.{did_you_mean(missing[0], sample)}"
            )
        return self._kept(sample, index)

    def annotation(self, index: int) -> Sample:
        """What the data set says of the sample and its set keeps, before any transform."""
        return self._kept(super().annotation(index), index)

    def _kept(self, sample: Sample, index: int) -> Sample:
        keys = self.sets[self.set_of(index)]
        if keys == "all":
            return sample
        kept = {*keys, *(_WITH_BOXES if "gt_bboxes" in keys else ())}
        return {key: value for key, value in sample.items() if key in kept or not is_label(key)}


def _check(number: int, keys: Any) -> None:
    if keys == "all":
        return
    if isinstance(keys, str) or not isinstance(keys, Sequence):
        raise _bad_kind(keys)
    labels = [key for key in KEYS if is_label(key)]
    for key in keys:
        if not is_label(key):
            raise ValueError(
                f"set {number} names '{key}', which is no label: labels are 'label' and what "
                f"begins with gt_; all else is kept anyway.{did_you_mean(key, labels)}"
            )


def _bad_kind(value: Any) -> TypeError:
    return TypeError(f"sets must be lists of keys or 'all', got {value!r}")
