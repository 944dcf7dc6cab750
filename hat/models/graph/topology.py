"""Which node reads what: a short function, or a mapping, traced into a graph once."""

import inspect
import operator
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from torch import Tensor, fx

from hat.registry import did_you_mean

#: From the nodes and the inputs of a batch to named outputs.
TopologyFunction = Callable[..., Mapping[str, Any]]
#: Of each node the names of what it reads, an input or a node; `neck[-1]` is one item of a
#: tuple, `neck[1:]` some of them.
TopologyMapping = Mapping[str, str | Sequence[str]]

_REFERENCE = re.compile(r"(?P<name>[^\[\]]+)(\[(?P<start>-?\d+)?(?P<colon>:)?(?P<stop>-?\d+)?\])?")

#: What is read: a name, and which of its items: all, one, or a slice.
_Reference = tuple[str, int | slice | None]


class Topology:
    """A static graph of named nodes, from inputs to named outputs.

    Attributes:
        graph: Every node is called in it; it ends with a dict of all outputs.
        inputs: The keys of a batch that are read, in the order in which they are given.
        outputs: The names of the outputs.
    """

    def __init__(self, graph: fx.Graph) -> None:
        self.graph = graph
        self.inputs = tuple(str(n.target) for n in graph.find_nodes(op="placeholder"))
        self.outputs = tuple(self._end().args[0])  # type: ignore[arg-type]

    def nodes_of(self, outputs: Collection[str]) -> tuple[str, ...]:
        """The names of the nodes that some outputs need, in the order of their calls.

        Raises:
            ValueError: If there is no such output.
        """
        needed = self.needed_by(outputs)
        calls = self.graph.find_nodes(op="call_module", sort=True)
        return tuple(dict.fromkeys(str(node.target) for node in calls if node in needed))

    def cut(self, outputs: Sequence[str]) -> fx.Graph:
        """The graph of what some outputs need and nothing else, ending with a dict of them.

        Raises:
            ValueError: If there is no such output.
        """
        needed = self.needed_by(outputs)
        part = fx.Graph()
        copies: dict[fx.Node, fx.Node] = {}
        for node in self.graph.nodes:
            if node in needed:
                args, kwargs = fx.map_arg((node.args, node.kwargs), copies.__getitem__)
                copies[node] = part.create_node(node.op, node.target, args, kwargs, node.name)
        ends = self._ends()
        wanted = {name: fx.map_arg(ends[name], copies.__getitem__) for name in outputs}
        part.output(wanted)
        return part

    def value_of(self, output: str) -> Any:
        """What an output is: a node of `graph`, or a dict or tuple of such."""
        return self._ends()[output]

    def needed_by(self, outputs: Collection[str]) -> set[fx.Node]:
        """The nodes of `graph` that some outputs need, inputs and operations too.

        Raises:
            ValueError: If there is no such output.
        """
        ends = self._ends()
        left: list[fx.Node] = []
        for name in outputs:
            if name not in ends:
                raise ValueError(
                    f"the graph has no output '{name}'; it has {', '.join(ends)}."
                    f"{did_you_mean(name, ends)}"
                )
            fx.map_arg(ends[name], left.append)
        needed: set[fx.Node] = set()
        while left:
            node = left.pop()
            if node not in needed:
                needed.add(node)
                left += node.all_input_nodes
        return needed

    def __getstate__(self) -> dict[str, Any]:
        # A list, as the nodes of `fx` hold each other: pickle goes down the chain until it breaks.
        def named(values: Any) -> Any:
            return fx.map_arg(values, lambda node: _Name(node.name))

        steps = [(n.name, n.op, n.target, named((n.args, n.kwargs))) for n in self.graph.nodes]
        return {"steps": steps}

    def __setstate__(self, state: dict[str, Any]) -> None:
        graph = fx.Graph()
        made: dict[str, fx.Node] = {}
        for name, op, target, values in state["steps"]:
            args, kwargs = _map_names(values, made)
            made[name] = graph.create_node(op, target, args, kwargs, name)
        self.__init__(graph)  # type: ignore[misc]

    def _ends(self) -> dict[str, Any]:
        ends: dict[str, Any] = self._end().args[0]  # type: ignore[assignment]
        return ends

    def _end(self) -> fx.Node:
        (end,) = self.graph.find_nodes(op="output")
        return end


class _Name(str):
    """Stands for the node of this name where a graph is written down."""


def _map_names(value: Any, nodes: Mapping[str, fx.Node]) -> Any:
    if isinstance(value, _Name):
        return nodes[value]
    if isinstance(value, dict):
        return {key: _map_names(item, nodes) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(_map_names(item, nodes) for item in value)
    return value


def spelled(value: Any) -> str:
    """How one would write a value of a graph: `img`, `neck[-1]`, `cat(left, right)`.

    Example:
        >>> edges = dict(neck="img", head=["neck[-1]", "img"])
        >>> head = link(edges, dict(seg="head"), list(edges)).value_of("seg")
        >>> spelled(head.args)
        '(neck[-1], img)'
    """
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {spelled(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "(" + ", ".join(map(spelled, value)) + ")"
    if not isinstance(value, fx.Node):
        return repr(value)
    if value.op in ("placeholder", "call_module"):
        return str(value.target)
    if value.target is operator.getitem:
        return f"{spelled(value.args[0])}[{spelled_index(value.args[1])}]"
    arguments = [*map(spelled, value.args), *(f"{k}={spelled(v)}" for k, v in value.kwargs.items())]
    return f"{operation_name(value)}({', '.join(arguments)})"


def spelled_index(index: Any) -> str:
    """What stands in brackets: `-1`, or `1:` for a slice."""
    if not isinstance(index, slice):
        return spelled(index)
    ends = ["" if end is None else str(end) for end in (index.start, index.stop, index.step)]
    return ":".join(ends if ends[2] else ends[:2])


def operation_name(node: fx.Node) -> str:
    """What an operation between nodes is called, such as `cat`."""
    return str(getattr(node.target, "__name__", node.target))


def trace(function: TopologyFunction, nodes: Collection[str]) -> Topology:
    """The graph of a function, which is called once, with stand-ins for all values.

    Args:
        function: Called with the nodes, by attribute, and the keys of a batch that its
            parameters name; returns a dict of outputs.
        nodes: The names of all nodes.

    Raises:
        ValueError: If it uses a node that is not there, leaves one unused, returns no
            dict of values, or looks at the values that flow through it.

    Example:
        >>> def topology(nodes, img):
        ...     features = nodes.backbone(img)
        ...     return dict(seg=nodes.seg_head(features), scene=nodes.scene_head(features))
        >>> trace(topology, ["backbone", "seg_head", "scene_head"]).nodes_of(["scene"])
        ('backbone', 'scene_head')
    """
    inputs = _inputs_of(function)
    graph = fx.Graph()
    tracer = fx.proxy.GraphAppendingTracer(graph)
    values = [fx.Proxy(graph.placeholder(name), tracer) for name in inputs]
    try:
        outputs = function(_Nodes(tracer, nodes), *values)
    except (fx.proxy.TraceError, RuntimeError) as error:
        raise ValueError(
            f"the topology cannot be traced ({error}): it may call nodes, index and combine what "
            "they return, but not decide by it or count it; put that into a node"
        ) from error
    if not isinstance(outputs, Mapping) or not outputs:
        raise ValueError(
            f"a topology must return a dict of named outputs, got {type(outputs).__name__}"
        )
    graph.output({name: _unwrapped(value, name) for name, value in outputs.items()})
    return _checked(graph, nodes)


def link(
    topology: TopologyMapping,
    outputs: Mapping[str, str],
    nodes: Collection[str],
    inputs: Collection[str] = ("img",),
) -> Topology:
    """The graph that a mapping describes.

    Args:
        topology: See `TopologyMapping`; in any order.
        outputs: Of each output, what it is: a node, or `node[index]`.
        nodes: The names of all nodes.
        inputs: The keys of a batch that nodes read.

    Raises:
        ValueError: If a node or an input is unknown or unused, or nodes read each other in a
            cycle.

    Example:
        >>> edges = dict(seg_head="neck", neck=["backbone"], backbone="img")
        >>> link(edges, dict(seg="seg_head"), list(edges)).nodes_of(["seg"])
        ('backbone', 'neck', 'seg_head')
    """
    for name in inputs:
        if not name.isidentifier() or name in nodes:
            why = "is a node too" if name in nodes else "cannot be an argument"
            raise ValueError(f"the input '{name}' {why}: give it another name")
    for name in topology:
        if name not in nodes:
            raise ValueError(
                f"the topology links '{name}', which is no node.{did_you_mean(name, nodes)}"
            )
    sources = {name: _references(read, name) for name, read in topology.items()}
    for name, read in sources.items():
        for source, _ in read:
            if source in nodes and source not in topology:
                raise ValueError(f"'{source}' is read, but the topology does not say what it reads")
            if source not in nodes and source not in inputs:
                raise ValueError(
                    f"node '{name}' reads '{source}', which is neither a node nor one of the "
                    f"inputs, {', '.join(inputs)}.{did_you_mean(source, [*nodes, *inputs])}"
                )
    graph = fx.Graph()
    values = {name: graph.placeholder(name) for name in inputs}
    left = dict(sources)
    while left:
        num_left = len(left)
        for name, read in list(left.items()):
            if all(source in values for source, _ in read):
                arguments = tuple(_picked(graph, values, reference) for reference in left.pop(name))
                values[name] = graph.call_module(name, arguments)
        if len(left) == num_left:
            raise ValueError(_cycle(left, set(values)))
    ends = {}
    for name, reference in outputs.items():
        (found,) = _references(reference, name)
        if found[0] not in values:
            raise ValueError(
                f"output '{name}' is '{found[0]}', which is no node."
                f"{did_you_mean(found[0], values)}"
            )
        ends[name] = _picked(graph, values, found)
    graph.output(ends)
    return _checked(graph, nodes)


class _Nodes:
    """What a topology function calls its nodes by: each call becomes one of the graph."""

    def __init__(self, tracer: fx.proxy.GraphAppendingTracer, names: Collection[str]) -> None:
        self._tracer = tracer
        self._names = names

    def __getattr__(self, name: str) -> Callable[..., fx.Proxy]:
        if name not in self._names:
            raise ValueError(
                f"the topology calls '{name}', which is no node.{did_you_mean(name, self._names)}"
            )

        def call(*args: Any, **kwargs: Any) -> fx.Proxy:
            return self._tracer.create_proxy("call_module", name, args, kwargs)

        return call

    __getitem__ = __getattr__


def _inputs_of(function: TopologyFunction) -> list[str]:
    parameters = list(inspect.signature(function).parameters.values())
    if len(parameters) < 2:
        raise ValueError("a topology needs an input beside the nodes, such as topology(nodes, img)")
    for parameter in parameters:
        if parameter.kind is not parameter.POSITIONAL_OR_KEYWORD:
            raise ValueError(
                f"the topology has a parameter '{parameter}': it must name the nodes and each "
                "input, such as topology(nodes, img)"
            )
    return [parameter.name for parameter in parameters[1:]]


def _unwrapped(value: Any, name: str) -> Any:
    """The graph's nodes in place of stand-ins, in a value that may hold several."""
    found: list[fx.Node] = []

    def unwrap(part: Any) -> Any:
        if isinstance(part, fx.Proxy):
            found.append(part.node)
            return part.node
        if isinstance(part, Mapping):
            return {key: unwrap(item) for key, item in part.items()}
        if isinstance(part, list | tuple):
            return tuple(unwrap(item) for item in part)
        return part

    unwrapped = unwrap(value)
    if not found:
        raise ValueError(f"output '{name}' of the topology does not come from a node: {value!r}")
    return unwrapped


def _references(read: str | Sequence[str], reader: str) -> list[_Reference]:
    texts = [read] if isinstance(read, str) else list(read)
    if not texts:
        raise ValueError(f"node '{reader}' reads nothing: give it an input, such as img")
    return [_reference(text, reader) for text in texts]


def _reference(text: Any, reader: str) -> _Reference:
    match = _REFERENCE.fullmatch(text) if isinstance(text, str) else None
    if match is None or text.endswith("[]"):
        raise ValueError(
            f"'{reader}' reads {text!r}; expected a name, or items of it: neck, neck[-1], neck[1:]"
        )
    start, stop = (None if match[n] is None else int(match[n]) for n in ("start", "stop"))
    return match["name"], slice(start, stop) if match["colon"] else start


def _picked(graph: fx.Graph, values: Mapping[str, fx.Node], reference: _Reference) -> fx.Node:
    name, index = reference
    if index is None:
        return values[name]
    return graph.call_function(operator.getitem, (values[name], index))


def _cycle(left: Mapping[str, list[_Reference]], known: set[str]) -> str:
    """Which nodes wait for each other."""
    path = [next(iter(left))]
    while path.count(path[-1]) < 2:
        path.append(next(source for source, _ in left[path[-1]] if source not in known))
    path = path[path.index(path[-1]) :]
    return f"the topology has a cycle: {' reads '.join(path)}"


def _refuse_tensor(value: Any) -> Any:
    if isinstance(value, Tensor):
        raise ValueError(
            f"the topology brings a tensor of shape {tuple(value.shape)}: make it a buffer of a "
            "node, so that it moves with the model"
        )
    return value


def _checked(graph: fx.Graph, nodes: Collection[str]) -> Topology:
    for node in graph.nodes:
        fx.node.map_aggregate((node.args, node.kwargs), _refuse_tensor)
    topology = Topology(graph)
    used = topology.nodes_of(topology.outputs)
    unused = [name for name in nodes if name not in used]
    if unused:
        raise ValueError(
            f"no output needs {', '.join(map(repr, unused))}: link these nodes to an output, or "
            "leave them out"
        )
    for value in graph.find_nodes(op="placeholder"):
        if not value.users:
            raise ValueError(f"no node reads the input '{value.target}': leave it out")
    for name in topology.outputs:
        if not topology.nodes_of([name]):
            raise ValueError(f"output '{name}' of the topology does not come from a node")
    graph.lint()
    return topology
