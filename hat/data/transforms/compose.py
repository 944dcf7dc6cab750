"""Transforms one after the other, with the name of the one that fails."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from hat.data.transforms.mixing import MixingTransform
from hat.data.transforms.recording import (
    TransformRecord,
    call_recorded,
    current_records,
    name_of,
    observed,
    recorded_other,
)

#: Given the place of a mixing transform, a random other sample that has passed what stands
#: before it.
DrawOther = Callable[[int], Any]


class TransformError(RuntimeError):
    """A transform of a list that failed, by its place and name."""


class Compose:
    """Calls transforms in order, each with what the one before returned.

    Args:
        transforms: Any callables, those of `torchvision.transforms.v2` among them, and
            mixing transforms such as `Mosaic`.

    Raises:
        TransformError: When one of them fails, naming which.

    Example:
        >>> Compose([abs, str])(-1)
        '1'
    """

    def __init__(self, transforms: Sequence[Callable[[Any], Any] | MixingTransform]) -> None:
        self.transforms = list(transforms)
        for position, transform in enumerate(self.transforms):
            if not callable(transform):
                raise TypeError(f"transform {position} is not callable, got {transform!r}")
        self._needs_tensors_only = [needs_tensors_only(each) for each in self.transforms]

    def __call__(
        self, sample: Any, draw_other: DrawOther | None = None, stop: int | None = None
    ) -> Any:
        """The sample after the transforms before `stop`; by default all of them."""
        records = current_records()
        for position, transform in enumerate(self.transforms[:stop]):
            try:
                if isinstance(transform, MixingTransform):
                    sample = _mix(transform, sample, position, draw_other, records)
                elif records is not None:
                    sample = call_recorded(transform, [sample], records)
                elif self._needs_tensors_only[position]:
                    sample = on_tensors(transform, sample)
                else:
                    sample = transform(sample)
            except Exception as error:
                raise TransformError(
                    f"transform {position} ({name_of(transform)}) failed: "
                    f"{type(error).__name__}: {error}"
                ) from error
        return sample

    def __iter__(self) -> Iterator[Any]:
        return iter(self.transforms)

    def __repr__(self) -> str:
        return f"Compose({self.transforms!r})"


def needs_tensors_only(transform: Any) -> bool:
    """Whether it is one of torchvision's that looks at nothing but tensors.

    Those that call what the user gives them (`Lambda`, the getter of labels of
    `SanitizeBoundingBoxes`) or contain others may look at anything.
    """
    cls = type(transform)
    return (
        cls.__module__.startswith("torchvision.transforms.v2.")
        and cls.__name__ not in ("Lambda", "SanitizeBoundingBoxes")
        and not hasattr(transform, "transforms")
    )


def on_tensors(transform: Callable[[Any], Any], sample: Any) -> Any:
    """The sample with its tensors transformed.

    torchvision takes a sample apart to its last number and text and puts it together
    again, which for `img_path`, `ori_shape` and the like takes longer than a flip.
    """
    if type(sample) is not dict:
        return transform(sample)
    part = {key: value for key, value in sample.items() if not _is_plain(value)}
    return {**sample, **transform(part)}


def _is_plain(value: Any) -> bool:
    """Whether there can be no tensor in it."""
    if type(value) is tuple:
        return all(map(_is_plain, value))
    return type(value) in (str, int, float, bool, type(None))


def _mix(
    transform: MixingTransform,
    sample: Any,
    position: int,
    draw_other: DrawOther | None,
    records: list[TransformRecord] | None,
) -> Any:
    record = TransformRecord(name_of(transform))
    if records is not None:
        records.append(record)
    num_others = transform.num_others()
    if num_others == 0:
        return sample
    if draw_other is None:
        transform(sample)  # refuses, saying where it belongs
    if records is None:
        return transform.mix(sample, [draw_other(position) for _ in range(num_others)])
    record.params = {}  # of those that draw outside make_params
    others = []
    for _ in range(num_others):
        with recorded_other(record) as made:
            made.append(draw_other(position))
        others += made
    return observed(transform, record).mix(sample, others)
