"""CONFIG.PART on the command line: the data set that stands at a place of a config."""

import re
from pathlib import Path
from typing import Any

from hat.config.build import Builder
from hat.config.check import check
from hat.config.errors import ConfigError, Location, Mistake
from hat.config.source import Config, load
from hat.registry import did_you_mean


def build_dataset(target: str, overrides: list[str]) -> Any:
    """The data set that CONFIG.PART names.

    Args:
        target: A config file or run folder and, after a dot, the place of a data set or
            of a loader in it, such as `configs/a.py.val_loader`. Without a place, the
            loader of `float_trainer`.
        overrides: `key=value`, as for training.

    Raises:
        ConfigError: If there is no such config or place, or the data set refuses.
    """
    path, place = split_target(target)
    config = load(path, overrides)
    place = place or "float_trainer.data_loader"
    part = value_at(config, place)
    for inner in ("data_loader", "dataset"):
        if isinstance(part, dict) and isinstance(part.get(inner), dict):
            part, place = part[inner], f"{place}.{inner}"
    if isinstance(part, dict) and isinstance(part.get("loaders"), dict):
        each = ", ".join(f"{place}.loaders.{name}" for name in part["loaders"])
        raise _refusal(config, place, f"has several data sets: name the loader of one, {each}")
    if not isinstance(part, dict) or "type" not in part:
        came = f"{type(part).__name__} {part!r:.60}"
        message = f"expected a data set or a loader, dict(type=...), got {came}"
        raise _refusal(config, place, message)
    # A root of its own: what is wrong with the model does not matter here.
    alone = Config(config.path, {place: part}, config.where, config.overrides, config.name)
    check(alone, [place])
    return Builder(alone).build(place)


def split_target(target: str) -> tuple[Path, str]:
    """A config and a place in it: the longest beginning, up to a dot, that exists.

    Raises:
        ConfigError: If no beginning does.
    """
    ends = [match.start() for match in re.finditer(r"\.", target)] + [len(target)]
    for end in reversed(ends):
        path = Path(target[:end])
        if path.is_file() or (path / "config.json").is_file():
            return path, target[end + 1 :]
    message = "no such config file or run folder"
    raise ConfigError(target, [Mistake("CONFIG", Location("command line"), message)])


def value_at(config: Config, place: str) -> Any:
    """The value at a dotted place, each part a key or a number in brackets.

    Raises:
        ConfigError: If there is no such place.
    """
    value: Any = config.values
    seen = ""
    for key, number in re.findall(r"([^.\[\]]+)|\[(\d+)\]", place):
        keys = list(value) if isinstance(value, dict) else []
        if key and key in keys:
            value, seen = value[key], f"{seen}.{key}".lstrip(".")
        elif number and isinstance(value, list | tuple) and int(number) < len(value):
            value, seen = value[int(number)], f"{seen}[{number}]"
        else:
            wanted = key or f"[{number}]"
            has = did_you_mean(wanted, map(str, keys)) or f" It has: {', '.join(map(str, keys))}."
            inside = f"'{seen}'" if seen else "the config"
            raise _refusal(config, place, f"{inside} has no '{wanted}'.{has if keys else ''}")
    return value


def _refusal(config: Config, place: str, message: str) -> ConfigError:
    location = config.where.get(place.split(".")[0], Location(str(config.path)))
    return ConfigError(config.path, [Mistake(place, location, message)])
