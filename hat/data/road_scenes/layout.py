"""What stands where on a road, drawn from a key alone."""

import functools
import itertools
import math
import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from hat.data.road_scenes.camera import Camera
from hat.data.road_scenes.shapes import (
    DARK,
    GLASS,
    HEADLIGHT,
    MAIN,
    METAL,
    NUM_ROLES,
    SECOND,
    SKIN,
    TAILLIGHT,
)

Scene = Literal["day", "dusk", "night", "rain"]
Place = Literal["city", "suburb", "country", "motorway"]
Rgb = tuple[float, float, float]
T = TypeVar("T")

SCENES: tuple[Scene, ...] = ("day", "dusk", "night", "rain")
CLASSES = ("car", "truck", "pedestrian", "cyclist", "sign", "light")
SEG_CLASSES = (
    "sky", "road", "lane line", "pavement", "terrain", "building", "vegetation", "pole", *CLASSES
)  # fmt: skip
SKY, ROAD, LANE_LINE, PAVEMENT, TERRAIN, BUILDING, VEGETATION, POLE = range(8)
FIRST_CLASS = 8  # of SEG_CLASSES that is in CLASSES

_PLACES: tuple[Place, ...] = ("city", "suburb", "country", "motorway")
_ROLES = range(NUM_ROLES)
_GREYS = ((0.5, 0.5, 0.5),) * NUM_ROLES  # of what a palette does not name
_FAR = 250.0  # metres: as far as lines and strips are drawn
_VEHICLE_COLORS: tuple[Rgb, ...] = (
    (0.86, 0.86, 0.87), (0.62, 0.64, 0.66), (0.11, 0.11, 0.13), (0.27, 0.28, 0.3),
    (0.68, 0.09, 0.09), (0.12, 0.24, 0.58), (0.08, 0.34, 0.2), (0.82, 0.62, 0.1),
    (0.42, 0.18, 0.12), (0.2, 0.5, 0.66), (0.74, 0.34, 0.1), (0.72, 0.7, 0.58),
)  # fmt: skip
_CLOTHES: tuple[Rgb, ...] = (
    (0.75, 0.12, 0.12), (0.14, 0.22, 0.6), (0.85, 0.8, 0.2), (0.12, 0.45, 0.25), (0.8, 0.8, 0.8),
    (0.15, 0.15, 0.17), (0.45, 0.2, 0.5), (0.85, 0.45, 0.15), (0.3, 0.6, 0.7), (0.5, 0.35, 0.25),
)  # fmt: skip
_TROUSERS: tuple[Rgb, ...] = (
    (0.1, 0.11, 0.2), (0.14, 0.14, 0.15), (0.35, 0.3, 0.22), (0.2, 0.26, 0.4), (0.5, 0.48, 0.42),
)  # fmt: skip
_SKINS: tuple[Rgb, ...] = (
    (0.87, 0.68, 0.56),
    (0.7, 0.5, 0.37),
    (0.45, 0.3, 0.2),
    (0.28, 0.19, 0.13),
)
_HAIR: tuple[Rgb, ...] = (
    (0.08, 0.06, 0.05),
    (0.3, 0.19, 0.1),
    (0.6, 0.48, 0.28),
    (0.45, 0.45, 0.45),
)
_WALLS: tuple[Rgb, ...] = (
    (0.66, 0.58, 0.48), (0.55, 0.3, 0.23), (0.72, 0.7, 0.66), (0.5, 0.5, 0.52), (0.76, 0.68, 0.5),
    (0.6, 0.45, 0.38), (0.42, 0.44, 0.48), (0.78, 0.74, 0.7),
)  # fmt: skip
_ROOFS: tuple[Rgb, ...] = (
    (0.45, 0.2, 0.14),
    (0.3, 0.28, 0.28),
    (0.36, 0.24, 0.18),
    (0.25, 0.3, 0.34),
)
_LEAVES: tuple[Rgb, ...] = (
    (0.17, 0.34, 0.11), (0.22, 0.38, 0.13), (0.3, 0.38, 0.12), (0.13, 0.28, 0.14),
    (0.36, 0.33, 0.1),
)  # fmt: skip
_GRASS: tuple[Rgb, ...] = (
    (0.28, 0.4, 0.16),
    (0.36, 0.42, 0.2),
    (0.45, 0.42, 0.25),
    (0.24, 0.36, 0.18),
)


class Draws(random.Random):
    """Draws that depend on nothing but `random()`, which Python keeps the same for good."""

    def between(self, low: float, high: float) -> float:
        return low + (high - low) * self.random()

    def chance(self, share: float) -> bool:
        return self.random() < share

    def one_of(self, options: Sequence[T]) -> T:
        return options[int(self.random() * len(options))]

    def shade(self, color: Rgb, by: float) -> Rgb:
        """A colour, lighter or darker by up to a share."""
        factor = 1 + by * (2 * self.random() - 1)
        return color[0] * factor, color[1] * factor, color[2] * factor


@dataclass(frozen=True)
class Road:
    """Where a road runs: a parabola that goes on straight.

    Args:
        heading: Slope of the road against x at the camera.
        curvature: 1 / m, to the left.
        straight_from: x from which on it does not turn any more.
    """

    heading: float
    curvature: float
    straight_from: float

    def at(self, x: float, offset: float) -> tuple[float, float]:
        """How far left a line is that is `offset` to the left of the camera's, and its yaw."""
        bent = min(x, self.straight_from)
        slope = self.heading + self.curvature * bent
        y = offset + (self.heading + self.curvature * bent / 2) * bent + slope * (x - bent)
        return y, math.atan(slope)

    def lateral(self, xs: NDArray[np.float64], offsets: NDArray[np.float64]) -> NDArray[np.float64]:
        """The y of many points at once."""
        bent = np.minimum(xs, self.straight_from)
        slopes = self.heading + self.curvature * bent
        return offsets + (self.heading + self.curvature * bent / 2) * bent + slopes * (xs - bent)


@dataclass(frozen=True)
class Strip:
    """A part of the ground between two lines along the road, from `start` to `stop`."""

    kind: int
    right: float
    left: float
    color: Rgb
    start: float = 0.5
    stop: float = _FAR


@dataclass(frozen=True)
class Line:
    """A painted line; a dashed one has marks of `dash` metres and gaps twice as long."""

    offset: float
    width: float
    color: Rgb
    dash: float | None = None
    phase: float = 0.0


class Thing(NamedTuple):
    """Something that stands on the ground, or hangs `z` above it, in a box.

    Args:
        shape: Its name in `shapes`.
        kind: Its class, a row of `SEG_CLASSES`.
        x: Of the middle of its box.
        y: Of the middle of its box.
        z: Of the bottom of its box.
        length: Along its heading.
        width: Across.
        height: Up.
        yaw: Of its heading, counterclockwise from x.
        palette: A colour for each role, red, green and blue one after the other.
        is_long: Whether it is a wall along the road, behind which nothing stands.
    """

    shape: str
    kind: int
    x: float
    y: float
    z: float
    length: float
    width: float
    height: float
    yaw: float
    palette: tuple[float, ...]
    is_long: bool = False


@dataclass(frozen=True)
class Layout:
    """A whole scene before a pixel of it is drawn.

    Args:
        scene: Light and weather.
        place: What stands beside the road.
        camera: Where it is seen from.
        road: Where the road runs.
        strips: Parts of the ground, later ones over earlier ones.
        lines: The lines on the road.
        things: All that stands there.
        sun: Direction to the sun or moon, x y z, of length 1.
        clouds: How much of the sky they cover, 0..1.
        exposure: All light is multiplied by it.
        texture_seed: What grain, clouds, lit windows and raindrops are taken from.
    """

    scene: Scene
    place: Place
    camera: Camera
    road: Road
    strips: tuple[Strip, ...]
    lines: tuple[Line, ...]
    things: tuple[Thing, ...]
    sun: Rgb
    clouds: float
    exposure: float
    texture_seed: int

    @functools.cached_property
    def boxes(self) -> NDArray[np.float64]:
        """x, y, z, length, width, height and yaw of each thing, (N, 7)."""
        return np.array([thing[2:9] for thing in self.things])


def draw_layout(key: int, size: tuple[int, int]) -> Layout:
    """The scene of a key; the size changes how it is seen and not what is there."""
    draw = Draws(key)
    scene = draw.one_of(SCENES)
    place = draw.one_of(_PLACES)
    focal = max(size) / 2 / math.tan(math.radians(draw.between(29, 38)))
    camera = Camera(
        size=size,
        focal=focal,
        height=draw.between(1.3, 2.0),
        pitch=math.radians(draw.between(-0.5, 5.5)),
        roll=math.radians(draw.between(-1, 1)),
    )
    azimuth = math.radians(draw.between(0, 360))
    elevation = math.radians(draw.between(6, 14) if scene == "dusk" else draw.between(25, 60))
    flat = math.cos(elevation)
    sun = flat * math.cos(azimuth), flat * math.sin(azimuth), math.sin(elevation)
    builder = _Builder(draw, place, is_dark=scene in ("dusk", "night"))
    builder.build()
    return Layout(
        scene=scene,
        place=place,
        camera=camera,
        road=builder.road,
        strips=tuple(builder.strips),
        lines=tuple(builder.lines),
        things=tuple(builder.things),
        sun=sun,
        clouds=draw.between(0.1, 0.9),
        exposure=draw.between(0.9, 1.1),
        texture_seed=int(draw.random() * 2**31),
    )


@dataclass
class _Builder:
    """Puts a scene together, from the road outwards."""

    draw: Draws
    place: Place
    is_dark: bool
    strips: list[Strip] = field(default_factory=list)
    lines: list[Line] = field(default_factory=list)
    things: list[Thing] = field(default_factory=list)
    #: x, y and radius of what stands on the ground already.
    taken: list[tuple[float, float, float]] = field(default_factory=list)

    def build(self) -> None:
        self._lay_road()
        self._lay_ground()
        self.crossing: float | None = None
        if not self.draw.chance(0.04):  # now and then there is a road and nothing on it
            self._cross()
            self._put_traffic(self.draw.one_of((0.0, 0.3, 0.5, 0.7, 0.85)))
            if self.has_parking:
                self._park()
            self._put_people(self.draw.one_of((0, 1, 2, 4, 6)))
            self._put_signs()
        for side in (1, -1):
            self._put_lamps(side)
            self._put_surroundings(side)
        self._put_horizon()

    def _lay_road(self) -> None:
        draw = self.draw
        is_wide = self.place == "motorway"
        self.road = Road(
            heading=draw.between(-0.025, 0.025),
            curvature=draw.between(-1, 1) * draw.one_of((0.0, 1 / 500, 1 / 220)),
            straight_from=draw.between(40, 80),
        )
        self.lane = draw.between(3.2, 3.7)
        self.num_right = 3 if is_wide else draw.one_of((1, 1, 2))
        self.num_left = draw.one_of((0, 3)) if is_wide else draw.one_of((1, 1, 2))
        if self.place in ("country", "suburb"):
            self.num_right = self.num_left = 1
        ego_lane = int(draw.random() * self.num_right)
        self.center = (ego_lane + 0.5) * self.lane + draw.between(-0.35, 0.35)
        self.has_parking = self.place == "city" and draw.chance(0.6)
        shoulder = 2.3 if self.has_parking or is_wide else 0.4
        self.right = self.center - self.num_right * self.lane
        self.left = self.center + self.num_left * self.lane
        self.road_right, self.road_left = self.right - shoulder, self.left + shoulder
        grey = draw.between(0.24, 0.42)
        self.asphalt = draw.shade((grey, grey, grey * 1.03), 0.05)
        white = draw.shade((0.88, 0.88, 0.86), 0.08)
        middle = draw.shade((0.85, 0.65, 0.15), 0.1) if draw.chance(0.25) else white
        width = draw.between(0.13, 0.2)
        dash = draw.between(2.5, 4)

        def dashed(offset: float) -> Line:
            return Line(offset, width, white, dash, draw.between(0, 3 * dash))

        for n in range(1, self.num_right):
            self.lines.append(dashed(self.center - n * self.lane))
        for n in range(1, self.num_left):
            self.lines.append(dashed(self.center + n * self.lane))
        self.lines.append(Line(self.right, width, white))
        self.lines.append(Line(self.left, width, white))
        if self.num_left and draw.chance(0.5):
            self.lines.append(Line(self.center, width, middle))
        elif self.num_left:
            self.lines.append(Line(self.center, width, middle, dash, draw.between(0, 3 * dash)))

    def _lay_ground(self) -> None:
        draw = self.draw
        grass = draw.shade(draw.one_of(_GRASS), 0.15)
        stone = draw.between(0.5, 0.66)
        slabs = draw.shade((stone, stone * 0.97, stone * 0.92), 0.04)
        is_paved = self.place in ("city", "suburb")
        self.walk = draw.between(2.4, 4.5) if is_paved else 0.0
        # A town is paved up to its walls, which begin where the pavement ends.
        kind, color = (PAVEMENT, slabs) if self.place == "city" else (TERRAIN, grass)
        self.strips.append(Strip(kind, -2000, 2000, draw.shade(color, 0.05), stop=4000))
        if is_paved:
            kerb = (min(stone * 1.25, 0.85),) * 3
            for edge, sign in ((self.road_left, 1), (self.road_right, -1)):
                outer = edge + sign * self.walk
                self.strips.append(Strip(PAVEMENT, min(edge, outer), max(edge, outer), slabs))
                outer = edge + sign * 0.22
                self.strips.append(Strip(PAVEMENT, min(edge, outer), max(edge, outer), kerb))
        self.strips.append(Strip(ROAD, self.road_right, self.road_left, self.asphalt))

    def _cross(self) -> None:
        """Now and then a side street, with someone crossing."""
        draw = self.draw
        if self.place == "motorway" or not draw.chance(0.3):
            return
        self.crossing = x = draw.between(16, 36)
        half = draw.between(3.2, 4.5)
        self.strips.append(Strip(ROAD, -70, 70, self.asphalt, x - half, x + half))
        _, yaw = self.road.at(x, 0)
        for side in (1, -1):
            if draw.chance(0.6):
                offset = draw.between(-7, 9)
                heading = yaw - side * math.pi / 2
                y, _ = self.road.at(x, offset)
                self._put_vehicle(x - side * half / 2, y, heading)

    def _put_traffic(self, density: float) -> None:
        draw = self.draw
        for n in range(-self.num_right, self.num_left):
            offset = self.center + (n + 0.5) * self.lane
            comes = n >= 0
            is_ego = abs(offset) < self.lane / 2
            x = draw.between(8, 20) if is_ego else draw.between(4.5, 18)
            while x < 62:
                if draw.chance(density):
                    y, yaw = self.road.at(x, offset + draw.between(-0.25, 0.25))
                    yaw += draw.between(-0.03, 0.03) + (math.pi if comes else 0)
                    self._put_vehicle(x, y, yaw)
                x += draw.between(8, 22)

    def _put_vehicle(self, x: float, y: float, yaw: float) -> None:
        draw = self.draw
        share = 0.34 if self.place == "motorway" else 0.22
        if draw.chance(share):
            name, length = draw.one_of((("box truck", 7.5), ("long truck", 11.0)))
            size = length, 2.5 * draw.between(0.96, 1.02), 3.5 * draw.between(0.9, 1.08)
            kind = FIRST_CLASS + 1
            cargo = draw.one_of(
                ((0.85, 0.85, 0.84), (0.7, 0.72, 0.75), draw.one_of(_VEHICLE_COLORS))
            )
            second = draw.shade(cargo, 0.1)
        else:
            name, size = draw.one_of(
                (
                    ("saloon", (4.5, 1.8, 1.45)),
                    ("hatchback", (3.9, 1.75, 1.5)),
                    ("suv", (4.6, 1.9, 1.75)),
                    ("van", (4.9, 1.95, 2.1)),
                )
            )
            factor = draw.between(0.95, 1.08)
            size = size[0] * factor, size[1] * factor, size[2] * factor
            kind, second = FIRST_CLASS, (0.5, 0.5, 0.5)
        x = max(x, size[0] / 2 + 1.5)  # none reaches behind the camera
        if not self._take(x, y, size[0] / 2 + 0.8):
            return
        main = draw.shade(draw.one_of(_VEHICLE_COLORS), 0.12)
        colors = {
            MAIN: main,
            SECOND: second,
            GLASS: draw.shade((0.13, 0.17, 0.21), 0.2),
            DARK: (0.07, 0.07, 0.08),
            HEADLIGHT: (0.93, 0.93, 0.85),
            TAILLIGHT: (0.72, 0.05, 0.05),
            METAL: draw.shade((0.6, 0.61, 0.63), 0.1),
        }
        self._put(name, kind, x, y, 0, size, yaw, colors)

    def _park(self) -> None:
        draw = self.draw
        for offset, turn in ((self.right - 1.2, 0.0), (self.left + 1.2, math.pi)):
            x = draw.between(5, 14)
            while x < 50:
                if draw.chance(0.45) and not self._is_crossing(x, 8):
                    y, yaw = self.road.at(x, offset)
                    self._put_vehicle(x, y, yaw + turn)
                x += draw.between(6, 9)

    def _put_people(self, number: int) -> None:
        draw = self.draw
        for _ in range(number if self.place != "motorway" else number // 3):
            x = draw.between(6, 30)
            is_crossing = draw.chance(0.2)
            side = draw.one_of((1, -1))
            edge = self.road_left if side > 0 else self.road_right
            offset = edge + side * draw.between(0.4, max(self.walk, 1.4) - 0.4)
            y, yaw = self.road.at(x, draw.between(-5, 5) if is_crossing else offset)
            yaw += draw.one_of((0, math.pi)) + draw.between(-0.3, 0.3)
            self._put_pedestrian(x, y, yaw + (math.pi / 2 if is_crossing else 0))
        for _ in range(draw.one_of((0, 1, 2, 3)) if self.place != "motorway" else 0):
            x = draw.between(6, 30)
            side = draw.one_of((1, -1, -1))
            edge = self.left if side > 0 else self.right
            y, yaw = self.road.at(x, edge - side * draw.between(0.2, 0.9))
            self._put_cyclist(x, y, yaw + (math.pi if side > 0 else 0))

    def _person_colors(self) -> dict[int, Rgb]:
        draw = self.draw
        return {
            MAIN: draw.shade(draw.one_of(_CLOTHES), 0.2),
            SECOND: draw.shade(draw.one_of(_TROUSERS), 0.2),
            DARK: draw.shade(draw.one_of(_HAIR), 0.2),
            SKIN: draw.one_of(_SKINS),
        }

    def _put_pedestrian(self, x: float, y: float, yaw: float) -> None:
        draw = self.draw
        if self._take(x, y, 0.6):
            height = 1.75 * draw.between(0.88, 1.08)
            name = draw.one_of(("standing", "walking", "striding"))
            size = 0.8, 0.62 * draw.between(0.95, 1.15), height
            self._put(name, FIRST_CLASS + 2, x, y, 0, size, yaw, self._person_colors())

    def _put_cyclist(self, x: float, y: float, yaw: float) -> None:
        draw = self.draw
        if self._take(x, y, 1.1):
            colors = self._person_colors()
            colors[DARK] = (0.06, 0.06, 0.07)
            colors[METAL] = draw.shade(draw.one_of(_VEHICLE_COLORS), 0.1)
            colors[TAILLIGHT] = draw.shade(draw.one_of(_CLOTHES), 0.1)  # the helmet
            size = 1.76, 0.62, 1.75 * draw.between(0.95, 1.05)
            self._put("cyclist", FIRST_CLASS + 3, x, y, 0, size, yaw, colors)

    def _put_signs(self) -> None:
        draw = self.draw
        for side in (-1, -1, 1):
            edge = self.road_left if side > 0 else self.road_right
            if draw.chance(0.55):
                x = draw.between(7, 26)
                self._put_sign(x, *self.road.at(x, edge + side * draw.between(0.5, 1.2)))
            is_light_likely = 0.75 if self.crossing else 0.4 if self.place == "city" else 0.15
            if draw.chance(is_light_likely):
                x = self.crossing - 6 if self.crossing else draw.between(9, 26)
                self._put_light(x, *self.road.at(x, edge + side * 0.6))

    def _put_sign(self, x: float, y: float, yaw: float) -> None:
        draw = self.draw
        if not self._take(x, y, 0.5):
            return
        name = draw.one_of(("limit", "no entry", "warning", "stop", "board"))
        side = draw.between(0.85, 1.15)
        size = (0.06, side, side)
        if name == "board":
            size = (0.06, draw.between(1.2, 2.6), draw.between(0.9, 1.5))
        colors: dict[int, Rgb] = {
            MAIN: draw.one_of(((0.05, 0.2, 0.6), (0.03, 0.35, 0.2), (0.85, 0.65, 0.1))),
            SECOND: (0.92, 0.92, 0.9),
            DARK: (0.08, 0.08, 0.08),
            TAILLIGHT: (0.78, 0.06, 0.06),
        }
        bottom = draw.between(1.7, 2.3)
        turn = math.pi + draw.between(-0.2, 0.2)
        self._put_pole(x + 0.12, y, bottom + size[2] * 0.9, 0.09)
        self._put(name, FIRST_CLASS + 4, x, y, bottom, size, yaw + turn, colors)

    def _put_light(self, x: float, y: float, yaw: float) -> None:
        draw = self.draw
        if not self._take(x, y, 0.5):
            return
        lit = draw.one_of((0, 0, 1, 2, 2))
        colors: dict[int, Rgb] = {
            DARK: draw.shade((0.1, 0.11, 0.1), 0.3),
            SECOND: (0.16, 0.16, 0.15),
            TAILLIGHT: ((1.0, 0.12, 0.08), (1.0, 0.65, 0.05), (0.1, 0.95, 0.45))[lit],
        }
        bottom = draw.between(2.2, 3.0)
        factor = draw.between(0.95, 1.2)
        size = 0.28, 0.6 * factor, 1.5 * factor
        self._put_pole(x + 0.25, y, bottom + 0.6, 0.14)
        turn = math.pi + draw.between(-0.15, 0.15)
        self._put(f"light {lit}", FIRST_CLASS + 5, x, y, bottom, size, yaw + turn, colors)

    def _put_pole(self, x: float, y: float, height: float, width: float) -> None:
        color = self.draw.shade((0.5, 0.51, 0.52), 0.2)
        self._put("pole", POLE, x, y, 0, (width, width, height), 0, {METAL: color})

    def _put_lamps(self, side: int) -> None:
        draw = self.draw
        if self.place == "country" or not draw.chance(0.55):
            return
        edge = self.road_left if side > 0 else self.road_right
        height = draw.between(6, 8.5)
        step = draw.between(16, 28)
        x = draw.between(7, 16)
        while x < 90:
            if not self._is_crossing(x, 6):
                y, yaw = self.road.at(x, edge + side * 0.15)
                # Its arm, to the left of it, must reach over the road.
                turn = math.pi if side > 0 else 0.0
                colors = {METAL: (0.42, 0.44, 0.46), HEADLIGHT: (0.95, 0.9, 0.75)}
                self._put("lamp", POLE, x, y, 0, (0.3, 2.4, height), yaw + turn, colors)
            x += step

    def _put_surroundings(self, side: int) -> None:
        edge = (self.road_left if side > 0 else self.road_right) + side * self.walk
        if self.place == "city":
            self._put_houses(side, edge + side * 0.2, "tower")
            if self.draw.chance(0.5):
                self._put_trees(side, edge - side * self.walk * 0.45, 0.5, 0.0)
        elif self.place == "suburb":
            if self.draw.chance(0.6):
                self._put_hedge(side, edge + side * 0.7)
            self._put_trees(side, edge + side * 3.0, 0.5, 1.5)
            self._put_houses(side, edge + side * self.draw.between(5, 9), "house")
        else:
            if self.place == "motorway":
                self._put_rail(side)
            self._put_bushes(side, edge + side * 2.5)
            self._put_trees(side, edge + side * 6.5, self.draw.between(0.1, 0.8), 4.0)
            if self.draw.chance(0.4):
                x = self.draw.between(35, 80)
                y, yaw = self.road.at(x, edge + side * self.draw.between(14, 25))
                self._put_house(x, y, yaw, "house", (12, 9, 7))

    def _put_houses(self, side: int, edge: float, name: str) -> None:
        draw = self.draw
        x = draw.between(4, 6.5)  # nearer ones would be beside the picture
        while x < 130:
            length = draw.between(7, 14)
            deep = draw.between(8, 12)
            height = draw.between(8, 26) if name == "tower" else draw.between(5.5, 8)
            if not self._is_crossing(x + length / 2, length / 2 + 5.5):
                y, yaw = self.road.at(x + length / 2, edge + side * deep / 2)
                self._put_house(x + length / 2, y, yaw, name, (length, deep, height))
            gap = draw.one_of((0.0, 0.0, 0.0, 4.0)) if name == "tower" else draw.between(3, 9)
            x += length + gap

    def _put_house(
        self, x: float, y: float, yaw: float, name: str, size: tuple[float, float, float]
    ) -> None:
        draw = self.draw
        wall = draw.shade(draw.one_of(_WALLS), 0.15)
        colors = {MAIN: wall, SECOND: draw.shade(draw.one_of(_ROOFS), 0.2), DARK: (0.3, 0.3, 0.31)}
        self._put(name, BUILDING, x, y, 0, size, yaw, colors, is_long=True)

    def _put_trees(self, side: int, edge: float, density: float, spread: float) -> None:
        draw = self.draw
        is_conifer = draw.chance(0.3)
        x = draw.between(5, 14)
        while x < 100:
            if draw.chance(density) and not self._is_crossing(x, 7):
                y, _ = self.road.at(x, edge + side * draw.between(-spread / 2, spread))
                name = "conifer" if is_conifer else f"round tree {int(draw.random() * 3)}"
                height = draw.between(4.5, 8) if self.place != "city" else draw.between(4.5, 6)
                width = height * (0.45 if is_conifer else 0.62)
                if self._take(x, y, 0.6):
                    self._put_green(name, x, y, (width, width, height))
            x += draw.between(4, 10)

    def _put_green(self, name: str, x: float, y: float, size: tuple[float, float, float]) -> None:
        draw = self.draw
        red, green, blue = draw.shade(draw.one_of(_LEAVES), 0.2)
        colors = {
            MAIN: (red, green, blue),
            SECOND: (red * 1.25, green * 1.2, blue * 1.15),
            DARK: (red * 0.7, green * 0.7, blue * 0.75),
            METAL: (0.3, 0.22, 0.16),
        }
        self._put(name, VEGETATION, x, y, 0, size, 0, colors)

    def _put_bushes(self, side: int, edge: float) -> None:
        draw = self.draw
        for _ in range(int(draw.between(0, 7))):
            x = draw.between(7, 50)
            y, _ = self.road.at(x, edge + side * draw.between(0, 8))
            width = draw.between(1.2, 3)
            if not self._is_crossing(x, 6) and self._take(x, y, width / 2):
                name = f"bush {int(draw.random() * 2)}"
                self._put_green(name, x, y, (width, width, width * draw.between(0.5, 0.7)))

    def _put_hedge(self, side: int, edge: float) -> None:
        draw = self.draw
        leaves = draw.shade(draw.one_of(_LEAVES), 0.2)
        height = draw.between(0.8, 1.6)
        colors = {MAIN: leaves, SECOND: draw.shade(leaves, 0.2)}
        x = draw.between(2, 5)
        while x < 80:
            y, yaw = self.road.at(x + 2.5, edge)
            if not self._is_crossing(x + 2.5, 7):
                size = (5.0, 0.8, height)
                self._put("hedge", VEGETATION, x + 2.5, y, 0, size, yaw, colors, is_long=True)
            x += 5 if draw.chance(0.8) else 9

    def _put_rail(self, side: int) -> None:
        """Posts along a motorway."""
        edge = (self.road_left if side > 0 else self.road_right) + side * 0.7
        x = self.draw.between(4, 10)
        while x < 70:
            y, yaw = self.road.at(x, edge)
            color = {METAL: (0.8, 0.8, 0.8)}
            self._put("pole", POLE, x, y, 0, (0.12, 0.16, 1.05), yaw, color)
            x += 12

    def _put_horizon(self) -> None:
        """Hills, or in a town high houses, far away."""
        draw = self.draw
        for _ in range(int(draw.between(3, 9))):
            angle = draw.between(-0.85, 0.85)
            if self.place == "city" and draw.chance(0.8):
                distance = draw.between(150, 240)
                wide, high = draw.between(15, 30), draw.between(15, 50)
                x, y = distance * math.cos(angle), distance * math.sin(angle)
                self._put_house(x, y, 0, "tower", (wide, wide, high))
            else:
                distance = draw.between(320, 900)
                wide, high = distance * draw.between(0.4, 1.2), distance * draw.between(0.02, 0.08)
                x, y = distance * math.cos(angle), distance * math.sin(angle)
                colors = {MAIN: draw.shade(draw.one_of(_LEAVES), 0.3)}
                name = f"hill {int(draw.random() * 2)}"
                self._put(name, VEGETATION, x, y, 0, (wide, wide, high), 0, colors)

    def _is_crossing(self, x: float, margin: float) -> bool:
        """Whether a place along the road is in the side street."""
        return self.crossing is not None and abs(x - self.crossing) < margin

    def _take(self, x: float, y: float, radius: float) -> bool:
        """Whether a place is free; it is not any more after this."""
        for other_x, other_y, other_radius in self.taken:
            reach = radius + other_radius
            if abs(x - other_x) < reach and abs(y - other_y) < min(reach, 2.2):
                return False
        self.taken.append((x, y, radius))
        return True

    def _put(
        self,
        shape: str,
        kind: int,
        x: float,
        y: float,
        z: float,
        size: tuple[float, float, float],
        yaw: float,
        colors: dict[int, Rgb],
        *,
        is_long: bool = False,
    ) -> None:
        palette = itertools.chain.from_iterable(map(colors.get, _ROLES, _GREYS))
        self.things.append(Thing(shape, kind, x, y, z, *size, yaw, tuple(palette), is_long))
