"""Masks as COCO writes them, by the functions that evaluate them: pixels equal to theirs."""

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from hat.data.pixels import Mask

#: Numbers of up to seven characters, all but the last of each with the bit that says "more
#: follows". What decodes them in C trusts that they are whole and fit into 32 bits.
_COMPRESSED = re.compile(r"(?:[P-o]{0,6}[0-O])+")


def checked_rle(counts: str | list[int], size: list[int], picture: tuple[int, int]) -> bytes:
    """Run lengths, compressed, that are known to fill a picture of (H, W) exactly.

    Raises:
        ValueError: If they do not, or are no run lengths.
    """
    from faster_coco_eval.core import mask as coco_mask

    if tuple(size) != picture:
        raise ValueError(f"a mask of size {size} for a picture of {list(picture)} (H, W)")
    if isinstance(counts, str):
        if not _COMPRESSED.fullmatch(counts):
            raise ValueError("counts are no compressed run lengths")
        (rle,) = coco_mask._mask.toUncompressedRLE([{"size": size, "counts": counts}])
        lengths = rle["counts"]
    else:
        lengths = counts
    if min(lengths, default=0) < 0 or sum(lengths) != picture[0] * picture[1]:
        raise ValueError(
            f"runs of {sum(lengths):,} pixels for a picture of {picture[0]} x {picture[1]} = "
            f"{picture[0] * picture[1]:,}"
        )
    if isinstance(counts, str):
        return counts.encode()
    return coco_mask.frPyObjects({"size": size, "counts": counts}, *picture)["counts"]


def draw_masks(objects: Sequence[bytes | list[list[float]]], picture: tuple[int, int]) -> Mask:
    """The pixels of each object, bool, shape (M, H, W).

    Args:
        objects: Compressed run lengths, or polygons that together are one object.
        picture: (H, W).
    """
    from faster_coco_eval.core import mask as coco_mask

    if not objects:
        return Mask(torch.zeros((0, *picture), dtype=torch.bool))
    rles = [
        {"size": list(picture), "counts": shape}
        if isinstance(shape, bytes)
        else coco_mask.merge(coco_mask.frPyObjects(shape, *picture))
        for shape in objects
    ]
    pixels = coco_mask.decode(rles)  # (H, W, M), memory in the opposite order
    return Mask(torch.from_numpy(np.ascontiguousarray(pixels.transpose(2, 0, 1)).view(np.bool_)))


def encode_mask(mask: NDArray[Any]) -> dict[str, Any]:
    """The run lengths of a mask of bool, shape (H, W), as a COCO file holds them."""
    from faster_coco_eval.core import mask as coco_mask

    rle = coco_mask.encode(np.asfortranarray(mask.astype(np.uint8)))
    return {"size": list(mask.shape), "counts": rle["counts"].decode("ascii")}
