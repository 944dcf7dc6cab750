"""Whether the nodes of a graph fit together."""

import operator
from collections.abc import Mapping
from typing import Any

from torch import fx, nn

from hat.models.graph.topology import Topology, spelled
from hat.models.links import check_source


def check_node_links(
    topology: Topology, nodes: Mapping[str, nn.Module], tasks: Mapping[str, nn.Module]
) -> None:
    """Compare what nodes give with what the next ones take, where both say it.

    A node says what it gives in `out_channels`, a number for one feature and a tuple for
    several, and what it takes in `in_channels`; see `hat.models.links`. A node that reads
    several values is not compared.

    Raises:
        ValueError: If channels or classes differ; the message has both nodes and what to set.
    """
    for call in topology.graph.find_nodes(op="call_module"):
        node = nodes[call.target]
        if hasattr(node, "in_channels") and len(call.args) == 1 and not call.kwargs:
            _check_call(node, call.target, call.args[0], nodes)
    for name, task in tasks.items():
        for call in _calls_in(topology.value_of(name)):
            classes = getattr(nodes[call], "num_classes", None), getattr(task, "num_classes", None)
            if None not in classes and classes[0] != classes[1]:
                raise ValueError(
                    f"{call}.num_classes is {classes[0]}, tasks.{name}.num_classes {classes[1]}: "
                    "give both the same"
                )


def _check_call(node: nn.Module, name: str, value: Any, nodes: Mapping[str, nn.Module]) -> None:
    given = _channels(value, nodes)
    if given is None:
        return
    wanted: Any = node.in_channels
    source = f"'{spelled(value)}'" + _kind(value, nodes)
    if isinstance(given, tuple):
        check_source(node, name, given, source)
        return
    if not isinstance(wanted, int) or hasattr(node, "in_index"):
        whole = spelled(value).rpartition("[")[0]
        advice = f"let it read '{whole}'" if whole else "give it a tuple of one"
        raise ValueError(
            f"{name} takes a tuple of features, but {source} is one feature: {advice}"
            + (", and choose by in_index" if hasattr(node, "in_index") else "")
        )
    if wanted != given:
        raise ValueError(
            f"{name}.in_channels is {wanted}, but {source} gives {given} channels: "
            f"set in_channels={given}"
        )


def _channels(value: Any, nodes: Mapping[str, nn.Module]) -> int | tuple[int, ...] | None:
    """The channels of one feature, or of several; None if it is not known."""
    if isinstance(value, list | tuple):
        parts = [_channels(part, nodes) for part in value]
        numbers = tuple(part for part in parts if isinstance(part, int))
        return numbers if len(numbers) == len(parts) else None
    if not isinstance(value, fx.Node):
        return None
    if value.op == "call_module":
        given: Any = getattr(nodes[str(value.target)], "out_channels", None)
        return tuple(given) if isinstance(given, list | tuple) else given
    if value.target is operator.getitem:
        source, index = value.args
        several = _channels(source, nodes)
        if not isinstance(several, tuple) or not isinstance(index, int | slice):
            return None
        if isinstance(index, int) and not -len(several) <= index < len(several):
            raise ValueError(
                f"'{spelled(value)}' is read, but {spelled(source)} gives {len(several)} features"
            )
        return several[index]
    return None


def _kind(value: Any, nodes: Mapping[str, nn.Module]) -> str:
    """The class of the node that a value is a part of, in brackets."""
    while isinstance(value, fx.Node) and value.op == "call_function":
        value = value.args[0]
    if isinstance(value, fx.Node) and value.op == "call_module":
        return f" ({type(nodes[str(value.target)]).__name__})"
    return ""


def _calls_in(value: Any) -> list[str]:
    """The nodes whose results an output holds as they are."""
    found: list[fx.Node] = []
    fx.map_arg(value, found.append)
    return [str(node.target) for node in found if node.op == "call_module"]
