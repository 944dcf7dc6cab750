"""The ground truth of a drawing, read off the faces that its pixels show."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from hat.data.road_scenes.camera import NEAR, Array
from hat.data.road_scenes.drawing import Drawing, Floats, Ints
from hat.data.road_scenes.layout import FIRST_CLASS, Layout, Thing

#: Shares of an object that are hidden by others, from which on it is partly and largely occluded.
PARTLY, LARGELY = 0.1, 0.5
_CORNERS = np.array([(x, y, z) for x in (-0.5, 0.5) for y in (-0.5, 0.5) for z in (0, 1)])
_LANE_XS = np.geomspace(0.5, 70.0, 96)  # where along the road, in metres, lines are followed
_MIN_LANE_ROWS = 8  # a line must run through so many rows to be one


@dataclass(frozen=True)
class Objects:
    """What is found in a picture, the nearest object last.

    Args:
        things: Their places in the layout, (M,).
        boxes: Around their visible pixels, XYXY, (M, 4).
        ignored: Boxes of what is too small or too hidden to be found, (K, 4).
        visible: Share of each that nothing hides, (M,).
        instances: For each pixel the object that it shows, from 1; 0 where none, (H, W).
    """

    things: Ints
    boxes: Floats
    ignored: Floats
    visible: Array
    instances: NDArray[np.uint8]

    @property
    def masks(self) -> NDArray[np.bool_]:
        """The visible pixels of each, (M, H, W)."""
        numbers = np.arange(1, len(self.things) + 1, dtype=np.uint8)
        masks: NDArray[np.bool_] = self.instances == numbers[:, None, None]
        return masks


def find_objects(
    layout: Layout, drawing: Drawing, *, min_pixels: int, min_visible: float
) -> Objects:
    """The objects that have at least so many pixels, and of which so large a share is visible."""
    owners = drawing.faces.things
    has_box = drawing.faces.kinds >= FIRST_CLASS
    # The faces of a thing stand together, from the farthest thing to the nearest.
    is_first = (np.diff(owners, prepend=-1) != 0) & has_box
    things = owners[is_first]
    table = (np.cumsum(is_first) * has_box).astype(np.uint8)
    instances = np.take(table, drawing.ids)
    boxes = np.zeros((len(things), 4), np.float32)
    for row, window in enumerate(ndimage.find_objects(instances, len(things))):
        if window is not None:
            rows, columns = window
            boxes[row] = columns.start, rows.start, columns.stop, rows.stop
    num_pixels = np.bincount(instances.ravel(), minlength=len(things) + 1)[1:]
    visible = num_pixels / np.maximum(drawing.num_alone[things], 1)
    is_found = (num_pixels >= min_pixels) & (visible >= min_visible)
    renumbered = np.zeros(len(things) + 1, np.uint8)
    renumbered[1:][is_found] = np.arange(1, np.count_nonzero(is_found) + 1)
    return Objects(
        things=things[is_found],
        boxes=boxes[is_found],
        ignored=boxes[~is_found & (num_pixels > 0)],
        visible=visible[is_found],
        instances=np.take(renumbered, instances),
    )


def occlusion_levels(visible: Array) -> Ints:
    """0 visible, 1 partly hidden, 2 largely hidden."""
    return np.digitize(1 - visible, (PARTLY, LARGELY)).astype(np.int64)


def boxes_3d(things: list[Thing]) -> Floats:
    """Centre x y z, length, width, height and yaw of things, (M, 7)."""
    rows = [(t.x, t.y, t.z + t.height / 2, t.length, t.width, t.height, t.yaw) for t in things]
    boxes = np.array(rows, np.float32).reshape(-1, 7)
    boxes[:, 6] = (boxes[:, 6] + np.pi) % (2 * np.pi) - np.pi
    return boxes


def truncations(layout: Layout, things: list[Thing]) -> Floats:
    """The share of each box, as it is seen, that is outside the picture, (M,)."""
    table = np.array([thing[2:9] for thing in things]).reshape(-1, 7)
    local = _CORNERS * table[:, None, 3:6]
    cosine, sine = np.cos(table[:, 6:]), np.sin(table[:, 6:])
    world = np.stack(
        [
            table[:, :1] + cosine * local[..., 0] - sine * local[..., 1],
            table[:, 1:2] + sine * local[..., 0] + cosine * local[..., 1],
            table[:, 2:3] + local[..., 2],
        ],
        axis=-1,
    )
    in_camera = layout.camera.to_camera(world)
    np.maximum(in_camera[..., 2], NEAR, out=in_camera[..., 2])
    pixels = layout.camera.to_pixels(in_camera)
    low, high = pixels.min(axis=1), pixels.max(axis=1)
    height, width = layout.camera.size
    inside = np.clip(np.minimum(high, (width, height)) - np.maximum(low, 0), 0, None)
    return (1 - inside.prod(axis=1) / (high - low).prod(axis=1)).astype(np.float32)


def lane_lines(layout: Layout, num_points: int) -> Floats:
    """The middle of each line on the road, from near to far, (L, P, 2).

    The points of a line are spread evenly over the rows in which it is in the picture.
    What stands before a line does not end it, nor does the gap between two dashes.
    """
    height, width = layout.camera.size
    offsets = np.array([line.offset for line in layout.lines])[:, None]
    ys = layout.road.lateral(_LANE_XS, offsets)
    points = np.stack([np.broadcast_to(_LANE_XS, ys.shape), ys, np.zeros_like(ys)], axis=-1)
    pixels = layout.camera.to_pixels(layout.camera.to_camera(points))
    is_inside = np.all((pixels >= 0) & (pixels <= (width, height)), axis=-1)
    lanes = []
    for line, inside in zip(pixels, is_inside, strict=True):
        u, v = line[_longest_run(inside)].T
        if len(v) > 1 and v[0] - v[-1] >= min(_MIN_LANE_ROWS, height / 16):
            rows = np.linspace(v[0], v[-1], num_points)
            lanes.append(np.stack([np.interp(rows, v[::-1], u[::-1]), rows], axis=1))
    return np.array(lanes, np.float32).reshape(-1, num_points, 2)


def _longest_run(flags: NDArray[np.bool_]) -> slice:
    """Where the longest row of true values is."""
    edges = np.flatnonzero(np.diff(flags, prepend=False, append=False))
    if not len(edges):
        return slice(0, 0)
    longest = int(np.argmax(edges[1::2] - edges[::2]))
    return slice(int(edges[2 * longest]), int(edges[2 * longest + 1]))
