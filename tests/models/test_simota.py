"""SimOTA against an implementation in plain loops, and a case worked by hand."""

import math

import pytest
import torch

from hat.models import assign_simota, grid_points


def iou_of(a, b):
    width = max(0.0, min(a[2], b[2]) - max(a[0], b[0]))
    height = max(0.0, min(a[3], b[3]) - max(a[1], b[1]))
    inter = width * height
    return inter / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - inter)


def cross_entropy(scores, label):
    return -sum(math.log(p if c == label else 1 - p) for c, p in enumerate(scores))


def relation(point, stride, box, radius):
    """Whether a point is in a box, and whether it is near the box's centre."""
    x, y = point
    near = [abs(x - (box[0] + box[2]) / 2), abs(y - (box[1] + box[3]) / 2)]
    return box[0] < x < box[2] and box[1] < y < box[3], max(near) < radius * stride


def in_loops(boxes, scores, points, strides, gt_boxes, gt_classes, radius=2.5, most=10):
    """The paper's procedure, one cell and one object at a time."""
    related = [
        [relation(p, s, gt, radius) for p, s in zip(points, strides, strict=True)]
        for gt in gt_boxes
    ]
    cells = [p for p in range(len(points)) if any(any(row[p]) for row in related)]
    wishes = {}
    for m, gt in enumerate(gt_boxes):
        ious = {p: iou_of(gt, boxes[p]) for p in cells}
        wanted = max(1, int(sum(sorted(ious.values())[::-1][:most])))
        costs = []
        for p in cells:
            if any(related[m][p]):
                cost = cross_entropy(scores[p], gt_classes[m]) - 3 * math.log(ious[p] + 1e-8)
                costs.append((cost + (0 if all(related[m][p]) else 1e5), p))
        for cost, p in sorted(costs)[:wanted]:
            wishes.setdefault(p, []).append((cost, m))
    return [min(wishes[p])[1] if p in wishes else -1 for p in range(len(points))]


def random_case(seed, num_objects):
    torch.manual_seed(seed)
    sizes, strides = [(8, 12), (4, 6)], [8, 16]
    points = torch.cat(grid_points(sizes, strides))
    stride_of = torch.cat([torch.full((96,), 8.0), torch.full((24,), 16.0)])
    half = stride_of[:, None] * (0.5 + torch.rand(120, 2))
    low = torch.rand(num_objects, 2) * torch.tensor([70.0, 40.0])
    return dict(
        boxes=torch.cat([points - half, points + half], dim=1),
        scores=0.05 + 0.9 * torch.rand(120, 3),
        points=points,
        strides=stride_of,
        gt_boxes=torch.cat([low, low + 4 + torch.rand(num_objects, 2) * 40], dim=1),
        gt_classes=torch.randint(3, (num_objects,)),
    )


@pytest.mark.parametrize("num_objects", [1, 2, 5, 20, 50])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_assignments_are_those_of_plain_loops(seed, num_objects):
    case = random_case(seed, num_objects)
    expected = in_loops(*(case[name].tolist() for name in case))
    assert assign_simota(**case).objects.tolist() == expected


def row_of_cells(**changes):
    """Four cells of 8 x 8 pixels in a row, each of which predicts itself."""
    left = torch.arange(4) * 8.0
    zero, eight = torch.zeros(4), torch.full((4,), 8.0)
    case = dict(
        boxes=torch.stack([left, zero, left + 8, eight], dim=1),
        scores=torch.full((4, 1), 0.5),
        points=torch.stack([left + 4, torch.full((4,), 4.0)], dim=1),
        strides=eight,
        gt_boxes=torch.tensor([[8.0, 0.0, 16.0, 8.0]]),
        gt_classes=torch.tensor([0]),
    )
    return case | changes


def test_one_object_goes_to_the_cell_that_fits_it():
    assigned = assign_simota(**row_of_cells())
    assert assigned.objects.tolist() == [-1, 0, -1, -1]  # IoUs 0, 1, 0, 0: one cell
    assert assigned.ious.tolist() == [0, 1, 0, 0]


def test_the_sum_of_ious_is_the_number_of_cells():
    boxes = torch.tensor([[8.0, 0.0, 16.0, 8.0]]).repeat(4, 1)
    boxes[3] = torch.tensor([8.0, 0.0, 16.0, 4.0])  # IoUs 1, 1, 1, 0.5: 3.5, so three cells
    assert assign_simota(**row_of_cells(boxes=boxes)).objects.tolist() == [0, 0, 0, -1]


def test_of_two_objects_the_cheaper_has_the_cell():
    gt_boxes = torch.tensor([[8.0, 0.0, 16.0, 8.0], [8.0, 0.0, 16.0, 7.0]])
    case = row_of_cells(gt_boxes=gt_boxes.flip(0), gt_classes=torch.tensor([0, 0]))
    assert assign_simota(**case).objects[1] == 1


def test_the_class_decides_between_equal_boxes():
    scores = torch.tensor([[0.5, 0.5], [0.1, 0.9], [0.5, 0.5], [0.5, 0.5]])
    gt_boxes = torch.tensor([[8.0, 0.0, 16.0, 8.0]]).repeat(2, 1)
    case = row_of_cells(scores=scores, gt_boxes=gt_boxes, gt_classes=torch.tensor([0, 1]))
    assert assign_simota(**case).objects[1] == 1


def test_without_objects_nothing_is_assigned():
    case = row_of_cells(gt_boxes=torch.zeros(0, 4), gt_classes=torch.zeros(0, dtype=torch.int64))
    assert assign_simota(**case).objects.tolist() == [-1] * 4


def test_an_object_far_from_all_cells_gets_none():
    case = row_of_cells(gt_boxes=torch.tensor([[200.0, 200.0, 210.0, 210.0]]))
    assert assign_simota(**case).objects.tolist() == [-1] * 4


def test_certain_scores_do_not_spoil_the_cost():
    scores = torch.tensor([[0.0], [1.0], [0.0], [1.0]])
    assert assign_simota(**row_of_cells(scores=scores)).objects.tolist() == [-1, 0, -1, -1]
