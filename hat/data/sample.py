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
    """

    sample: str
    batch: str
    is_ragged: bool = False


#: Boxes are XYXY in pixels of `img`, right and bottom exclusive; classes start at 0;
#: pixels of `gt_seg` that are 255 are not labelled.
KEYS: dict[str, Key] = {
    "img": Key("Image, uint8, (3, H, W), RGB", "(N, 3, H, W), uint8 until normalised"),
    "label": Key("class, int64", "(N,) int64"),
    "gt_bboxes": Key("BoundingBoxes, XYXY, float32, (M, 4)", "list of N, (M, 4)", is_ragged=True),
    "gt_classes": Key("int64, (M,)", "list of N, (M,)", is_ragged=True),
    "gt_seg": Key("Mask, class, (H, W)", "(N, H, W) int64"),
    "gt_masks": Key("Mask, bool, (M, H, W)", "list of N, (M, H, W)", is_ragged=True),
    "img_id": Key("int or str, unique in the data set", "list of N", is_ragged=True),
    "img_path": Key("path of the picture's file, str", "list of N", is_ragged=True),
    "ori_shape": Key("(H, W) before any transform", "list of N", is_ragged=True),
}


def num_samples(batch: Any) -> int:
    """How many samples a batch holds, by its `img_id` or else its first sized value.

    Raises:
        TypeError: If nothing in the batch has a length.
    """
    if isinstance(batch, dict):
        if "img_id" in batch:
            return len(batch["img_id"])
        for value in batch.values():
            shape = getattr(value, "shape", None)  # `len` of a tensor is ten times slower
            if shape:
                return int(shape[0])
            if shape is None and hasattr(value, "__len__"):
                return len(value)
    elif hasattr(batch, "__len__") and len(batch):
        return len(batch[0])
    raise TypeError(f"cannot tell how many samples are in a batch of {type(batch).__name__}")
