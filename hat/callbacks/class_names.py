"""What the classes of the data are called."""

from collections.abc import Sequence
from typing import Any


def class_names(data_loader: Any) -> list[str] | None:
    """The names of the classes of objects or, where there are no others, of pictures."""
    return _first([getattr(dataset, "classes", None) for dataset in _datasets(data_loader)])


def label_class_names(data_loader: Any) -> list[str] | None:
    """The names of the classes of pictures, where they are not those of objects."""
    return _first([getattr(dataset, "label_classes", None) for dataset in _datasets(data_loader)])


def _datasets(data_loader: Any) -> list[Any]:
    """That of a loader, or those of the loaders that it takes turns with."""
    loaders = [data_loader, *getattr(data_loader, "loaders", {}).values()]
    return [getattr(loader, "dataset", None) for loader in loaders]


def _first(names: Sequence[Any]) -> list[str] | None:
    found = next((each for each in names if each is not None), None)
    return None if found is None else [str(name) for name in found]
