"""The ground truth of a drawing, read off the faces that its pixels show."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from hat.data.road_scenes.camera import NEAR, Array
from hat.data.road_scenes.drawing import Drawing, Floats, Ints, axes_of
from hat.data.road_scenes.layout import FIRST_CLASS, Layout

#: Shares of an object that are hidden by others, from which on it is partly and largely occluded.
PARTLY, LARGELY = 0.1, 0.5
_CORNERS = np.array([(x, y, z, 1) for x in (-0.5, 0.5) for y in (-0.5, 0.5) for z in (0, 1)])
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
        masks: The visible pixels of each, (M, H, W).
    """

    things: Ints
    boxes: Floats
    ignored: Floats
    visible: Array
    masks: NDArray[np.bool_]


def find_objects(
    layout: Layout, drawing: Drawing, *, min_pixels: int, min_visible: float
) -> Objects:
    """The objects that have at least so many pixels, and of which so large a share is visible."""
    owners = drawing.faces.things
    has_box = drawing.faces.kinds >= FIRST_CLASS
    # The faces of a thing stand together, from the farthest thing to the nearest.
    is_first = has_box.copy()
    is_first[1:] &= owners[1:] != owners[:-1]
    things = owners[is_first]
    table = (np.cumsum(is_first) * has_box).astype(np.uint8)
    instances = np.take(table, drawing.ids)
    numbers = np.arange(1, len(things) + 1, dtype=np.uint8)
    masks: NDArray[np.bool_] = instances == numbers[:, None, None]
    places = np.array([cv2.boundingRect(mask) for mask in masks.view(np.uint8)], np.float32)
    boxes = places.reshape(-1, 4)
    boxes[:, 2:] += boxes[:, :2]
    num_pixels = np.array([np.count_nonzero(mask) for mask in masks], np.int64)
    visible = num_pixels / np.maximum(drawing.num_alone[things], 1)
    is_found = (num_pixels >= min_pixels) & (visible >= min_visible)
    return Objects(
        things=things[is_found],
        boxes=boxes[is_found],
        ignored=boxes[~is_found & (num_pixels > 0)],
        visible=visible[is_found],
        masks=masks[is_found],
    )


def occlusion_levels(visible: Array) -> Ints:
    """0 visible, 1 partly hidden, 2 largely hidden."""
    return np.digitize(1 - visible, (PARTLY, LARGELY)).astype(np.int64)


def boxes_3d(layout: Layout, numbers: Ints) -> Floats:
    """Centre x y z, length, width, height and yaw of things, (M, 7)."""
    rows = layout.boxes[numbers]
    rows[:, 2] += rows[:, 5] / 2
    boxes = rows.astype(np.float32)
    boxes[:, 6] = (boxes[:, 6] + np.pi) % (2 * np.pi) - np.pi
    return boxes


def truncations(layout: Layout, numbers: Ints) -> Floats:
    """The share of the box of each thing, as it is seen, that is outside the picture, (M,)."""
    boxes = layout.boxes[numbers]
    axes = axes_of(boxes, boxes[:, 6], layout.camera)
    x, y, z = (_CORNERS @ axes.reshape(4, -1)).reshape(8, 3, -1).transpose(1, 0, 2)
    z = np.maximum(z, NEAR)
    shown = whole = np.ones(len(boxes))
    for places, length in zip((x, y), layout.camera.size[::-1], strict=True):
        pixels = places / z
        pixels *= layout.camera.focal
        pixels += length / 2
        low, high = pixels.min(axis=0), pixels.max(axis=0)
        whole = whole * (high - low)
        shown = shown * np.maximum(np.minimum(high, length) - np.maximum(low, 0), 0)
    return (1 - shown / whole).astype(np.float32)


def lane_lines(layout: Layout, num_points: int) -> Floats:
    """The middle of each line on the road, from near to far, (L, P, 2).

    The points of a line are spread evenly over the rows in which it is in the picture.
    What stands before a line does not end it, nor does the gap between two dashes.
    """
    height, width = layout.camera.size
    offsets = np.array([line.offset for line in layout.lines])[:, None]
    ys = layout.road.lateral(_LANE_XS, offsets)
    u, v = layout.camera.ground_to_pixels(_LANE_XS, ys)
    is_inside = (u >= 0) & (u <= width) & (v >= 0) & (v <= height)
    runs = []
    for number, (start, stop) in enumerate(_longest_runs(is_inside)):
        tall = stop - start > 1 and v[number, start] - v[number, stop - 1]
        if tall and tall >= min(_MIN_LANE_ROWS, height / 16):
            runs.append((number, start, stop))
    lanes = np.empty((len(runs), num_points, 2), np.float32)
    shares = np.linspace(0, 1, num_points)
    for lane, (number, start, stop) in zip(lanes, runs, strict=True):
        first, last = v[number, start], v[number, stop - 1]
        rows = first + (last - first) * shares
        lane[:, 0] = np.interp(rows, v[number, start:stop][::-1], u[number, start:stop][::-1])
        lane[:, 1] = rows
    return lanes


def _longest_runs(flags: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """Where in each row the longest run of true values starts and stops."""
    padded = np.zeros((len(flags), flags.shape[1] + 2), bool)
    padded[:, 1:-1] = flags
    runs = [(0, 0)] * len(flags)
    numbers, edges = np.nonzero(padded[:, 1:] != padded[:, :-1])
    places = edges.tolist()
    pairs = zip(numbers[::2].tolist(), places[::2], places[1::2], strict=True)
    for number, start, stop in pairs:
        if stop - start > runs[number][1] - runs[number][0]:
            runs[number] = start, stop
    return runs
