"""Whether the parts of a structure fit together."""

from typing import Any

from torch import nn


def check_links(
    *,
    backbone: nn.Module,
    head: nn.Module,
    neck: nn.Module | None = None,
    task: nn.Module | None = None,
    head_name: str = "head",
) -> None:
    """Compare what parts give with what the next ones take, where both say it.

    A neck takes the last features of the backbone, as many as its `in_channels`; a head
    whose `in_channels` is one number takes that many from the feature at its `in_index`, or,
    without one, from every feature of its source.

    Raises:
        ValueError: If channels or classes differ; the message says what to set.
    """
    given = getattr(backbone, "out_channels", None)
    source = type(backbone).__name__
    if neck is not None:
        if given is not None and hasattr(neck, "in_channels"):
            _check_channels("neck", _numbers(neck.in_channels), given, source)
        given, source = getattr(neck, "out_channels", None), type(neck).__name__
    if given is not None and hasattr(head, "in_channels"):
        check_source(head, head_name, tuple(given), source)
    classes = getattr(head, "num_classes", None), getattr(task, "num_classes", None)
    if None not in classes and classes[0] != classes[1]:
        raise ValueError(
            f"{head_name}.num_classes is {classes[0]}, task.num_classes {classes[1]}: "
            "give both the same"
        )


def check_source(head: nn.Module, name: str, given: tuple[int, ...], source: str) -> None:
    """Compare the `in_channels` of a module with those of the features that it takes.

    Raises:
        ValueError: If they differ; the message has `name` and `source` and says what to set.
    """
    wanted: Any = head.in_channels
    if not isinstance(wanted, int):
        _check_channels(name, _numbers(wanted), given, source)
        return
    index = getattr(head, "in_index", None)
    used = given if index is None else (given[index],)
    if set(used) != {wanted}:
        raise ValueError(
            f"{name}.in_channels is {wanted}, but {source} gives "
            f"{', '.join(map(str, used))} channels: set in_channels={used[-1]}"
        )


def _numbers(channels: Any) -> tuple[int, ...]:
    return tuple(channels)


def _check_channels(
    name: str, wanted: tuple[int, ...], given: tuple[int, ...], source: str
) -> None:
    if not wanted or len(wanted) > len(given) or tuple(given[-len(wanted) :]) != wanted:
        raise ValueError(
            f"{name}.in_channels is {list(wanted)}, but {source} gives features of "
            f"{list(given)} channels: they must be its last ones, such as {list(given)}"
        )
