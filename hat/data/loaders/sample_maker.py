"""What a sample is made from, and how it is named when that fails."""

from pathlib import Path
from typing import Any, NamedTuple

from hat.errors import HatError
from hat.seeding import SAMPLE_STREAM, derive_key, seed_everything


class SampleError(HatError, RuntimeError):
    """A sample that could not be made, by index, file, epoch, position and worker."""


class SampleKey(NamedTuple):
    """What a sample depends on: nothing else may change it."""

    sample: int
    epoch: int
    position: int
    seed: int


def seed_for(key: SampleKey) -> None:
    """Seed torch's, NumPy's and Python's generators for the sample of a key."""
    seed_everything(derive_key(key.seed, SAMPLE_STREAM, key.epoch, key.position))


def error_text(error: BaseException) -> str:
    """An error by its class and message."""
    return f"{type(error).__name__}: {error}"


def sample_text(dataset: Any, key: SampleKey, worker: int | None = None) -> str:
    """A sample by index, file, epoch and position, and the worker that makes it."""
    file = file_of(dataset, key.sample)
    by = "" if worker is None else f", worker {worker}"
    return (
        f"sample {key.sample}{f' ({file})' if file else ''} "
        f"(epoch {key.epoch}, position {key.position}{by})"
    )


def file_of(dataset: Any, index: int) -> str | None:
    """The file that a sample comes from, where the data set says.

    HAT's data sets say by `source`; those of others often have a list of `items` or
    `paths`. What fails here must not hide the error that is being described.
    """
    try:
        source = getattr(dataset, "source", None)
        if callable(source):
            path = source(index)
            if path is not None:
                return str(path)
        for items in (getattr(dataset, name, None) for name in ("items", "paths")):
            if isinstance(items, list | tuple) and len(items) == len(dataset):
                item = items[index]
                first = item[0] if isinstance(item, tuple) else item
                return str(first) if isinstance(first, str | Path) else None
    except Exception:
        return None
    return None
