"""`hat graph`."""

import re
from pathlib import Path
from typing import Any

from hat.cli.data_part import value_at
from hat.config.build import Builder
from hat.config.check import check
from hat.config.errors import ConfigError, Location, Mistake
from hat.config.source import Config, load


def print_graph(path: Path, overrides: list[str], place: str, size: str, out: Path) -> int:
    """Print what the nodes of a config's `GraphModel` cost, and draw them.

    Raises:
        ConfigError: If there is no such model, it is of another kind, or a value is refused.
    """
    height, width = _parsed(path, size)
    if out.suffix.lower() != ".svg":
        raise _refusal(path, "--out", f"expected a name in .svg, got {out}")
    config = load(path, overrides)
    model = _build(config, place)
    from hat.models import GraphModel, draw_graph

    if not isinstance(model, GraphModel):
        raise _refusal(path, place, f"expected a GraphModel, got a {type(model).__name__}")
    model.print((height, width))
    draw_graph(model, out, (height, width))
    print(f"picture: {out}")
    return 0


def _build(config: Config, place: str) -> Any:
    part = value_at(config, place)
    if not isinstance(part, dict) or "type" not in part:
        message = f"expected a model, dict(type=...), got {type(part).__name__} {part!r:.60}"
        raise _refusal(config.path, place, message)
    # A root of its own: what is wrong with the data does not matter here.
    alone = Config(config.path, {place: part}, config.where, config.overrides, config.name)
    check(alone, [place])
    return Builder(alone).build(place)


def _parsed(path: Path, size: str) -> tuple[int, int]:
    match = re.fullmatch(r"([1-9]\d*),([1-9]\d*)", size.replace(" ", ""))
    if match is None:
        raise _refusal(path, "--size", f"expected height and width, such as 256,512, got {size!r}")
    return int(match[1]), int(match[2])


def _refusal(path: Path, option: str, message: str) -> ConfigError:
    return ConfigError(path, [Mistake(option, Location("command line"), message)])
