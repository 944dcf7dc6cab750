"""Four pictures in one."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torchvision import tv_tensors
from torchvision.transforms.v2 import functional as F

from hat.data.sample import Sample
from hat.data.transforms.canvas import (
    as_height_width,
    canvas_size,
    fill_for,
    require_range,
    rewrap,
    uniform,
)
from hat.data.transforms.mixing import MixingTransform
from hat.data.transforms.objects import PER_OBJECT, keep_objects, num_objects

#: What belongs to one whole picture or camera, and means nothing in a mosaic.
_UNMIXABLE = (
    "label",
    "gt_bboxes_3d",
    "gt_lanes",
    "points",
    "camera_matrix",
    "projection",
    "imgs",
    "camera_matrices",
    "projections",
)


class _Tile(NamedTuple):
    """Where a picture goes: scaled to a size, a part of it cut out, put at a place."""

    size: list[int]
    crop: tuple[int, int, int, int]  # top, left, height, width in the scaled picture
    top: int
    left: int

    @property
    def is_seen(self) -> bool:
        return self.crop[2] > 0 and self.crop[3] > 0


class Mosaic(MixingTransform):
    """Four pictures of the data set around a centre that is drawn.

    Each is scaled to fit into the result, times a factor that is drawn, and put with one
    corner at the centre. Boxes, masks and key points are cut at the borders of their
    quarter, and objects of which nothing is left are dropped. The result has the other keys
    (`img_id` and so on) of the sample at hand.

    Args:
        size: (H, W) of the result, or one number for a square.
        p: The probability that a mosaic is made; else the sample passes as it is, so
            put a `Letterbox` of the same size behind.
        scale: Least and most of the factor of each picture.
        centre: Least and most of the centre's place, as a share of height and width.
        fill: Value of pixels that no picture covers.

    Raises:
        ValueError: If an argument is out of range.
        ValueError: When called, if the sample has keys that cannot be mixed, such as `label`
            or a camera matrix, or the samples have different keys of objects.

    Example:
        >>> Mosaic((256, 512), p=0.5).num_others() in (0, 3)
        True

    Reference:
        Bochkovskiy et al., YOLOv4: Optimal Speed and Accuracy of Object Detection, 2020.
    """

    def __init__(
        self,
        size: int | Sequence[int],
        p: float = 1.0,
        *,
        scale: Sequence[float] = (0.5, 1.5),
        centre: Sequence[float] = (0.25, 0.75),
        fill: float = 114,
    ) -> None:
        if not 0 <= p <= 1:
            raise ValueError(f"p must be within 0 to 1, got {p}")
        require_range("scale", scale, 1e-3, 1e3)
        require_range("centre", centre, 0, 1)
        self.size = as_height_width(size)
        self.p = p
        self.scale = scale
        self.centre = centre
        self.fill = fill

    def num_others(self) -> int:
        return 3 if torch.rand(()) < self.p else 0

    def make_params(self, sample: Sample, others: Sequence[Sample]) -> dict[str, Any]:
        centre = [round(uniform(*self.centre) * side) for side in self.size]
        return {"centre": centre, "scales": [uniform(*self.scale) for _ in range(4)]}

    def mix(self, sample: Sample, others: Sequence[Sample]) -> Sample:
        params = self.make_params(sample, others)
        samples = [sample, *others]
        _refuse_what_cannot_be_mixed(samples)
        tiles = [
            self._tile(number, part, params["centre"], factor)
            for number, (part, factor) in enumerate(zip(samples, params["scales"], strict=True))
        ]
        parts = [_visible(part, tile) for part, tile in zip(samples, tiles, strict=True)]
        mixed = dict(sample)
        for key in sample:
            if key == "img" or key in ("gt_seg", "gt_depth"):
                mixed[key] = self._pasted([part.get(key) for part in parts], tiles, sample[key])
            elif key == "gt_masks":
                rows = [
                    self._pasted([part[key]], [tile], part[key])
                    for part, tile in zip(parts, tiles, strict=True)
                ]
                mixed[key] = rewrap(torch.cat([r.as_subclass(Tensor) for r in rows]), sample[key])
            elif key in PER_OBJECT or key == "gt_ignore_bboxes":
                mixed[key] = self._joined([part[key] for part in parts], tiles)
        return mixed

    def _tile(self, number: int, sample: Sample, centre: Sequence[int], factor: float) -> _Tile:
        height, width = canvas_size([value for value in sample.values() if _has_canvas(value)])
        scale = factor * min(self.size[0] / height, self.size[1] / width)
        size = [max(1, round(height * scale)), max(1, round(width * scale))]
        spans = []
        for axis, is_before in enumerate((number < 2, number % 2 == 0)):
            start = centre[axis] - size[axis] if is_before else centre[axis]
            low = max(start, 0 if is_before else centre[axis])
            high = min(start + size[axis], centre[axis] if is_before else self.size[axis])
            spans.append((low, low - start, max(0, high - low)))
        (top, crop_top, crop_height), (left, crop_left, crop_width) = spans
        return _Tile(size, (crop_top, crop_left, crop_height, crop_width), top, left)

    def _pasted(self, parts: Sequence[Any], tiles: Sequence[_Tile], like: Any) -> Any:
        """Pictures or masks on one canvas; what a sample lacks is not labelled."""
        fill = fill_for(like, self.fill)
        # Channels innermost, as decoders give them and OpenCV wants them.
        shape = (*self.size, *like.shape[:-2])
        canvas = torch.full(shape, fill, dtype=like.dtype).movedim((0, 1), (-2, -1))
        for part, tile in zip(parts, tiles, strict=True):
            if part is not None and tile.is_seen:
                rows = slice(tile.top, tile.top + tile.crop[2])
                columns = slice(tile.left, tile.left + tile.crop[3])
                canvas[..., rows, columns] = part.as_subclass(Tensor)
        return rewrap(canvas, like)

    def _joined(self, parts: Sequence[Any], tiles: Sequence[_Tile]) -> Any:
        """Rows of all samples, those with places in the picture moved to where it went."""
        rows = [part.as_subclass(Tensor) for part in parts]
        if not _has_canvas(parts[0]):
            return torch.cat(rows)
        for number, tile in enumerate(tiles):
            corner = torch.tensor([tile.left, tile.top])
            rows[number] = rows[number] + corner.repeat(rows[number].shape[-1] // 2)
        return tv_tensors.wrap(torch.cat(rows), like=parts[0], canvas_size=self.size)


def _has_canvas(value: Any) -> bool:
    return isinstance(
        value, tv_tensors.Image | tv_tensors.Mask | tv_tensors.BoundingBoxes | tv_tensors.KeyPoints
    )


def _visible(sample: Sample, tile: _Tile) -> Sample:
    """What is seen of a sample in its tile, in coordinates of the part that is cut out."""
    part = dict(sample)
    # Pictures have at least one pixel, even where none of it is seen and nothing is kept.
    cut = tile if tile.is_seen else tile._replace(crop=(0, 0, 1, 1))
    for key, value in sample.items():
        if _has_canvas(value):
            part[key] = F.crop(F.resize(value, tile.size), *cut.crop)
    if part.get("gt_ignore_bboxes") is not None:
        regions = part["gt_ignore_bboxes"]
        part["gt_ignore_bboxes"] = rewrap(regions.as_subclass(Tensor)[_have_area(regions)], regions)
    if part.get("gt_visibility") is not None and part.get("gt_keypoints") is not None:
        points = part["gt_keypoints"].as_subclass(Tensor)
        limits = torch.tensor(cut.crop[:1:-1])
        is_inside = ((points >= 0) & (points < limits)).all(dim=-1)
        part["gt_visibility"] = part["gt_visibility"] * is_inside
    return keep_objects(part, _are_seen(part) & tile.is_seen)


def _are_seen(part: Sample) -> Tensor:
    if part.get("gt_bboxes") is not None:
        return _have_area(part["gt_bboxes"])
    if part.get("gt_masks") is not None:
        return part["gt_masks"].as_subclass(Tensor).flatten(1).any(dim=1)
    return torch.ones(num_objects(part), dtype=torch.bool)


def _have_area(boxes: Tensor) -> Tensor:
    sides = boxes.as_subclass(Tensor)[:, 2:] - boxes.as_subclass(Tensor)[:, :2]
    return (sides > 0).all(dim=1)


def _refuse_what_cannot_be_mixed(samples: Sequence[Sample]) -> None:
    found = [key for key in _UNMIXABLE if samples[0].get(key) is not None]
    if found:
        raise ValueError(f"{found} cannot be mixed: put DropKeys({found}) before the mosaic")
    require_same_object_keys(samples)


def require_same_object_keys(samples: Sequence[Sample]) -> None:
    """Check that samples to be mixed have the same keys with rows of objects.

    Raises:
        ValueError: If one has a key that another lacks.
    """
    keys = {key for key in (*PER_OBJECT, "gt_ignore_bboxes") if key in samples[0]}
    for other in samples[1:]:
        unequal = keys ^ {key for key in (*PER_OBJECT, "gt_ignore_bboxes") if key in other}
        if unequal:
            raise ValueError(
                f"samples to be mixed must have the same keys of objects: of "
                f"{samples[0].get('img_id')} and {other.get('img_id')} one lacks {sorted(unequal)}"
            )
