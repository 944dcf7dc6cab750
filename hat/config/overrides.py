"""`key=value` from the command line: what it names, and a value of the right type."""

import ast
import re
from dataclasses import dataclass
from typing import Any

from hat.config.errors import Location
from hat.registry import did_you_mean

_WORDS = {"none": None, "null": None, "true": True, "false": False}


@dataclass(frozen=True)
class Override:
    """One `key=value` of the command line.

    Args:
        keys: The path to the value; the first is a top-level name of the config.
        text: The value as it was typed.
    """

    keys: tuple[str, ...]
    text: str

    @property
    def path(self) -> str:
        return ".".join(self.keys)

    @property
    def location(self) -> Location:
        return Location(f"command line: {self.path}={self.text}")


def parse_override(argument: str) -> Override:
    """Split `a.b[0].c=value`, equally `a.b.0.c=value`, into path and text.

    Raises:
        ValueError: If there is no `=`, or the path is not a path.
    """
    key, equals, text = argument.partition("=")
    keys = tuple(part for part in re.split(r"\.|\[(\d+)\]", key.strip()) if part)
    if not equals or not keys or not keys[0].isidentifier():
        raise ValueError(f"'{argument}' is not key=value, such as float_trainer.optimizer.lr=0.01")
    return Override(keys, text.strip())


def set_by_path(values: dict[str, Any], override: Override) -> None:
    """Replace the value that an override names, typed like what was there.

    A key that a dict does not hold yet is added: whether the part takes such an
    argument is checked later, with all others.

    Raises:
        LookupError: If the path leads nowhere; the message has the nearest name.
        ValueError: If the text cannot be a value of that type.
    """
    *parents, last = override.keys
    holder: Any = values
    for depth, key in enumerate(parents):
        holder = _child(holder, key, ".".join(override.keys[:depth]) or "the config")
    where = ".".join(parents) or "the config"
    if isinstance(holder, dict):
        old = holder.get(last)
        holder[last] = coerce(override.text, old)
        lines = getattr(holder, "lines", None)
        if lines is not None:
            lines[last] = override.location
    elif isinstance(holder, list):
        position = _position(holder, last, where)
        holder[position] = coerce(override.text, holder[position])
    else:
        raise LookupError(
            f"{where} is a {type(holder).__name__}, {holder!r}: it has no '{last}' inside"
        )


def coerce(text: str, old: Any) -> Any:
    """The value that a text stands for, of the type of the value that it replaces.

    Args:
        text: What was typed. `None`, booleans, numbers, `[a, b]`, `(1, 2)`,
            `{k: v}` and `dict(k=v)` are understood; quotes make a string of anything.
        old: What stood there; `None` means that the text alone decides.

    Raises:
        ValueError: If the text is not of that type.

    Example:
        >>> coerce("1e3", 5), coerce("1", 0.5), coerce("[a, 1]", [])
        (1000, 1.0, ['a', 1])
    """
    if isinstance(old, str):
        return _text(text)
    value = parse_value(text)
    if old is None or value is None:
        return value
    if isinstance(old, bool):
        if isinstance(value, bool):
            return value
    elif isinstance(old, int):
        if isinstance(value, float) and value.is_integer():
            return int(value)
        if isinstance(value, int) and not isinstance(value, bool):
            return value
    elif isinstance(old, float):
        if isinstance(value, int | float) and not isinstance(value, bool):
            return float(value)
    elif isinstance(old, list | tuple):
        if isinstance(value, list | tuple):
            return type(old)(value)
    elif isinstance(old, dict):
        if isinstance(value, dict):
            return value
        if "type" in old:
            raise ValueError(
                f"expected a dict like the one it replaces, got {text!r}. "
                f"To change the type alone: .type={text}"
            )
    else:  # a class or another object: its name is looked up when the config is checked
        return value
    raise ValueError(f"expected {_article(type(old).__name__)} like {old!r}, got {text!r}")


def parse_value(text: str) -> Any:
    """The plain value that an unquoted text most likely means.

    Example:
        >>> parse_value("{type: ResNet18, strides: [1, 2], pretrained: none}")
        {'type': 'ResNet18', 'strides': [1, 2], 'pretrained': None}
    """
    try:
        return _literal(text)
    except ValueError:
        pass
    if text[:1] in tuple("[({") or text.startswith("dict("):
        reader = _Reader(text)
        value = reader.value()
        reader.end()
        return value
    return text


def _text(text: str) -> str | None:
    """A text for where a text was: as it is, but for `None` and for quotes around all of it."""
    if text.lower() in ("none", "null"):
        return None
    try:
        value = ast.literal_eval(text)
    except (SyntaxError, ValueError, MemoryError, RecursionError, TypeError):
        return text
    return value if isinstance(value, str) else text


def _literal(text: str) -> Any:
    if text.lower() in _WORDS:
        return _WORDS[text.lower()]
    try:
        return float(text) if text.lower() in ("inf", "-inf", "nan") else ast.literal_eval(text)
    except (SyntaxError, ValueError, MemoryError, RecursionError, TypeError) as error:
        raise ValueError(text) from error


class _Reader:
    """Reads nested lists, tuples and dicts whose strings need no quotes."""

    _TOKEN = re.compile(
        r"\s*(dict\(|[\[\](){},:=]|'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\"|[^\[\](){},:=\s]+"
        r"(?:[ :](?![ ])[^\[\](){},=\s]+)*)"
    )

    def __init__(self, text: str) -> None:
        self.text = text
        self.tokens = self._TOKEN.findall(text)
        if "".join(self.tokens).replace(" ", "") != re.sub(r"\s", "", text):
            raise ValueError(f"cannot read {text!r}")

    def value(self) -> Any:
        token = self._next()
        if token == "[":
            return self._items("]")
        if token == "(":
            return tuple(self._items(")"))
        if token == "{":
            return self._pairs("}", ":")
        if token == "dict(":
            return self._pairs(")", "=")
        if token in "]}),:=":
            raise ValueError(f"cannot read {self.text!r}: unexpected '{token}'")
        try:
            return _literal(token)
        except ValueError:
            return token

    def end(self) -> None:
        if self.tokens:
            raise ValueError(f"cannot read {self.text!r}: '{self.tokens[0]}' is left over")

    def _items(self, closing: str) -> list[Any]:
        items = []
        while not self._skip(closing):
            items.append(self.value())
            self._separator(closing)
        return items

    def _pairs(self, closing: str, between: str) -> dict[Any, Any]:
        pairs = {}
        while not self._skip(closing):
            key = self.value()
            if not self._skip(between):
                raise ValueError(f"cannot read {self.text!r}: expected '{between}' after {key!r}")
            pairs[key] = self.value()
            self._separator(closing)
        return pairs

    def _next(self) -> str:
        if not self.tokens:
            raise ValueError(f"cannot read {self.text!r}: it ends too early")
        return str(self.tokens.pop(0))

    def _skip(self, token: str) -> bool:
        if self.tokens and self.tokens[0] == token:
            self.tokens.pop(0)
            return True
        return False

    def _separator(self, closing: str) -> None:
        if not self._skip(",") and (not self.tokens or self.tokens[0] != closing):
            raise ValueError(f"cannot read {self.text!r}: expected ',' or '{closing}'")


def _child(holder: Any, key: str, where: str) -> Any:
    if isinstance(holder, dict):
        if key in holder:
            return holder[key]
        raise LookupError(f"{where} has no '{key}'.{did_you_mean(key, map(str, holder))}")
    if isinstance(holder, list | tuple):
        return holder[_position(holder, key, where)]
    raise LookupError(f"{where} is a {type(holder).__name__}: it has no '{key}' inside")


def _position(holder: list[Any] | tuple[Any, ...], key: str, where: str) -> int:
    if not key.isdigit() or int(key) >= len(holder):
        raise LookupError(f"{where} is a list of {len(holder)}: it has no item '{key}'")
    return int(key)


def _article(noun: str) -> str:
    return f"an {noun}" if noun[0] in "aeiou" else f"a {noun}"
