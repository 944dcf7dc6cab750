"""The optimizer of a run: which parameters it gets, in which groups."""

import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import nn
from torch.nn.modules.batchnorm import _NormBase

from hat.models.graph.ownership import own_modules, shared_modules
from hat.models.names import matching_names

_NORMS = (_NormBase, nn.GroupNorm, nn.LayerNorm, nn.RMSNorm, nn.LocalResponseNorm)


def build_optimizer(
    model: nn.Module,
    maker: Callable[..., torch.optim.Optimizer],
    param_groups: Sequence[Mapping[str, Any]] = (),
) -> torch.optim.Optimizer:
    """An optimizer over the parameters of a model.

    On a GPU the fused kernel is chosen where the optimizer has one and nothing else
    was asked for: it is the fastest, and it can leave weights alone without a sync.
    """
    groups = group_parameters(model, param_groups)
    return functools.partial(maker, **_fused(model, maker))(groups)


def group_parameters(
    model: nn.Module, param_groups: Sequence[Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """Parameters in groups with options of their own; what no rule names comes first.

    Args:
        model: Whose parameters.
        param_groups: Rules, the first that names a parameter counts. `match` holds
            patterns over names, `norm` (the parameters of normalisation layers) or
            `bias` (all that are called so). Of a `GraphModel`, `task` names a task or
            several, for what they use and no other output does, and `shared=True` stands
            for the nodes that two outputs or more use. A rule with `match` and one of these
            is for what both name. Everything else in a rule is an option of the group.

    Returns:
        One dict per group that has parameters, in the form that optimizers take.

    Raises:
        ValueError: If a rule does not say what it is for, or names nothing.

    Example:
        >>> net = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
        >>> rules = [dict(match=["norm", "bias"], weight_decay=0.0)]
        >>> [len(group["params"]) for group in group_parameters(net, rules)]
        [1, 3]
    """
    parameters = dict(model.named_parameters())
    groups: list[dict[str, Any]] = [{"params": []}]
    left = dict(parameters)
    for number, rule in enumerate(param_groups):
        options = dict(rule)
        try:
            names = _chosen_names(model, list(parameters), options)
        except ValueError as error:
            raise ValueError(f"param_groups[{number}]: {error}") from None
        chosen = [left.pop(name) for name in names if name in left]
        if chosen:
            groups.append({"params": chosen, **options})
    groups[0]["params"] = list(left.values())
    return [group for group in groups if group["params"]]


def _chosen_names(model: nn.Module, names: list[str], options: dict[str, Any]) -> list[str]:
    """The parameters that a rule is for, by what is taken out of it."""
    if "task" in options and "shared" in options:
        raise ValueError("'task' and 'shared' have no parameter in common: write two rules")
    if not {"match", "task", "shared"} & set(options):
        raise ValueError("no 'match', nor 'task' or 'shared': the parameters it is for")
    if "task" in options:
        names = _names_inside(own_modules(model, options.pop("task")), names)
    elif "shared" in options:
        if options.pop("shared") is not True:
            raise ValueError("'shared' must be True, or left out")
        names = _names_inside(shared_modules(model), names)
    if not names:
        raise ValueError("there are no parameters that it is for")
    if "match" not in options:
        return names
    patterns = options.pop("match")
    patterns = [patterns] if isinstance(patterns, str) else patterns
    if not patterns:
        raise ValueError("'match' is empty")
    return _names(model, names, patterns)


def _names_inside(modules: Mapping[str, nn.Module], names: list[str]) -> list[str]:
    inside = {f"{path}.{name}" for path, m in modules.items() for name, _ in m.named_parameters()}
    return [name for name in names if name in inside]


def _names(model: nn.Module, names: list[str], patterns: Sequence[str]) -> list[str]:
    chosen: set[str] = set()
    for pattern in patterns:
        if pattern == "norm":
            found = {
                f"{module_name}.{name}" if module_name else name
                for module_name, module in model.named_modules()
                if isinstance(module, _NORMS)
                for name, _ in module.named_parameters(recurse=False)
            } & set(names)
        elif pattern == "bias":
            found = {name for name in names if name.split(".")[-1] == "bias"}
        else:
            found = set(matching_names(names, pattern))
        if not found:
            raise ValueError(f"the model has no parameters that '{pattern}' stands for")
        chosen |= found
    return [name for name in names if name in chosen]


def _fused(model: nn.Module, maker: Callable[..., Any]) -> dict[str, bool]:
    is_on_gpu = any(parameter.is_cuda for parameter in model.parameters())
    asked = getattr(maker, "keywords", {})
    cls = getattr(maker, "func", maker)
    has_fused = "fused" in inspect.signature(cls).parameters
    is_free = not {"fused", "foreach", "capturable", "differentiable"} & set(asked)
    return {"fused": True} if is_on_gpu and has_fused and is_free else {}
