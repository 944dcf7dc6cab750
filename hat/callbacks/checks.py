"""Whether a list of callbacks can work, told before the run and not hours into it."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

from hat.callbacks.base import Callback
from hat.engine.hooks import HOOK_ARGUMENTS
from hat.registry import did_you_mean

Hooks = dict[str, tuple[Callable[..., Any], ...]]


def collect_hooks(callbacks: Sequence[Callback]) -> Hooks:
    """The hooks that callbacks wrote themselves, in list order, by the hook's name.

    Raises:
        TypeError: If something is no callback, a method looks like a hook but is none,
            or a hook asks for a name that it does not get.
    """
    found: dict[str, list[Callable[..., Any]]] = {hook: [] for hook in HOOK_ARGUMENTS}
    for position, callback in enumerate(callbacks):
        if not isinstance(callback, Callback):
            raise TypeError(f"callbacks[{position}] is no Callback but {callback!r}")
        _refuse_unknown_hooks(callback)
        for hook, names in HOOK_ARGUMENTS.items():
            if getattr(type(callback), hook) is not getattr(Callback, hook):
                method = getattr(callback, hook)
                _refuse_unknown_names(method, type(callback).__name__, hook, names)
                found[hook].append(method)
    return {hook: tuple(methods) for hook, methods in found.items()}


def check_order(callbacks: Sequence[Callback]) -> None:
    """Refuse an order in which a score would be read before it is written.

    Raises:
        ValueError: If a callback reads a score that one after it writes, or none does.
    """
    writers: Mapping[int, list[str]] = {n: c.writes() for n, c in enumerate(callbacks)}
    for position, callback in enumerate(callbacks):
        name = type(callback).__name__
        for score in callback.reads():
            who = [n for n, written in writers.items() if _is_among(score, written)]
            if not who:
                known = sorted({w for written in writers.values() for w in written})
                raise ValueError(
                    f"callbacks[{position}] {name} reads the score '{score}', which no callback "
                    f"writes.{did_you_mean(score, known)} Written: {', '.join(known) or 'none'}"
                )
            if min(who) > position:
                writer = type(callbacks[min(who)]).__name__
                raise ValueError(
                    f"callbacks[{position}] {name} reads the score '{score}' before "
                    f"callbacks[{min(who)}] {writer} writes it: list {writer} before {name}"
                )


def check_state_order(callbacks: Sequence[Callback], saver: type[Callback]) -> None:
    """Refuse a callback with state behind the one that saves it.

    A checkpoint is taken inside a hook; what comes later in the list has not run in
    that hook yet, and its state would be one hook old.

    Raises:
        ValueError: If a callback behind a `saver` writes its own `state_dict`.
    """
    savers = [n for n, callback in enumerate(callbacks) if isinstance(callback, saver)]
    for position, callback in enumerate(callbacks):
        if savers and position > savers[0] and type(callback).state_dict is not Callback.state_dict:
            name = type(callback).__name__
            raise ValueError(
                f"callbacks[{position}] {name} has state and stands behind callbacks[{savers[0]}] "
                f"{saver.__name__}, which would save it one hook too early: list "
                f"{saver.__name__} after {name}"
            )


def _refuse_unknown_hooks(callback: Callback) -> None:
    for name in dir(type(callback)):
        if name.startswith("on_") and name not in HOOK_ARGUMENTS:
            raise TypeError(
                f"{type(callback).__name__}.{name} is not a hook of the loop."
                f"{did_you_mean(name, HOOK_ARGUMENTS)} Hooks: {', '.join(HOOK_ARGUMENTS)}"
            )


def _refuse_unknown_names(
    method: Callable[..., Any], owner: str, hook: str, names: tuple[str, ...]
) -> None:
    parameters = inspect.signature(method).parameters.values()
    takes_rest = any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters)
    for parameter in parameters:
        is_variadic = parameter.kind in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL)
        if not is_variadic and parameter.name not in names:
            raise TypeError(
                f"{owner}.{hook} asks for '{parameter.name}', which is not passed there."
                f"{did_you_mean(parameter.name, names)} Passed: {', '.join(names)}"
            )
        if parameter.kind is parameter.POSITIONAL_ONLY:
            raise TypeError(f"{owner}.{hook}: '{parameter.name}' must be takeable by name")
    if not takes_rest:
        raise TypeError(
            f"{owner}.{hook} must end with **kwargs, for the names that it does not use: "
            f"{', '.join(names)}"
        )


def _is_among(score: str, written: Sequence[str]) -> bool:
    return any(fnmatchcase(score, pattern) for pattern in written)
