"""Random truth with predictions near it, and what reference tools say of them."""

import contextlib
import io

import numpy as np
import torch


def random_detections(
    seed,
    *,
    num_images=12,
    num_classes=3,
    max_objects=8,
    max_preds=14,
    size=300,
    share_crowd=0.1,
    score_decimals=1,
):
    """A batch and its predictions: some pictures empty, scores tied, boxes degenerate."""
    rng = np.random.default_rng(seed)
    batch = {"gt_bboxes": [], "gt_classes": [], "gt_crowd": []}
    preds = {"bboxes": [], "classes": [], "scores": []}
    for _ in range(num_images):
        count, found = rng.integers(0, max_objects + 1), rng.integers(0, max_preds + 1)
        boxes = _boxes(rng, count, size)
        classes = rng.integers(0, num_classes, count)
        batch["gt_bboxes"].append(torch.tensor(boxes))
        batch["gt_classes"].append(torch.tensor(classes))
        batch["gt_crowd"].append(torch.tensor(rng.random(count) < share_crowd))
        guesses, guessed = _boxes(rng, found, size), rng.integers(0, num_classes, found)
        if count:
            near = rng.random(found) < 0.8
            which = rng.integers(0, count, found)
            extent = np.tile(boxes[which, 2:] - boxes[which, :2], 2)
            moved = boxes[which] + 0.1 * extent * rng.normal(size=(found, 4))
            guesses = np.where(near[:, None], moved, guesses)
            guessed = np.where(near, classes[which], guessed)
        preds["bboxes"].append(torch.tensor(guesses.astype(np.float32)))
        preds["classes"].append(torch.tensor(guessed))
        scores = rng.random(found).round(score_decimals).astype(np.float32)
        preds["scores"].append(torch.tensor(scores))
    return batch, preds


def _boxes(rng, count, size):
    """From points and lines to the whole picture, evenly over the orders of magnitude."""
    extent = np.exp(rng.uniform(0, np.log(size), (count, 2)))
    extent[rng.random((count, 2)) < 0.02] = 0
    corner = rng.uniform(0, 1, (count, 2)) * (size - extent)
    return np.concatenate([corner, corner + extent], axis=1).astype(np.float32)


def filled(boxes, height, width):
    """Masks of the pixels in each box."""
    masks = torch.zeros(len(boxes), height, width, dtype=torch.bool)
    for mask, (left, top, right, bottom) in zip(masks, boxes.long().clamp(min=0), strict=True):
        mask[top:bottom, left:right] = True
    return masks


def with_masks(batch, preds, height=48, width=64):
    batch["gt_masks"] = [filled(boxes, height, width) for boxes in batch["gt_bboxes"]]
    preds["masks"] = [filled(boxes, height, width) for boxes in preds["bboxes"]]
    return batch, preds


def pycocotools_evaluation(batch, preds, num_classes, kind="bbox"):
    """What pycocotools makes of the same objects in COCO's own form."""
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    truths = _annotations(batch, "gt_bboxes", "gt_classes", "gt_masks", kind)
    crowds = np.concatenate([crowd.numpy() for crowd in batch["gt_crowd"]])
    for truth, crowd in zip(truths, crowds.tolist(), strict=True):
        truth["iscrowd"] = int(crowd)
    found = _annotations(preds, "bboxes", "classes", "masks", kind)
    for each, score in zip(found, torch.cat(preds["scores"]).tolist(), strict=True):
        each["score"] = score
    truth_file, found_file = COCO(), COCO()
    with contextlib.redirect_stdout(io.StringIO()):
        for file, annotations in ((truth_file, truths), (found_file, found)):
            file.dataset = {
                "images": [
                    {"id": image, "height": 48, "width": 64}  # as `with_masks` draws
                    for image in range(len(batch["gt_bboxes"]))
                ],
                "categories": [{"id": number} for number in range(num_classes)],
                "annotations": annotations,
            }
            file.createIndex()
        evaluator = COCOeval(truth_file, found_file, kind)
        evaluator.evaluate()
        evaluator.accumulate()
        evaluator.summarize()
    return evaluator


def _annotations(source, boxes, classes, masks, kind):
    from pycocotools import mask as coco_mask

    annotations = []
    for image, (of_image, numbers) in enumerate(zip(source[boxes], source[classes], strict=True)):
        for row, (box, number) in enumerate(zip(of_image.tolist(), numbers.tolist(), strict=True)):
            width, height = box[2] - box[0], box[3] - box[1]
            annotation = {
                "id": len(annotations) + 1,
                "image_id": image,
                "category_id": number,
                "bbox": [box[0], box[1], width, height],
                "area": width * height,
                "iscrowd": 0,
            }
            if kind == "segm":
                pixels = np.asfortranarray(source[masks][image][row].numpy().astype(np.uint8))
                annotation["segmentation"] = coco_mask.encode(pixels)
                annotation["area"] = float(pixels.sum())
            annotations.append(annotation)
    return annotations


def pycocotools_scores(evaluator):
    """The twelve numbers and AP of each class; what is undefined as NaN."""
    precision = evaluator.eval["precision"][:, :, :, 0, 2]
    defined = np.where(precision > -1, precision, np.nan)
    per_class = [defined[:, :, index].mean() for index in range(precision.shape[2])]
    return np.array([*np.where(evaluator.stats == -1, np.nan, evaluator.stats), *per_class])
