"""Transforms one after the other, with the name of the one that fails."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from hat.data.transforms.mixing import MixingTransform

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
            if not (callable(transform) or isinstance(transform, MixingTransform)):
                raise TypeError(f"transform {position} is not callable, got {transform!r}")

    def __call__(
        self, sample: Any, draw_other: DrawOther | None = None, stop: int | None = None
    ) -> Any:
        """The sample after the transforms before `stop`; by default all of them."""
        for position, transform in enumerate(self.transforms[:stop]):
            try:
                if isinstance(transform, MixingTransform):
                    sample = _mix(transform, sample, position, draw_other)
                else:
                    sample = transform(sample)
            except Exception as error:
                name = getattr(transform, "__name__", type(transform).__name__)
                raise TransformError(
                    f"transform {position} ({name}) failed: {type(error).__name__}: {error}"
                ) from error
        return sample

    def __iter__(self) -> Iterator[Any]:
        return iter(self.transforms)

    def __repr__(self) -> str:
        return f"Compose({self.transforms!r})"


def _mix(
    transform: MixingTransform, sample: Any, position: int, draw_other: DrawOther | None
) -> Any:
    num_others = transform.num_others()
    if num_others == 0:
        return sample
    if draw_other is None:
        raise TypeError("it mixes samples, and so must stand in the transform= of a data set")
    return transform.mix(sample, [draw_other(position) for _ in range(num_others)])
