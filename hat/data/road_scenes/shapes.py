"""What things look like: flat faces in a box, coloured by the role that each plays.

A shape is made in metres at a usual size, x forward, y left and z up, standing on z = 0,
and kept in shares of its box, so that one shape serves things of many sizes.
"""

import functools
import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

MAX_VERTICES = 12
# What a face is part of; the palette of a thing has a colour for each.
MAIN, SECOND, GLASS, DARK, HEADLIGHT, TAILLIGHT, METAL, SKIN = range(8)
NUM_ROLES = 8

Point = tuple[float, float, float]
Range = tuple[float, float]


@dataclass(frozen=True)
class Shape:
    """The faces of a thing; their number comes last, so that sums over corners are fast.

    Args:
        points: (3, 13, F) in shares of the box, x and y -0.5..0.5 and z 0..1: the corners of
            each face, the last repeated until they are 12, and the middle of its part.
            Faces of one level are drawn part by part, the farthest part first.
        rows: (5, F) of whole numbers: how many corners a face has, whose colour of the
            palette, its level (higher ones are drawn over lower ones), whether it turns
            to the camera, as foliage does, and whether it is seen from behind too.
    """

    points: NDArray[np.float32]
    rows: NDArray[np.int64]


@dataclass
class _Builder:
    """Collects faces in metres."""

    faces: list[list[Point]] = field(default_factory=list)
    rows: list[tuple[int, int, int, bool, bool]] = field(default_factory=list)
    level: int = 0
    part: int = 0

    def face(
        self, points: Sequence[Point], role: int, *, turns: bool = False, two_sided: bool = False
    ) -> list[Point]:
        self.faces.append(list(points))
        self.rows.append((role, self.level, self.part, turns, two_sided))
        return self.faces[-1]

    def block(
        self,
        x: Range,
        y: Range,
        z: Range,
        role: int,
        *,
        x_top: Range | None = None,
        y_top: Range | None = None,
        top_role: int | None = None,
    ) -> list[list[Point]]:
        """A box that may narrow or lean to its top: faces front, back, left, right, top."""
        self.part += 1
        (x0, x1), (y0, y1), (z0, z1) = x, y, z
        (u0, u1), (v0, v1) = x_top or x, y_top or y
        sides = [
            [(x1, y0, z0), (x1, y1, z0), (u1, v1, z1), (u1, v0, z1)],
            [(x0, y1, z0), (x0, y0, z0), (u0, v0, z1), (u0, v1, z1)],
            [(x1, y1, z0), (x0, y1, z0), (u0, v1, z1), (u1, v1, z1)],
            [(x0, y0, z0), (x1, y0, z0), (u1, v0, z1), (u0, v0, z1)],
        ]
        top = [(u0, v0, z1), (u1, v0, z1), (u1, v1, z1), (u0, v1, z1)]
        faces = [self.face(side, role) for side in sides]
        return [*faces, self.face(top, role if top_role is None else top_role)]

    def panel(self, face: list[Point], s: Range, t: Range, role: int) -> list[Point]:
        """A part of a four-sided face: `s` along its lower edge, `t` up, in shares."""
        a, b, c, d = (np.array(point) for point in face)

        def at(s: float, t: float) -> Point:
            x, y, z = (1 - t) * ((1 - s) * a + s * b) + t * ((1 - s) * d + s * c)
            return float(x), float(y), float(z)

        (s0, s1), (t0, t1) = s, t
        return self.face([at(s0, t0), at(s1, t0), at(s1, t1), at(s0, t1)], role)

    def disc(
        self, center: Point, radius: float, side: int, role: int, two_sided: bool = False
    ) -> None:
        """A wheel, flat in the plane of x and z, seen from `side`: 1 left, -1 right."""
        x, y, z = center
        angles = [2 * math.pi * n / MAX_VERTICES * -side for n in range(MAX_VERTICES)]
        points = [(x + radius * math.cos(a), y, z + radius * math.sin(a)) for a in angles]
        self.face(points, role, two_sided=two_sided)

    def plate(
        self, x: float, y: float, z: float, radius: float, role: int, corners: int = 12
    ) -> None:
        """A regular polygon that looks forward, standing on an edge or, with 3, on two corners."""
        start = math.pi / 2 + (0 if corners == 3 else math.pi / corners)
        angles = [start + 2 * math.pi * n / corners for n in range(corners)]
        self.face([(x, y + radius * math.cos(a), z + radius * math.sin(a)) for a in angles], role)

    def blob(self, y: float, z: float, ry: float, rz: float, role: int, *, x: float = 0) -> None:
        """An ellipse that turns to the camera."""
        angles = [2 * math.pi * n / 10 for n in range(10)]
        self.face(
            [(x, y + ry * math.cos(a), z + rz * math.sin(a)) for a in angles], role, turns=True
        )

    def bar(self, start: Point, end: Point, width: float, role: int) -> None:
        """A thin line in the plane of x and z."""
        (x0, y, z0), (x1, _, z1) = start, end
        length = math.hypot(x1 - x0, z1 - z0)
        dx, dz = -(z1 - z0) / length * width / 2, (x1 - x0) / length * width / 2
        corners = [
            (x0 - dx, y, z0 - dz),
            (x1 - dx, y, z1 - dz),
            (x1 + dx, y, z1 + dz),
            (x0 + dx, y, z0 + dz),
        ]
        self.face(corners, role, two_sided=True)

    def build(self, size: Point) -> Shape:
        padded = [face + [face[-1]] * (MAX_VERTICES - len(face)) for face in self.faces]
        corners = np.array(padded) / np.array(size)
        parts = np.array([part for _, _, part, _, _ in self.rows])
        middles = np.array([corners[parts == part].mean(axis=(0, 1)) for part in parts])
        rows = [
            (len(face), role, level, turns, two_sided)
            for face, (role, level, _, turns, two_sided) in zip(self.faces, self.rows, strict=True)
        ]
        points = np.concatenate([corners, middles[:, None]], axis=1)  # (F, 13, 3)
        return Shape(np.ascontiguousarray(points.T, np.float32), np.array(rows, np.int64).T.copy())


def _wheels(make: _Builder, places: Sequence[float], radius: float, half_width: float) -> None:
    for side in (1, -1):
        for x in places:
            make.disc((x, side * half_width, radius), radius, side, DARK)
            make.disc((x, side * half_width, radius), radius * 0.55, side, METAL)


def _tyres(make: _Builder, places: Sequence[float], radius: float, half_width: float) -> None:
    """What of the wheels is seen from in front and from behind."""
    for side in (1, -1):
        outer, inner = side * half_width, side * (half_width - 0.22)
        for x in places:
            y = (min(outer, inner), max(outer, inner))
            make.block((x - radius * 0.8, x + radius * 0.8), y, (0, radius * 1.3), DARK)


def _car(length: float, height: float, cabin: Range, roof: Range, waist: float) -> Shape:
    """A car; `cabin` and `roof` say where along it these begin and end."""
    make = _Builder()
    half = length / 2
    axles = (-half * 0.62, half * 0.64)
    _tyres(make, axles, 0.33, 0.88)
    make.level = 1
    body = make.block(
        (-half, half), (-0.9, 0.9), (0.2, waist), MAIN,
        x_top=(-half + 0.06, half - 0.12), y_top=(-0.85, 0.85),
    )  # fmt: skip
    front, back, left, right, _ = body
    make.panel(front, (0, 1), (0, 0.2), DARK)
    make.panel(front, (0.27, 0.73), (0.35, 0.62), DARK)
    make.panel(front, (0.36, 0.64), (0.14, 0.32), METAL)
    for s in ((0.03, 0.23), (0.77, 0.97)):
        make.panel(front, s, (0.48, 0.8), HEADLIGHT)
        make.panel(back, s, (0.5, 0.88), TAILLIGHT)
    make.panel(back, (0, 1), (0, 0.22), DARK)
    make.panel(back, (0.34, 0.66), (0.36, 0.6), METAL)
    for side in (left, right):
        make.panel(side, (0, 1), (0, 0.14), DARK)
    _wheels(make, axles, 0.33, 0.9)
    make.level = 2
    glasshouse = make.block(
        cabin, (-0.84, 0.84), (waist, height), MAIN, x_top=roof, y_top=(-0.66, 0.66)
    )
    front, back, left, right, _ = glasshouse
    make.panel(front, (0.06, 0.94), (0.08, 0.9), GLASS)
    make.panel(back, (0.08, 0.92), (0.12, 0.88), GLASS)
    for side in (left, right):
        make.panel(side, (0.1, 0.5), (0.1, 0.86), GLASS)
        make.panel(side, (0.54, 0.93), (0.1, 0.86), GLASS)
    return make.build((length, 1.8, height))


def _truck(length: float, cab_length: float) -> Shape:
    make = _Builder()
    half = length / 2
    axles = (-half * 0.75, -half * 0.55, half - 1.1)
    _tyres(make, axles, 0.5, 1.22)
    make.part += 1
    make.block((-half + 0.3, half - 0.2), (-1.0, 1.0), (0.45, 1.0), DARK)
    make.level = 1
    cargo = make.block((-half, half - cab_length - 0.25), (-1.25, 1.25), (0.95, 3.5), SECOND)
    _, back, left, right, _ = cargo
    make.panel(back, (0.04, 0.48), (0.06, 0.94), METAL)
    make.panel(back, (0.52, 0.96), (0.06, 0.94), METAL)
    make.panel(back, (0, 1), (0, 0.05), DARK)
    for s in ((0.02, 0.16), (0.84, 0.98)):
        make.panel(back, s, (0.0, 0.09), TAILLIGHT)
    for side in (left, right):
        make.panel(side, (0, 1), (0.3, 0.5), MAIN)
        make.panel(side, (0, 1), (0, 0.05), DARK)
    cab = make.block(
        (half - cab_length, half), (-1.2, 1.2), (0.5, 2.9), MAIN,
        x_top=(half - cab_length, half - 0.25), y_top=(-1.15, 1.15),
    )  # fmt: skip
    front, _, left, right, _ = cab
    make.panel(front, (0.06, 0.94), (0.5, 0.88), GLASS)
    make.panel(front, (0.2, 0.8), (0.2, 0.42), DARK)
    make.panel(front, (0, 1), (0, 0.12), DARK)
    for s in ((0.04, 0.2), (0.8, 0.96)):
        make.panel(front, s, (0.14, 0.26), HEADLIGHT)
    for side in (left, right):
        make.panel(side, (0.2, 0.85), (0.5, 0.86), GLASS)
    make.level = 2
    _wheels(make, axles, 0.5, 1.25)
    return make.build((length, 2.5, 3.5))


def _person(make: _Builder, step: float) -> None:
    """Legs, body, arms and head of someone 1.75 m tall who walks along x."""
    for side, x in ((1, step), (-1, -step)):
        y = (side * 0.09 - 0.075, side * 0.09 + 0.075)
        make.block((x - 0.07, x + 0.07), y, (0.08, 0.86), SECOND, x_top=(-0.09, 0.09), y_top=y)
        make.block((x - 0.08, x + 0.16), y, (0.0, 0.09), DARK)
        arm = (side * 0.25 - 0.05, side * 0.25 + 0.05)
        make.block((-x - 0.05, -x + 0.05), arm, (0.85, 1.42), MAIN, x_top=(-0.06, 0.06))
    make.block(
        (-0.12, 0.12), (-0.18, 0.18), (0.82, 1.46), MAIN, x_top=(-0.1, 0.1), y_top=(-0.22, 0.22)
    )
    make.part += 1
    make.level += 1
    make.blob(0, 1.61, 0.105, 0.13, SKIN)
    make.blob(0, 1.68, 0.1, 0.07, DARK)


def _pedestrian(step: float) -> Shape:
    make = _Builder()
    _person(make, step)
    return make.build((0.8, 0.62, 1.75))


def _cyclist() -> Shape:
    make = _Builder()
    for x in (-0.52, 0.52):
        for n in range(10):
            angles = 2 * math.pi * n / 10, 2 * math.pi * (n + 1) / 10
            points = [
                (x + r * math.cos(a), 0.0, 0.33 + r * math.sin(a))
                for r, a in zip((0.33, 0.33, 0.25, 0.25), (*angles, *angles[::-1]), strict=True)
            ]
            make.face(points, DARK, two_sided=True)
    for x in (-0.85, 0.19):  # the tyres have a width, so that they are seen from behind
        make.block((x, x + 0.66), (-0.03, 0.03), (0.0, 0.05), DARK)
    make.block((-0.84, -0.82), (-0.03, 0.03), (0.02, 0.62), DARK)
    make.block((0.82, 0.84), (-0.03, 0.03), (0.02, 0.62), DARK)
    make.part += 1
    for start, end in (
        ((-0.52, 0, 0.33), (-0.15, 0, 0.85)),
        ((-0.2, 0, 0.78), (0.4, 0, 0.82)),
        ((-0.05, 0, 0.32), (0.38, 0, 0.82)),
        ((0.52, 0, 0.33), (0.36, 0, 1.05)),
        ((-0.52, 0, 0.33), (-0.05, 0, 0.32)),
    ):
        make.bar(start, end, 0.05, METAL)
    make.block((0.3, 0.36), (-0.28, 0.28), (1.02, 1.07), DARK)
    make.level = 1
    for side, foot in ((1, 0.12), (-1, -0.1)):
        y = (side * 0.11 - 0.07, side * 0.11 + 0.07)
        make.block((foot - 0.06, foot + 0.06), y, (0.2, 0.62), SECOND, x_top=(0.02, 0.16))
        make.block((0.02, 0.16), y, (0.62, 0.95), SECOND, x_top=(-0.28, -0.1))
        arm = (side * 0.24 - 0.045, side * 0.24 + 0.045)
        make.block((0.28, 0.37), arm, (1.02, 1.1), MAIN, x_top=(0.22, 0.3))
        make.block((0.2, 0.3), arm, (1.1, 1.4), MAIN, x_top=(0.02, 0.12))
    make.block(
        (-0.3, -0.08), (-0.17, 0.17), (0.88, 1.46), MAIN, x_top=(-0.02, 0.16), y_top=(-0.21, 0.21)
    )
    make.level = 2
    make.blob(0, 1.58, 0.105, 0.13, SKIN)
    make.blob(0, 1.655, 0.12, 0.09, TAILLIGHT)
    return make.build((1.76, 0.62, 1.75))


def _round_tree(number: int) -> Shape:
    draw = random.Random(number)
    make = _Builder()
    make.block((-0.16, 0.16), (-0.16, 0.16), (0, 3), METAL, x_top=(-0.1, 0.1), y_top=(-0.1, 0.1))
    make.level = 1
    for role, top, shrink in ((DARK, 4.1, 1.0), (MAIN, 4.5, 0.9), (SECOND, 5.0, 0.7)):
        for n in range(6):
            angle = 2 * math.pi * (n + draw.random()) / 6
            distance = (0.6 + 0.4 * draw.random()) * shrink
            radius = (0.7 + 0.4 * draw.random()) * shrink
            make.blob(
                math.cos(angle) * distance, top + math.sin(angle) * distance * 0.75,
                radius, radius * 0.85, role,
            )  # fmt: skip
        make.blob(0, top, 1.0 * shrink, 0.9 * shrink, role)
    return make.build((4.2, 4.2, 6.6))


def _conifer() -> Shape:
    make = _Builder()
    make.block((-0.15, 0.15), (-0.15, 0.15), (0, 1.2), METAL)
    make.level = 1
    for n, role in enumerate((DARK, DARK, MAIN, MAIN, SECOND)):
        low, high, half = 0.8 + 1.1 * n, 2.9 + 1.1 * n, 1.7 - 0.3 * n
        tip = 0.06
        make.face(
            [(0, -half, low), (0, half, low), (0, tip, high), (0, -tip, high)], role, turns=True
        )
    return make.build((3.4, 3.4, 7.3))


def _bush(number: int) -> Shape:
    draw = random.Random(number)
    make = _Builder()
    for role, height in ((DARK, 0.42), (MAIN, 0.5), (SECOND, 0.62)):
        for n in range(4):
            y = -0.62 + 0.41 * n + 0.1 * draw.random()
            radius = 0.25 + 0.12 * draw.random()
            make.blob(y, height - 0.1 * abs(n - 1.5), radius, radius, role)
    return make.build((2.0, 2.0, 1.05))


def _hill(number: int) -> Shape:
    draw = random.Random(number)
    make = _Builder()
    steps = [n / 10 for n in range(11)]
    heights = [math.sin(math.pi * s) ** 0.8 * (0.85 + 0.15 * draw.random()) for s in steps]
    points = [(0.0, 0.5 - s, h) for s, h in zip(steps[::-1], heights[::-1], strict=True)]
    make.face([(x, -y, z) for x, y, z in points], MAIN, turns=True)
    return make.build((1, 1, 1))


def _hedge() -> Shape:
    make = _Builder()
    make.block((-0.5, 0.5), (-0.5, 0.5), (0, 1), MAIN, y_top=(-0.4, 0.4), top_role=SECOND)
    return make.build((1, 1, 1))


def _tower() -> Shape:
    make = _Builder()
    make.block((-0.5, 0.5), (-0.5, 0.5), (0, 1), MAIN, top_role=DARK)
    return make.build((1, 1, 1))


def _house() -> Shape:
    make = _Builder()
    make.block((-0.5, 0.5), (-0.5, 0.5), (0, 0.62), MAIN, top_role=DARK)
    make.level = 1
    make.block(
        (-0.5, 0.5), (-0.5, 0.5), (0.62, 1), SECOND, x_top=(-0.42, 0.42), y_top=(-0.02, 0.02)
    )
    return make.build((1, 1, 1))


def _pole() -> Shape:
    make = _Builder()
    make.block((-0.5, 0.5), (-0.5, 0.5), (0, 1), METAL)
    return make.build((1, 1, 1))


def _lamp() -> Shape:
    """A street lamp whose arm reaches to its left."""
    make = _Builder()
    make.block((-0.08, 0.08), (-0.95, -0.79), (0, 7), METAL)
    make.level = 1
    make.block((-0.06, 0.06), (-0.9, 0.4), (6.88, 7), METAL)
    make.block((-0.15, 0.15), (0.3, 0.95), (6.84, 6.98), HEADLIGHT, top_role=METAL)
    return make.build((0.3, 1.9, 7))


def _light(lit: int) -> Shape:
    """A traffic light that looks forward, its lamps numbered from above."""
    make = _Builder()
    make.block((-0.14, 0.1), (-0.3, 0.3), (0, 1.5), DARK)
    for n in range(3):
        role = TAILLIGHT if n == lit else SECOND
        make.plate(0.1, 0, 1.22 - 0.47 * n, 0.2, role)
    return make.build((0.28, 0.6, 1.5))


def _sign(corners: int, roles: Sequence[int], bars: int = 0) -> Shape:
    """A board 1 m wide that looks forward: a rim, a field in it and something written."""
    make = _Builder()
    x = 0.02
    if corners == 4:
        outer = [(x, -0.5, 0.0), (x, 0.5, 0.0), (x, 0.5, 1.0), (x, -0.5, 1.0)]
        make.face(outer, roles[0], two_sided=True)
        make.panel(outer, (0.06, 0.94), (0.06, 0.94), roles[1])
        for n in range(bars):
            t = 0.68 - 0.27 * n
            make.panel(outer, (0.16, 0.84 - 0.16 * n), (t, t + 0.13), roles[2])
    else:
        middle, radius = (0.34, 0.6) if corners == 3 else (0.5, 0.51)
        make.plate(x, 0, middle, radius, roles[0], corners)
        make.plate(x, 0, middle, radius * (0.62 if corners == 3 else 0.74), roles[1], corners)
        for n in range(bars):
            y = 0.0 if bars == 1 else -0.13 + 0.26 * n
            low, high = middle - 0.18, middle + 0.2
            make.face(
                [(x, y - 0.06, low), (x, y + 0.06, low), (x, y + 0.06, high), (x, y - 0.06, high)],
                roles[2],
            )
    return make.build((0.06, 1.06, 1.04))


_MAKERS: dict[str, Callable[[], Shape]] = {
    "saloon": lambda: _car(4.5, 1.45, (-1.95, 1.05), (-1.35, 0.3), 0.88),
    "hatchback": lambda: _car(3.9, 1.5, (-1.85, 1.05), (-1.55, 0.35), 0.9),
    "suv": lambda: _car(4.6, 1.75, (-2.15, 1.15), (-1.95, 0.5), 1.02),
    "van": lambda: _car(4.9, 2.1, (-2.38, 1.75), (-2.3, 1.0), 1.15),
    "box truck": lambda: _truck(7.5, 1.8),
    "long truck": lambda: _truck(11.0, 2.2),
    "standing": lambda: _pedestrian(0.03),
    "walking": lambda: _pedestrian(0.22),
    "striding": lambda: _pedestrian(-0.16),
    "cyclist": _cyclist,
    "round tree 0": lambda: _round_tree(0),
    "round tree 1": lambda: _round_tree(1),
    "round tree 2": lambda: _round_tree(2),
    "conifer": _conifer,
    "bush 0": lambda: _bush(0),
    "bush 1": lambda: _bush(1),
    "hill 0": lambda: _hill(0),
    "hill 1": lambda: _hill(1),
    "hedge": _hedge,
    "tower": _tower,
    "house": _house,
    "pole": _pole,
    "lamp": _lamp,
    "light 0": lambda: _light(0),
    "light 1": lambda: _light(1),
    "light 2": lambda: _light(2),
    "limit": lambda: _sign(12, (TAILLIGHT, SECOND, DARK), 2),
    "no entry": lambda: _sign(12, (SECOND, TAILLIGHT, SECOND), 1),
    "warning": lambda: _sign(3, (TAILLIGHT, SECOND, DARK), 1),
    "stop": lambda: _sign(8, (SECOND, TAILLIGHT, SECOND), 2),
    "board": lambda: _sign(4, (SECOND, MAIN, SECOND), 3),
}


@dataclass(frozen=True)
class Catalog:
    """The faces of all shapes side by side.

    Args:
        points: (3, 13, F), see `Shape`.
        quads: (3, 5, F), the same of faces with up to 4 corners, each once.
        rows: (5, F), see `Shape`.
        has_no_back: Whether a face is seen from any side, (F,).
        planes: (4, F): a normal of each face in shares of the box, and how far along it the
            face is. Where normal . eye <= distance, the eye sees its back.
        columns: The columns that the faces of a shape have.
    """

    points: NDArray[np.float32]
    quads: NDArray[np.float32]
    rows: NDArray[np.int64]
    has_no_back: NDArray[np.bool_]
    planes: NDArray[np.float64]
    columns: dict[str, NDArray[np.intp]]


@functools.cache
def catalog() -> Catalog:
    """All shapes, made once in each process."""
    shapes = {name: make() for name, make in _MAKERS.items()}
    points = np.concatenate([shape.points for shape in shapes.values()], axis=2)
    first, second, third = np.moveaxis(points[:, :3].astype(np.float64), 1, 0)
    normals = np.cross(second - first, third - first, axis=0)
    columns, start = {}, 0
    for name, shape in shapes.items():
        columns[name] = np.arange(start, start + shape.rows.shape[1])
        start += shape.rows.shape[1]
    rows = np.concatenate([shape.rows for shape in shapes.values()], axis=1)
    return Catalog(
        points=points,
        quads=points[:, [0, 1, 2, 3, MAX_VERTICES]],
        rows=rows,
        has_no_back=(rows[3] | rows[4]).astype(bool),
        planes=np.concatenate([normals, (normals * first).sum(axis=0, keepdims=True)]),
        columns=columns,
    )
