"""What data sets share that are made of other data sets."""

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

from hat.data.datasets.base import Dataset, Transforms
from hat.data.sample import Sample

_NAMES = ("classes", "label_classes", "seg_classes")
_COLORS = ("colors", "seg_colors")


class WrapperDataset(Dataset):
    """Samples of other data sets, each after the transforms of its own.

    A subclass writes `__len__` and `locate`. The names and colours of classes are those
    of the data sets.

    Args:
        datasets: Any objects with `__len__` and `__getitem__` that returns a dict.
        keep_ids: Whether `img_id` stays as it is. Otherwise, of several data sets, the
            number of the data set is put before it, such as `1/37`, since ids that are
            unique in each are seldom so in all.
        transform: Called with the samples as the data sets give them.

    Raises:
        ValueError: If there is no data set, or they differ in the names of their classes.
    """

    def __init__(
        self, datasets: Sequence[Any], *, keep_ids: bool = False, transform: Transforms = None
    ) -> None:
        super().__init__(transform)
        if not datasets:
            raise ValueError(f"{type(self).__name__} needs at least one data set")
        self.datasets = list(datasets)
        self.keep_ids = keep_ids or len(self.datasets) == 1
        for name in _NAMES:
            setattr(self, name, _common(self.datasets, name))
        for name in _COLORS:
            setattr(self, name, _first(self.datasets, name)[1])

    @abstractmethod
    def locate(self, index: int) -> tuple[int, int]:
        """Which of the data sets a sample comes from, and its index there."""

    def load(self, index: int) -> Sample:
        number, inner = self.locate(index)
        sample = self.datasets[number][inner]
        if not isinstance(sample, dict):
            raise TypeError(
                f"{type(self.datasets[number]).__name__}[{inner}] must be a dict, got "
                f"{type(sample).__name__}: wrap a data set of pairs in TorchvisionDataset"
            )
        return self._with_id({"img_id": inner, **sample}, number)

    def annotation(self, index: int) -> Sample:
        """What the data set says of the sample, before its transforms."""
        number, inner = self.locate(index)
        dataset = self.datasets[number]
        if hasattr(dataset, "annotation"):
            return self._with_id(dict(dataset.annotation(inner)), number)
        return super().annotation(index)

    def source(self, index: int) -> str | None:
        number, inner = self.locate(index)
        dataset = self.datasets[number]
        return dataset.source(inner) if hasattr(dataset, "source") else None

    def _with_id(self, sample: Sample, number: int) -> Sample:
        if not self.keep_ids and "img_id" in sample:
            sample["img_id"] = f"{number}/{sample['img_id']}"
        return sample


def _first(datasets: Sequence[Any], name: str) -> tuple[int, Any]:
    """The number and the value of the first data set that has this attribute."""
    values = ((number, getattr(dataset, name, None)) for number, dataset in enumerate(datasets))
    return next(((number, value) for number, value in values if value is not None), (0, None))


def _common(datasets: Sequence[Any], name: str) -> Sequence[str] | None:
    """The names that all data sets have which have any.

    Raises:
        ValueError: If they differ, with the first difference.
    """
    first, names = _first(datasets, name)
    for number, dataset in enumerate(datasets):
        others = getattr(dataset, name, None)
        if others is None or list(others) == list(names):
            continue
        titles = [f"data set {n} ({type(datasets[n]).__name__})" for n in (first, number)]
        for class_id, (one, other) in enumerate(zip(names, others, strict=False)):
            if one != other:
                raise ValueError(
                    f"{name} differ: class {class_id} is {one!r} in {titles[0]} and {other!r} in "
                    f"{titles[1]}. Give each a transform that maps its classes to common ones"
                )
        raise ValueError(
            f"{name} differ: {titles[0]} has {len(names)} and {titles[1]} has {len(others)}"
        )
    return names
