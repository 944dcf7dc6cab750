"""A picture of a graph: its nodes, what they cost, and which outputs need them."""

import operator
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

from torch import fx, nn

from hat.files import replacing
from hat.models.graph.cost import (
    GraphCost,
    describe_graph,
    shape_lines,
    short_number,
    topology_of,
)
from hat.models.graph.layout import Box, Layout, lay_out
from hat.models.graph.topology import Topology, operation_name, spelled_index

#: Colours that differ for colour-blind people too, after Okabe and Ito (2008).
_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#8c564b", "#999900")
_LINE_HEIGHT, _CHARACTER, _PADDING, _BAND, _MARGIN = 16.0, 7.0, 12.0, 6.0, 12.0
_SHARED = "#868e96"


def draw_graph(
    model: nn.Module, path: str | Path, size: tuple[int, int], batch_size: int = 1
) -> None:
    """Draw a `GraphModel` into an SVG file that needs nothing else, on light and dark pages.

    Each output has a colour; the band of a node has those of the outputs that need it.

    Args:
        model: A `GraphModel`.
        path: The file; missing folders are made. It is written whole or not at all.
        size: Height and width of the pictures of which shapes and costs are shown.
        batch_size: How many pictures.

    Raises:
        ValueError: If the path does not end in .svg.
    """
    path = Path(path)
    if path.suffix.lower() != ".svg":
        raise ValueError(f"expected a name in .svg, got {path}")
    text = graph_svg(model, size, batch_size)
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def graph_svg(model: nn.Module, size: tuple[int, int], batch_size: int = 1) -> str:
    """The text of the picture that `draw_graph` writes."""
    cost = describe_graph(model, size, batch_size)
    drawing = _Drawing(topology_of(model), cost)
    for node in drawing.topology.graph.nodes:
        if node.op == "placeholder":
            drawing.add(node.name, [str(node.target)], drawing.needing(node))
        elif node.op == "call_module":
            drawing.add_call(node, shape_lines(cost.calls[node].shapes), cost.calls[node].num_macs)
        elif node.op != "output" and node.target is not operator.getitem:
            drawing.add(node.name, [operation_name(node)], drawing.needing(node))
    for name in drawing.topology.outputs:
        drawing.add_output(name)
    return drawing.svg()


class _Drawing:
    """Boxes and lines of a graph, and their SVG."""

    def __init__(self, topology: Topology, cost: GraphCost) -> None:
        self.topology = topology
        self.cost = cost
        self.nodes = {node.name: node for node in cost.nodes}
        self.colours = {
            name: _COLOURS[n % len(_COLOURS)] for n, name in enumerate(topology.outputs)
        }
        self.texts: dict[str, list[str]] = {}
        self.bands: dict[str, list[str]] = {}
        self.edges: dict[tuple[str, str], str] = {}  # and what is written beside it
        self.called: set[str] = set()

    def needing(self, node: fx.Node) -> list[str]:
        """The outputs that need a node of the graph."""
        return [name for name in self.topology.outputs if node in self.topology.needed_by([name])]

    def add(self, key: str, texts: list[str], outputs: Sequence[str]) -> None:
        self.texts[key] = texts
        self.bands[key] = [self.colours[name] for name in outputs]

    def add_call(self, node: fx.Node, shapes: list[str], num_macs: int) -> None:
        row = self.nodes[str(node.target)]
        again = " again" if row.name in self.called else ""
        self.called.add(row.name)
        num_params = "no new" if again else short_number(row.num_params)
        costs = [f"{num_params} parameters", f"{short_number(num_macs)} multiply-adds"]
        self.add(node.name, [row.name + again, row.kind, *shapes, *costs], self.needing(node))

    def add_output(self, name: str) -> None:
        num_params, num_macs = self.cost.totals[name]
        key = f"output {name}"
        texts = [
            name,
            f"{short_number(num_params)} parameters",
            f"{short_number(num_macs)} multiply-adds",
        ]
        self.add(key, texts, [name])
        self._link(self.topology.value_of(name), key)

    def svg(self) -> str:
        for node in self.topology.graph.nodes:
            if node.name in self.texts:
                self._link((node.args, node.kwargs), node.name)
        boxes = {key: _box(texts) for key, texts in self.texts.items()}
        ends = [f"output {name}" for name in self.topology.outputs]
        layout = lay_out(boxes, list(self.edges), ends)
        parts = [self._line(edge, layout) for edge in self.edges]
        parts += [self._box(key, box) for key, box in layout.boxes.items()]
        title = f"The nodes of {', '.join(self.topology.outputs)}"
        width, height = layout.width + 2 * _MARGIN, layout.height + 2 * _MARGIN
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:.0f}" height="{height:.0f}" '
            f'viewBox="{-_MARGIN:g} {-_MARGIN:g} {width:.1f} {height:.1f}" font-size="12" '
            'font-family="DejaVu Sans, Verdana, Helvetica, Arial, sans-serif" role="img">\n'
            f"<title>{escape(title)}</title>\n" + "\n".join(parts) + "\n</svg>\n"
        )

    def _link(self, value: Any, key: str) -> None:
        """Lines to a box from the boxes of all values that it reads."""
        read: list[fx.Node] = []
        fx.map_arg(value, read.append)
        for node in read:
            source, label = node, ""
            while source.target is operator.getitem and source.op == "call_function":
                label = f"[{spelled_index(source.args[1])}]{label}"
                source = source.args[0]  # type: ignore[assignment]
            edge = source.name, key
            known = self.edges.get(edge)
            self.edges[edge] = f"{known}, {label}" if known and label else known or label

    def _line(self, edge: tuple[str, str], layout: Layout) -> str:
        points = layout.lines[edge]
        # What only one output needs has its colour.
        bands = self.bands[edge[1]]
        colour = bands[0] if len(bands) == 1 else _SHARED
        path = f"M{points[0][0]:.1f},{points[0][1]:.1f}"
        for number, ((x, y), (next_x, next_y)) in enumerate(pairwise(points)):
            if number % 2:  # through a column, between its boxes
                path += f" L{next_x:.1f},{next_y:.1f}"
                continue
            half = (x + next_x) / 2
            path += f" C{half:.1f},{y:.1f} {half:.1f},{next_y:.1f} {next_x:.1f},{next_y:.1f}"
        line = f'<path d="{path}" fill="none" stroke="{colour}" stroke-width="1.6"/>'
        x, y = points[-1]
        line += f'<path d="M{x:.1f},{y:.1f} l-7,-4 v8 z" fill="{colour}"/>'
        if self.edges[edge]:
            is_from_above = points[-2][1] < y
            place = x - 10, y + 14 if is_from_above else y - 6
            line += _text(self.edges[edge], *place, _SHARED, 'text-anchor="end"')
        return line

    def _box(self, key: str, box: Box) -> str:
        top = box.middle - box.height / 2
        place = f'x="{box.left:.1f}" y="{top:.1f}" width="{box.width:.1f}"'
        parts = [f'<g><rect {place} height="{box.height:.1f}" rx="4" fill="#f8f9fa"/>']
        bands = self.bands[key]
        for number, colour in enumerate(bands):
            width = box.width / len(bands)
            left = box.left + number * width
            parts.append(
                f'<rect x="{left:.1f}" y="{top:.1f}" width="{width:.1f}" height="{_BAND:g}" '
                f'fill="{colour}"/>'
            )
        y = top + _BAND + _PADDING / 2
        for number, text in enumerate(self.texts[key]):
            y += _LINE_HEIGHT
            colour = "#495057" if number else "#111418"
            weight = "" if number else 'font-weight="bold"'
            parts.append(_text(text, box.left + _PADDING, y - 4, colour, weight))
        parts.append(
            f'<rect {place} height="{box.height:.1f}" rx="4" fill="none" stroke="{_SHARED}"/></g>'
        )
        return "\n".join(parts)


def _box(texts: Sequence[str]) -> Box:
    width = max(map(len, texts)) * _CHARACTER + 2 * _PADDING
    return Box(width, len(texts) * _LINE_HEIGHT + _BAND + _PADDING)


def _text(text: str, x: float, y: float, colour: str, more: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" fill="{colour}" {more}>{escape(text)}</text>'
