"""A data set several times over."""

from typing import Any

from hat.data.datasets.base import Transforms
from hat.data.datasets.wrapper import WrapperDataset


class RepeatDataset(WrapperDataset):
    """A data set several times, one behind the other, so that an epoch is longer.

    A sample keeps its `img_id` each time, so ids are not unique.

    Args:
        dataset: Whatever has `__len__` and `__getitem__` that returns a dict.
        num_times: How often.
        transform: Called with the samples as the data set gives them; see `Dataset`.

    Raises:
        ValueError: If `num_times` is below 1.

    Example:
        >>> len(RepeatDataset(DigitsDataset("val"), 3))
        1077
    """

    def __init__(self, dataset: Any, num_times: int, transform: Transforms = None) -> None:
        super().__init__([dataset], transform=transform)
        if num_times < 1:
            raise ValueError(f"num_times must be at least 1, got {num_times}")
        self.num_times = num_times

    def __len__(self) -> int:
        return len(self.datasets[0]) * self.num_times

    def locate(self, index: int) -> tuple[int, int]:
        return 0, index % len(self.datasets[0])
