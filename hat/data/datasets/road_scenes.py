"""Road scenes that are drawn, not read: every kind of label, and nothing to download."""

from collections.abc import Sequence
from typing import Literal

import numpy as np
import torch
from torchvision import tv_tensors

from hat.data.datasets.base import Color, Dataset, Transforms
from hat.data.keypoints import KeyPoints
from hat.data.pixels import Image, Mask
from hat.data.projection import Projection
from hat.data.road_scenes.drawing import Drawing, Floats, draw_faces
from hat.data.road_scenes.labels import (
    Objects,
    boxes_3d,
    find_objects,
    lane_lines,
    occlusion_levels,
    truncations,
)
from hat.data.road_scenes.layout import (
    CLASSES,
    FIRST_CLASS,
    SCENES,
    SEG_CLASSES,
    Layout,
    draw_layout,
)
from hat.data.road_scenes.shading import paint
from hat.data.sample import Sample
from hat.seeding import derive_key

_STREAM = 5  # apart from those of `hat.seeding`, which draw what a run does
_SPLITS = ("train", "val")
_SEG_COLORS: tuple[Color, ...] = (
    (120, 180, 230), (110, 90, 120), (245, 245, 245), (220, 130, 190), (160, 200, 110),
    (130, 90, 80), (40, 140, 60), (150, 150, 150),
    (40, 90, 230), (20, 200, 210), (230, 40, 60), (250, 130, 30), (250, 225, 40), (180, 80, 240),
)  # fmt: skip

Key = Literal["gt_bboxes", "gt_masks", "gt_seg", "gt_lanes", "gt_depth", "gt_bboxes_3d"]
_KEYS: tuple[Key, ...] = (
    "gt_bboxes", "gt_masks", "gt_seg", "gt_lanes", "gt_depth", "gt_bboxes_3d"
)  # fmt: skip


class RoadScenes(Dataset):
    """Road scenes with exact labels of every kind, drawn when they are asked for.

    A sample depends on the seed, the split and its index alone: any of them can be drawn
    at once, and two machines draw the same scene. (The scene is the same bit for bit; its
    pixels may differ by a rounding where NumPy or OpenCV compute otherwise.)

    A scene is a road in a city, a suburb, the country or a motorway, at `day`, `dusk`,
    `night` or in `rain`, its `label`. It is seen by a pinhole camera, and all labels are
    read off the faces that were drawn, so that they agree to the pixel:

    - `gt_masks` are the visible pixels of objects and `gt_bboxes` the boxes around these.
      Objects with fewer than `min_pixels` visible pixels, and those of which others hide
      more than 1 - `min_visible`, have no row; their boxes are in `gt_ignore_bboxes`.
      Rows go from far to near.
    - `gt_occluded` is 0 where others hide less than a tenth of the object, 2 from a half
      on, else 1; `gt_truncated` is the share of its 3-D box, as it is seen, outside the
      picture.
    - `gt_seg` holds every pixel, those of objects without a row too. Classes are
      `seg_classes`.
    - `gt_lanes` are the middles of painted lines, `num_lane_points` on each, spread evenly
      over the rows in which it is in the picture, up to 70 m away. What stands before a
      line does not end it.
    - `gt_depth` is the distance along the view of the camera; 0 in the sky.
    - `gt_bboxes_3d` is in the frame of the road: x forward, y left and z up from the point
      on the road under the camera. `projection` takes it to pixels, `camera_matrix` takes
      the camera's own frame (x right, y down, z forward) there.

    Args:
        length: How many scenes there are.
        size: (H, W) of the pictures, at least 32 each.
        seed: Another seed gives other scenes.
        split: `train` or `val`, which have no scene in common.
        transform: See `Dataset`.
        keys: Which labels to make; fewer take less time. `gt_bboxes` brings all keys with
            one row per box but `gt_masks` and `gt_bboxes_3d`, and `gt_ignore_bboxes`;
            `gt_bboxes_3d` brings `projection` and `camera_matrix`. `label`, `img_id` and
            `ori_shape` are always there. By default all.
        min_pixels: See above.
        min_visible: See above.
        num_lane_points: How many points a lane line has.

    Attributes:
        scenes: The names of the classes of `label`.
        label_classes: The same.

    Raises:
        ValueError: If an argument is out of its range, or `keys` has `gt_masks` or
            `gt_bboxes_3d` without `gt_bboxes`.

    Example:
        >>> scenes = RoadScenes(length=10, size=(64, 128))
        >>> sample = scenes[3]
        >>> sample["img"].shape, scenes.scenes[sample["label"]]
        (torch.Size([3, 64, 128]), 'day')
    """

    classes = CLASSES
    colors = _SEG_COLORS[FIRST_CLASS:]
    seg_classes = SEG_CLASSES
    seg_colors = _SEG_COLORS
    scenes = SCENES
    label_classes = SCENES

    def __init__(
        self,
        length: int = 1000,
        size: tuple[int, int] = (128, 256),
        *,
        seed: int = 0,
        split: Literal["train", "val"] = "train",
        transform: Transforms = None,
        keys: Sequence[Key] = _KEYS,
        min_pixels: int = 16,
        min_visible: float = 0.25,
        num_lane_points: int = 32,
    ) -> None:
        super().__init__(transform)
        if length < 0:
            raise ValueError(f"length must be 0 or more, got {length}")
        if len(size) != 2 or min(size) < 32:
            raise ValueError(f"size must be (H, W), at least 32 each, got {size}")
        if split not in _SPLITS:
            raise ValueError(f"split must be 'train' or 'val', got {split!r}")
        unknown = set(keys) - set(_KEYS)
        if unknown:
            raise ValueError(f"no keys {sorted(unknown)}; there are {list(_KEYS)}")
        if "gt_bboxes" not in keys and {"gt_masks", "gt_bboxes_3d"} & set(keys):
            raise ValueError(f"gt_masks and gt_bboxes_3d need gt_bboxes among the keys, got {keys}")
        if min_pixels < 1 or not 0 <= min_visible <= 1:
            raise ValueError(
                "min_pixels must be 1 or more and min_visible from 0 to 1, got "
                f"{min_pixels} and {min_visible}"
            )
        if num_lane_points < 2:
            raise ValueError(f"num_lane_points must be 2 or more, got {num_lane_points}")
        self.length = length
        self.size = (int(size[0]), int(size[1]))
        self.seed = seed
        self.split = split
        self.keys = frozenset(keys)
        self.min_pixels = min_pixels
        self.min_visible = min_visible
        self.num_lane_points = num_lane_points

    def __len__(self) -> int:
        return self.length

    def layout(self, index: int) -> Layout:
        """What stands where in a scene, before a pixel of it is drawn."""
        key = derive_key(self.seed, _STREAM, _SPLITS.index(self.split), index)
        return draw_layout(key, self.size)

    def load(self, index: int) -> Sample:
        """One scene, drawn, with its labels."""
        layout = self.layout(index)
        drawing = draw_faces(layout)
        depth = drawing.depth()
        sample: Sample = {"img": Image.from_hwc(paint(layout, drawing, depth))}
        sample |= self._labels(layout, drawing, index, with_maps=True)
        if "gt_depth" in self.keys:
            sample["gt_depth"] = Mask(torch.from_numpy(depth))
        return sample

    def annotation(self, index: int) -> Sample:
        """All labels but the maps over pixels; the scene is drawn, but not coloured."""
        layout = self.layout(index)
        return self._labels(layout, draw_faces(layout), index, with_maps=False)

    def _labels(self, layout: Layout, drawing: Drawing, index: int, *, with_maps: bool) -> Sample:
        sample: Sample = {"label": SCENES.index(layout.scene)}
        if "gt_bboxes" in self.keys:
            objects = find_objects(
                layout, drawing, min_pixels=self.min_pixels, min_visible=self.min_visible
            )
            sample |= self._object_labels(layout, objects)
            if "gt_masks" in self.keys and with_maps:
                sample["gt_masks"] = Mask(torch.from_numpy(objects.masks))
        if "gt_seg" in self.keys and with_maps:
            sample["gt_seg"] = Mask(torch.from_numpy(np.take(drawing.faces.kinds, drawing.ids)))
        if "gt_lanes" in self.keys:
            lanes = torch.from_numpy(lane_lines(layout, self.num_lane_points))
            sample["gt_lanes"] = KeyPoints(lanes, canvas_size=self.size)
        if "gt_bboxes_3d" in self.keys:
            camera = layout.camera
            sample["camera_matrix"] = Projection(camera.matrix, canvas_size=self.size)
            sample["projection"] = Projection(camera.projection, canvas_size=self.size)
        sample["img_id"] = index
        sample["ori_shape"] = self.size
        return sample

    def _object_labels(self, layout: Layout, objects: Objects) -> Sample:
        """The keys with one row per box, and what is to be ignored."""
        kinds = [layout.things[number].kind for number in objects.things.tolist()]
        classes = torch.tensor(kinds, dtype=torch.int64) - FIRST_CLASS
        labels: Sample = {
            "gt_bboxes": _bounding_boxes(objects.boxes, self.size),
            "gt_classes": classes,
            "gt_truncated": torch.from_numpy(truncations(layout, objects.things)),
            "gt_occluded": torch.from_numpy(occlusion_levels(objects.visible)),
            "gt_ignore_bboxes": _bounding_boxes(objects.ignored, self.size),
        }
        if "gt_bboxes_3d" in self.keys:
            labels["gt_bboxes_3d"] = torch.from_numpy(boxes_3d(layout, objects.things))
        return labels


def _bounding_boxes(boxes: Floats, size: tuple[int, int]) -> tv_tensors.BoundingBoxes:
    return tv_tensors.BoundingBoxes(torch.from_numpy(boxes), format="XYXY", canvas_size=size)
