"""Transforms of the objects of a sample: which of them stay, and of which class they are."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torchvision.transforms import v2

from hat.data.sample import KEYS, Sample
from hat.data.transforms.canvas import UNLABELLED, rewrap
from hat.registry import did_you_mean

#: Keys with one row for each object.
PER_OBJECT = tuple(key for key, spec in KEYS.items() if spec.is_per_object)


def keep_objects(sample: Sample, keep: Tensor) -> Sample:
    """The sample with some of its objects: their rows in every key that has one per object.

    Args:
        sample: Left as it was.
        keep: bool, shape (M,).

    Raises:
        ValueError: If a key has another number of rows.

    Example:
        >>> keep_objects({"gt_classes": torch.tensor([5, 6])}, torch.tensor([False, True]))
        {'gt_classes': tensor([6])}
    """
    kept = dict(sample)
    for key in PER_OBJECT:
        value = sample.get(key)
        if value is None:
            continue
        if len(value) != len(keep):
            raise ValueError(f"{key} has {len(value)} rows for {len(keep)} objects")
        kept[key] = rewrap(value.as_subclass(Tensor)[keep], value)
    return kept


def num_objects(sample: Sample) -> int:
    """How many objects a sample has, by the first key that has a row for each."""
    return next((len(sample[key]) for key in PER_OBJECT if sample.get(key) is not None), 0)


class FilterBoxes(v2.Transform):
    """Drops objects whose boxes are degenerate, with their rows in every key that has them.

    Crops leave boxes without area and slivers of objects; put this behind them.

    Args:
        min_size: Both sides of a box must have this many pixels; 0 still drops boxes
            whose sides are reversed or not finite.
        min_area: And this many square pixels.
        max_aspect: Longer side by shorter; by default any.
        min_mask_area: Pixels that an object's mask must have, where there are `gt_masks`.

    Raises:
        ValueError: If a number is negative, or `max_aspect` below 1.

    Example:
        >>> from torchvision import tv_tensors
        >>> boxes = tv_tensors.BoundingBoxes(
        ...     [[0.0, 0.0, 4.0, 4.0], [3.0, 0.0, 3.0, 4.0]], format="XYXY", canvas_size=(4, 4)
        ... )
        >>> FilterBoxes()({"gt_bboxes": boxes, "gt_classes": torch.tensor([7, 8])})["gt_classes"]
        tensor([7])
    """

    def __init__(
        self,
        min_size: float = 1.0,
        min_area: float = 0.0,
        *,
        max_aspect: float | None = None,
        min_mask_area: int = 0,
    ) -> None:
        super().__init__()
        least = min(min_size, min_area, min_mask_area)
        if least < 0:
            raise ValueError(f"sizes and areas must not be below 0, got {least}")
        if max_aspect is not None and max_aspect < 1:
            raise ValueError(f"max_aspect is longer side by shorter, at least 1, got {max_aspect}")
        self.min_size = min_size
        self.min_area = min_area
        self.max_aspect = max_aspect
        self.min_mask_area = min_mask_area

    def forward(self, *inputs: Any) -> Any:
        sample = one_sample(self, inputs)
        boxes = sample.get("gt_bboxes")
        if boxes is None:
            return dict(sample)
        keep = self._are_fine(boxes.as_subclass(Tensor))
        if self.min_mask_area and sample.get("gt_masks") is not None:
            areas = sample["gt_masks"].as_subclass(Tensor).flatten(1).sum(dim=1)
            keep &= areas >= self.min_mask_area
        return keep_objects(sample, keep)

    def _are_fine(self, boxes: Tensor) -> Tensor:
        sides = boxes[:, 2:] - boxes[:, :2]
        short, long = sides.min(dim=1).values, sides.max(dim=1).values
        keep = (short >= self.min_size) & boxes.isfinite().all(dim=1)
        keep &= sides.prod(dim=1) >= self.min_area
        return keep if self.max_aspect is None else keep & (long <= self.max_aspect * short)


class RemapClasses(v2.Transform):
    """Merges and renumbers classes: the names of `merges` become classes 0, 1, 2, ...

    255 in `gt_seg` stays. A sample may have several vocabularies (`gt_classes`, `gt_seg`);
    each takes a transform of its own.

    Args:
        merges: For each class to have, in order, which of the old ones it is made of, by
            name or number.
        classes: The names of the old classes, needed where `merges` has names; those of a
            data set are its `classes` or `seg_classes`.
        key: `gt_classes`, `gt_seg` or `label`.
        unmapped: What to do with classes that `merges` leaves out: `error`, or `drop`
            their objects, and make their pixels 255.

    Attributes:
        classes: The names of the new classes.

    Raises:
        ValueError: If a class is unknown or in two merges, or an option is.
        ValueError: When called, if a class is left out and `unmapped` is `error`.

    Example:
        >>> remap = RemapClasses({"vehicle": ["car", "bus"], "person": [2]}, ["car", "bus", "man"])
        >>> remap({"gt_classes": torch.tensor([1, 2, 0])})["gt_classes"]
        tensor([0, 1, 0])
        >>> remap.classes
        ['vehicle', 'person']
    """

    def __init__(
        self,
        merges: Mapping[str, Sequence[str | int]],
        classes: Sequence[str] | None = None,
        *,
        key: str = "gt_classes",
        unmapped: str = "error",
    ) -> None:
        super().__init__()
        if key not in ("gt_classes", "gt_seg", "label"):
            raise ValueError(f"key must be gt_classes, gt_seg or label, got {key!r}")
        if unmapped not in ("error", "drop"):
            raise ValueError(f"unmapped must be error or drop, got {unmapped!r}")
        if key == "label" and unmapped == "drop":
            raise ValueError("a picture cannot be dropped for its label: choose it by a Subset")
        self.key = key
        self.unmapped = unmapped
        self.classes = list(merges)
        self._old_names = None if classes is None else list(classes)
        self._table = self._make_table(merges)

    def _make_table(self, merges: Mapping[str, Sequence[str | int]]) -> Tensor:
        """int64: the new class of each old one, -1 where it has none."""
        new_ids: dict[int, int] = {}
        for new_id, (name, members) in enumerate(merges.items()):
            if isinstance(members, str | int):
                raise ValueError(f"merges: {name!r} takes a list of classes, got {members!r}")
            for member in members:
                old_id = self._old_id(member)
                if old_id in new_ids:
                    other = self.classes[new_ids[old_id]]
                    raise ValueError(f"merges: {member!r} is in {other!r} and in {name!r}")
                new_ids[old_id] = new_id
        size = max([len(self._old_names or ()), *(old_id + 1 for old_id in new_ids)])
        table = torch.full((size,), -1)
        table[list(new_ids)] = torch.tensor(list(new_ids.values()), dtype=torch.int64)
        return table

    def _old_id(self, member: str | int) -> int:
        names = self._old_names
        if isinstance(member, int):
            if member < 0 or (names is not None and member >= len(names)):
                raise ValueError(f"merges: there is no class {member}")
            return member
        if names is None:
            raise ValueError(f"merges has the name {member!r}: give the old names as classes=")
        if member not in names:
            raise ValueError(f"merges: no class is named {member!r}.{did_you_mean(member, names)}")
        return names.index(member)

    def forward(self, *inputs: Any) -> Any:
        sample = one_sample(self, inputs)
        value = sample.get(self.key)
        if value is None:
            return dict(sample)
        old = torch.as_tensor(value).as_subclass(Tensor)
        new = self._remapped(old.long())
        is_left_out = new < 0
        if self.unmapped == "error" and bool(is_left_out.any()):
            raise ValueError(self._complaint(old[is_left_out]))
        if self.key == "gt_seg":
            new[is_left_out] = UNLABELLED
            return dict(sample, gt_seg=rewrap(new.to(old.dtype), value))
        if not isinstance(value, Tensor):
            return dict(sample, **{self.key: int(new)})
        changed = dict(sample, **{self.key: new.to(old.dtype)})
        return keep_objects(changed, ~is_left_out) if self.key == "gt_classes" else changed

    def _remapped(self, old: Tensor) -> Tensor:
        table = self._table
        if self.key == "gt_seg":
            table = torch.full((max(UNLABELLED + 1, len(self._table)),), -1)
            table[: len(self._table)] = self._table
            table[UNLABELLED] = UNLABELLED
        is_known = (old >= 0) & (old < len(table))
        if bool(is_known.all()):
            return table[old]
        return torch.where(is_known, table[old.clamp(0, len(table) - 1)], -1)

    def _complaint(self, left_out: Tensor) -> str:
        names = self._old_names or []
        ids = left_out.unique().tolist()
        found = [f"{i} ({names[i]})" if 0 <= i < len(names) else str(i) for i in ids]
        return (
            f"{self.key} has classes that no merge takes: {', '.join(found)}. "
            "Add them, or leave them out with unmapped='drop'"
        )


class DropKeys(v2.Transform):
    """Leaves keys of a sample out, such as labels that no task uses.

    Args:
        keys: Which; those that a sample lacks are no mistake.

    Example:
        >>> DropKeys(["gt_depth"])({"label": 1, "gt_depth": 2})
        {'label': 1}
    """

    def __init__(self, keys: Sequence[str]) -> None:
        super().__init__()
        if isinstance(keys, str):
            raise TypeError(f"keys must be a list of keys, got the text {keys!r}")
        self.keys = tuple(keys)

    def forward(self, *inputs: Any) -> Any:
        return {k: v for k, v in one_sample(self, inputs).items() if k not in self.keys}


def one_sample(transform: v2.Transform, inputs: Sequence[Any]) -> Sample:
    """The sample that a transform was called with.

    Raises:
        TypeError: If it is no dict.
    """
    if len(inputs) != 1 or not isinstance(inputs[0], dict):
        got = ", ".join(type(value).__name__ for value in inputs)
        raise TypeError(f"{type(transform).__name__} takes a sample, which is a dict, got {got}")
    return inputs[0]


def boxes_of_masks(masks: Tensor) -> Tensor:
    """The smallest box around each mask, right and bottom exclusive, of one that is empty 0.

    Args:
        masks: bool, shape (M, H, W).

    Returns:
        float32, shape (M, 4).

    Example:
        >>> boxes_of_masks(torch.tensor([[[False, True], [False, True]]]))
        tensor([[1., 0., 2., 2.]])
    """
    boxes = torch.zeros(len(masks), 4)
    for low, (size, dims) in enumerate(((masks.shape[2], 1), (masks.shape[1], 2))):
        hits = masks.any(dim=dims)
        if size:
            first = hits.to(torch.uint8).argmax(dim=1)
            last = size - hits.flip(1).to(torch.uint8).argmax(dim=1)
            has_any = hits.any(dim=1)
            boxes[:, low] = first * has_any
            boxes[:, low + 2] = last * has_any
    return boxes
