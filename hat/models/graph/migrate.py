"""Weights of a model with other heads into this one, and a report of what became of them."""

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from torch import nn

from hat.models.weights import read_weights

logger = logging.getLogger(__name__)

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Migration:
    """What became of each weight when a model took those of another.

    Args:
        kept: Names of weights that were copied.
        new: Names that the model alone has; they are as they were.
        dropped: Names that the file alone has.
        reshaped: Names that both have, with the shapes in the file and in the model; those of
            the model are as they were.

    Example:
        >>> print(Migration(("backbone.weight",), ("head.weight",), (), {}))
        node      kept  new  dropped  reshaped
        backbone     1    0        0         0
        head         0    1        0         0
    """

    kept: tuple[str, ...]
    new: tuple[str, ...]
    dropped: tuple[str, ...]
    reshaped: Mapping[str, tuple[Shape, Shape]]

    def by_node(self) -> dict[str, dict[str, int]]:
        """Of each node, and of each task's own module, how many weights became what."""
        lists: dict[str, Iterable[str]] = {
            "kept": self.kept,
            "new": self.new,
            "dropped": self.dropped,
            "reshaped": self.reshaped,
        }
        found: dict[str, dict[str, int]] = {}
        for what, names in lists.items():
            for name in names:
                counts = found.setdefault(_node_of(name), dict.fromkeys(lists, 0))
                counts[what] += 1
        return found

    def __str__(self) -> str:
        rows = [["node", "kept", "new", "dropped", "reshaped"]]
        rows += [[node, *map(str, counts.values())] for node, counts in self.by_node().items()]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = [
            "  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])])
            for row in rows
        ]
        lines += [
            f"{name}: {before} in the file, {now} in the model"
            for name, (before, now) in self.reshaped.items()
        ]
        return "\n".join(lines)


def migrate_weights(model: nn.Module, path: str | Path) -> Migration:
    """Copy the weights of a file that fit a model by name and shape, and say what did not.

    It is for a model that gained, lost or changed heads after its training; `load_weights` is
    for the same model. The report is logged too.

    Args:
        model: Changed in place.
        path: See `read_weights`.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is not a file of weights, or nothing in it fits.

    Example:
        >>> report = migrate_weights(model, "runs/road/checkpoints/step_3000")  # doctest: +SKIP
    """
    weights, own = read_weights(path), model.state_dict()
    both = [name for name in own if name in weights]
    kept = tuple(name for name in both if own[name].shape == weights[name].shape)
    if not kept:
        raise ValueError(
            f"{path}: nothing in it fits {type(model).__name__}: the file has "
            f"{_some(weights)}; the model has {_some(own)}"
        )
    report = Migration(
        kept=kept,
        new=tuple(name for name in own if name not in weights),
        dropped=tuple(name for name in weights if name not in own),
        reshaped={
            name: (tuple(weights[name].shape), tuple(own[name].shape))
            for name in both
            if name not in kept
        },
    )
    model.load_state_dict({name: weights[name] for name in kept}, strict=False)
    logger.info("weights migrated from %s\n%s", path, report)
    return report


def _node_of(name: str) -> str:
    first, *rest = name.split(".")
    return f"tasks.{rest[0]}" if first == "tasks" and rest else first


def _some(names: Iterable[str]) -> str:
    listed = list(names)
    return ", ".join(listed[:3]) + (", ..." if len(listed) > 3 else "")
