"""Which parts of a graph tasks have to themselves, and which they share."""

from collections.abc import Collection

from torch import nn

from hat.models.structures.graph_model import GraphModel
from hat.registry import did_you_mean


def own_modules(model: nn.Module, tasks: str | Collection[str]) -> dict[str, nn.Module]:
    """What some tasks use and nothing else does, by name: nodes and the tasks' own modules.

    Raises:
        ValueError: If the model is no `GraphModel`, or has no such task.
    """
    graph = as_graph(model)
    chosen = [tasks] if isinstance(tasks, str) else list(tasks)
    for name in chosen:
        if name not in graph.task_names:
            raise ValueError(
                f"the model has no task '{name}'; it has {', '.join(graph.task_names)}."
                f"{did_you_mean(name, graph.task_names)}"
            )
    others = [name for name in graph.topology.outputs if name not in chosen]
    used = graph.named_modules_of(others)
    own = graph.named_modules_of(chosen)
    return {name: module for name, module in own.items() if name not in used}


def shared_modules(model: nn.Module) -> dict[str, nn.Module]:
    """The nodes that two outputs or more use, by name.

    Raises:
        ValueError: If the model is no `GraphModel`, or shares nothing.
    """
    graph = as_graph(model)
    shared = {name: getattr(graph, name) for name in graph.shared_nodes()}
    if not shared:
        raise ValueError(
            f"no two outputs of the model share a node: {list(graph.topology.outputs)}"
        )
    return shared


def as_graph(model: nn.Module) -> GraphModel:
    """The model, if it has tasks on shared nodes.

    Raises:
        ValueError: If it is no `GraphModel`.
    """
    if not isinstance(model, GraphModel):
        raise ValueError(f"tasks are those of a GraphModel, the model is a {type(model).__name__}")
    return model
