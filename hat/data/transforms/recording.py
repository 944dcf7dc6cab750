"""What the transforms of a sample drew, noted while they run and without changing a draw."""

import contextlib
import copy
from collections.abc import Iterator, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn


@dataclass
class TransformRecord:
    """What one transform did to a sample.

    Args:
        name: Its class, or the name of a function.
        params: What it drew, by name; empty where it draws nothing or keeps it to itself;
            None if its probability said no.
        inner: The records of the transforms inside it that ran, in the order in which they ran.
        others: The samples that a mixing transform put in.
    """

    name: str
    params: dict[str, Any] | None = None
    inner: list["TransformRecord"] = field(default_factory=list)
    others: list["OtherRecord"] = field(default_factory=list)

    @property
    def is_applied(self) -> bool:
        """Whether the transform ran, or its probability said no."""
        return self.params is not None


@dataclass
class OtherRecord:
    """A sample that was drawn to be mixed into another.

    Args:
        img_id: Which one.
        img_path: Its file, where the data set says.
        transforms: What was done to it before it was mixed in.
    """

    img_id: Any
    img_path: str | None
    transforms: list[TransformRecord]


# None while nobody looks: the transforms then run as they are, at the cost of one look here.
_records: ContextVar[list[TransformRecord] | None] = ContextVar("hat_records", default=None)


def current_records() -> list[TransformRecord] | None:
    """Where transforms are to be noted now; None while nobody records."""
    return _records.get()


@contextlib.contextmanager
def recorded_transforms() -> Iterator[list[TransformRecord]]:
    """Note every transform of a `hat.data.Compose` that runs in the block, in order.

    Example:
        >>> from torchvision.transforms import v2
        >>> with recorded_transforms() as records:
        ...     _ = Compose([v2.RandomHorizontalFlip(p=0), v2.RandomCrop(2)])(torch.zeros(1, 2, 2))
        >>> [(record.name, record.is_applied) for record in records]
        [('RandomHorizontalFlip', False), ('RandomCrop', True)]
    """
    records: list[TransformRecord] = []
    token = _records.set(records)
    try:
        yield records
    finally:
        _records.reset(token)


@contextlib.contextmanager
def recorded_other(record: TransformRecord) -> Iterator[list[Any]]:
    """Note what is done to another sample; it is to be put into the list that this gives."""
    made: list[Any] = []
    with recorded_transforms() as records:
        yield made
    sample = made[0] if isinstance(made[0], Mapping) else {}
    record.others.append(OtherRecord(sample.get("img_id"), sample.get("img_path"), records))


def name_of(transform: Any) -> str:
    """What messages and records call a transform: a function by its name, others by class."""
    return getattr(transform, "__name__", type(transform).__name__)


def call_recorded(transform: Any, inputs: Sequence[Any], records: list[TransformRecord]) -> Any:
    """Call a transform and append what it drew to the records."""
    from torchvision.transforms import v2

    record = TransformRecord(name_of(transform))
    with recorded_transforms() as inner:
        outputs = observed(transform, record)(*inputs)
    record.inner += inner
    is_same = outputs is (inputs[0] if len(inputs) == 1 else inputs)
    # Those of torchvision hand back what they got when their probability says no; any other
    # function may do so after it changed it.
    is_refused = is_same and not record.inner and isinstance(transform, v2.Transform)
    if record.params is None and not is_refused:
        record.params = {}
    records.append(record)
    return outputs


def observed(transform: Any, record: TransformRecord) -> Any:
    """The transform itself, or a copy that notes what it draws.

    The copy is shallow and has its `make_params` shadowed, and what it contains replaced
    by `_Observed`: classes and the transform at hand stay as they are, and every draw is
    made by the code that would have made it.
    """
    if isinstance(transform, nn.Sequential):
        children = transform._modules
        twin = copy.copy(transform)
        twin.__dict__["_modules"] = {key: _Observed(child) for key, child in children.items()}
        return twin
    inner = getattr(transform, "transforms", None)
    if isinstance(transform, nn.Module) and isinstance(inner, Sequence | nn.ModuleList):
        container = copy.copy(transform)
        # Past nn.Module's own setter, which would put a module where the original looks too.
        container.__dict__["transforms"] = [_Observed(child) for child in inner]
        return container
    if not hasattr(transform, "make_params"):
        return transform
    noting = copy.copy(transform)
    make_params = transform.make_params

    def make_and_note(*args: Any) -> Any:
        params = make_params(*args)
        # Copies: a transform may change what it drew while it works.
        record.params = {
            key: value.clone() if isinstance(value, torch.Tensor) else copy.copy(value)
            for key, value in params.items()
        }
        return params

    noting.__dict__["make_params"] = make_and_note
    return noting


class _Observed:
    """Stands for a transform inside another one, and notes what it draws when it is called."""

    def __init__(self, transform: Any) -> None:
        self.transform = transform

    def __call__(self, *inputs: Any) -> Any:
        records = current_records()
        assert records is not None
        return call_recorded(self.transform, inputs, records)
