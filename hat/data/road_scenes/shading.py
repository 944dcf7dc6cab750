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
    TERRAIN,
    VEGETATION,
    Layout,
    Rgb,
    Scene,
    Thing,
)
from hat.data.road_scenes.shapes import HEADLIGHT, MAIN, TAILLIGHT

_TILE = 256  # side of the tiles of noise
_LIGHT = FIRST_CLASS + 5
_LAMP_REACH = 7.0  # metres around a street lamp that are lit
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
    planes = list(planes_of(_lit(layout, drawing, light), ids))
    kinds = np.take(drawing.faces.kinds, ids)
    shade = _grain(layout, kinds, world)
    if light.lamps:
        _add_lamplight(layout, world, planes, light)
    shade *= _shadows(layout, drawing, light)
    for plane in planes:
        plane *= shade
    _put_windows(layout, drawing, kinds, world, planes, light)
    clear = 1 / (1 + np.square(depth / light.haze))  # the share of its own colour that is left
    for plane, horizon in zip(planes, light.horizon, strict=True):
        plane -= horizon
        plane *= clear
        plane += horizon
    _put_sky(layout, is_sky, planes, light)
    if layout.scene == "rain":
        _wet(layout, kinds == ROAD, planes)
    if light.lamps:
        _glow(drawing, planes, light)
    if layout.scene == "rain":
        _rain(layout, planes)
    return _developed(layout, cv2.merge(planes))


def _world(camera: Camera, depth: Floats) -> tuple[Floats, Floats, Floats]:
    """Where in the world each pixel looks: x, y and z, each (H, W)."""
    height, width = camera.size
    u = (np.arange(width) + 0.5 - width / 2) / camera.focal
    v = (np.arange(height) + 0.5 - height / 2)[:, None] / camera.focal
    right, down, ahead = camera.rotation
    x, y, z = (
        ((right[n] * u).astype(np.float32) + (down[n] * v + ahead[n]).astype(np.float32)) * depth
        for n in range(3)
    )
    z += np.float32(camera.height)
    return x, y, z


def _lit(layout: Layout, drawing: Drawing, light: Light) -> Array:
    """The colour of each face in the light of the scene, shape (F, 3)."""
    faces = drawing.faces
    slant = np.maximum(faces.normals @ layout.sun, 0)[:, None]
    colors = faces.albedo * (np.array(light.ambient) + slant * np.array(light.sun))
    # Lamps shine on their own: those of vehicles by night, those of traffic lights always.
    glows = _glowing(drawing)
    strength = np.where(faces.kinds == _LIGHT, 1.0, light.lamps)[:, None]
    lit: Array = np.where(glows[:, None], np.maximum(colors, faces.albedo * strength), colors)
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


def _from_tile(tile: Floats, first: NDArray[Any], second: NDArray[Any]) -> Floats:
    """What stands in a tile at coordinates that are whole numbers modulo its side."""
    rows = first.astype(np.int32) & (_TILE - 1)
    rows *= _TILE
    rows += second.astype(np.int32) & (_TILE - 1)
    return tile[rows]


def _grain(layout: Layout, kinds: NDArray[np.uint8], world: tuple[Floats, ...]) -> Floats:
    """How much lighter or darker than its face each pixel is, around 1."""
    x, y, z = world
    scale = np.float32(7)
    shift = np.float32(layout.texture_seed % 997)
    # On the ground this is (x, y); on upright walls it still has two directions.
    grain = _from_tile(_noise(), (x + 2 * z) * scale + shift, (y + z) * scale + shift)
    amounts = np.zeros(256, np.float32)
    amounts[list(_GRAIN)] = list(_GRAIN.values())
    grain *= np.take(amounts, kinds)
    grain += 1
    return grain


def _shadows(layout: Layout, drawing: Drawing, light: Light) -> Floats:
    """The share of light that reaches each pixel of the ground."""
    shaded: NDArray[Any] = np.zeros(drawing.ids.shape, np.uint8)
    boxes = [
        thing for thing in layout.things if thing.x < 60 and thing.z < 1 and not _is_thin(thing)
    ]
    if boxes:
        outlines = _shadow_outlines(layout, boxes, light)
        for outline in outlines:
            cv2.fillConvexPoly(shaded, cv2.convexHull(outline), 255, cv2.LINE_8, 3)
        shaded = cv2.blur(shaded, (3, 3))
    num_ground = int(np.count_nonzero(drawing.faces.things < 0))
    shaded[drawing.ids >= num_ground] = 0
    share = shaded.astype(np.float32)
    share *= -light.shadow / 255
    share += 1
    return share


def _is_thin(thing: Thing) -> bool:
    return thing.shape in ("lamp",)


def _shadow_outlines(layout: Layout, boxes: list[Thing], light: Light) -> list[NDArray[np.int32]]:
    """Where on the ground the shadows of boxes end: what the sun casts, or what lies under them."""
    table = np.array([box[2:9] for box in boxes])
    x, y, _, length, width, height, yaw = table.T
    corners = np.array([(1, 1), (1, -1), (-1, -1), (-1, 1)]) / 2
    along, across = corners[:, :1] * length, corners[:, 1:] * width  # (4, N)
    cosine, sine = np.cos(yaw), np.sin(yaw)
    foot = np.stack([x + cosine * along - sine * across, y + sine * along + cosine * across])
    if max(light.sun) > 0.1:
        sun_x, sun_y, sun_z = layout.sun
        throw = np.minimum(height, 9) * 0.9
        top = foot - np.array([sun_x, sun_y])[:, None, None] / max(sun_z, 0.25) * throw
        foot = np.concatenate([foot, top], axis=1)
    points = np.stack([foot[0], foot[1], np.zeros_like(foot[0])], axis=-1)  # (4 or 8, N, 3)
    in_camera = layout.camera.to_camera(points)
    is_ahead = (in_camera[..., 2] > NEAR).all(axis=0)
    pixels = fixed(layout.camera.to_pixels(in_camera[:, is_ahead]))
    return [np.ascontiguousarray(pixels[:, n]) for n in range(pixels.shape[1])]


def _add_lamplight(
    layout: Layout, world: tuple[Floats, ...], planes: list[Floats], light: Light
) -> None:
    """What the headlights of the camera's own vehicle and the street lamps add."""
    # Light is smooth: a quarter of the pixels is enough.
    x, y = (np.ascontiguousarray(plane[::2, ::2]) for plane in world[:2])
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
    for plane, warmth in zip(planes, (1.1, 0.95, 0.65), strict=True):
        plane *= _enlarged(1 + beam * np.float32(warmth), plane)


def _put_windows(
    layout: Layout,
    drawing: Drawing,
    kinds: NDArray[np.uint8],
    world: tuple[Floats, ...],
    planes: list[Floats],
    light: Light,
) -> None:
    """Rows of windows on the walls of buildings, some of them lit when it is dark."""
    faces = drawing.faces
    is_wall = (
        (faces.kinds == BUILDING) & (faces.roles == MAIN) & (np.abs(faces.normals[:, 2]) < 0.5)
    )
    where = np.flatnonzero(np.take(is_wall, drawing.ids))
    if not len(where):
        return
    face = drawing.ids.ravel()[where]
    x, y, z = (plane.ravel()[where] for plane in world)
    # Along the wall: to the left of where it looks.
    along_x, along_y = (
        np.take((-faces.normals[:, 1]).astype(np.float32), face),
        np.take(faces.normals[:, 0].astype(np.float32), face),
    )
    owner = np.take(faces.things, face)
    tops = np.array([thing.height for thing in layout.things], np.float32)
    column = (x * along_x + y * along_y) / 2.6
    row = (z - 0.4) / 3.0
    column_id, row_id = np.floor(column), np.floor(row)
    column -= column_id
    row -= row_id
    is_window = (column > 0.24) & (column < 0.76) & (row > 0.25) & (row < 0.75) & (row_id >= 0)
    is_window &= z < np.take(tops, owner) * 0.96
    where = where[is_window]
    cells = (
        column_id[is_window].astype(np.int64) * 7919 + row_id[is_window].astype(np.int64) * 104729
    )
    cells += owner[is_window] * 1299709 + layout.texture_seed
    cells = (cells * 2654435761 >> 12) & 255
    is_lit = cells < 110 * light.lamps
    glass = np.where(cells & 1, np.float32(0.2), np.float32(0.3))
    for plane, ambient, color in zip(planes, light.ambient, (1.0, 0.82, 0.5), strict=True):
        flat = plane.reshape(-1)
        flat[where] = np.where(is_lit, color * (0.5 + cells / 400), glass * ambient * 1.3)


def _put_sky(layout: Layout, is_sky: NDArray[np.bool_], planes: list[Floats], light: Light) -> None:
    """A gradient from the horizon up, clouds, and the sun or moon."""
    rows = np.flatnonzero(is_sky.any(axis=1))
    if not len(rows):
        return
    bottom = int(rows[-1]) + 1
    # The sky is smooth: a quarter of its pixels is enough.
    x, y, z = _directions(layout.camera, bottom)
    rise = np.clip(z, 0, 1)
    blend = np.sqrt(np.minimum(rise * np.float32(1.6), 1))
    reach = np.float32(22) / (np.maximum(z, np.float32(0.02)) + np.float32(0.06))
    first, second = layout.texture_seed % 251, layout.texture_seed % 241
    cover = _from_tile(_clouds(), x * reach + np.float32(first), y * reach + np.float32(second))
    level = 0.16 if layout.scene == "rain" else 0.8 - layout.clouds * 0.6
    cover = np.clip((cover - np.float32(level)) * np.float32(3.2), 0, np.float32(0.85))
    cover *= np.minimum(rise * np.float32(9), 1)
    strength = _SUN_STRENGTH[layout.scene]
    toward = x * np.float32(layout.sun[0]) + y * np.float32(layout.sun[1])
    toward += z * np.float32(layout.sun[2])
    disc = np.clip((toward - np.float32(0.9985)) * 1500, 0, 1) * (1 - cover)
    halo = np.square(np.square(np.square(np.maximum(toward, 0))))
    parts = zip(planes, light.horizon, light.zenith, light.ambient, light.sun, strict=True)
    for plane, horizon, zenith, ambient, sun in parts:
        color = blend * np.float32(zenith - horizon)
        color += np.float32(horizon)
        color += (np.float32(ambient + 0.6 * sun) - color) * cover
        if strength:
            color += halo * np.float32(sun * 0.35 * strength)
            color += (np.float32(strength * (0.85 + 0.25 * sun)) - color) * disc
        large = cv2.resize(color, (plane.shape[1], bottom), interpolation=cv2.INTER_LINEAR)
        np.copyto(plane[:bottom], large, where=is_sky[:bottom])


def _directions(camera: Camera, bottom: int) -> list[Floats]:
    """Where every other pixel of the upper rows looks: x, y and z of length 1."""
    height, width = camera.size
    num_columns, num_rows = -(-width // 2), -(-bottom // 2)
    u = (np.arange(num_columns) + 0.5) * (width / num_columns) - width / 2
    v = (np.arange(num_rows) + 0.5) * (bottom / num_rows) - height / 2
    lengths = np.sqrt((u / camera.focal) ** 2 + ((v / camera.focal) ** 2 + 1)[:, None])
    right, down, ahead = camera.rotation
    return [
        ((right[n] * u + (down[n] * v)[:, None]) / camera.focal + ahead[n]).astype(np.float32)
        / lengths.astype(np.float32)
        for n in range(3)
    ]


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
    for plane in planes:
        halo: NDArray[Any] = np.where(lamps, plane[::2, ::2], np.float32(0))
        halo = cv2.blur(cv2.blur(halo, (side, side)), (side, side))
        halo = halo * np.float32(2.2 * light.lamps)
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
