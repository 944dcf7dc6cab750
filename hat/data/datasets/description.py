"""What is in a data set, in numbers: counts, sizes, class balance."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch


@dataclass
class Description:
    """A data set in numbers; `str` gives a table.

    Args:
        name: The class of the data set.
        num_samples: Its length.
        sizes: How many pictures have each (H, W).
        classes: The names of the classes, where it has any.
        num_labels: For each class, samples with this `label`.
        num_objects: For each class, objects with this class in `gt_classes`.
        num_samples_with: For each class, samples with such an object.
        num_empty: Samples that could hold objects and hold none.
    """

    name: str
    num_samples: int
    sizes: Counter[tuple[int, int]] = field(default_factory=Counter)
    classes: Sequence[str] | None = None
    num_labels: Counter[int] = field(default_factory=Counter)
    num_objects: Counter[int] = field(default_factory=Counter)
    num_samples_with: Counter[int] = field(default_factory=Counter)
    num_empty: int = 0

    def __str__(self) -> str:
        lines = [f"{self.name}: {self.num_samples:,} samples"]
        if self.sizes:
            (height, width), count = self.sizes.most_common(1)[0]
            areas = sorted(self.sizes, key=lambda size: size[0] * size[1])
            lines.append(
                f"sizes (H x W): {len(self.sizes)}, most often {height} x {width} ({count:,}), "
                f"from {areas[0][0]} x {areas[0][1]} to {areas[-1][0]} x {areas[-1][1]}"
            )
        if self.num_objects or self.num_empty:
            total = sum(self.num_objects.values())
            lines.append(f"objects: {total:,}; samples without one: {self.num_empty:,}")
        lines += self._balance()
        return "\n".join(lines)

    def _balance(self) -> list[str]:
        counts = self.num_labels or self.num_objects
        if not counts:
            return []
        present = range(max(counts) + 1)
        names = [str(n) for n in present] if self.classes is None else list(self.classes)
        width = max(len(name) for name in names)
        total = sum(counts.values())
        lines = []
        for class_id, name in enumerate(names):
            count = counts[class_id]
            line = f"  {name:{width}} {count:9,} {count / total:7.2%}"
            if self.num_objects:
                line += f"  in {self.num_samples_with[class_id]:,} samples"
            lines.append(line)
        return lines


def describe(dataset: Any) -> Description:
    """Count what the annotations of a data set hold; no picture is decoded where it can say so."""
    result = Description(type(dataset).__name__, len(dataset), classes=dataset.classes)
    for index in range(len(dataset)):
        annotation = dataset.annotation(index)
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
    return result
