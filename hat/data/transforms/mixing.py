"""Transforms that make one sample of several."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, NoReturn

from hat.data.sample import Sample


class MixingTransform(ABC):
    """A transform that puts other samples of the data set into the one at hand.

    It stands in a list of transforms like any other. The others are drawn by the data
    set whose list it is, and have passed the transforms that stand before it. What `mix`
    draws it takes from `make_params`, so that a replay can tell.
    """

    @abstractmethod
    def num_others(self) -> int:
        """How many other samples this call needs, drawn anew for each call; 0 mixes nothing."""

    def make_params(self, sample: Sample, others: Sequence[Sample]) -> dict[str, Any]:
        """What `mix` draws, by name; called by it once."""
        return {}

    @abstractmethod
    def mix(self, sample: Sample, others: Sequence[Sample]) -> Sample:
        """The sample with the others in it; called only when `num_others` was above 0."""

    def __call__(self, sample: Any) -> NoReturn:
        """Refuse: a transform that mixes needs a data set to draw others from.

        Raises:
            TypeError: Always, saying where it belongs.
        """
        raise TypeError(
            f"{type(self).__name__} mixes samples, and so must stand in the list transform= of a "
            "data set, not inside another transform"
        )
