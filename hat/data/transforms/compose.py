"""Transforms one after the other, with the name of the one that fails."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any


class TransformError(RuntimeError):
    """A transform of a list that failed, by its place and name."""


class Compose:
    """Calls transforms in order, each with what the one before returned.

    Args:
        transforms: Any callables, those of `torchvision.transforms.v2` among them.

    Raises:
        TransformError: When one of them fails, naming which.

    Example:
        >>> Compose([abs, str])(-1)
        '1'
    """

    def __init__(self, transforms: Sequence[Callable[[Any], Any]]) -> None:
        self.transforms = list(transforms)
        for position, transform in enumerate(self.transforms):
            if not callable(transform):
                raise TypeError(f"transform {position} is not callable, got {transform!r}")

    def __call__(self, sample: Any) -> Any:
        for position, transform in enumerate(self.transforms):
            try:
                sample = transform(sample)
            except Exception as error:
                name = getattr(transform, "__name__", type(transform).__name__)
                raise TransformError(
                    f"transform {position} ({name}) failed: {type(error).__name__}: {error}"
                ) from error
        return sample

    def __iter__(self) -> Iterator[Callable[[Any], Any]]:
        return iter(self.transforms)

    def __repr__(self) -> str:
        return f"Compose({self.transforms!r})"
