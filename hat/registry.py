"""A name in a config becomes a class or function.

What HAT ships is registered by being exported: a public name in the package of
its kind (`KINDS`) can stand in a config under that name. The packages export
lazily, so that looking a name up imports the one module that defines it. Other
code joins with the decorator `register`.
"""

import ast
import difflib
import importlib
import importlib.util
import inspect
from collections.abc import Callable, Iterable
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import Any, TypeVar

#: Each kind of part and the package that exports HAT's own parts of that kind.
KINDS: dict[str, str] = {
    "dataset": "hat.data.datasets",
    "transform": "hat.data.transforms",
    "sampler": "hat.data.samplers",
    "collate": "hat.data.collates",
    "loader": "hat.data.loaders",
    "backbone": "hat.models.backbones",
    "neck": "hat.models.necks",
    "head": "hat.models.heads",
    "task_module": "hat.models.task_modules",
    "loss": "hat.models.losses",
    "structure": "hat.models.structures",
    "metric": "hat.metrics",
    "callback": "hat.callbacks",
    "schedule": "hat.callbacks.schedules",
    "engine": "hat.engine",
    "processor": "hat.engine.processors",
}

T = TypeVar("T", bound=Callable[..., Any])

_registered: dict[str, dict[str, Callable[..., Any]]] = {}


def register(kind: str, name: str | None = None) -> Callable[[T], T]:
    """Make a class or function of yours available to configs by its name.

    Args:
        kind: What it is, one of `KINDS`.
        name: The name in configs; by default its own.

    Raises:
        ValueError: If the kind is unknown, or the name is taken by another part.

    Example:
        >>> @register("backbone")
        ... class TwoLayers: ...
        >>> resolve("TwoLayers").__name__
        'TwoLayers'
    """
    if kind not in KINDS:
        raise ValueError(f"register: no kind '{kind}'.{did_you_mean(kind, KINDS)}")

    def decorate(part: T) -> T:
        key = name or part.__name__
        if "." in key:
            raise ValueError(f"register: '{key}' has a dot, which would make it an import path")
        owner = _registered.get(kind, {}).get(key)
        is_same = owner is not None and _origin(owner) == _origin(part)
        if key in all_names() and not is_same:
            raise ValueError(
                f"register: the name '{key}' is taken by {_origin(resolve(key))}; "
                f"give {_origin(part)} another: @register('{kind}', name=...)"
            )
        _registered.setdefault(kind, {})[key] = part
        return part

    return decorate


def names(kind: str) -> list[str]:
    """The names of one kind that a config can use, sorted."""
    package = importlib.import_module(KINDS[kind])
    return sorted({*package.__all__, *_registered.get(kind, {})})


def all_names() -> dict[str, str]:
    """Every name that a config can use, and its kind."""
    return {name: kind for kind in KINDS for name in names(kind)}


def resolve(name: str) -> Any:
    """The class, function or object that a name or a dotted import path stands for.

    Raises:
        LookupError: If there is no such thing; the message holds the nearest name.
    """
    if "." in name:
        return _resolve_dotted(name)
    kinds = all_names()
    if name not in kinds:
        raise LookupError(
            f"HAT has no '{name}'."
            + (
                did_you_mean(name, kinds)
                or " `hat list` shows what it has; anything else is named by its dotted path."
            )
        )
    kind = kinds[name]
    if name in _registered.get(kind, {}):
        return _registered[kind][name]
    return getattr(importlib.import_module(KINDS[kind]), name)


def describe(kind: str, name: str) -> str:
    """The first docstring line of a part, read without importing what it needs."""
    if name in _registered.get(kind, {}):
        return _first_line(_registered[kind][name].__doc__)
    source = _source_of(KINDS[kind], name)
    for node in ast.parse(source).body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef) and node.name == name:
            return _first_line(ast.get_docstring(node))
    return ""


def did_you_mean(name: str, candidates: Iterable[str]) -> str:
    """' Did you mean 'x'?' for the nearest candidate, or nothing when none is near."""
    by_lower: dict[str, list[str]] = {}
    for candidate in candidates:
        by_lower.setdefault(candidate.lower(), []).append(candidate)
    near = difflib.get_close_matches(name.lower(), by_lower, n=1, cutoff=0.6)
    if not near:
        return ""
    alike = difflib.get_close_matches(name, by_lower[near[0]], n=1, cutoff=0.0)
    return f" Did you mean '{alike[0]}'?"


def dotted_path(thing: Any) -> str:
    """The import path of a class or function, as a config would spell it."""
    if not hasattr(thing, "__qualname__"):  # a functools.partial, say, is called as what it calls
        thing = getattr(thing, "func", type(thing))
    return f"{thing.__module__}.{thing.__qualname__}"


def short_name(thing: Any) -> str:
    """How messages call a part: HAT's own by their names, others by their import paths."""
    path = dotted_path(thing)
    return str(thing.__qualname__) if path.startswith("hat.") else path


def _resolve_dotted(name: str) -> Any:
    parts = name.split(".")
    if not all(part.isidentifier() for part in parts):
        raise LookupError(f"'{name}' is no import path: expected package.module.Name")
    for count in range(len(parts) - 1, 0, -1):
        module_name = ".".join(parts[:count])
        try:
            module = importlib.import_module(module_name)
        except ModuleNotFoundError as error:
            # Only "this prefix is not a module" means: try a shorter one. A module
            # that exists and lacks a requirement of its own must say so.
            if error.name is not None and (module_name + ".").startswith(error.name + "."):
                continue
            raise LookupError(f"'{name}': importing {module_name} failed: {error}") from error
        except Exception as error:  # whatever the module does when it is imported
            reason = f"{type(error).__name__}: {error}"
            raise LookupError(f"'{name}': importing {module_name} failed: {reason}") from error
        return _attribute(module, parts[count:], name)
    hint = did_you_mean(parts[0], packages_distributions())
    raise LookupError(f"'{name}': there is no module '{parts[0]}' here.{hint}")


def _attribute(module: Any, attributes: list[str], name: str) -> Any:
    found = module
    for attribute in attributes:
        if not hasattr(found, attribute):
            owner = getattr(found, "__name__", repr(found))
            hint = did_you_mean(attribute, [n for n in dir(found) if not n.startswith("_")])
            raise LookupError(f"'{name}': {owner} has no '{attribute}'.{hint}")
        found = getattr(found, attribute)
    return found


def _source_of(package_name: str, name: str) -> str:
    package = importlib.import_module(package_name)
    stub = Path(package.__path__[0]) / "__init__.pyi"
    for node in ast.parse(stub.read_text()).body:
        if isinstance(node, ast.ImportFrom) and any(a.name == name for a in node.names):
            module_path = Path(package.__path__[0], *str(node.module).split("."))
            return module_path.with_suffix(".py").read_text()
    return inspect.getsource(package)


def _first_line(docstring: str | None) -> str:
    return (docstring or "").strip().partition("\n")[0]


def _origin(part: Any) -> str:
    return dotted_path(part)
