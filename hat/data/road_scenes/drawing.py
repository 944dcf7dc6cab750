"""Which face each pixel shows, and how far away it is.

Faces are numbered in the order in which they are drawn, from far to near, and each is
drawn with its number as its colour. Everything else about a pixel, its colour among it,
is then looked up, or computed from the plane that its face lies in: so labels and colours
cannot disagree.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from hat.data.road_scenes.camera import NEAR, Array, Camera
from hat.data.road_scenes.layout import FIRST_CLASS, LANE_LINE, Layout, Line, Rgb, Thing
from hat.data.road_scenes.shapes import shape

#: OpenCV takes whole numbers: coordinates are in eighths of a pixel.
_SHIFT = 3
_LIMIT = 1 << 28  # and are clipped to what it takes
_LINES_UNTIL = 150.0  # metres: farther lines are thinner than what can be drawn
_DASHES_UNTIL = 75.0
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
        albedo: Its own colour, (F, 3).
        normals: Where it looks, in the world, (F, 3).
        planes: a, b, c of 1 / depth = a u + b v + c at the pixel (u, v), and the least and
            greatest value of that on the face, (F, 5).
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
        np.clip(a, low, high, out=a)
        depth: Floats = np.divide(1, a, out=a)
        depth[self.ids == 0] = 0
        return depth


def planes_of(table: Array, ids: NDArray[np.intp]) -> Sequence[NDArray[Any]]:
    """The columns of a table (F, C) at each pixel: C arrays (H, W)."""
    rows = np.take(table.astype(np.float32), ids, axis=0)  # one pass for all columns
    return cv2.split(rows)


def draw_faces(layout: Layout) -> Drawing:
    """Draw the ground, then all things, the farthest first."""
    ids = np.zeros(layout.camera.size, np.uint16)
    areas = list(_ground_areas(layout))
    for number, outline in enumerate(_outlines(layout, areas), start=1):
        cv2.fillPoly(ids, [outline], number, cv2.LINE_8, _SHIFT)
    seen = _faces_of_things(layout.things, layout.camera)
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
    points = np.stack([xs, layout.road.lateral(xs, offsets), np.zeros_like(xs)], axis=1)
    camera = layout.camera
    pixels = fixed(camera.to_pixels(camera.to_camera(points)))
    start = 0
    for count in counts:
        yield pixels[start : start + 2 * count]
        start += 2 * count


@dataclass(frozen=True)
class _Seen:
    """The faces of things that are seen, from far to near.

    Args:
        faces: What is known of them.
        outlines: Their corners in OpenCV's fixed coordinates, (F, 12, 2).
        counts: How many of the corners count, (F,).
        windows: left, top, right, bottom of the pixels around each, (F, 4).
    """

    faces: Faces
    outlines: NDArray[np.int32]
    counts: Ints
    windows: NDArray[np.int32]


def _faces_of_things(things: Things, camera: Camera) -> _Seen:
    boxes = np.array([thing[2:9] for thing in things])  # x y z, l w h, yaw
    may_be_seen = _may_be_seen(boxes, camera)
    may_be_seen[0] = True  # one at least: arrays of no things have no shape
    in_view = np.flatnonzero(may_be_seen)
    shapes = [shape(things[number].shape) for number in in_view.tolist()]
    points = np.concatenate([each.points for each in shapes], axis=2)  # (3, 13, F)
    rows = np.concatenate([each.rows for each in shapes], axis=1)
    owners = np.repeat(in_view, [each.rows.shape[1] for each in shapes])

    # A face that looks away is dropped by three of its corners, before all are computed.
    turns = rows[3].astype(bool)
    normals, distances = _planes_of(_in_camera(points[:, :3], boxes, owners, turns, camera))
    seen = np.flatnonzero((distances < 0) | turns | rows[4].astype(bool))
    in_camera = _in_camera(points[:, :, seen], boxes, owners[seen], turns[seen], camera)
    corners = in_camera[:, :-1]
    nearest, farthest = corners[2].min(axis=0), corners[2].max(axis=0)
    height, width = camera.size
    u = corners[0] / corners[2] * camera.focal + width / 2
    v = corners[1] / corners[2] * camera.focal + height / 2
    left, right, top, bottom = u.min(axis=0), u.max(axis=0), v.min(axis=0), v.max(axis=0)
    is_seen = (nearest > NEAR) & (right > 0) & (left < width) & (bottom > 0) & (top < height)
    # What is smaller than a pixel would be drawn as a whole one, or more.
    is_seen &= (right - left > 1) | (bottom - top > 1)

    away = np.square(in_camera[:, -1]).sum(axis=0)
    rank = _distances(things, boxes)[owners[seen]]
    order = np.lexsort((-away, rows[2, seen], owners[seen], -rank))
    order = order[is_seen[order]]
    seen = seen[order]
    owners = owners[seen]
    edges = np.stack([left, top, right, bottom], axis=1)[order]
    faces = Faces(
        kinds=np.array([thing.kind for thing in things], np.uint8)[owners],
        things=owners,
        roles=rows[1, seen],
        albedo=np.array([thing.palette for thing in things])[owners, rows[1, seen]],
        normals=_unit(normals[:, seen].T @ camera.rotation, turns[seen]),
        planes=_planes(
            normals[:, seen].T, distances[seen], nearest[order], farthest[order], camera
        ),
    )
    outlines = fixed(np.stack([u[:, order].T, v[:, order].T], axis=-1))
    return _Seen(faces, outlines, rows[0, seen], fixed(edges) >> _SHIFT)


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


def _in_camera(
    points: Floats, boxes: Array, owners: Ints, turns: NDArray[np.bool_], camera: Camera
) -> Floats:
    """Points in shares of boxes, (3, N, F), in the camera's frame."""
    yaws = np.where(turns, np.arctan2(boxes[:, 1], boxes[:, 0])[owners], boxes[owners, 6])
    sizes = boxes[:, 3:6].T[:, owners]
    cosine, sine = np.cos(yaws), np.sin(yaws)
    # From shares of the box to the camera's frame in one matrix for each face.
    axes = np.empty((3, 3, len(owners)), np.float32)
    right, ahead, up = camera.rotation.T[:, :, None]
    axes[:, 0] = (right * cosine + ahead * sine) * sizes[0]
    axes[:, 1] = (ahead * cosine - right * sine) * sizes[1]
    axes[:, 2] = up * sizes[2]
    origins = camera.to_camera(boxes[:, :3]).T[:, owners].astype(np.float32)
    placed: Floats = axes[:, 0, None] * points[0]
    placed += axes[:, 1, None] * points[1]
    placed += axes[:, 2, None] * points[2]
    placed += origins[:, None]
    return placed


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
    normals[turns] = (0.0, 0.0, 1.0)
    unit: Array = normals / np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-12)
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
    slopes = normals / np.where(is_edge_on, np.inf, distances)[:, None]
    slopes[:, :2] /= camera.focal
    slopes[:, 2] -= slopes[:, 0] * (width / 2) + slopes[:, 1] * (height / 2)
    return np.column_stack([slopes, 1 / farthest, 1 / nearest])


def _with_ground(faces: Faces, areas: Sequence[_Area], camera: Camera) -> Faces:
    num_rows = 1 + len(areas)
    up = camera.rotation[:, 2]
    below, near, far = np.array([[-camera.height], [NEAR], [_FARTHEST]])
    plane = _planes(up[None], below, near, far, camera)
    ground = np.full(num_rows, -1)
    return Faces(
        kinds=np.concatenate(
            [np.array([0, *(area.kind for area in areas)], np.uint8), faces.kinds]
        ),
        things=np.concatenate([ground, faces.things]),
        roles=np.concatenate([ground, faces.roles]),
        albedo=np.concatenate([[(0.0, 0.0, 0.0)], [a.color for a in areas], faces.albedo]),
        normals=np.concatenate([np.tile((0.0, 0.0, 1.0), (num_rows, 1)), faces.normals]),
        planes=np.concatenate([np.repeat(plane, num_rows, axis=0), faces.planes]),
    )


def fixed(pixels: NDArray[Any]) -> NDArray[np.int32]:
    """Continuous coordinates as OpenCV's fixed ones, which count from the middle of a pixel."""
    parts = np.rint((pixels - 0.5) * (1 << _SHIFT))
    return np.clip(parts, -_LIMIT, _LIMIT).astype(np.int32)


def _fill(ids: NDArray[np.uint16], seen: _Seen, things: Things, first: int) -> Ints:
    """Draw faces with the numbers from `first`; how many pixels each thing has at first."""
    num_alone = np.zeros(len(things), np.int64)
    owners = seen.faces.things
    if not len(owners):
        return num_alone
    starts = np.flatnonzero(np.diff(owners, prepend=-1))
    low = np.maximum(np.minimum.reduceat(seen.windows[:, :2], starts) - 1, 0).tolist()
    high = np.maximum(np.maximum.reduceat(seen.windows[:, 2:], starts) + 3, 0).tolist()
    polygons = [
        outline[:count] for outline, count in zip(seen.outlines, seen.counts.tolist(), strict=True)
    ]
    stops = [*starts[1:].tolist(), len(owners)]
    for n, (start, stop) in enumerate(zip(starts.tolist(), stops, strict=True)):
        for number in range(start, stop):
            cv2.fillConvexPoly(ids, polygons[number], first + number, cv2.LINE_8, _SHIFT)
        owner = owners[start]
        if things[owner].kind >= FIRST_CLASS:
            # What has this thing's numbers or higher ones is its own: nothing was drawn later.
            (left, top), (right, bottom) = low[n], high[n]
            window = ids[top:bottom, left:right]
            num_alone[owner] = np.count_nonzero(window >= first + start)
    return num_alone
