"""Objects of one picture in another."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torchvision import tv_tensors
from torchvision.transforms.v2 import functional as F

from hat.data.sample import Sample
from hat.data.transforms.canvas import rewrap
from hat.data.transforms.mixing import MixingTransform
from hat.data.transforms.mosaic import require_same_object_keys
from hat.data.transforms.objects import PER_OBJECT, boxes_of_masks, keep_objects


class CopyPaste(MixingTransform):
    """Pastes objects of another sample over the picture, cut out by their masks.

    An object lands where it was in its own picture, as the transforms before left it (scale
    and flip both samples there); pixels beyond the picture at hand are lost. Masks of
    objects that are covered in part lose what is covered and their boxes are drawn anew
    around the rest; objects of which nothing is left are dropped; key points that are
    covered become hidden. `gt_seg` and `gt_depth` are pasted along. Regions that are
    crowds are not pasted.

    Args:
        p: The probability that something is pasted.
        max_objects: The number of objects is drawn from 1 to this.

    Raises:
        ValueError: If an argument is out of range.
        ValueError: When called, if a sample has no `gt_masks`, has boxes in 3-D, or the
            samples have different keys of objects.

    Example:
        >>> CopyPaste(p=0.5, max_objects=5).num_others() in (0, 1)
        True

    Reference:
        Ghiasi et al., Simple Copy-Paste is a Strong Data Augmentation Method for Instance
        Segmentation, CVPR 2021. As there, borders are not blended.
    """

    def __init__(self, p: float = 0.5, max_objects: int = 10) -> None:
        if not 0 <= p <= 1:
            raise ValueError(f"p must be within 0 to 1, got {p}")
        if max_objects < 1:
            raise ValueError(f"max_objects must be at least 1, got {max_objects}")
        self.p = p
        self.max_objects = max_objects

    def num_others(self) -> int:
        return 1 if torch.rand(()) < self.p else 0

    def make_params(self, sample: Sample, others: Sequence[Sample]) -> dict[str, Any]:
        (other,) = others
        height, width = sample["gt_masks"].shape[-2:]
        masks = other["gt_masks"].as_subclass(Tensor)[:, :height, :width]
        can_be_pasted = masks.flatten(1).any(dim=1)
        if other.get("gt_crowd") is not None:
            can_be_pasted &= ~other["gt_crowd"]
        candidates = can_be_pasted.nonzero()[:, 0]
        most = min(self.max_objects, len(candidates))
        if most == 0:
            return {"objects": []}
        count = int(torch.randint(1, most + 1, ()))
        return {"objects": candidates[torch.randperm(len(candidates))[:count]].sort()[0].tolist()}

    def mix(self, sample: Sample, others: Sequence[Sample]) -> Sample:
        _check(sample, others[0])
        objects = self.make_params(sample, others)["objects"]
        if not objects:
            return dict(sample)
        pasted = _objects_for(others[0], objects, sample["gt_masks"].shape[-2:])
        is_covered = pasted["gt_masks"].as_subclass(Tensor).any(dim=0)
        mixed = _without_covered(sample, is_covered)
        for key in PER_OBJECT:
            if sample.get(key) is not None:
                rows = [mixed[key].as_subclass(Tensor), pasted[key].as_subclass(Tensor)]
                mixed[key] = rewrap(torch.cat(rows), sample[key])
        for key in ("img", "gt_seg", "gt_depth"):
            if sample.get(key) is not None and pasted.get(key) is not None:
                over, under = pasted[key].as_subclass(Tensor), sample[key].as_subclass(Tensor)
                mixed[key] = rewrap(
                    torch.where(is_covered, over.to(under.dtype), under), sample[key]
                )
        return mixed


def _check(sample: Sample, other: Sample) -> None:
    for part in (sample, other):
        if part.get("gt_masks") is None:
            raise ValueError(f"copy-paste needs gt_masks; sample {part.get('img_id')} has none")
    if sample.get("gt_bboxes_3d") is not None:
        raise ValueError(
            "boxes in 3-D cannot be pasted into the space of another picture: put "
            "DropKeys(['gt_bboxes_3d']) before the copy-paste"
        )
    require_same_object_keys([sample, other])


def _objects_for(other: Sample, objects: Sequence[int], size: Sequence[int]) -> Sample:
    """The chosen objects and their picture, cut or filled up to the size of another one."""
    keep = torch.zeros(len(other["gt_masks"]), dtype=torch.bool)
    keep[torch.tensor(objects)] = True
    chosen = keep_objects(other, keep)
    if tuple(other["gt_masks"].shape[-2:]) == tuple(size):
        return chosen
    for key in ("img", "gt_seg", "gt_depth", "gt_masks", "gt_bboxes", "gt_keypoints"):
        if isinstance(chosen.get(key), tv_tensors.TVTensor):
            chosen[key] = F.crop(chosen[key], 0, 0, *size)
    return chosen


def _without_covered(sample: Sample, is_covered: Tensor) -> Sample:
    """The sample with its objects less what is covered."""
    masks = sample["gt_masks"].as_subclass(Tensor)
    is_changed = (masks & is_covered).flatten(1).any(dim=1)
    remaining = masks & ~is_covered
    changed = dict(sample, gt_masks=rewrap(remaining, sample["gt_masks"]))
    if sample.get("gt_bboxes") is not None:
        boxes = sample["gt_bboxes"].as_subclass(Tensor).clone()
        boxes[is_changed] = boxes_of_masks(remaining[is_changed]).to(boxes.dtype)
        changed["gt_bboxes"] = rewrap(boxes, sample["gt_bboxes"])
    if sample.get("gt_keypoints") is not None and sample.get("gt_visibility") is not None:
        changed["gt_visibility"] = _hidden(sample, is_covered)
    is_gone = is_changed & ~remaining.flatten(1).any(dim=1)
    return keep_objects(changed, ~is_gone)


def _hidden(sample: Sample, is_covered: Tensor) -> Tensor:
    """The visibility of key points, those that are covered at most 1."""
    points = sample["gt_keypoints"].as_subclass(Tensor).floor().long()
    height, width = is_covered.shape
    x, y = points[..., 0], points[..., 1]
    is_inside = (x >= 0) & (x < width) & (y >= 0) & (y < height)
    is_hidden = is_inside & is_covered[y.clamp(0, height - 1), x.clamp(0, width - 1)]
    visibility: Tensor = sample["gt_visibility"]
    return torch.where(is_hidden, visibility.clamp(max=1), visibility)
