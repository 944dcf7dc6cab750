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

    def __call__(
        self, sample: Any, draw_other: DrawOther | None = None, stop: int | None = None
    ) -> Any:
        """The sample after the transforms before `stop`; by default all of them."""
        records = current_records()
        for position, transform in enumerate(self.transforms[:stop]):
            try:
                if isinstance(transform, MixingTransform):
                    sample = _mix(transform, sample, position, draw_other, records)
                elif records is None:
                    sample = transform(sample)
                else:
                    sample = call_recorded(transform, [sample], records)
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
