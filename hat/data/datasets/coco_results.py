"""Detections as COCO's tools read them."""

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from hat.data.datasets.coco_rle import encode_mask


def write_results(
    path: Path,
    predictions: Iterable[Mapping[str, Any]],
    category_ids: Sequence[int],
    image_ids: NDArray[np.int64],
) -> int:
    """Write predictions with original ids and boxes as x, y, width, height.

    Returns:
        How many objects were written.

    Raises:
        ValueError: If an id, a class or a shape is wrong, or a number is not finite.
    """
    import orjson

    known = set(image_ids.tolist())
    results: list[dict[str, Any]] = []
    for prediction in predictions:
        img_id = prediction["img_id"]
        if img_id not in known:
            raise ValueError(f"{path}: a prediction for image {img_id!r}, which is not listed")
        results.extend(_results(prediction, f"{path}: prediction for image {img_id}", category_ids))
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.writing")
    try:
        temporary.write_bytes(orjson.dumps(results))
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    return len(results)


def _results(
    prediction: Mapping[str, Any], where: str, category_ids: Sequence[int]
) -> list[dict[str, Any]]:
    boxes = _array(prediction["bboxes"]).astype(np.float64)
    classes = _array(prediction["classes"])
    scores = _array(prediction["scores"]).astype(np.float64)
    masks = None if prediction.get("masks") is None else _array(prediction["masks"])
    num = len(scores)
    if boxes.shape != (num, 4) or classes.shape != (num,) or scores.shape != (num,):
        raise ValueError(
            f"{where}: expected bboxes (M, 4), classes (M,) and scores (M,), got "
            f"{boxes.shape}, {classes.shape} and {scores.shape}"
        )
    if masks is not None and (masks.ndim != 3 or len(masks) != num):
        raise ValueError(f"{where}: expected masks ({num}, H, W), got {masks.shape}")
    if num == 0:
        return []
    if not (np.isfinite(boxes).all() and np.isfinite(scores).all()):
        raise ValueError(f"{where}: bboxes and scores must be finite")
    if classes.dtype.kind not in "iu" or classes.min() < 0 or classes.max() >= len(category_ids):
        raise ValueError(
            f"{where}: classes must be whole numbers from 0 to "
            f"{len(category_ids) - 1}, got {classes.dtype} {classes.min()} to {classes.max()}"
        )
    boxes[:, 2:] -= boxes[:, :2]
    results = [
        {
            "image_id": int(prediction["img_id"]),
            "category_id": category_ids[class_id],
            "bbox": box,
            "score": score,
        }
        for class_id, box, score in zip(
            classes.tolist(), boxes.tolist(), scores.tolist(), strict=True
        )
    ]
    if masks is not None:
        for result, mask in zip(results, masks, strict=True):
            result["segmentation"] = encode_mask(mask)
    return results


def _array(values: Any) -> NDArray[Any]:
    return torch.as_tensor(values).detach().cpu().numpy()
