"""What colour each pixel has: light, shadow, haze, windows, rain, and lamps at night."""

import functools
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from hat.data.road_scenes.camera import NEAR, Array, Camera
from hat.data.road_scenes.drawing import Drawing, Floats, fixed, planes_of
from hat.data.road_scenes.layout import (
    BUILDING,
    FIRST_CLASS,
    LANE_LINE,
    ROAD,
    SEG_CLASSES,
    TERRAIN,
    VEGETATION,
    Layout,
    Rgb,
    Scene,
)
from hat.data.road_scenes.shapes import HEADLIGHT, MAIN, TAILLIGHT

_TILE = 256  # side of the tiles of noise
_LIGHT = FIRST_CLASS + 5
_LAMP_REACH = 7.0  # metres around a street lamp that are lit
_THIN = ("lamp",)  # shapes whose boxes cast no shadow
_CORNERS = np.array([(1, 1, -1, -1), (1, -1, -1, 1)]) / 2  # of a box on the ground
#: Share of grain in the colour of each class.
_GRAIN = {ROAD: 0.16, TERRAIN: 0.3, VEGETATION: 0.3, BUILDING: 0.08, LANE_LINE: 0.1, 3: 0.12}


#: How bright the sun or moon is where it is in the sky.
_SUN_STRENGTH: dict[Scene, float] = {"day": 1.0, "dusk": 1.0, "night": 0.75, "rain": 0.0}


@dataclass(frozen=True)
class Light:
    """The light of a scene.

    Args:
        ambient: From everywhere.
        sun: From where the sun is.
        zenith: The sky above.
        horizon: The sky, and all that is far away, ahead.
        haze: Metres after which half of a colour is the horizon's.
        shadow: Share of light that is missing in a shadow.
        lamps: How bright lamps and lit windows are.
        beam: The light of the camera's own headlights, in shares of the ambient light.
    """

    ambient: Rgb
    sun: Rgb
    zenith: Rgb
    horizon: Rgb
    haze: float
    shadow: float
    lamps: float
    beam: float


LIGHTS: dict[Scene, Light] = {
    "day": Light(
        ambient=(0.56, 0.6, 0.66), sun=(0.62, 0.58, 0.5), zenith=(0.25, 0.46, 0.8),
        horizon=(0.74, 0.82, 0.9), haze=420, shadow=0.42, lamps=0.0, beam=0.0,
    ),
    "dusk": Light(
        ambient=(0.36, 0.33, 0.42), sun=(0.42, 0.24, 0.12), zenith=(0.2, 0.2, 0.4),
        horizon=(0.86, 0.5, 0.32), haze=260, shadow=0.3, lamps=0.55, beam=0.4,
    ),
    "night": Light(
        ambient=(0.18, 0.19, 0.25), sun=(0.04, 0.04, 0.06), zenith=(0.03, 0.035, 0.08),
        horizon=(0.1, 0.1, 0.16), haze=200, shadow=0.25, lamps=1.0, beam=2.4,
    ),
    "rain": Light(
        ambient=(0.5, 0.53, 0.57), sun=(0.0, 0.0, 0.0), zenith=(0.36, 0.39, 0.43),
        horizon=(0.54, 0.57, 0.6), haze=90, shadow=0.35, lamps=0.35, beam=0.3,
    ),
}  # fmt: skip


def paint(layout: Layout, drawing: Drawing, depth: Floats) -> NDArray[np.uint8]:
    """The picture, RGB, uint8, (H, W, 3)."""
    light = LIGHTS[layout.scene]
    ids = drawing.ids
    is_sky = ids == 0
    world = _world(layout.camera, depth)
    planes = planes_of(_lit(layout, drawing, light), ids)
    shade = _grain(layout, drawing, world)
    if light.lamps:
        _add_lamplight(layout, world, planes, light)
    shade *= _shadows(layout, drawing, light)
    for plane in planes:
        plane *= shade
    _put_windows(layout, drawing, world, planes, light)
    clear = np.square(depth * np.float32(1 / light.haze))
    clear += 1
    np.divide(1, clear, out=clear)  # the share of its own colour that is left
    for plane, horizon in zip(planes, light.horizon, strict=True):
        plane -= horizon
        plane *= clear
        plane += horizon
    _put_sky(layout, is_sky, planes, light)
    if layout.scene == "rain":
        _wet(layout, np.take(drawing.faces.kinds == ROAD, ids), planes)
    if light.lamps:
        _glow(drawing, planes, light)
    if layout.scene == "rain":
        _rain(layout, planes)
    return _developed(layout, cv2.merge(planes))


def _world(camera: Camera, depth: Floats) -> Floats:
    """Where in the world each pixel looks: x, y and z, (3, H, W)."""
    height, width = camera.size
    u = (np.arange(width) + 0.5 - width / 2) / camera.focal
    v = (np.arange(height) + 0.5 - height / 2) / camera.focal
    right, down, ahead = camera.rotation[:, :, None]
    rows = (right * u).astype(np.float32)[:, None]
    columns = (down * v + ahead).astype(np.float32)[:, :, None]
    world: Floats = rows + columns
    world *= depth
    world[2] += np.float32(camera.height)
    return world


def _lit(layout: Layout, drawing: Drawing, light: Light) -> Array:
    """The colour of each face in the light of the scene, shape (3, F)."""
    faces = drawing.faces
    slant = np.maximum(np.array(layout.sun) @ faces.normals, 0)
    ambient, sun = np.array([light.ambient, light.sun])[:, :, None]
    colors = faces.albedo * (ambient + slant * sun)
    # Lamps shine on their own: those of vehicles by night, those of traffic lights always.
    glows = _glowing(drawing)
    strength = np.where(faces.kinds == _LIGHT, 1.0, light.lamps)
    lit: Array = np.where(glows, np.maximum(colors, faces.albedo * strength), colors)
    return lit


def _glowing(drawing: Drawing) -> NDArray[np.bool_]:
    """Which faces are lamps."""
    faces = drawing.faces
    is_vehicle = (faces.kinds == FIRST_CLASS) | (faces.kinds == FIRST_CLASS + 1)
    is_red = (faces.roles == TAILLIGHT) & (is_vehicle | (faces.kinds == _LIGHT))
    is_lamp: NDArray[np.bool_] = (faces.roles == HEADLIGHT) | is_red
    return is_lamp


@functools.cache
def _noise() -> Floats:
    """A tile of grain, -1..1, coarse and fine, that repeats without a seam."""
    generator = np.random.Generator(np.random.PCG64(1))
    tile = np.zeros((_TILE, _TILE), np.float32)
    for step, weight in ((1, 0.5), (4, 0.35), (16, 0.35)):
        side = _TILE // step
        coarse = generator.random((side, side), np.float32) * 2 - 1
        wrapped = np.pad(coarse, 2, mode="wrap")
        large = cv2.resize(wrapped, None, fx=step, fy=step, interpolation=cv2.INTER_CUBIC)
        tile += weight * large[2 * step : 2 * step + _TILE, 2 * step : 2 * step + _TILE]
    return tile.ravel()


@functools.cache
def _clouds() -> Floats:
    """A tile of clouds, 0..1, that repeats without a seam."""
    generator = np.random.Generator(np.random.PCG64(2))
    tile = np.zeros((_TILE, _TILE), np.float32)
    for step, weight in ((64, 0.5), (32, 0.27), (16, 0.14), (8, 0.09)):
        side = _TILE // step
        wrapped = np.pad(generator.random((side, side), np.float32), 2, mode="wrap")
        large = cv2.resize(wrapped, None, fx=step, fy=step, interpolation=cv2.INTER_CUBIC)
        tile += weight * large[2 * step : 2 * step + _TILE, 2 * step : 2 * step + _TILE]
    return np.clip(tile, 0, 1).ravel()


def _from_tile(tile: Floats, first: NDArray[np.int32], second: NDArray[np.int32]) -> Floats:
    """What stands in a tile at coordinates modulo its side, which are overwritten."""
    first &= _TILE - 1
    first *= _TILE
    second &= _TILE - 1
    first += second
    return np.take(tile, first)


def _grain(layout: Layout, drawing: Drawing, world: Floats) -> Floats:
    """How much lighter or darker than its face each pixel is, around 1."""
    x, y, z = world
    shift = layout.texture_seed % 997
    # On the ground this is (x, y); on upright walls it still has two directions.
    first = cv2.addWeighted(x, 7, z, 14, shift, dtype=cv2.CV_32S)
    second = cv2.addWeighted(y, 7, z, 7, shift, dtype=cv2.CV_32S)
    grain = _from_tile(_noise(), first, second)
    amounts = np.zeros(len(SEG_CLASSES), np.float32)
    amounts[list(_GRAIN)] = list(_GRAIN.values())
    grain *= np.take(amounts[drawing.faces.kinds], drawing.ids)
    grain += 1
    return grain


def _shadows(layout: Layout, drawing: Drawing, light: Light) -> Floats:
    """The share of light that reaches each pixel of the ground."""
    shaded: NDArray[Any] = np.zeros(drawing.ids.shape, np.uint8)
    is_low = [thing.x < 60 and thing.z < 1 and thing.shape not in _THIN for thing in layout.things]
    fill, hull = cv2.fillConvexPoly, cv2.convexHull
    for outline in _shadow_outlines(layout, layout.boxes[is_low], light):
        fill(shaded, hull(outline), 255, cv2.LINE_8, 3)
    shaded = cv2.blur(shaded, (3, 3))
    num_ground = int(np.count_nonzero(drawing.faces.things < 0))
    shaded *= drawing.ids < num_ground
    share = shaded.astype(np.float32)
    share *= -light.shadow / 255
    share += 1
    return share


def _shadow_outlines(layout: Layout, boxes: Array, light: Light) -> NDArray[np.int32]:
    """Where on the ground the shadows of boxes end: what the sun casts, or what lies under them.

    Corners in OpenCV's fixed coordinates, (N, 4 or 8, 2).
    """
    x, y, _, length, width, height, yaw = boxes.T[:, :, None]
    along, across = _CORNERS[0] * length, _CORNERS[1] * width  # (N, 4)
    cosine, sine = np.cos(yaw), np.sin(yaw)
    points = np.zeros((len(boxes), 8 if max(light.sun) > 0.1 else 4, 3))
    points[:, :4, 0] = x + cosine * along - sine * across
    points[:, :4, 1] = y + sine * along + cosine * across
    if max(light.sun) > 0.1:
        throw = np.minimum(height, 9) * (0.9 / max(layout.sun[2], 0.25))
        points[:, 4:, 0] = points[:, :4, 0] - layout.sun[0] * throw
        points[:, 4:, 1] = points[:, :4, 1] - layout.sun[1] * throw
    in_camera = layout.camera.to_camera(points)
    is_ahead = in_camera[..., 2].min(axis=1) > NEAR
    return fixed(layout.camera.to_pixels(in_camera[is_ahead]))


def _add_lamplight(layout: Layout, world: Floats, planes: list[Floats], light: Light) -> None:
    """What the headlights of the camera's own vehicle and the street lamps add."""
    # Light is smooth: a quarter of the pixels is enough.
    x, y = np.ascontiguousarray(world[:2, ::2, ::2])
    spread = np.square(y / (x * np.float32(0.4) + 2))
    spread += x * np.float32(1 / 30)
    beam = np.exp(-spread, out=spread)
    beam *= np.float32(light.beam)
    if light.lamps > 0.5:
        for thing in layout.things:
            if thing.shape == "lamp" and thing.x < 60:
                distance = np.square(x - np.float32(thing.x))
                distance += np.square(y - np.float32(thing.y * 0.7))
                distance += np.float32(_LAMP_REACH**2)
                beam += np.float32(1.3 * light.lamps * _LAMP_REACH**2) / distance
    beam = _enlarged(beam, planes[0])
    for plane, warmth in zip(planes, (1.1, 0.95, 0.65), strict=True):
        factor = beam * np.float32(warmth)
        factor += 1
        plane *= factor


def _put_windows(
    layout: Layout, drawing: Drawing, world: Floats, planes: list[Floats], light: Light
) -> None:
    """Rows of windows on the walls of buildings, some of them lit when it is dark."""
    faces = drawing.faces
    is_wall = (faces.kinds == BUILDING) & (faces.roles == MAIN) & (np.abs(faces.normals[2]) < 0.5)
    where = np.flatnonzero(np.take(is_wall, drawing.ids))
    if not len(where):
        return
    face = np.take(drawing.ids, where)
    x, y, z = np.take(world.reshape(3, -1), where, axis=1)
    # Along the wall: to the left of where it looks.
    scaled = (faces.normals[:2] / 2.6).astype(np.float32)
    column = y * np.take(scaled[0], face)
    column -= x * np.take(scaled[1], face)
    row = (z - np.float32(0.4)) * np.float32(1 / 3)
    column_id, row_id = np.floor(column), np.floor(row)
    column -= column_id
    row -= row_id
    is_window = (np.abs(column - np.float32(0.5)) < 0.26) & (np.abs(row - np.float32(0.5)) < 0.25)
    tops = (layout.boxes[:, 5] * 0.96).astype(np.float32)[faces.things]
    is_window &= (row_id >= 0) & (z < np.take(tops, face))
    chosen = np.flatnonzero(is_window)
    where = where[chosen]
    cells = column_id[chosen].astype(np.int64) * 7919 + row_id[chosen].astype(np.int64) * 104729
    cells += (faces.things * 1299709)[face[chosen]] + layout.texture_seed
    cells = (cells * 2654435761 >> 12) & 255
    numbers = np.arange(256)
    is_lit = numbers < 110 * light.lamps
    glass = np.where(numbers & 1, 0.2, 0.3)
    for plane, ambient, color in zip(planes, light.ambient, (1.0, 0.82, 0.5), strict=True):
        colors = np.where(is_lit, color * (0.5 + numbers / 400), glass * ambient * 1.3)
        plane.reshape(-1)[where] = np.take(colors.astype(np.float32), cells)


def _put_sky(layout: Layout, is_sky: NDArray[np.bool_], planes: list[Floats], light: Light) -> None:
    """A gradient from the horizon up, clouds, and the sun or moon."""
    rows = np.flatnonzero(is_sky.any(axis=1))
    if not len(rows):
        return
    bottom = int(rows[-1]) + 1
    # The sky is smooth: a quarter of its pixels is enough.
    directions = _directions(layout.camera, bottom)
    x, y, z = directions
    rise = np.maximum(z, 0)
    blend = np.sqrt(np.minimum(rise * np.float32(1.6), 1))
    reach = np.float32(22) / (np.maximum(z, np.float32(0.02)) + np.float32(0.06))
    first, second = layout.texture_seed % 251, layout.texture_seed % 241
    cover = _from_tile(
        _clouds(),
        (x * reach + np.float32(first)).astype(np.int32),
        (y * reach + np.float32(second)).astype(np.int32),
    )
    level = 0.16 if layout.scene == "rain" else 0.8 - layout.clouds * 0.6
    cover -= np.float32(level)
    cover *= np.float32(3.2)
    np.minimum(np.maximum(cover, 0, out=cover), np.float32(0.85), out=cover)
    cover *= np.minimum(rise * np.float32(9), 1)
    horizon, zenith, ambient, sun = np.array(
        [light.horizon, light.zenith, light.ambient, light.sun], np.float32
    )[:, :, None, None]
    colors = blend * (zenith - horizon)
    colors += horizon
    colors += (ambient + np.float32(0.6) * sun - colors) * cover
    strength = np.float32(_SUN_STRENGTH[layout.scene])
    if strength:
        toward = x * np.float32(layout.sun[0])
        toward += y * np.float32(layout.sun[1])
        toward += z * np.float32(layout.sun[2])
        halo = np.square(np.square(np.square(np.maximum(toward, 0))))
        colors += halo * (sun * np.float32(0.35) * strength)
        toward -= np.float32(0.9985)
        toward *= 1500
        disc = np.minimum(np.maximum(toward, 0), 1) * (1 - cover)
        if disc.any():
            colors += (strength * (np.float32(0.85) + np.float32(0.25) * sun) - colors) * disc
    where = is_sky[:bottom].view(np.uint8)
    for plane, color in zip(planes, colors, strict=True):
        large = cv2.resize(color, (plane.shape[1], bottom), interpolation=cv2.INTER_LINEAR)
        cv2.copyTo(large, where, plane[:bottom])


def _directions(camera: Camera, bottom: int) -> Floats:
    """Where every other pixel of the upper rows looks: x, y, z of length 1, (3, H / 2, W / 2)."""
    height, width = camera.size
    num_columns, num_rows = -(-width // 2), -(-bottom // 2)
    u = (np.arange(num_columns) + 0.5) * (width / num_columns) - width / 2
    v = (np.arange(num_rows) + 0.5) * (bottom / num_rows) - height / 2
    u, v = u / camera.focal, v / camera.focal
    right, down, ahead = camera.rotation[:, :, None]
    rows = (right * u).astype(np.float32)[:, None]
    columns = (down * v + ahead).astype(np.float32)[:, :, None]
    directions: Floats = rows + columns
    directions /= np.sqrt(np.add.outer(v * v + 1, u * u).astype(np.float32))
    return directions


def _wet(layout: Layout, is_road: NDArray[np.bool_], planes: list[Floats]) -> None:
    """A wet road mirrors what stands above it, blurred downwards."""
    height = layout.camera.size[0]
    horizon = round(height / 2 - layout.camera.focal * np.tan(layout.camera.pitch))
    depth = min(height - horizon, horizon)
    if depth < 8:
        return
    rows = slice(horizon, horizon + depth)
    fade = np.linspace(0.5, 0.0, depth, dtype=np.float32)[:, None]
    for plane in planes:
        mirrored: NDArray[Any] = plane[horizon - depth : horizon][::-1]
        mirrored = cv2.blur(np.ascontiguousarray(mirrored), (3, 9))
        part = plane[rows]
        np.copyto(part, part + (mirrored - part) * fade, where=is_road[rows])


def _glow(drawing: Drawing, planes: list[Floats], light: Light) -> None:
    """Light spreads around lamps."""
    lamps = np.take(_glowing(drawing), drawing.ids[::2, ::2])
    if not lamps.any():
        return
    side = max(3, drawing.ids.shape[1] // 40) | 1
    shone = lamps * np.float32(2.2 * light.lamps)
    for plane in planes:
        halo: NDArray[Any] = plane[::2, ::2] * shone
        halo = cv2.blur(cv2.blur(halo, (side, side)), (side, side))
        plane += _enlarged(halo, plane)


def _enlarged(small: NDArray[Any], like: Floats) -> NDArray[Any]:
    """A smooth plane of a quarter of the pixels, at the size of another."""
    return cv2.resize(small, like.shape[::-1], interpolation=cv2.INTER_LINEAR)


def _rain(layout: Layout, planes: list[Floats]) -> None:
    """Streaks of falling drops."""
    height, width = layout.camera.size
    generator = np.random.Generator(np.random.PCG64(layout.texture_seed))
    number = int(60 + 80 * generator.random())
    starts = generator.random((number, 2)) * (width, height * 1.1) - (0, height * 0.1)
    lengths = height * (0.04 + 0.08 * generator.random(number))
    lean = generator.random() * 0.5 - 0.25
    ends = starts + np.stack([lean * lengths, lengths], axis=1)
    streaks: NDArray[Any] = np.zeros((height, width), np.uint8)
    lines = np.stack([starts, ends], axis=1)
    cv2.polylines(streaks, list(fixed(lines)), False, 70, 1, cv2.LINE_AA, 3)
    brightness = streaks * np.float32(0.6 / 255)
    for plane in planes:
        plane += brightness


@functools.lru_cache(maxsize=4)
def _sensor_noise(height: int, width: int) -> NDArray[np.float32]:
    """Noise of a sensor, a little larger than a picture, so that it can be shifted."""
    generator = np.random.Generator(np.random.PCG64(3))
    return generator.standard_normal((height + 32, width + 32, 3), np.float32)


def _developed(layout: Layout, picture: NDArray[Any]) -> NDArray[Any]:
    """As a camera delivers it: not quite sharp, with some noise, 8 bits."""
    height, width = layout.camera.size
    top, left = layout.texture_seed % 31, layout.texture_seed // 31 % 31
    amount = 0.026 if layout.scene == "night" else 0.014
    noise = _sensor_noise(height, width)[top : top + height, left : left + width]
    picture = cv2.addWeighted(picture, 1, noise, amount, 0)
    picture = cv2.convertScaleAbs(picture, alpha=255 * layout.exposure)
    return cv2.GaussianBlur(picture, (3, 3), 0.45)
