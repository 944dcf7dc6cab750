"""Everything that can be known to be wrong with a config before anything is built."""

import inspect
from collections.abc import Iterable
from typing import Any

from hat.config.errors import ConfigError, Location, Mistake
from hat.config.signatures import (
    Made,
    fits,
    given_argument,
    item_annotation,
    made_annotation,
    parameters_of,
)
from hat.config.signatures import type_name as name_of
from hat.config.source import Config
from hat.registry import did_you_mean, resolve, short_name

_VARIADIC = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


def check(config: Config, roots: Iterable[str] | None = None, given: Iterable[str] = ()) -> None:
    """Compare every `dict(type=...)` with the signature of what it names.

    Types are imported, nothing is built. A parameter's annotation is compared with
    the value that stands for it; what an annotation cannot decide is left to the
    constructor.

    Args:
        config: As `load` returned it.
        roots: Top-level names to look into; by default every `*_trainer` and
            `*_predictor`.
        given: Arguments that the caller adds to each root when it builds it.

    Raises:
        ConfigError: With all mistakes, if there is any.
    """
    if roots is None:
        roots = [n for n in config.values if n.endswith(("_trainer", "_predictor"))]
    checker = _Checker(config)
    checker.mistakes += config.mistakes
    for root in roots:
        location = config.where.get(root, Location(str(config.path)))
        checker.require_type(config.values[root], root, location)
        checker.visit(config.values[root], root, location, Any, frozenset(given))
    if checker.mistakes:
        raise ConfigError(config.path, checker.mistakes)


class _Checker:
    def __init__(self, config: Config) -> None:
        self.config = config
        self.mistakes: list[Mistake] = []
        self.visited: list[tuple[dict[Any, Any], Made | None]] = []  # a dict may stand twice
        self.open: list[Any] = []

    def require_type(self, root: Any, path: str, where: Location) -> None:
        """Note a root that says nothing of what to build."""
        if not isinstance(root, dict) or "type" not in root:
            self._note(path, where, f"expected a dict with a 'type', got {_shown(root)}")

    def visit(
        self,
        value: Any,
        path: str,
        where: Location,
        annotation: Any,
        given: frozenset[str] = frozenset(),
    ) -> None:
        """Note what is wrong with a value and with all that is inside it."""
        if any(value is outer for outer in self.open):
            self._note(path, where, "this dict contains itself")
            return
        if isinstance(value, dict | list | tuple):
            self.open.append(value)
        if isinstance(value, dict) and "type" in value:
            self._visit_part(value, path, where, annotation, given)
        else:
            self._visit_plain(value, path, where, annotation)
        if isinstance(value, dict | list | tuple):
            self.open.pop()

    def _visit_plain(self, value: Any, path: str, where: Location, annotation: Any) -> None:
        if not fits(value, annotation):
            came = "a dict without 'type'" if isinstance(value, dict) else _shown(value)
            self._note(path, where, f"expected {name_of(annotation)}, got {came}")
        elif isinstance(value, dict):
            for key, item in value.items():
                location = getattr(value, "lines", {}).get(key, where)
                self.visit(item, f"{path}.{key}", location, item_annotation(annotation, key))
        elif isinstance(value, list | tuple):
            for position, item in enumerate(value):
                location = getattr(item, "where", where)
                inner = item_annotation(annotation, position)
                self.visit(item, f"{path}[{position}]", location, inner)

    def _visit_part(
        self,
        part: dict[Any, Any],
        path: str,
        where: Location,
        annotation: Any,
        given: frozenset[str],
    ) -> None:
        supplied = given_argument(annotation)
        known = [made for seen, made in self.visited if seen is part]
        if known:
            made = known[0]
        else:
            made = self._visit_new_part(part, path, where, given | {supplied or ""})
            self.visited.append((part, made))
        wanted = made_annotation(annotation) if supplied else annotation
        if made and not fits(made, wanted):
            kind = short_name(made.target)
            self._note(path, where, f"expected {name_of(wanted)}, got a {kind}")

    def _visit_new_part(
        self, part: dict[Any, Any], path: str, where: Location, given: frozenset[str]
    ) -> Made | None:
        lines = getattr(part, "lines", {})
        where = getattr(part, "where", where)
        try:
            target = resolve(part["type"]) if isinstance(part["type"], str) else part["type"]
        except LookupError as error:
            self._note(f"{path}.type", lines.get("type", where), str(error.args[0]))
            return None
        if not callable(target):
            message = f"expected a class or a function, got {_shown(target)}"
            self._note(f"{path}.type", lines.get("type", where), message)
            return None
        parameters = parameters_of(target)
        arguments = {key: value for key, value in part.items() if key != "type"}
        if parameters is None:
            parameters = {}
        else:
            self._check_names(target, parameters, arguments, path, part, where, given)
        for key, value in arguments.items():
            parameter = parameters.get(key)
            annotation = Any if parameter is None else _annotation(parameter)
            self.visit(value, f"{path}.{key}", lines.get(key, where), annotation)
        return Made(target)

    def _check_names(
        self,
        target: Any,
        parameters: dict[str, inspect.Parameter],
        arguments: dict[str, Any],
        path: str,
        part: dict[Any, Any],
        where: Location,
        given: frozenset[str],
    ) -> None:
        named = {n: p for n, p in parameters.items() if p.kind not in _VARIADIC}
        takes_any = any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters.values())
        for key in arguments:
            if key not in named and not takes_any:
                location = getattr(part, "lines", {}).get(key, where)
                message = f"{short_name(target)} has no argument '{key}'."
                hint = did_you_mean(str(key), named) or f" It has: {', '.join(named) or 'none'}."
                self._note(f"{path}.{key}", location, message + hint)
        for name, parameter in named.items():
            if parameter.default is inspect.Parameter.empty and name not in {*arguments, *given}:
                wanted = name_of(_annotation(parameter))
                message = f"{short_name(target)} needs '{name}' ({wanted})"
                self._note(f"{path}.{name}", where, message)

    def _note(self, path: str, where: Location, message: str) -> None:
        self.mistakes.append(Mistake(path, where, message))


def _annotation(parameter: inspect.Parameter) -> Any:
    """What a parameter takes; a default of None means that None is taken."""
    if parameter.annotation is inspect.Parameter.empty:
        return Any
    if parameter.default is None:
        try:
            return parameter.annotation | None
        except TypeError:
            return Any
    return parameter.annotation


def _shown(value: Any) -> str:
    text = repr(value)
    return f"{type(value).__name__} {text if len(text) <= 60 else text[:57] + '...'}"
