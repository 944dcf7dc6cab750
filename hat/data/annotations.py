"""What orders and wrappers ask of all annotations of a data set, as arrays."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from hat.data.arrays import RaggedArray, offsets_of
from hat.data.sample import Sample


def annotations(dataset: Any) -> Iterator[Sample]:
    """The annotation of every sample in order.

    Raises:
        TypeError: If the data set has no `annotation`.
    """
    if not hasattr(dataset, "annotation"):
        raise TypeError(
            f"{type(dataset).__name__} has no annotation(index) to learn classes or sizes from: "
            "make it a subclass of Dataset, or give the numbers themselves"
        )
    for index in range(len(dataset)):
        yield dataset.annotation(index)


def classes_of_samples(dataset: Any, key: str | None = None) -> RaggedArray:
    """For each sample the different classes in it, sorted.

    Args:
        dataset: Has `annotation`.
        key: Where classes are: `label` or `gt_classes`; by default `gt_classes` of
            samples that have it, and `label` of others.

    Raises:
        TypeError: If the data set has no `annotation`.
    """
    keys = ("gt_classes", "label") if key is None else (key,)
    found = [_classes_in(annotation, keys) for annotation in annotations(dataset)]
    return RaggedArray(np.concatenate([*found, np.zeros(0, np.int64)]), offsets_of(map(len, found)))


def _classes_in(annotation: Sample, keys: Sequence[str]) -> NDArray[np.int64]:
    for key in keys:
        if key in annotation:
            return np.unique(torch.as_tensor(annotation[key]).numpy().astype(np.int64))
    return np.zeros(0, np.int64)


def aspect_ratios(dataset: Any) -> NDArray[np.float64]:
    """For each sample the width of its picture over its height, from `ori_shape`.

    Raises:
        TypeError: If the data set has no `annotation`.
        ValueError: If an annotation has no `ori_shape`.
    """

    def ratio(index: int, annotation: Sample) -> float:
        if "ori_shape" not in annotation:
            raise ValueError(
                f"{type(dataset).__name__}: the annotation of sample {index} has no 'ori_shape'"
            )
        height, width = annotation["ori_shape"]
        return width / height

    return np.fromiter(
        (ratio(index, annotation) for index, annotation in enumerate(annotations(dataset))),
        np.float64,
        len(dataset),
    )
