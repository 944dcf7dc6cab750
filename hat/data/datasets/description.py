"""What is in a data set, in numbers: counts, sizes, class balance."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any
from unicodedata import east_asian_width

import numpy as np
import torch

_NOT_LABELLED = 255


@dataclass
class Description:
    """A data set in numbers; `str` gives a table.

    Args:
        name: The class of the data set.
        num_samples: Its length.
        sizes: How many pictures have each (H, W).
        classes: The names of the classes of objects, where it has any.
        label_classes: The names of the classes of labels, where they are others.
        seg_classes: The names of the classes of pixels, where it has any.
        num_labels: For each class, samples with this `label`.
        num_objects: For each class, objects with this class in `gt_classes`.
        num_samples_with: For each class, samples with such an object.
        num_empty: Samples that could hold objects and hold none.
        num_pixels: For each class, its pixels in `gt_seg`, of the samples looked at; 255
            counts those that are not labelled.
        num_masks: How many samples were looked at for that.
    """

    name: str
    num_samples: int
    sizes: Counter[tuple[int, int]] = field(default_factory=Counter)
    classes: Sequence[str] | None = None
    label_classes: Sequence[str] | None = None
    seg_classes: Sequence[str] | None = None
    num_labels: Counter[int] = field(default_factory=Counter)
    num_objects: Counter[int] = field(default_factory=Counter)
    num_samples_with: Counter[int] = field(default_factory=Counter)
    num_empty: int = 0
    num_pixels: Counter[int] = field(default_factory=Counter)
    num_masks: int = 0

    def __str__(self) -> str:
        lines = [f"{self.name}: {self.num_samples:,} samples"]
        if self.sizes:
            lines.append(_sizes_line(self.sizes))
        if self.num_labels:
            names = self.label_classes or self.classes
            lines += ["", *_table("label", "samples", names, self.num_labels)]
        if self.num_objects or self.num_empty:
            with_it = [self.num_samples_with]
            lines += [
                "",
                *_table("object", "objects", self.classes, self.num_objects, with_it),
                f"samples without an object: {self.num_empty:,}",
            ]
        if self.num_pixels:
            lines += ["", *self._pixel_table()]
        return "\n".join(lines)

    def _pixel_table(self) -> list[str]:
        labelled = Counter(
            {number: n for number, n in self.num_pixels.items() if number != _NOT_LABELLED}
        )
        unlabelled = self.num_pixels[_NOT_LABELLED] / sum(self.num_pixels.values())
        return [
            *_table("pixel", "pixels", self.seg_classes, labelled),
            f"pixels not labelled: {unlabelled:.2%}; of {self.num_masks:,} samples",
        ]


def describe(dataset: Any, num_masks: int = 0) -> Description:
    """Count what the annotations of a data set hold; no picture is decoded where it can say so.

    Args:
        dataset: A `Dataset`, or anything whose samples are dicts: of such all are read.
        num_masks: Of how many samples, at equal distances, `gt_seg` is read to count
            pixels; reading masks takes as long as reading pictures.
    """
    length = len(dataset)
    result = Description(
        type(dataset).__name__,
        length,
        classes=getattr(dataset, "classes", None),
        label_classes=getattr(dataset, "label_classes", None),
        seg_classes=getattr(dataset, "seg_classes", None),
    )
    annotation_of = getattr(dataset, "annotation", dataset.__getitem__)
    for index in range(length):
        annotation = annotation_of(index)
        if "ori_shape" in annotation:
            height, width = annotation["ori_shape"]
            result.sizes[int(height), int(width)] += 1
        if "label" in annotation:
            result.num_labels[int(annotation["label"])] += 1
        if "gt_classes" in annotation:
            objects = torch.as_tensor(annotation["gt_classes"]).tolist()
            result.num_objects.update(objects)
            result.num_samples_with.update(set(objects))
            result.num_empty += not objects
    load = getattr(dataset, "load", dataset.__getitem__)
    result.num_masks = min(num_masks, length)
    for number in range(result.num_masks):
        seg = load(number * length // result.num_masks).get("gt_seg")
        if seg is not None:
            counts = np.bincount(seg.as_subclass(torch.Tensor).numpy().ravel())
            result.num_pixels.update({int(n): int(counts[n]) for n in np.flatnonzero(counts)})
    return result


def _sizes_line(sizes: Counter[tuple[int, int]]) -> str:
    (height, width), count = sizes.most_common(1)[0]
    if len(sizes) == 1:
        return f"size (H x W): {height} x {width}"
    areas = sorted(sizes, key=lambda size: (size[0] * size[1], size))
    return (
        f"sizes (H x W): {len(sizes):,}, most often {height} x {width} ({count:,}), "
        f"from {areas[0][0]} x {areas[0][1]} to {areas[-1][0]} x {areas[-1][1]}"
    )


def _table(
    title: str,
    unit: str,
    names: Sequence[str] | None,
    counts: Counter[int],
    num_samples_with: Iterable[Counter[int]] = (),
) -> list[str]:
    """A row for each class that has a name or occurs, and their sum."""
    named = {} if names is None else dict(enumerate(names))
    total = sum(counts.values())
    rows = [[title, unit, "share", *("in samples" for _ in num_samples_with)]]
    for class_id in sorted(named.keys() | counts.keys()):
        share = counts[class_id] / total if total else 0.0
        others = (f"{each[class_id]:,}" for each in num_samples_with)
        name = named.get(class_id, str(class_id))
        rows.append([name, f"{counts[class_id]:,}", f"{share:.2%}", *others])
    rows.append(["all", f"{total:,}", "", *("" for _ in num_samples_with)])
    return _aligned(rows)


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Rows as lines, the first column to the left and the others to the right."""
    widths = [max(map(_width, column)) for column in zip(*rows, strict=True)]
    lines = []
    for first, *others in rows:
        line = first + " " * (widths[0] - _width(first))
        for cell, width in zip(others, widths[1:], strict=True):
            line += "  " + " " * (width - _width(cell)) + cell
        lines.append(line.rstrip())
    return lines


def _width(text: str) -> int:
    """How many places of a terminal it takes: two for each wide letter, such as Chinese ones."""
    return sum(2 if east_asian_width(letter) in "WF" else 1 for letter in text)
