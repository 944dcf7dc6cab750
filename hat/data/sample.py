"""The keys of a sample and of a batch: the one table that everything in HAT agrees on."""

from dataclasses import dataclass
from typing import Any

#: One sample or one batch, by the keys of `KEYS`.
Sample = dict[str, Any]
Batch = dict[str, Any]


@dataclass(frozen=True)
class Key:
    """One key of a sample.

    Args:
        sample: Type, dtype and shape in one sample.
        batch: The same in a batch of N samples.
        is_ragged: Whether samples may differ in shape, so that a batch holds a list.
        is_per_object: Whether its rows are those of `gt_bboxes`: what drops a box drops
            its row here too.
    """

    sample: str
    batch: str
    is_ragged: bool = False
    is_per_object: bool = False


def _per_object(sample: str, batch: str) -> Key:
    return Key(sample, f"list of N, {batch}", is_ragged=True, is_per_object=True)


#: Boxes are XYXY in pixels of `img`, right and bottom exclusive, so that (0, 0) is the outer
#: corner of the first pixel and (0.5, 0.5) its centre; classes start at 0; pixels of `gt_seg`
#: that are 255 are not labelled. Distances are metres, angles radians.
KEYS: dict[str, Key] = {
    "img": Key("Image, uint8, (3, H, W), RGB", "(N, 3, H, W), uint8 until normalised"),
    "label": Key("class, int64", "(N,) int64"),
    "gt_bboxes": _per_object("BoundingBoxes, XYXY, float32, (M, 4)", "(M, 4)"),
    "gt_classes": _per_object("int64, (M,)", "(M,)"),
    "gt_crowd": _per_object("bool, (M,): a region of many, ignored in matching", "(M,)"),
    "gt_difficult": _per_object("bool, (M,): need not be found", "(M,)"),
    "gt_truncated": _per_object("float32, (M,): share outside the picture, 0..1", "(M,)"),
    "gt_occluded": _per_object("int64, (M,): 0 visible, 1 partly, 2 largely, 3 unknown", "(M,)"),
    "gt_keypoints": _per_object("KeyPoints, float32, (M, K, 2)", "(M, K, 2)"),
    "gt_visibility": _per_object("int64, (M, K): 0 unlabelled, 1 hidden, 2 visible", "(M, K)"),
    "gt_bboxes_3d": _per_object("float32, (M, 7): centre x y z, l w h, yaw", "(M, 7)"),
    "gt_masks": _per_object("Mask, bool, (M, H, W)", "(M, H, W)"),
    "gt_ignore_bboxes": Key(
        "BoundingBoxes, XYXY, float32, (K, 4): regions where nothing is labelled",
        "list of N, (K, 4)",
        is_ragged=True,
    ),
    "gt_seg": Key("Mask, class, uint8 or int64, (H, W)", "(N, H, W) int64"),
    "gt_depth": Key("Mask, float32, (H, W), metres; 0 = not known", "(N, H, W) float32"),
    "gt_lanes": Key(
        "KeyPoints, float32, (L, P, 2): lines from near to far", "list of N", is_ragged=True
    ),
    "points": Key("float32, (P, C): x, y, z, intensity, ...", "list of N, (P, C)", is_ragged=True),
    "camera_matrix": Key("Projection, float32, (3, 3)", "(N, 3, 3)"),
    "projection": Key("Projection, float32, (3, 4): frame of 3-D boxes to pixels", "(N, 3, 4)"),
    "imgs": Key("Image, uint8, (C, 3, H, W), one of each camera", "(N, C, 3, H, W)"),
    "camera_matrices": Key("Projection, float32, (C, 3, 3)", "(N, C, 3, 3)"),
    "projections": Key("Projection, float32, (C, 3, 4)", "(N, C, 3, 4)"),
    "img_id": Key("int or str, unique in the data set", "list of N", is_ragged=True),
    "img_path": Key("path of the picture's file, str", "list of N", is_ragged=True),
    "ori_shape": Key("(H, W) before any transform", "list of N", is_ragged=True),
    "img_shape": Key("(H, W) of `img` less padding", "list of N", is_ragged=True),
}


#: What only a batch has, of partly labelled samples and of several tasks: `labelled` is a dict
#: of keys to int64 (K,), the ascending rows of the samples that have the key, whose entries
#: are then K; `tasks` a tuple of the names of the tasks that the batch is for.
OF_THE_BATCH = ("labelled", "tasks")


def is_label(key: str) -> bool:
    """Whether a key of a sample is truth, not input: `label` and what begins with `gt_`."""
    return key == "label" or key.startswith("gt_")


def num_samples(batch: Any) -> int:
    """How many samples a batch holds, by its `img_id` or else its first sized value.

    Raises:
        TypeError: If nothing in the batch has a length.
    """
    if isinstance(batch, dict):
        if "img_id" in batch:
            return len(batch["img_id"])
        not_of_all = (*OF_THE_BATCH, *batch.get("labelled", ()))
        for key, value in batch.items():
            if key in not_of_all:
                continue
            shape = getattr(value, "shape", None)  # `len` of a tensor is ten times slower
            if shape:
                return int(shape[0])
            if shape is None and hasattr(value, "__len__"):
                return len(value)
    elif hasattr(batch, "__len__") and len(batch):
        return len(batch[0])
    raise TypeError(f"cannot tell how many samples are in a batch of {type(batch).__name__}")
