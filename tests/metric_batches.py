"""Batches with predictions of every kind of task, some right and some wrong."""

import torch


def classified(size):
    return {"label": torch.arange(size) % 4}, {"logits": torch.randn(size, 4)}


def segmented(size):
    labels = torch.randint(4, (size, 12, 16))
    preds = labels.where(torch.rand(labels.shape) < 0.7, torch.randint(4, labels.shape))
    labels[:, :2] = 255
    return {"gt_seg": labels}, {"seg": preds}


def with_depth(size):
    depth = torch.rand(size, 5, 6) * 80
    return (
        {"gt_depth": depth.where(torch.rand(depth.shape) < 0.8, 0)},
        {"depth": depth * (0.8 + 0.5 * torch.rand(depth.shape)) + 0.1},
    )


def with_keypoints(size):
    """Three keypoints of each of 0 to 2 objects in a picture."""
    boxes = [_boxes(n % 3) for n in range(size)]
    points = [box[:, None, :2] + 10 * torch.rand(len(box), 3, 2) for box in boxes]
    batch = {
        "gt_bboxes": boxes,
        "gt_keypoints": points,
        "gt_visibility": [torch.randint(3, each.shape[:2]) for each in points],
    }
    return batch, {"keypoints": [each + 2 * torch.randn(each.shape) for each in points]}


def detected(size):
    """0 to 2 objects of 4 classes in a picture, each found roughly, and one that is none."""
    boxes = [_boxes(n % 3) for n in range(size)]
    classes = [torch.randint(4, (len(box),)) for box in boxes]
    batch = {
        "gt_bboxes": boxes,
        "gt_classes": classes,
        "gt_crowd": [torch.zeros(len(box), dtype=torch.bool) for box in boxes],
        "gt_difficult": [torch.rand(len(box)) < 0.2 for box in boxes],
        "gt_truncated": [torch.zeros(len(box)) for box in boxes],
        "gt_occluded": [torch.zeros(len(box), dtype=torch.int64) for box in boxes],
        "img_id": list(range(size)),
    }
    preds = {
        "bboxes": [torch.cat([box + 2 * torch.randn(box.shape), _boxes(1)]) for box in boxes],
        "classes": [torch.cat([each, torch.randint(4, (1,))]) for each in classes],
        "scores": [torch.rand(len(box) + 1) for box in boxes],
    }
    return batch, preds


def _boxes(count):
    corners = 50 * torch.rand(count, 2)
    return torch.cat([corners, corners + 10 + 40 * torch.rand(count, 2)], dim=1)
