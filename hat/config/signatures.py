"""What a class or function can be called with, and whether a plain value fits."""

import collections.abc
import inspect
import numbers
import types
import typing
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from hat.config.given import Given
from hat.registry import short_name


@dataclass(frozen=True)
class Made:
    """Stands for the object that a `dict(type=target)` will become."""

    target: Any

    @property
    def result(self) -> Any:
        """The class of the object, or None where it cannot be told before the call."""
        if inspect.isclass(self.target):
            return self.target
        returned = getattr(self.target, "__annotations__", {}).get("return")
        return returned if inspect.isclass(returned) else None


def parameters_of(target: Any) -> dict[str, inspect.Parameter] | None:
    """The parameters of a call by name, annotations resolved; None if nobody can tell."""
    try:
        signature = inspect.signature(target)
    except (TypeError, ValueError):  # some classes written in C have no signature
        return None
    return {
        name: parameter.replace(annotation=_resolved(parameter.annotation, target))
        for name, parameter in signature.parameters.items()
    }


def given_argument(annotation: Any) -> str | None:
    """The argument named by a `Given` inside an annotation, if there is one."""
    if get_origin(annotation) is Annotated:
        for extra in annotation.__metadata__:
            if isinstance(extra, Given):
                return extra.argument
        return given_argument(get_args(annotation)[0])
    if _is_union(annotation):
        found = [given_argument(option) for option in get_args(annotation)]
        return next((argument for argument in found if argument), None)
    return None


def made_annotation(annotation: Any) -> Any:
    """What a maker, annotated with `Given`, is to make; Any if nobody says."""
    if get_origin(annotation) is Annotated:
        return made_annotation(get_args(annotation)[0])
    if _is_union(annotation):
        found = [made_annotation(option) for option in get_args(annotation)]
        return next((made for made in found if made is not Any), Any)
    if get_origin(annotation) is collections.abc.Callable:
        return get_args(annotation)[-1]
    return Any


def item_annotation(annotation: Any, key: Any = None) -> Any:
    """The annotation of what a list or dict of this annotation holds, or Any."""
    if get_origin(annotation) is Annotated:
        return item_annotation(get_args(annotation)[0], key)
    if _is_union(annotation):
        options = [item_annotation(option, key) for option in get_args(annotation)]
        known = [option for option in options if option is not Any]
        return Union[tuple(known)] if known else Any  # noqa: UP007
    origin, arguments = get_origin(annotation), get_args(annotation)
    if not inspect.isclass(origin) or not arguments:
        return Any
    if issubclass(origin, collections.abc.Mapping):
        return arguments[1] if len(arguments) == 2 else Any
    if origin is tuple and isinstance(key, int) and Ellipsis not in arguments:
        return arguments[key] if key < len(arguments) else Any
    if issubclass(origin, collections.abc.Iterable):
        return arguments[0]
    return Any


def fits(value: Any, annotation: Any) -> bool:
    """Whether a plain value, or a `Made`, can stand where an annotation asks for something.

    What cannot be decided is let through: the constructor has the last word.
    """
    if annotation in (Any, inspect.Parameter.empty, object) or isinstance(
        annotation, str | typing.TypeVar
    ):
        return True
    origin = get_origin(annotation)
    if origin is Annotated:
        return fits(value, get_args(annotation)[0])
    if _is_union(annotation):
        return any(fits(value, option) for option in get_args(annotation))
    if origin is Literal:
        return isinstance(value, Made) or value in get_args(annotation)
    if annotation is None or annotation is type(None):
        return value is None
    wanted = origin or annotation
    if not inspect.isclass(wanted):
        return True
    if isinstance(value, Made):
        return value.result is None or _is_subclass(value.result, wanted)
    if wanted is not dict and isinstance(value, dict) and "type" not in value:
        return issubclass(dict, wanted) or _is_open(wanted)
    return _is_instance(value, wanted)


def type_name(annotation: Any) -> str:
    """An annotation as a person would say it."""
    if get_origin(annotation) is Annotated:
        return type_name(get_args(annotation)[0])
    if _is_union(annotation):
        names = [type_name(option) for option in get_args(annotation)]
        return " or ".join(dict.fromkeys(names))
    if get_origin(annotation) is Literal:
        return "one of " + ", ".join(map(repr, get_args(annotation)))
    if annotation is type(None):
        return "None"
    if annotation is Any:
        return "anything"
    if get_origin(annotation) is not None:
        return str(annotation).replace("typing.", "").replace("collections.abc.", "")
    if inspect.isclass(annotation):
        is_builtin = annotation.__module__ == "builtins"
        return annotation.__name__ if is_builtin else short_name(annotation)
    return str(annotation)


def _is_union(annotation: Any) -> bool:
    return get_origin(annotation) in (Union, types.UnionType)


def _is_open(wanted: type) -> bool:
    """Whether a class says so little that anything may do: a bare protocol, say."""
    return bool(getattr(wanted, "_is_protocol", False))


def _is_subclass(cls: type, wanted: type) -> bool:
    try:
        return issubclass(cls, wanted) or _accepts_number(wanted, cls)
    except TypeError:  # a protocol that has data members cannot be asked
        return True


def _is_instance(value: Any, wanted: type) -> bool:
    if wanted is float or wanted is complex:
        return isinstance(value, numbers.Real) and not isinstance(value, bool)
    if wanted is int:
        return isinstance(value, int) and not isinstance(value, bool)
    if wanted in (list, tuple):  # a config may write either
        return isinstance(value, list | tuple)
    if wanted is Path:
        return isinstance(value, str | Path)
    if isinstance(value, str) and wanted not in (str, object) and wanted in _SEQUENCES:
        return False  # a text is a sequence of letters, which is never what is meant
    try:
        return isinstance(value, wanted)
    except TypeError:
        return True


_SEQUENCES = (collections.abc.Sequence, collections.abc.Iterable, collections.abc.Collection)


def _accepts_number(wanted: type, cls: type) -> bool:
    return wanted is float and cls is int


def _resolved(annotation: Any, target: Any) -> Any:
    if not isinstance(annotation, str):
        return annotation
    owner = target.__init__ if inspect.isclass(target) else target
    try:
        return eval(annotation, getattr(owner, "__globals__", {}))
    except Exception:  # a name that is imported for type checkers only
        return inspect.Parameter.empty
