"""A config as JSON and back, so that a run can be repeated from its folder alone."""

import enum
import json
import math
from pathlib import Path
from typing import Any

from hat.config.errors import ConfigError, Location, Mistake
from hat.config.source import Config
from hat.registry import dotted_path, resolve

FILE_NAME = "config.json"
_MARKS = ("$shared", "$same", "$object", "$tuple", "$float", "$pairs", "$path")


def encode(config: Config) -> dict[str, Any]:
    """The values of a config as JSON values, equal and equally shared when decoded.

    A dict that stands in several places is written once; the others refer to it. A
    class, function, dtype or enum member is written as its import path.

    Raises:
        ConfigError: If a value is not plain: an object that was built in the config,
            or a function that cannot be imported by name.
    """
    encoder = _Encoder(config)
    values = {
        name: encoder.encode(value, name, config.where.get(name, Location(str(config.path))))
        for name, value in config.values.items()
    }
    if encoder.mistakes:
        raise ConfigError(config.path, encoder.mistakes)
    return values


def decode(values: dict[str, Any]) -> dict[str, Any]:
    """What `encode` wrote, as values of a config again.

    Raises:
        LookupError: If an import path leads nowhere here.
        ValueError: If it is not what `encode` writes.
    """
    known: dict[int, Any] = {}
    try:
        return {name: _decode(value, known) for name, value in values.items()}
    except (TypeError, AttributeError, KeyError) as error:
        raise ValueError(f"{type(error).__name__}: {error}") from error


def load_record(path: Path) -> Config:
    """The config that a run folder, or its `config.json`, holds.

    Raises:
        ConfigError: If there is none, or it is not one.
    """
    file = path / FILE_NAME if path.is_dir() else path
    try:
        record = json.loads(file.read_text(encoding="utf-8"))
        values = decode(record["config"])
        overrides, name = list(record["overrides"]), str(record["name"])
    except FileNotFoundError as error:
        message = f"'{path}' is no run folder: it has no {FILE_NAME}"
        raise _unreadable(path, message) from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise _unreadable(file, f"not the config of a run: {error!r}") from error
    except LookupError as error:
        raise _unreadable(file, str(error.args[0])) from error
    where = {key: Location(str(file)) for key in values}
    return Config(file, values, where, overrides, name)


def count_uses(values: Any) -> dict[int, int]:
    """In how many places each dict inside a value stands, by its id."""
    counts: dict[int, int] = {}
    left = [values]
    while left:
        value = left.pop()
        if isinstance(value, dict):
            counts[id(value)] = counts.get(id(value), 0) + 1
            left += value.values() if counts[id(value)] == 1 else []
        elif isinstance(value, list | tuple):
            left += value
    return counts


class _Encoder:
    def __init__(self, config: Config) -> None:
        self.config = config
        self.mistakes: list[Mistake] = []
        self.counts = count_uses(config.values)
        self.numbers: dict[int, int] = {}

    def encode(self, value: Any, path: str, where: Location) -> Any:
        if value is None or isinstance(value, bool | int | str):
            return value
        if isinstance(value, float):
            return value if math.isfinite(value) else {"$float": str(value)}
        if isinstance(value, dict):
            return self._encode_shared(value, path, getattr(value, "where", where))
        if isinstance(value, list | tuple):
            items = [self.encode(item, f"{path}[{n}]", where) for n, item in enumerate(value)]
            return {"$tuple": items} if isinstance(value, tuple) else items
        if isinstance(value, Path):
            return {"$path": str(value)}
        return self._encode_object(value, path, where)

    def _encode_shared(self, value: dict[Any, Any], path: str, where: Location) -> Any:
        if self.counts[id(value)] == 1:
            return self._encode_dict(value, path, where)
        if id(value) in self.numbers:
            return {"$same": self.numbers[id(value)]}
        number = self.numbers[id(value)] = len(self.numbers)
        return {"$shared": [number, self._encode_dict(value, path, where)]}

    def _encode_dict(self, value: dict[Any, Any], path: str, where: Location) -> Any:
        lines = getattr(value, "lines", {})
        encoded = [
            (key, self._encode_item(key, item, f"{path}.{key}", lines.get(key, where)))
            for key, item in value.items()
        ]
        if all(isinstance(k, str) for k in value) and not any(k in _MARKS for k in value):
            return dict(encoded)
        return {"$pairs": [[self.encode(key, path, where), item] for key, item in encoded]}

    def _encode_item(self, key: Any, item: Any, path: str, where: Location) -> Any:
        encoded = self.encode(item, path, where)
        is_import_path = key == "type" and isinstance(encoded, dict) and "$object" in encoded
        return encoded["$object"] if is_import_path else encoded

    def _encode_object(self, value: Any, path: str, where: Location) -> Any:
        name = import_path(value)
        try:
            if name and resolve(name) == value:
                return {"$object": name}
        except LookupError:
            pass
        self.mistakes.append(
            Mistake(
                path,
                where,
                f"a config holds plain values and names of importable things, got {value!r}. "
                "Write dict(type=..., ...) instead of an object; move a class or function "
                "that the config defines into a module and import it",
            )
        )
        return None


def import_path(value: Any) -> str | None:
    """Where an object can be imported from, as far as it says; None if it does not say."""
    if isinstance(value, enum.Enum):
        return f"{dotted_path(type(value))}.{value.name}"
    if type(value).__module__ == "torch":  # torch.float32, torch.channels_last
        return str(value)
    if hasattr(value, "__module__") and hasattr(value, "__qualname__"):
        return dotted_path(value)
    return None


def _decode(value: Any, known: dict[int, Any]) -> Any:
    if isinstance(value, list):
        return [_decode(item, known) for item in value]
    if not isinstance(value, dict):
        return value
    mark = next(iter(value), None)
    if len(value) != 1 or mark not in _MARKS:
        return {key: _decode(item, known) for key, item in value.items()}
    content = value[mark]
    if mark == "$shared":
        number, inner = content
        known[number] = shared = {}  # there before its content, which may refer to it
        shared.update(_decode(inner, known))
        return shared
    if mark == "$same":
        return known[content]
    if mark == "$object":
        return resolve(content)
    if mark == "$tuple":
        return tuple(_decode(item, known) for item in content)
    if mark == "$float":
        return float(content)
    if mark == "$path":
        return Path(content)
    return {_decode(key, known): _decode(item, known) for key, item in content}


def _unreadable(path: Path, message: str) -> ConfigError:
    return ConfigError(path, [Mistake("(the file)", Location(str(path)), message)])
