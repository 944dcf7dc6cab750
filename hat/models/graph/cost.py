"""What the nodes of a graph cost, and which outputs need them."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from rich.table import Table
from torch import Tensor, fx, nn
from torch.utils.flop_counter import FlopCounterMode

from hat.models.graph.topology import Topology, spelled
from hat.models.modes import evaluating

Shape = tuple[int, ...]
_UNITS = ((10**9, " G"), (10**6, " M"), (10**3, " k"))


@dataclass(frozen=True)
class CallCost:
    """What one call of a node returned, and its multiply-adds."""

    shapes: tuple[Shape, ...]
    num_macs: int


@dataclass(frozen=True)
class NodeCost:
    """One node of a graph.

    Args:
        name: In the model.
        kind: The name of its class.
        reads: What it is called with, as one would write it; of all its calls.
        shapes: Of the tensors that it returns.
        num_params: Numbers in its parameters.
        num_macs: Multiply-adds of convolutions and matrix products, of all its calls.
        outputs: The outputs that need it.
    """

    name: str
    kind: str
    reads: tuple[str, ...]
    shapes: tuple[Shape, ...]
    num_params: int
    num_macs: int
    outputs: tuple[str, ...]


@dataclass(frozen=True)
class GraphCost:
    """The nodes of a graph in the order in which they run, and what outputs need in all.

    Args:
        nodes: See `NodeCost`.
        calls: Of each call of a node in the graph, in order.
        totals: By output, the parameters and multiply-adds of all nodes that it needs; a
            parameter that two nodes share counts once.
        num_params: Of all nodes.
        num_macs: Of all nodes.
    """

    nodes: tuple[NodeCost, ...]
    calls: Mapping[fx.Node, CallCost]
    totals: Mapping[str, tuple[int, int]]
    num_params: int
    num_macs: int

    def table(self) -> Table:
        """A table for rich to print."""
        table = Table(box=None, pad_edge=False)
        # In a narrow terminal long words are folded, not cut.
        for column in ("node", "class", "reads", "returns"):
            table.add_column(column, no_wrap=column in ("node", "returns"), overflow="fold")
        for column in ("parameters", "multiply-\nadds"):
            table.add_column(column, justify="right", no_wrap=True)
        table.add_column("needed by", overflow="fold")
        for node in self.nodes:
            table.add_row(
                node.name,
                node.kind,
                "\n".join(node.reads),
                "\n".join(shape_lines(node.shapes)),
                short_number(node.num_params),
                short_number(node.num_macs),
                ", ".join(node.outputs),
            )
        table.add_section()
        for name, (num_params, num_macs) in self.totals.items():
            table.add_row(name, "", "", "", short_number(num_params), short_number(num_macs))
        if len(self.totals) > 1:
            numbers = short_number(self.num_params), short_number(self.num_macs)
            table.add_row("all together", "", "", "", *numbers)
        return table


def describe_graph(
    model: nn.Module,
    size: tuple[int, int],
    batch_size: int = 1,
    *,
    inputs: Mapping[str, Tensor] | None = None,
) -> GraphCost:
    """What each node of a `GraphModel` costs, from one forward of zeros in evaluation mode.

    The model is left as it was, its modes too.

    Args:
        model: A `GraphModel`.
        size: Height and width of the pictures.
        batch_size: How many pictures.
        inputs: Values of inputs that are not pictures of 3 channels.

    Raises:
        ValueError: If a size is not positive, or there is no such input.

    Example:
        >>> nodes = dict(backbone=ConvNet([8], depth=1), head=LinearHead(8, 4))
        >>> edges = dict(backbone="img", head="backbone[-1]")
        >>> model = GraphModel(nodes, edges, outputs=dict(scene="head"))
        >>> for node in describe_graph(model, (16, 16)).nodes:
        ...     print(node.name, node.reads, node.shapes, node.num_params, node.num_macs)
        backbone ('img',) ((1, 8, 8, 8),) 232 55296
        head ('backbone[-1]',) ((1, 4),) 36 32
    """
    topology = topology_of(model)
    calls = _measure_calls(model, size, batch_size, inputs)
    by_name: dict[str, list[fx.Node]] = {}
    for call in calls:
        by_name.setdefault(str(call.target), []).append(call)
    rows = []
    for name, own in by_name.items():
        module = model.get_submodule(name)
        rows.append(
            NodeCost(
                name=name,
                kind=type(module).__name__,
                reads=tuple(dict.fromkeys(part for call in own for part in reads_of(call))),
                shapes=tuple(shape for call in own for shape in calls[call].shapes),
                num_params=_num_params(model, [name]),
                num_macs=sum(calls[call].num_macs for call in own),
                outputs=tuple(o for o in topology.outputs if name in topology.nodes_of([o])),
            )
        )
    macs = {row.name: row.num_macs for row in rows}
    totals = {}
    for output in topology.outputs:
        needed = topology.needed_by([output])
        own_macs = sum(cost.num_macs for call, cost in calls.items() if call in needed)
        totals[output] = _num_params(model, topology.nodes_of([output])), own_macs
    return GraphCost(tuple(rows), calls, totals, _num_params(model, macs), sum(macs.values()))


def _measure_calls(
    model: nn.Module,
    size: tuple[int, int],
    batch_size: int,
    inputs: Mapping[str, Tensor] | None = None,
) -> dict[fx.Node, CallCost]:
    """Of each call of a node in `model.topology.graph`, in order, what it costs.

    Raises:
        ValueError: See `describe_graph`.
    """
    topology = topology_of(model)
    if min(*size, batch_size) < 1:
        raise ValueError(f"expected positive sizes, got size={tuple(size)} and {batch_size=}")
    unknown = [name for name in inputs or {} if name not in topology.inputs]
    if unknown:
        raise ValueError(f"no input {unknown}: the graph reads {', '.join(topology.inputs)}")
    first = next(model.parameters(), torch.zeros(()))
    pictures = torch.zeros(batch_size, 3, *size, dtype=first.dtype, device=first.device)
    values = dict.fromkeys(topology.inputs, pictures) | dict(inputs or {})
    counter = _Counter(model, topology.graph)
    with torch.no_grad(), evaluating(model):
        counter.run(*(values[name] for name in topology.inputs))
    return counter.calls


def topology_of(model: nn.Module) -> Topology:
    """The graph of a `GraphModel`.

    Raises:
        TypeError: If the model is another one.
    """
    topology = getattr(model, "topology", None)
    if not isinstance(topology, Topology):
        raise TypeError(f"expected a GraphModel, got {type(model).__name__}")
    return topology


def reads_of(call: fx.Node) -> tuple[str, ...]:
    """What a node is called with, as one would write it."""
    keywords = (f"{name}={spelled(value)}" for name, value in call.kwargs.items())
    return (*map(spelled, call.args), *keywords)


def shape_text(shape: Shape) -> str:
    """A shape for people.

    Example:
        >>> shape_text((1, 8, 32, 64))
        '1x8x32x64'
    """
    return "x".join(map(str, shape)) or "scalar"


def shape_lines(shapes: Sequence[Shape]) -> list[str]:
    """A line for each of a few shapes, and how many more there are.

    Example:
        >>> shape_lines([(1, 8)] * 9)
        ['1x8', '1x8', '1x8', '1x8', '5 more']
    """
    if len(shapes) <= 5:
        return [shape_text(shape) for shape in shapes]
    return [*map(shape_text, shapes[:4]), f"{len(shapes) - 4} more"]


def short_number(number: int) -> str:
    """A count with three digits and a unit.

    Example:
        >>> short_number(12), short_number(1234), short_number(999_999), short_number(2 * 10**9)
        ('12', '1.23 k', '1 M', '2 G')
    """
    if number < 1000:
        return str(number)
    # Rounded first, so that 999,999 is 1 M and not 1e+03 k.
    rounded = round(number, 2 - math.floor(math.log10(number)))
    factor, unit = next(pair for pair in _UNITS if rounded >= pair[0])
    return f"{rounded / factor:.3g}{unit}"


class _Counter(fx.Interpreter):
    """Runs a graph, and notes what each call of a node returns and costs."""

    def __init__(self, model: nn.Module, graph: fx.Graph) -> None:
        super().__init__(model, graph=graph)
        self.calls: dict[fx.Node, CallCost] = {}

    def run_node(self, n: fx.Node) -> Any:
        if n.op != "call_module":
            return super().run_node(n)
        with FlopCounterMode(display=False) as counter:
            result = super().run_node(n)
        # The counter takes a multiply-add for two operations.
        self.calls[n] = CallCost(tuple(_shapes(result)), counter.get_total_flops() // 2)
        return result


def _shapes(value: Any) -> Iterator[Shape]:
    if isinstance(value, Tensor):
        yield tuple(value.shape)
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _shapes(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _shapes(item)


def _num_params(model: nn.Module, names: Any) -> int:
    """Of some nodes; what two of them share counts once."""
    found = {p for name in names for p in model.get_submodule(name).parameters()}
    return sum(parameter.numel() for parameter in found)
