"""A sample's labels drawn over its picture, to see whether they fit."""

from collections.abc import Callable, Sequence
from typing import Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from hat.data.colors import Color, distinct_colors
from hat.visualize.grid import picture_grid

Layer = Literal[
    "gt_depth",
    "gt_seg",
    "gt_masks",
    "gt_lanes",
    "gt_bboxes_3d",
    "gt_ignore_bboxes",
    "gt_bboxes",
    "gt_keypoints",
    "label",
]
#: All layers that are drawn unless told otherwise, in their order.
LAYERS: tuple[Layer, ...] = (
    "gt_seg",
    "gt_masks",
    "gt_lanes",
    "gt_bboxes_3d",
    "gt_ignore_bboxes",
    "gt_bboxes",
    "gt_keypoints",
    "label",
)
#: Corners of a 3-D box in halves of its length, width and height, and the pairs that its
#: edges join: the bottom, the top, the uprights, and a cross on the face in front.
_CORNERS = np.array([(x, y, z) for z in (-1, 1) for x, y in ((1, 1), (1, -1), (-1, -1), (-1, 1))])
_EDGES = (
    *((n, (n + 1) % 4) for n in range(4)),
    *((4 + n, 4 + (n + 1) % 4) for n in range(4)),
    *((n, 4 + n) for n in range(4)),
    *((0, 5), (1, 4)),
)
_NEAR = 0.1  # metres: what is nearer than this, or behind the camera, is cut off
_FONT = cv2.FONT_HERSHEY_SIMPLEX


def draw_sample(
    sample: dict[str, Any],
    dataset: Any = None,
    *,
    layers: Sequence[Layer] = LAYERS,
    min_side: int = 512,
    depth_range: tuple[float, float] | None = None,
) -> NDArray[np.uint8]:
    """A picture of a sample with all labels that it has, RGB, uint8 (H, W, 3).

    The sample is left as it was. Small pictures are enlarged by a whole factor, so that
    pixels stay squares and names can be read. A sample of several cameras (`imgs`) becomes
    a grid with the 3-D boxes in each.

    Args:
        sample: By the keys of `hat.data.sample.KEYS`; `img` must be uint8. With `scores`,
            one for each box, each name is followed by its score.
        dataset: Where names and colours come from: its `classes`, `colors`,
            `label_classes` and `seg_colors`, as far as it has them. By default numbers
            and `distinct_colors`.
        layers: Which labels to draw, those drawn later on top. `gt_depth`, which is not
            among the default, covers the picture: near is red and far is blue.
        min_side: The longer side of the result is at least so many pixels.
        depth_range: Metres that are red and blue in `gt_depth`, so that pictures can be
            compared; by default the least and the most of the sample.

    Raises:
        ValueError: If `img` is missing, is not uint8 of shape (3, H, W), or a layer is
            unknown; if `depth_range` is not in order.

    Example:
        >>> import torch
        >>> sample = {"img": torch.zeros(3, 8, 16, dtype=torch.uint8), "label": 3}
        >>> draw_sample(sample, min_side=64).shape
        (32, 64, 3)
    """
    unknown = set(layers) - _METHODS.keys()
    if unknown:
        raise ValueError(f"no layers {sorted(unknown)}; there are {list(_METHODS)}")
    if "img" not in sample and "imgs" in sample:
        cameras = [_camera_sample(sample, camera) for camera in range(len(sample["imgs"]))]
        return picture_grid(
            [
                draw_sample(
                    each, dataset, layers=layers, min_side=min_side, depth_range=depth_range
                )
                for each in cameras
            ]
        )
    if depth_range is not None and not 0 < depth_range[0] <= depth_range[1]:
        raise ValueError(f"depth_range must be two metres above 0, least first, got {depth_range}")
    picture = _picture(sample)
    scale = -(-min_side // max(picture.shape[:2]))
    painter = _Painter(_enlarged(picture, scale), scale, sample, dataset, depth_range)
    for layer in layers:
        if sample.get(layer) is not None:
            _METHODS[layer](painter)
    return painter.canvas


class _Painter:
    """Draws the layers of one sample, each by the method of its name."""

    def __init__(
        self,
        canvas: NDArray[np.uint8],
        scale: int,
        sample: dict[str, Any],
        dataset: Any,
        depth_range: tuple[float, float] | None,
    ) -> None:
        self.canvas = canvas
        self.scale = scale
        self.sample = sample
        self.depth_range = depth_range
        self.names = getattr(dataset, "classes", None)
        self.label_names = getattr(dataset, "label_classes", None) or self.names
        self.colors = getattr(dataset, "colors", None)
        self.seg_colors = getattr(dataset, "seg_colors", None)

    def gt_depth(self) -> None:
        depth = _array(self.sample["gt_depth"]).astype(np.float32)
        is_known = depth > 0
        # By the logarithm: a metre matters more in the near than in the far.
        logs = np.log(depth, where=is_known, out=np.zeros_like(depth))
        if self.depth_range is not None:
            low, high = np.log(self.depth_range)
        else:
            low, high = (logs[is_known].min(), logs[is_known].max()) if is_known.any() else (0, 1)
        nearness = (high - logs) / max(high - low, 1e-6)
        shades = np.clip(nearness * 255, 0, 255).astype(np.uint8)
        colors = cv2.applyColorMap(shades, cv2.COLORMAP_TURBO)[:, :, ::-1]
        self.canvas = _enlarged(np.where(is_known[..., None], colors, 0), self.scale)

    def gt_seg(self) -> None:
        seg = _array(self.sample["gt_seg"]).astype(np.int64)
        colors = self.seg_colors or distinct_colors(int(seg[seg != 255].max(initial=-1)) + 1)
        table = np.zeros((256, 3), np.uint8)
        table[: len(colors)] = np.array(colors, np.uint8).reshape(-1, 3)
        self._blend(table[seg], seg != 255, 0.5)

    def gt_masks(self) -> None:
        masks = _array(self.sample["gt_masks"]).astype(bool)
        for row, mask in enumerate(masks):
            color = self._color(row)
            self._blend(np.broadcast_to(np.array(color, np.uint8), (*mask.shape, 3)), mask, 0.45)
            large = _enlarged(mask.astype(np.uint8), self.scale)
            outlines, _ = cv2.findContours(large, cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
            cv2.drawContours(self.canvas, outlines, -1, color, 1)

    def gt_bboxes(self) -> None:
        boxes = _array(self.sample["gt_bboxes"])
        for row, box in enumerate(boxes):
            left, top, right, bottom = self._pixels(box.reshape(2, 2)).ravel().tolist()
            cv2.rectangle(self.canvas, (left, top), (right - 1, bottom - 1), self._color(row), 1)
        for row, box in enumerate(boxes):  # names last, so that no box runs through them
            left, top = self._pixels(box[:2]).tolist()
            self._write(self._name(row), left, top, self._color(row))

    def gt_ignore_bboxes(self) -> None:
        for box in _array(self.sample["gt_ignore_bboxes"]):
            left, top, right, bottom = self._pixels(box.reshape(2, 2)).ravel().tolist()
            grey = (150, 150, 150)
            cv2.rectangle(self.canvas, (left, top), (right - 1, bottom - 1), grey, 1)
            cv2.line(self.canvas, (left, top), (right - 1, bottom - 1), grey, 1)

    def gt_keypoints(self) -> None:
        points = _array(self.sample["gt_keypoints"])
        visible = self.sample.get("gt_visibility")
        shown = np.ones(points.shape[:2]) if visible is None else _array(visible)
        for row, (keypoints, flags) in enumerate(zip(points, shown, strict=True)):
            for point in keypoints[flags > 0]:
                center = self._pixels(point).tolist()
                cv2.circle(self.canvas, center, 3, self._color(row), -1, cv2.LINE_AA)
                cv2.circle(self.canvas, center, 3, (0, 0, 0), 1, cv2.LINE_AA)

    def gt_lanes(self) -> None:
        lanes = _array(self.sample["gt_lanes"])
        for lane, color in zip(lanes, distinct_colors(len(lanes)), strict=True):
            points = self._pixels(lane)
            cv2.polylines(self.canvas, [points], False, color, 1, cv2.LINE_AA)
            for point in points.tolist():
                cv2.circle(self.canvas, point, 2, color, -1, cv2.LINE_AA)

    def gt_bboxes_3d(self) -> None:
        if self.sample.get("projection") is None:
            return
        projection = _array(self.sample["projection"]).astype(np.float64)
        for row, box in enumerate(_array(self.sample["gt_bboxes_3d"]).astype(np.float64)):
            for line in _box_lines(box, projection):
                start, end = self._pixels(line).tolist()
                cv2.line(self.canvas, start, end, self._color(row), 1, cv2.LINE_AA)

    def label(self) -> None:
        label = int(self.sample["label"])
        self._write(_name_of(label, self.label_names), 0, 0, (0, 0, 0))

    def _pixels(self, points: NDArray[Any]) -> NDArray[np.int32]:
        """Continuous coordinates of the sample's picture as whole ones of the canvas."""
        limit = 1 << 20  # far outside of any picture, and within what OpenCV draws
        return np.clip(np.rint(points * self.scale), -limit, limit).astype(np.int32)

    def _blend(self, colors: NDArray[np.uint8], where: NDArray[np.bool_], share: float) -> None:
        colors = _enlarged(colors, self.scale)
        where = _enlarged(where.astype(np.uint8), self.scale).astype(bool)
        mixed = self.canvas[where] * (1 - share) + colors[where] * share
        self.canvas[where] = mixed.astype(np.uint8)

    def _class_of(self, row: int) -> int | None:
        classes = self.sample.get("gt_classes")
        return None if classes is None else int(classes[row])

    def _color(self, row: int) -> Color:
        """The colour of a box: that of its class, or one of its own where it has none."""
        class_id = self._class_of(row)
        number = row if class_id is None else class_id
        if self.colors is not None and class_id is not None:
            red, green, blue = self.colors[class_id]
            return int(red), int(green), int(blue)
        return distinct_colors(number + 1)[number]

    def _name(self, row: int) -> str:
        class_id = self._class_of(row)
        name = "" if class_id is None else _name_of(class_id, self.names)
        scores = self.sample.get("scores")
        return name if scores is None else f"{name} {float(scores[row]):.2f}".strip()

    def _write(self, text: str, left: int, bottom: int, color: Color) -> None:
        """Text on a ground of a colour, above a place where there is room, else below it."""
        if not text:
            return
        (width, height), below = cv2.getTextSize(text, _FONT, 0.4, 1)
        left = max(0, min(left, self.canvas.shape[1] - width - 2))
        top = bottom - height - below if bottom >= height + below else max(bottom, 0)
        corner = (left + width + 1, top + height + below)
        cv2.rectangle(self.canvas, (left, top), corner, color, -1)
        is_bright = np.dot(color, (0.3, 0.6, 0.1)) > 128
        ink = (0, 0, 0) if is_bright else (255, 255, 255)
        place = (left + 1, top + height + 1)
        cv2.putText(self.canvas, text, place, _FONT, 0.4, ink, 1, cv2.LINE_AA)


_METHODS: dict[Layer, Callable[[_Painter], None]] = {
    "gt_depth": _Painter.gt_depth,
    "gt_seg": _Painter.gt_seg,
    "gt_masks": _Painter.gt_masks,
    "gt_lanes": _Painter.gt_lanes,
    "gt_bboxes_3d": _Painter.gt_bboxes_3d,
    "gt_ignore_bboxes": _Painter.gt_ignore_bboxes,
    "gt_bboxes": _Painter.gt_bboxes,
    "gt_keypoints": _Painter.gt_keypoints,
    "label": _Painter.label,
}


def _camera_sample(sample: dict[str, Any], camera: int) -> dict[str, Any]:
    """What one of several cameras sees."""
    seen = {"img": sample["imgs"][camera]}
    seen |= {key: sample[key] for key in ("gt_bboxes_3d", "gt_classes") if key in sample}
    if "projections" in sample:
        seen["projection"] = sample["projections"][camera]
    return seen


def _picture(sample: dict[str, Any]) -> NDArray[np.uint8]:
    if "img" not in sample:
        raise ValueError(f"a sample to draw needs `img`, this one has {sorted(sample)}")
    img = _array(sample["img"])
    if img.dtype != np.uint8 or img.ndim != 3 or img.shape[0] != 3:
        raise ValueError(
            f"`img` must be uint8 of shape (3, H, W), got {img.dtype} of {img.shape}: draw "
            "samples before they are normalised and stacked"
        )
    return img.transpose(1, 2, 0)


def _array(value: Any) -> NDArray[Any]:
    return np.asarray(value.detach().cpu() if hasattr(value, "detach") else value)


def _enlarged(pixels: NDArray[Any], scale: int) -> NDArray[Any]:
    """A copy with every pixel repeated, contiguous as OpenCV wants it."""
    return np.ascontiguousarray(pixels.repeat(scale, axis=0).repeat(scale, axis=1))


def _name_of(class_id: int, names: Sequence[str] | None) -> str:
    return names[class_id] if names is not None and class_id < len(names) else str(class_id)


def _box_lines(box: NDArray[np.float64], projection: NDArray[np.float64]) -> list[NDArray[Any]]:
    """The edges of a 3-D box as lines (2, 2) in the picture, cut where they pass the camera."""
    corners = _CORNERS * box[3:6] / 2
    cosine, sine = np.cos(box[6]), np.sin(box[6])
    corners = corners @ np.array([[cosine, sine, 0], [-sine, cosine, 0], [0, 0, 1]]) + box[:3]
    points = corners @ projection[:, :3].T + projection[:, 3]
    lines = []
    for first, second in _EDGES:
        start, end = points[first], points[second]
        if max(start[2], end[2]) <= _NEAR:
            continue
        if min(start[2], end[2]) < _NEAR:
            cut = start + (end - start) * (_NEAR - start[2]) / (end[2] - start[2])
            start, end = (cut, end) if start[2] < _NEAR else (start, cut)
        lines.append(np.stack([start[:2] / start[2], end[:2] / end[2]]))
    return lines
