"""Choosing parameters and modules by patterns over their names."""

from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase

from hat.registry import did_you_mean


def matching_names(names: Iterable[str], patterns: str | Sequence[str]) -> list[str]:
    """The names that match any of the patterns, in their own order.

    Args:
        names: Dotted names of parameters or modules.
        patterns: `*` stands for any text, dots included: `backbone.*`, `*.bias`.

    Raises:
        ValueError: If a pattern matches nothing, with the nearest name.

    Example:
        >>> matching_names(["conv.weight", "conv.bias", "fc.bias"], "*.bias")
        ['conv.bias', 'fc.bias']
    """
    names = list(names)
    patterns = [patterns] if isinstance(patterns, str) else list(patterns)
    for pattern in patterns:
        if not any(fnmatchcase(name, pattern) for name in names):
            hint = did_you_mean(pattern.replace("*", ""), names)
            some = ", ".join(names[:3])
            raise ValueError(f"'{pattern}' matches none of {len(names)} names ({some}, ...).{hint}")
    return [name for name in names if any(fnmatchcase(name, p) for p in patterns)]
