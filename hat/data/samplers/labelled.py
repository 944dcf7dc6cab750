"""What samplers share that know something of each sample."""

from typing import Any


def check_length(sampler: Any, num_known: int, dataset_length: int) -> None:
    """Refuse a data set other than the one that a sampler knows.

    Raises:
        ValueError: If the lengths differ.
    """
    if num_known != dataset_length:
        raise ValueError(
            f"{type(sampler).__name__} knows {num_known} samples, but the data set of the loader "
            f"has {dataset_length}: give both the same data set"
        )
