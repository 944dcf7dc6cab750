"""Where the boxes of a picture of a graph stand: columns from left to right, few crossings."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

#: Free space between boxes of one column, and around a line that passes through it.
GAP = 22.0
_PASSING_HEIGHT = 12.0
_NUM_SWEEPS = 12


@dataclass
class Box:
    """A thing with a size, and where it stands.

    Args:
        width: In pixels.
        height: In pixels.
        column: From 0, left to right.
        left: Of its left side.
        middle: The height of its middle.
    """

    width: float
    height: float
    column: int = 0
    left: float = 0.0
    middle: float = 0.0


@dataclass
class Layout:
    """Boxes in their places, and the lines between them.

    Args:
        boxes: By name.
        lines: By their two ends, the points that a line goes through, pairs of x and y.
        width: Of the whole.
        height: Of the whole.
    """

    boxes: dict[str, Box]
    lines: dict[tuple[str, str], list[tuple[float, float]]] = field(default_factory=dict)
    width: float = 0.0
    height: float = 0.0


def lay_out(
    boxes: Mapping[str, Box],
    edges: Sequence[tuple[str, str]],
    last: Sequence[str] = (),
    *,
    column_gap: float = 64.0,
) -> Layout:
    """Put each box to the right of all that it comes from.

    Args:
        boxes: By name, in an order in which none stands before what it comes from; their
            places are set.
        edges: Pairs of names, from and to.
        last: Names of boxes that stand in the last column.
        column_gap: Space between columns.

    Example:
        >>> boxes = {name: Box(10, 10) for name in "abc"}
        >>> layout = lay_out(boxes, [("a", "b"), ("b", "c"), ("a", "c")])
        >>> [box.column for box in layout.boxes.values()]
        [0, 1, 2]
    """
    layout = Layout(dict(boxes))
    for name, box in boxes.items():
        sources = [boxes[source].column for source, target in edges if target == name]
        box.column = max(sources, default=-1) + 1
    for name in last:
        boxes[name].column = max(box.column for box in boxes.values())
    # A line over several columns passes through each between, where it gets room of its own.
    chains = {edge: _chain(edge, layout.boxes) for edge in dict.fromkeys(edges)}
    links = [pair for chain in chains.values() for pair in pairwise(chain)]
    columns: list[list[str]] = [[] for _ in range(max(b.column for b in boxes.values()) + 1)]
    for name, box in layout.boxes.items():
        columns[box.column].append(name)
    before, after = _neighbours(links, layout.boxes), _neighbours(_turned(links), layout.boxes)
    _order(columns, before, after)
    _set_heights(columns, layout.boxes, before, after)
    _set_sides(columns, layout.boxes, column_gap)
    for edge, chain in chains.items():
        layout.lines[edge] = _points([layout.boxes[name] for name in chain])
    layout.width = max(box.left + box.width for box in layout.boxes.values())
    layout.height = max(box.middle + box.height / 2 for box in layout.boxes.values())
    layout.boxes = {name: layout.boxes[name] for name in boxes}
    return layout


def _chain(edge: tuple[str, str], boxes: dict[str, Box]) -> list[str]:
    source, target = edge
    chain = [source]
    for column in range(boxes[source].column + 1, boxes[target].column):
        name = f"{source} > {target} in {column}"
        boxes[name] = Box(0.0, _PASSING_HEIGHT, column)
        chain.append(name)
    return [*chain, target]


def _turned(links: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    return [(target, source) for source, target in links]


def _neighbours(links: Sequence[tuple[str, str]], boxes: Mapping[str, Box]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {name: [] for name in boxes}
    for source, target in links:
        found[target].append(source)
    return found


def _order(
    columns: list[list[str]],
    before: Mapping[str, list[str]],
    after: Mapping[str, list[str]],
) -> None:
    """Sort each column by the mean place of the neighbours, to and fro.

    Reference:
        Sugiyama et al., Methods for Visual Understanding of Hierarchical System Structures,
        IEEE Transactions on Systems, Man, and Cybernetics 1981: the barycentric method.
    """
    for sweep in range(_NUM_SWEEPS):
        neighbours = after if sweep % 2 else before
        for column in reversed(columns) if sweep % 2 else columns:
            places = {name: n / len(each) for each in columns for n, name in enumerate(each)}
            own = {name: (n + 0.5) / len(column) for n, name in enumerate(column)}
            means = {
                name: _mean([places[other] for other in neighbours[name]], own[name])
                for name in column
            }
            column.sort(key=means.__getitem__)


def _set_heights(
    columns: list[list[str]],
    boxes: dict[str, Box],
    before: Mapping[str, list[str]],
    after: Mapping[str, list[str]],
) -> None:
    for column in columns:
        _stack(column, boxes, [0.0] * len(column))
    for sweep in range(_NUM_SWEEPS):
        for column in reversed(columns) if sweep % 2 else columns:
            wanted = [
                _mean([boxes[n].middle for n in before[name] + after[name]], boxes[name].middle)
                for name in column
            ]
            _stack(column, boxes, wanted)
    top = min(box.middle - box.height / 2 for box in boxes.values())
    for box in boxes.values():
        box.middle -= top


def _stack(column: Sequence[str], boxes: dict[str, Box], wanted: Sequence[float]) -> None:
    """Put boxes as near as can be to where they want to be, in their order, without overlap."""
    # From above each is pushed down, from below up. Both keep the distances, so the mean does.
    distances = [
        (boxes[one].height + boxes[other].height) / 2 + GAP for one, other in pairwise(column)
    ]
    down, up = list(wanted), list(wanted)
    for n, distance in enumerate(distances):
        down[n + 1] = max(down[n + 1], down[n] + distance)
    for n in reversed(range(len(distances))):
        up[n] = min(up[n], up[n + 1] - distances[n])
    for name, low, high in zip(column, down, up, strict=True):
        boxes[name].middle = (low + high) / 2


def _set_sides(columns: list[list[str]], boxes: dict[str, Box], gap: float) -> None:
    left = 0.0
    for column in columns:
        width = max(boxes[name].width for name in column)
        for name in column:
            boxes[name].left = left
            boxes[name].width = width
        left += width + gap


def _points(chain: Sequence[Box]) -> list[tuple[float, float]]:
    """From the right side of the first box, through what lies between, to the last one."""
    first, *between, end = chain
    points = [(first.left + first.width, first.middle)]
    for box in between:
        points += [(box.left, box.middle), (box.left + box.width, box.middle)]
    return [*points, (end.left, end.middle)]


def _mean(values: Sequence[float], otherwise: float) -> float:
    return sum(values) / len(values) if values else otherwise
