"""Masks as run lengths: a few dozen bytes each, which can be kept of a whole data set."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

RLE = dict[str, Any]


def encode_masks(masks: Tensor) -> tuple[Tensor, Tensor]:
    """Compressed run lengths of masks, one after another, and how long each is.

    Args:
        masks: bool or uint8, shape (M, H, W).

    Returns:
        uint8 (B,) and int64 (M,), on the CPU.

    Raises:
        ValueError: If the masks are of another dtype or shape.

    Example:
        >>> encode_masks(torch.zeros(2, 4, 4, dtype=torch.bool))[1]
        tensor([2, 2])
    """
    from faster_coco_eval.core import mask as coco_mask

    if masks.ndim != 3 or masks.dtype not in (torch.bool, torch.uint8):
        raise ValueError(
            f"masks must be bool of shape (M, H, W), got {masks.dtype} of shape "
            f"{tuple(masks.shape)}: compare scores with a threshold first"
        )
    # The encoder reads down the columns, so these must lie one behind another in memory.
    columns = masks.detach().transpose(1, 2).contiguous().view(torch.uint8).cpu().numpy()
    rles = coco_mask.encode(columns.transpose(2, 1, 0)) if len(masks) else []
    counts = b"".join(rle["counts"] for rle in rles)
    lengths = torch.tensor([len(rle["counts"]) for rle in rles], dtype=torch.int64)
    return torch.from_numpy(np.frombuffer(counts, np.uint8).copy()), lengths


def split_masks(
    counts: NDArray[np.uint8], lengths: NDArray[np.int64], sizes: NDArray[np.int64]
) -> NDArray[np.object_]:
    """The masks that `encode_masks` wrote, each as COCO's tools have it.

    Args:
        counts: uint8 (B,).
        lengths: int64 (M,).
        sizes: (H, W) of each mask's picture, int64 (M, 2).

    Returns:
        (M,) of dicts with `size` and `counts`.
    """
    ends = np.cumsum(lengths)
    text = counts.tobytes()
    rows = zip((ends - lengths).tolist(), ends.tolist(), sizes.tolist(), strict=True)
    return _objects([{"size": size, "counts": text[start:end]} for start, end, size in rows])


def box_masks(boxes: NDArray[np.float64], sizes: NDArray[np.int64]) -> NDArray[np.object_]:
    """Boxes filled with pixels, each as COCO's tools have a mask.

    Args:
        boxes: XYXY, float64 (M, 4).
        sizes: (H, W) of each box's picture, int64 (M, 2).

    Returns:
        (M,) of dicts with `size` and `counts`.
    """
    from faster_coco_eval.core import mask as coco_mask

    xywh = np.concatenate([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], axis=1)
    rows = zip(xywh, sizes.tolist(), strict=True)
    return _objects([coco_mask.frPyObjects(box[None], *size)[0] for box, size in rows])


def mask_areas(rles: NDArray[np.object_]) -> NDArray[np.float64]:
    """Pixels of each mask, shape (M,)."""
    from faster_coco_eval.core import mask as coco_mask

    areas = coco_mask.area(rles.tolist()) if len(rles) else []
    return np.asarray(areas, np.float64)


def _objects(rles: list[RLE]) -> NDArray[np.object_]:
    array = np.empty(len(rles), np.object_)
    array[:] = rles
    return array
