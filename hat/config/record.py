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
_MARKS = ("$same", "$object", "$tuple", "$float", "$pairs", "$path")


def encode(config: Config) -> dict[str, Any]:
    """The values of a config as JSON values, equal and equally shared when decoded.

    A dict that stands in several places is written once; the others refer to it. A
    class, function, dtype or enum member is written as its import path.

    Raises:
        ConfigError: If a value is not plain: an object that was built in the config,
            or a function that cannot be imported by name.
    """
    encoder = _Encoder(config)
    values = {name: encoder.encode(value, name) for name, value in config.values.items()}
    if encoder.mistakes:
        raise ConfigError(config.path, encoder.mistakes)
    return values


def decode(values: dict[str, Any]) -> dict[str, Any]:
    """What `encode` wrote, as values of a config again.

    Raises:
        LookupError: If an import path leads nowhere here.
    """
    known: dict[str, Any] = {}
    return {name: _decode(value, name, known) for name, value in values.items()}


def load_record(path: Path) -> Config:
    """The config that a run folder, or its `config.json`, holds.

    Raises:
        ConfigError: If there is none, or it is not one.
    """
    file = path / FILE_NAME if path.is_dir() else path
    try:
        record = json.loads(file.read_text(encoding="utf-8"))
        values = decode(record["config"])
    except FileNotFoundError as error:
        message = f"'{path}' is no run folder: it has no {FILE_NAME}"
        raise _unreadable(path, message) from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise _unreadable(file, f"not the config of a run: {error!r}") from error
    except LookupError as error:
        raise _unreadable(file, str(error.args[0])) from error
    where = {name: Location(str(file)) for name in values}
    return Config(file, values, where, list(record["overrides"]), record["name"])


class _Encoder:
    def __init__(self, config: Config) -> None:
        self.config = config
        self.mistakes: list[Mistake] = []
        self.seen: dict[int, str] = {}  # ids of dicts that the config keeps alive

    def encode(self, value: Any, path: str) -> Any:
        if value is None or isinstance(value, bool | int | str):
            return value
        if isinstance(value, float):
            return value if math.isfinite(value) else {"$float": str(value)}
        if isinstance(value, dict):
            return self._encode_dict(value, path)
        if isinstance(value, list):
            return [self.encode(item, f"{path}[{n}]") for n, item in enumerate(value)]
        if isinstance(value, tuple):
            items = [self.encode(item, f"{path}[{n}]") for n, item in enumerate(value)]
            return {"$tuple": items}
        if isinstance(value, Path):
            return {"$path": str(value)}
        return self._encode_object(value, path)

    def _encode_dict(self, value: dict[Any, Any], path: str) -> Any:
        if id(value) in self.seen:
            return {"$same": self.seen[id(value)]}
        self.seen[id(value)] = path
        if all(isinstance(k, str) for k in value) and not any(k in _MARKS for k in value):
            return {key: self._encode_item(key, item, path) for key, item in value.items()}
        pairs = [[self.encode(k, path), self.encode(v, f"{path}.{k}")] for k, v in value.items()]
        return {"$pairs": pairs}

    def _encode_item(self, key: str, item: Any, path: str) -> Any:
        encoded = self.encode(item, f"{path}.{key}")
        is_import_path = key == "type" and isinstance(encoded, dict) and "$object" in encoded
        return encoded["$object"] if is_import_path else encoded

    def _encode_object(self, value: Any, path: str) -> Any:
        name = _import_path(value)
        try:
            if name and resolve(name) is value:
                return {"$object": name}
        except LookupError:
            pass
        root = path.partition(".")[0].partition("[")[0]
        where = self.config.where.get(root, Location(str(self.config.path)))
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


def _import_path(value: Any) -> str | None:
    if isinstance(value, enum.Enum):
        return f"{dotted_path(type(value))}.{value.name}"
    if type(value).__module__ == "torch":  # torch.float32, torch.channels_last
        return str(value)
    if hasattr(value, "__module__") and hasattr(value, "__qualname__"):
        return dotted_path(value)
    return None


def _decode(value: Any, path: str, known: dict[str, Any]) -> Any:
    if isinstance(value, list):
        return [_decode(item, f"{path}[{n}]", known) for n, item in enumerate(value)]
    if not isinstance(value, dict):
        return value
    mark = next(iter(value), None)
    if len(value) != 1 or mark not in _MARKS:
        known[path] = result = {}
        for key, item in value.items():
            result[key] = _decode(item, f"{path}.{key}", known)
        return result
    content = value[mark]
    if mark == "$same":
        return known[content]
    if mark == "$object":
        return resolve(content)
    if mark == "$tuple":
        return tuple(_decode(item, f"{path}[{n}]", known) for n, item in enumerate(content))
    if mark == "$float":
        return float(content)
    if mark == "$path":
        return Path(content)
    known[path] = pairs = {}
    for key, item in content:
        pairs[_decode(key, path, known)] = _decode(item, f"{path}.{key}", known)
    return pairs


def _unreadable(path: Path, message: str) -> ConfigError:
    return ConfigError(path, [Mistake("(the file)", Location(str(path)), message)])
