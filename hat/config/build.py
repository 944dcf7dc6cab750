"""A checked config becomes objects: one dict, one object."""

import functools
import os
from typing import Any

from hat.config.errors import ConfigError, Location, Mistake
from hat.config.signatures import given_argument, parameters_of
from hat.config.source import Config
from hat.registry import resolve, short_name


class _Failed:
    """Stands for a part that could not be built; what depends on it is not tried."""


_FAILED = _Failed()


class Builder:
    """Builds parts of one config; what is shared in the config is shared when built.

    Args:
        config: As `load` returned it. It is not changed.
        seed: Each part is constructed with torch's CPU generator seeded from this and
            from its path, so that the first weights of one part do not depend on
            which others were built before it. None leaves the generator alone.

    Example:
        >>> builder = Builder(load("configs/classification/digits.py"))  # doctest: +SKIP
        >>> trainer = builder.build("float_trainer")  # doctest: +SKIP
    """

    def __init__(self, config: Config, seed: int | None = 0) -> None:
        self.config = config
        self.seed = seed
        # The dict is kept beside what it became: the id of a dict that died could
        # come back as that of another.
        self._built: dict[int, tuple[dict[Any, Any], Any]] = {}
        self._first_paths: dict[int, str] = {}

    def build(self, root: str, **given: Any) -> Any:
        """The object that a top-level dict describes.

        Args:
            root: Its name in the config.
            given: Arguments that no config holds, such as the run's folder.

        Raises:
            ConfigError: With the message of each constructor that refused, and its
                place in the config. What depends on a part that failed is not tried.
        """
        mistakes: list[Mistake] = []
        location = self.config.where.get(root, Location(str(self.config.path)))
        result = self._build(self.config.values[root], root, location, None, mistakes, given)
        if mistakes:
            raise ConfigError(self.config.path, mistakes)
        return result

    def build_argument(self, root: str, name: str) -> Any:
        """One argument of a top-level dict, as `build` of the whole would make it.

        Args:
            root: The dict's name in the config.
            name: The argument's key in it.

        Raises:
            ConfigError: As `build` does.
        """
        part = self.config.values[root]
        # A part that two arguments share is seeded by the path on which `build` meets it first.
        _note_first_paths(part, root, self._first_paths)
        mistakes: list[Mistake] = []
        where = getattr(part, "lines", {}).get(name) or self.config.where.get(
            root, Location(str(self.config.path))
        )
        result = self._build(part[name], f"{root}.{name}", where, None, mistakes, {})
        if mistakes:
            raise ConfigError(self.config.path, mistakes)
        return result

    def _build(
        self,
        value: Any,
        path: str,
        where: Location,
        supplied: str | None,
        mistakes: list[Mistake],
        given: dict[str, Any],
    ) -> Any:
        if isinstance(value, dict) and "type" in value:
            return self._build_part(value, path, where, supplied, mistakes, given)
        if isinstance(value, dict):
            lines = getattr(value, "lines", {})
            entries = {
                key: self._build(item, f"{path}.{key}", lines.get(key, where), None, mistakes, {})
                for key, item in value.items()
            }
            return _FAILED if any(e is _FAILED for e in entries.values()) else entries
        if isinstance(value, list | tuple):
            items = [
                self._build(item, f"{path}[{n}]", where, None, mistakes, {})
                for n, item in enumerate(value)
            ]
            if any(item is _FAILED for item in items):
                return _FAILED
            return tuple(items) if isinstance(value, tuple) else items
        return value

    def _build_part(
        self,
        part: dict[Any, Any],
        path: str,
        where: Location,
        supplied: str | None,
        mistakes: list[Mistake],
        given: dict[str, Any],
    ) -> Any:
        if id(part) in self._built:
            return self._built[id(part)][1]
        where = getattr(part, "where", where)
        lines = getattr(part, "lines", {})
        target = resolve(part["type"]) if isinstance(part["type"], str) else part["type"]
        parameters = parameters_of(target) or {}
        arguments = {}
        for key, value in part.items():
            if key == "type":
                continue
            annotation = parameters[key].annotation if key in parameters else None
            arguments[key] = self._build(
                value,
                f"{path}.{key}",
                lines.get(key, where),
                given_argument(annotation),
                mistakes,
                {},
            )
        if any(argument is _FAILED for argument in arguments.values()):
            result: Any = _FAILED
        elif supplied:
            result = functools.partial(target, **arguments)
        else:
            path = self._first_paths.get(id(part), path)
            result = self._call(target, {**arguments, **given}, path, where, mistakes)
        self._built[id(part)] = (part, result)
        return result

    def _call(
        self,
        target: Any,
        arguments: dict[str, Any],
        path: str,
        where: Location,
        mistakes: list[Mistake],
    ) -> Any:
        if self.seed is not None:
            self._seed(path)
        try:
            return target(**arguments)
        except ConfigError:
            raise
        except Exception as error:
            if os.environ.get("HAT_TRACEBACK"):
                raise
            reason = str(error) or type(error).__name__
            if isinstance(error, KeyError):
                reason = str(error.args[0]) if error.args else reason
            mistakes.append(Mistake(path, where, f"{short_name(target)}: {reason}"))
            return _FAILED

    def _seed(self, path: str) -> None:
        from hat.seeding import BUILD_STREAM, derive_key, seed_everything, text_key

        assert self.seed is not None
        seed_everything(derive_key(self.seed, BUILD_STREAM, text_key(path)))


def _note_first_paths(value: Any, path: str, paths: dict[int, str]) -> None:
    """The path of each part, by id, as a walk in the order of `build` first meets it."""
    if isinstance(value, dict):
        if "type" in value and paths.setdefault(id(value), path) != path:
            return
        for key, item in value.items():
            _note_first_paths(item, f"{path}.{key}", paths)
    elif isinstance(value, list | tuple):
        for number, item in enumerate(value):
            _note_first_paths(item, f"{path}[{number}]", paths)
