"""What orders and wrappers ask of all annotations of a data set, as arrays."""

from array import array
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
    # Arrays that grow: lists of objects of a size with the data set would not fit.
    values, lengths = array("q"), array("q")
    for annotation in annotations(dataset):
        found = _classes_in(annotation, keys)
        values.extend(found)
        lengths.append(len(found))
    return RaggedArray(np.array(values, np.int64), offsets_of(lengths))


def _classes_in(annotation: Sample, keys: Sequence[str]) -> list[int]:
    for key in keys:
        if key in annotation:
            classes = torch.as_tensor(annotation[key]).flatten().tolist()
            return sorted({int(class_id) for class_id in classes})
    return []


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
