"""`hat list` and `hat config`."""

import importlib.util
import math
from collections.abc import Iterator
from keyword import iskeyword
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from hat.config.errors import ConfigError, Location, Mistake
from hat.config.record import count_uses, import_path
from hat.config.source import load
from hat.registry import KINDS, describe, did_you_mean, dotted_path, names

_PLAIN = (type(None), bool, int, float, str)


def print_parts(kind: str | None) -> int:
    """Print the parts of one kind, or of all, a line each."""
    if kind is not None and kind not in KINDS:
        message = f"no kind '{kind}'.{did_you_mean(kind, KINDS)} Kinds: {', '.join(KINDS)}"
        raise ConfigError("hat list", [Mistake(kind, Location("command line"), message)])
    table = Table(box=None, pad_edge=False)
    for column in ("kind", "name", "what it is"):
        table.add_column(column, no_wrap=column != "what it is")
    for each in [kind] if kind else KINDS:
        for name in names(each):
            table.add_row(each, name, describe(each, name))
    console = Console(highlight=False, markup=False)
    console.print(table)
    console.print(
        "Besides these: anything importable, by its dotted path, such as "
        "torchvision.transforms.v2.RandomHorizontalFlip or torch.optim.SGD."
    )
    return 0


def print_config(path: Path, overrides: list[str]) -> int:
    """Print a config after overrides, as Python that would make it."""
    values = load(path, overrides).values
    printer = _Printer(count_uses(values))
    for name, value in values.items():
        printer.add(name, value)
    for module in sorted(printer.modules):
        print(f"import {module}")
    print("\n".join(printer.statements))
    return 0


def print_difference(first: Path, second: Path) -> int:
    """Print each value in which two configs differ: `-` in the first, `+` in the second."""
    one = dict(_flat(load(first).values))
    other = dict(_flat(load(second).values))
    for path in [*one, *(p for p in other if p not in one)]:
        if path not in other or path not in one or one[path] != other[path]:
            for sign, side in (("-", one), ("+", other)):
                if path in side:
                    print(f"{sign} {path} = {side[path]}")
    return 0


def _flat(value: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """The leaves of nested dicts and lists, by their dotted paths."""
    if isinstance(value, dict) and value:
        for key, item in value.items():
            yield from _flat(item, f"{path}.{key}" if path else str(key))
    elif isinstance(value, list | tuple) and value:
        for number, item in enumerate(value):
            yield from _flat(item, f"{path}[{number}]")
    else:
        is_type = path.rpartition(".")[2] == "type"  # a class and its path are the same there
        yield path, _Printer().item("type" if is_type else None, value)


class _Printer:
    """Writes values as Python source that gives the same values, as shared as they were.

    A dict that stands in several places is written once, under a name, before its first use.
    """

    def __init__(self, counts: dict[int, int] | None = None) -> None:
        self.counts = counts or {}
        self.modules: set[str] = set()
        self.names: dict[int, str] = {}  # of dicts that are written
        self.statements: list[str] = []

    def add(self, name: str, value: Any) -> None:
        """Assign a value to a name."""
        is_new = isinstance(value, dict) and id(value) not in self.names
        text = self._dict(value, 0) if is_new else self.source(value)
        self.statements.append(f"{name} = {text}")
        if is_new:
            self.names[id(value)] = name

    def source(self, value: Any, indent: int = 0) -> str:
        """A value as Python source, one item a line where it would be long."""
        if isinstance(value, dict):
            if self.counts.get(id(value), 1) > 1 and id(value) not in self.names:
                self.add(f"_shared_{len(self.names)}", value)
            return self.names.get(id(value)) or self._dict(value, indent)
        if isinstance(value, list | tuple):
            opening, closing = ("[", "]") if isinstance(value, list) else ("(", ")")
            parts = [self.source(item, indent + 1) for item in value]
            closing = ",)" if isinstance(value, tuple) and len(value) == 1 else closing
            return _wrapped(opening, parts, closing, indent)
        if isinstance(value, float) and not math.isfinite(value):
            return f"float('{value}')"
        if isinstance(value, Path):
            self.modules.add("pathlib")
            return f"pathlib.Path({str(value)!r})"
        return repr(value) if isinstance(value, _PLAIN) else self._object(value)

    def _dict(self, value: dict[Any, Any], indent: int) -> str:
        is_plain = all(isinstance(k, str) and k.isidentifier() and not iskeyword(k) for k in value)
        parts = [
            (f"{key}=" if is_plain else f"{self.source(key)}: ") + self.item(key, item, indent + 1)
            for key, item in value.items()
        ]
        return _wrapped(*(("dict(", parts, ")") if is_plain else ("{", parts, "}")), indent)

    def item(self, key: Any, item: Any, indent: int = 0) -> str:
        """The value of one key of a dict; under `type` a class is written by its path."""
        is_import_path = key == "type" and not isinstance(item, str) and callable(item)
        return repr(dotted_path(item)) if is_import_path else self.source(item, indent)

    def _object(self, value: Any) -> str:
        path = import_path(value)
        if path is None:
            return repr(value)
        parts = path.split(".")
        while parts and not _is_module(".".join(parts)):
            parts.pop()
        if not parts:  # of the config itself: `hat train` will refuse it
            return repr(value)
        self.modules.add(".".join(parts))
        return path


def _is_module(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except ModuleNotFoundError:
        return False


def _wrapped(opening: str, parts: list[str], closing: str, indent: int) -> str:
    line = f"{opening}{', '.join(parts)}{closing}"
    if len(line) + 4 * indent <= 88 and "\n" not in line:
        return line
    pad = "    " * (indent + 1)
    body = "".join(f"{pad}{part},\n" for part in parts)
    return f"{opening}\n{body}{'    ' * indent}{closing.lstrip(',')}"
