"""`hat list` and `hat config`."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from hat.config.errors import ConfigError, Location, Mistake
from hat.config.source import load
from hat.registry import KINDS, describe, did_you_mean, dotted_path, names


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
    for name, value in load(path, overrides).values.items():
        print(f"{name} = {_source(value)}")
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
        yield path, _source(value)


def _source(value: Any, indent: int = 0) -> str:
    """A value as Python source, one argument a line where it would be long."""
    if isinstance(value, dict) and all(isinstance(k, str) and k.isidentifier() for k in value):
        parts = [f"{key}={_source(item, indent + 1)}" for key, item in value.items()]
        return _wrapped("dict(", parts, ")", indent)
    if isinstance(value, dict):
        parts = [f"{key!r}: {_source(item, indent + 1)}" for key, item in value.items()]
        return _wrapped("{", parts, "}", indent)
    if isinstance(value, list | tuple):
        opening, closing = ("[", "]") if isinstance(value, list) else ("(", ")")
        parts = [_source(item, indent + 1) for item in value]
        closing = ",)" if isinstance(value, tuple) and len(value) == 1 else closing
        return _wrapped(opening, parts, closing, indent)
    if isinstance(value, type) or callable(value):
        return repr(dotted_path(value))
    return repr(value)


def _wrapped(opening: str, parts: list[str], closing: str, indent: int) -> str:
    line = f"{opening}{', '.join(parts)}{closing}"
    if len(line) + 4 * indent <= 88 and "\n" not in line:
        return line
    pad = "    " * (indent + 1)
    body = "".join(f"{pad}{part},\n" for part in parts)
    return f"{opening}\n{body}{'    ' * indent}{closing.lstrip(',')}"
