"""Which face each pixel shows, and how far away it is.

Faces are numbered in the order in which they are drawn, from far to near, and each is
drawn with its number as its colour. Everything else about a pixel, its colour among it,
is then looked up, or computed from the plane that its face lies in: so labels and colours
cannot disagree.
"""

import functools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from hat.data.road_scenes.camera import NEAR, Array, Camera
from hat.data.road_scenes.layout import FIRST_CLASS, LANE_LINE, Layout, Line, Rgb, Thing
from hat.data.road_scenes.shapes import NUM_ROLES, catalog

#: OpenCV takes whole numbers: coordinates are in eighths of a pixel.
_SHIFT = 3
_LIMIT = 1 << 28  # and are clipped to what it takes
_LINES_UNTIL = 150.0  # metres: farther lines are thinner than what can be drawn
_DASHES_UNTIL = 75.0
_MAX_LEVELS = 16  # in a shape
_FARTHEST = 5000.0  # metres, of the ground

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]
Things = Sequence[Thing]


@dataclass(frozen=True)
class Faces:
    """What is known of each face, a row each.

    Args:
        kinds: Rows of `SEG_CLASSES`, (F,).
        things: Of which thing it is a part, (F,), -1 for sky and ground.
        roles: Whose colour of the palette it has, (F,).
        albedo: Its own colour, (3, F).
        normals: Where it looks, in the world, (3, F).
        planes: a, b, c of 1 / depth = a u + b v + c at the pixel (u, v), and the least and
            greatest value of that on the face, (5, F).
    """

    kinds: NDArray[np.uint8]
    things: Ints
    roles: Ints
    albedo: Array
    normals: Array
    planes: Array


@dataclass(frozen=True)
class Drawing:
    """A layout as the camera sees it.

    Args:
        ids: The face that each pixel shows, (H, W).
        faces: What is known of these. Row 0 is the sky, then comes the ground.
        num_alone: For each thing, how many pixels it would have if nothing stood before
            it; counted only for what has a box.
    """

    ids: NDArray[np.intp]
    faces: Faces
    num_alone: Ints

    def depth(self) -> Floats:
        """Metres along the view of the camera for each pixel; 0 for the sky."""
        height, width = self.ids.shape
        a, b, c, low, high = planes_of(self.faces.planes, self.ids)
        a *= np.arange(width, dtype=np.float32) + np.float32(0.5)
        b *= (np.arange(height, dtype=np.float32) + np.float32(0.5))[:, None]
        a += b
        a += c
        # A pixel on the rim of a face has its centre up to a pixel beside it.
        np.minimum(np.maximum(a, low, out=a), high, out=a)  # faster than `clip`
        depth: Floats = np.divide(1, a, out=a)
        np.copyto(depth, 0, where=self.ids == 0)
        return depth


def planes_of(table: Array, ids: NDArray[np.intp]) -> list[NDArray[Any]]:
    """The rows of a table (C, F) at each pixel: C arrays (H, W)."""
    return [np.take(row, ids) for row in table.astype(np.float32, order="C")]


def draw_faces(layout: Layout) -> Drawing:
    """Draw the ground, then all things, the farthest first."""
    ids = np.zeros(layout.camera.size, np.uint16)
    areas = list(_ground_areas(layout))
    for number, outline in enumerate(_outlines(layout, areas), start=1):
        cv2.fillPoly(ids, [outline], number, cv2.LINE_8, _SHIFT)
    seen = _faces_of_things(layout)
    num_alone = _fill(ids, seen, layout.things, first=len(areas) + 1)
    return Drawing(ids.astype(np.intp), _with_ground(seen.faces, areas, layout.camera), num_alone)


@dataclass(frozen=True)
class _Area:
    """A part of the ground: what it is, its colour, and its rim along the road."""

    kind: int
    color: Rgb
    right: float
    left: float
    xs: list[float]


def _ground_areas(layout: Layout) -> Iterator[_Area]:
    for strip in layout.strips:
        xs = _stations(strip.start, strip.stop)
        yield _Area(strip.kind, strip.color, strip.right, strip.left, xs)
    for line in layout.lines:
        right, left = line.offset - line.width / 2, line.offset + line.width / 2
        for start, stop in _painted(line):
            yield _Area(LANE_LINE, line.color, right, left, _stations(start, stop))


def _painted(line: Line) -> Iterator[tuple[float, float]]:
    """Where along the road a line is painted."""
    if line.dash is None:
        yield 0.5, _LINES_UNTIL
        return
    start = line.phase - 3 * line.dash
    while start < _DASHES_UNTIL:
        if start + line.dash > 0.7:
            yield max(start, 0.5), start + line.dash
        start += 3 * line.dash


@functools.lru_cache(maxsize=64)
def _stations(start: float, stop: float) -> list[float]:
    """Values of x from one to another, denser where the camera is near."""
    if stop - start < 10:
        return [start, stop]
    ratio = (stop / start) ** (1 / 15)
    return [start * ratio**n for n in range(16)]


def _outlines(layout: Layout, areas: Sequence[_Area]) -> Iterator[NDArray[np.int32]]:
    xs = np.array([x for area in areas for x in (*area.xs, *area.xs[::-1])])
    counts = [len(area.xs) for area in areas]
    sides = [side for area in areas for side in (area.right, area.left)]
    offsets = np.repeat(sides, np.repeat(counts, 2))
    places = layout.camera.ground_to_pixels(xs, layout.road.lateral(xs, offsets))
    pixels = fixed(np.stack(places, axis=1))
    start = 0
    for count in counts:
        yield pixels[start : start + 2 * count]
        start += 2 * count


@dataclass(frozen=True)
class _Seen:
    """The faces of things that are seen, from far to near.

    Args:
        faces: What is known of them.
        polygons: Their corners in OpenCV's fixed coordinates, (N, 2) each.
        windows: left, top, right, bottom of the pixels around each, (4, F).
    """

    faces: Faces
    polygons: list[NDArray[np.int32]]
    windows: NDArray[np.int32]


def _faces_of_things(layout: Layout) -> _Seen:
    things, boxes, camera = layout.things, layout.boxes, layout.camera
    may_be_seen = _may_be_seen(boxes, camera)
    may_be_seen[0] = True  # one at least: arrays of no things have no shape
    in_view = np.flatnonzero(may_be_seen)
    in_view = in_view[np.argsort(-_distances(things, boxes)[in_view], kind="stable")]
    palettes = np.array([things[number].palette for number in in_view.tolist()])
    columns, places = _faces_before(layout, in_view)
    rows = catalog().rows[:, columns]
    owners = in_view[places]
    turns = rows[3].astype(bool)

    # One matrix for each face; those of what turns to the camera stand behind the others.
    yaws = np.concatenate([boxes[:, 6], np.arctan2(boxes[:, 1], boxes[:, 0])])
    axes = axes_of(np.concatenate([boxes, boxes]), yaws, camera).astype(np.float32)
    axes = axes[:, :, owners + len(boxes) * turns]
    num_quads = int(np.count_nonzero(rows[0] <= 4))
    quads = _placed(catalog().quads, columns[:num_quads], axes[..., :num_quads])
    rounds = _placed(catalog().points, columns[num_quads:], axes[..., num_quads:])
    pixels, bounds = zip(_seen_by(quads, camera), _seen_by(rounds, camera), strict=True)
    edges = np.concatenate(bounds, axis=1)
    nearest, farthest, left, top, right, bottom = edges
    height, width = camera.size
    is_seen = (nearest > NEAR) & (right > 0) & (left < width) & (bottom > 0) & (top < height)
    # What is smaller than a pixel would be drawn as a whole one, or more.
    is_seen &= (right - left > 1) | (bottom - top > 1)

    middles = np.concatenate([quads[:, -1], rounds[:, -1]], axis=1)
    away = np.square(middles).sum(axis=0)
    # Last by their place in the shape, where what is written on a sign follows the sign.
    order = np.lexsort((columns, -away, places * _MAX_LEVELS + rows[2]))
    order = order[is_seen[order]]
    corners = np.concatenate([quads[:, :3], rounds[:, :3]], axis=2)
    normals, distances = _planes_of(corners[:, :, order])
    owners, roles = owners[order], rows[1, order]
    colors = palettes.reshape(-1, 3)[places[order] * NUM_ROLES + roles]
    faces = Faces(
        kinds=np.array([thing.kind for thing in things], np.uint8)[owners],
        things=owners,
        roles=roles,
        albedo=colors.T,
        normals=_unit(camera.rotation.T @ normals, turns[order]),
        planes=_planes(normals, distances, nearest[order], farthest[order], camera),
    )
    polygons = [*pixels[0], *pixels[1]]
    windows = fixed(edges[2:, order]) >> _SHIFT
    return _Seen(faces, [polygons[number] for number in order.tolist()], windows)


def _faces_before(layout: Layout, in_view: Ints) -> tuple[Ints, Ints]:
    """Which faces look to the camera: columns of the catalog, and the place of their thing.

    Those with up to four corners come first.
    """
    shapes = catalog()
    parts = [shapes.columns[layout.things[number].shape] for number in in_view.tolist()]
    columns = np.concatenate(parts)
    places = np.repeat(np.arange(len(parts)), [len(part) for part in parts])
    x, y, z, length, width, height, yaw = layout.boxes[in_view].T
    cosine, sine = np.cos(yaw), np.sin(yaw)
    eyes = np.stack(  # where the camera is, in shares of each box
        [
            -(cosine * x + sine * y) / length,
            (sine * x - cosine * y) / width,
            (layout.camera.height - z) / height,
            np.full(len(x), -1.0),
        ]
    )
    sides = np.einsum("af,af->f", shapes.planes[:, columns], eyes[:, places])
    is_before = (sides > 0) | shapes.has_no_back[columns]
    is_quad = shapes.rows[0, columns] <= 4
    seen = np.concatenate(
        [np.flatnonzero(is_before & is_quad), np.flatnonzero(is_before & ~is_quad)]
    )
    return columns[seen], places[seen]


def axes_of(boxes: Array, yaws: Array, camera: Camera) -> Array:
    """Length, width and height of boxes and where they stand, in the camera's frame, (4, 3, N)."""
    x, y, z, length, width, height, _ = boxes.T
    cosine, sine = np.cos(yaws), np.sin(yaws)
    ahead, left, up = camera.rotation.T[:, :, None]  # the axes of the world
    axes = np.empty((4, 3, len(boxes)))
    axes[0] = (ahead * cosine + left * sine) * length
    axes[1] = (left * cosine - ahead * sine) * width
    axes[2] = up * height
    axes[3] = ahead * x + left * y + up * (z - camera.height)
    return axes


def _placed(points: Floats, columns: Ints, axes: Floats) -> Floats:
    """Faces of the catalog in the camera's frame, (3, N, F)."""
    x, y, z = np.take(points, columns, axis=2)
    placed: Floats = axes[0, :, None] * x
    placed += axes[1, :, None] * y
    placed += axes[2, :, None] * z
    placed += axes[3, :, None]
    return placed


def _seen_by(placed: Floats, camera: Camera) -> tuple[NDArray[np.int32], Floats]:
    """The corners of faces as OpenCV takes them, (F, N, 2), and the limits of these.

    These are the least and greatest depth, and left, top, right, bottom, (6, F).
    """
    corners = placed[:, :-1]
    height, width = camera.size
    pixels = np.empty((corners.shape[2], corners.shape[1], 2), np.float32)
    bounds = np.empty((6, corners.shape[2]), np.float32)
    corners[2].min(axis=0, out=bounds[0])
    corners[2].max(axis=0, out=bounds[1])
    for axis, middle in enumerate((width / 2, height / 2)):
        places = corners[axis] / corners[2]
        places *= camera.focal
        places += middle
        places.min(axis=0, out=bounds[2 + axis])
        places.max(axis=0, out=bounds[4 + axis])
        pixels[..., axis] = places.T
    return fixed(pixels), bounds


def _may_be_seen(boxes: Array, camera: Camera) -> NDArray[np.bool_]:
    """Whether the ball around a box reaches between the planes left and right of the view."""
    middles = boxes[:, :3].copy()
    middles[:, 2] += boxes[:, 5] / 2
    x, y, z = camera.to_camera(middles).T
    radius = np.linalg.norm(boxes[:, 3:6], axis=1) / 2
    height, width = camera.size
    beside = (np.abs(x) * camera.focal - z * (width / 2)) / np.hypot(camera.focal, width / 2)
    above = (np.abs(y) * camera.focal - z * (height / 2)) / np.hypot(camera.focal, height / 2)
    is_near: NDArray[np.bool_] = (beside < radius) & (above < radius) & (z + radius > NEAR)
    return is_near


def _planes_of(corners: Floats) -> tuple[Floats, Floats]:
    """The normals of faces by three corners, (3, 3, F), and how far along them they are."""
    (ax, ay, az), (bx, by, bz) = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    normals = np.stack([ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx])
    return normals, (normals * corners[:, 0]).sum(axis=0)


def _distances(things: Things, boxes: Array) -> Array:
    """By how far away things are drawn one over the other.

    It is the distance of the nearest point of a thing, so that what stands beside a lorry
    is behind it; but the farthest point of the side of a wall along the road, so that what
    stands before the wall is in front of it.
    """
    x, y, _, length, width, _, yaw = boxes.T
    cosine, sine = np.cos(yaw), np.sin(yaw)
    along, across = -(cosine * x + sine * y), sine * x - cosine * y  # the camera, from the thing
    reach, side = length / 2, width / 2
    near = np.hypot(along - np.clip(along, -reach, reach), across - np.clip(across, -side, side))
    far = np.hypot(np.abs(along) + reach, np.abs(across) - side)
    distances: Array = np.where([thing.is_long for thing in things], far, near)
    return distances


def _unit(normals: NDArray[Any], turns: NDArray[np.bool_]) -> Array:
    """Normals of the world with length 1; what turns to the camera is lit as if from above."""
    lengths = np.sqrt(np.square(normals).sum(axis=0))
    unit: Array = normals / np.maximum(lengths, 1e-12)
    unit[:, turns] = ((0.0,), (0.0,), (1.0,))
    return unit


def _planes(
    normals: NDArray[Any],
    distances: NDArray[Any],
    nearest: NDArray[Any],
    farthest: NDArray[Any],
    camera: Camera,
) -> Array:
    """See `Faces`: a point at the depth z has normal . ray = distance / z."""
    height, width = camera.size
    is_edge_on = np.abs(distances) < 1e-9
    planes = np.empty((5, len(distances)))
    np.divide(normals, np.where(is_edge_on, np.inf, distances), out=planes[:3])
    planes[:2] /= camera.focal
    planes[2] -= planes[0] * (width / 2) + planes[1] * (height / 2)
    np.divide(1, farthest, out=planes[3])
    np.divide(1, nearest, out=planes[4])
    return planes


def _with_ground(faces: Faces, areas: Sequence[_Area], camera: Camera) -> Faces:
    num_rows = 1 + len(areas)
    up = camera.rotation[:, 2]
    below, near, far = np.array([[-camera.height], [NEAR], [_FARTHEST]])
    normals = np.zeros((3, num_rows))
    normals[2] = 1
    colors = np.array([(0.0, 0.0, 0.0), *(area.color for area in areas)])
    plane = _planes(up[:, None], below, near, far, camera)
    ground = np.full(num_rows, -1)
    return Faces(
        kinds=np.concatenate(
            [np.array([0, *(area.kind for area in areas)], np.uint8), faces.kinds]
        ),
        things=np.concatenate([ground, faces.things]),
        roles=np.concatenate([ground, faces.roles]),
        albedo=np.concatenate([colors.T, faces.albedo], axis=1),
        normals=np.concatenate([normals, faces.normals], axis=1),
        planes=np.concatenate([np.repeat(plane, num_rows, axis=1), faces.planes], axis=1),
    )


def fixed(pixels: NDArray[Any]) -> NDArray[np.int32]:
    """Continuous coordinates as OpenCV's fixed ones, which count from the middle of a pixel."""
    parts = (pixels - 0.5) * (1 << _SHIFT)
    np.rint(parts, out=parts)
    np.minimum(np.maximum(parts, -_LIMIT, out=parts), _LIMIT, out=parts)
    return parts.astype(np.int32)


def _fill(ids: NDArray[np.uint16], seen: _Seen, things: Things, first: int) -> Ints:
    """Draw faces with the numbers from `first`; how many pixels each thing has at first."""
    num_alone = np.zeros(len(things), np.int64)
    owners = seen.faces.things
    if not len(owners):
        return num_alone
    starts = np.concatenate([[0], np.flatnonzero(owners[1:] != owners[:-1]) + 1])
    low = np.maximum(np.minimum.reduceat(seen.windows[:2], starts, axis=1) - 1, 0)
    high = np.maximum(np.maximum.reduceat(seen.windows[2:], starts, axis=1) + 3, 0)
    fill, done = cv2.fillConvexPoly, 0
    for n in np.flatnonzero(seen.faces.kinds[starts] >= FIRST_CLASS).tolist():
        start, stop = int(starts[n]), int(starts[n + 1]) if n + 1 < len(starts) else len(owners)
        for number in range(done, stop):
            fill(ids, seen.polygons[number], first + number, cv2.LINE_8, _SHIFT)
        done = stop
        # What has this thing's numbers or higher ones is its own: nothing was drawn later.
        (left, top), (right, bottom) = low[:, n].tolist(), high[:, n].tolist()
        window = ids[top:bottom, left:right]
        num_alone[owners[start]] = np.count_nonzero(window >= first + start)
    for number in range(done, len(owners)):
        fill(ids, seen.polygons[number], first + number, cv2.LINE_8, _SHIFT)
    return num_alone
