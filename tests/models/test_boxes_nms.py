"""Of many candidates, the detections."""

import numpy as np
import pytest
import torch
from torchvision.ops import nms

from hat.models import batched_nms, select_detections, soft_nms, top_candidates

#: Two on top of each other, IoU 0.8, and one apart.
BOXES = torch.tensor([[0.0, 0.0, 10.0, 10.0], [0.0, 0.0, 10.0, 8.0], [50.0, 50.0, 60.0, 60.0]])
SCORES = torch.tensor([0.7, 0.9, 0.8])


def random_boxes(count, seed=0, extent=100.0, smallest=5.0):
    draw = torch.Generator().manual_seed(seed)
    start = torch.rand(count, 2, generator=draw) * extent
    boxes = torch.cat([start, start + smallest + 40 * torch.rand(count, 2, generator=draw)], dim=1)
    return boxes, torch.rand(count, generator=draw), draw


def one_class_at_a_time(boxes, scores, classes, iou_threshold):
    rows = [(classes == each).nonzero().squeeze(1) for each in classes.unique()]
    kept = torch.cat([each[nms(boxes[each], scores[each], iou_threshold)] for each in rows])
    return kept[scores[kept].argsort(descending=True)]


def select(boxes, scores, **options):
    options = {
        "score_threshold": 0.05,
        "num_candidates": 1000,
        "iou_threshold": 0.5,
        "max_detections": 100,
        **options,
    }
    return select_detections(boxes, scores, **options)


def test_a_worse_box_of_the_same_class_goes():
    assert batched_nms(BOXES, SCORES, torch.tensor([3, 3, 3]), 0.5).tolist() == [1, 2]


def test_a_worse_box_of_another_class_stays():
    assert batched_nms(BOXES, SCORES, torch.tensor([3, 4, 3]), 0.5).tolist() == [1, 2, 0]


def test_a_worse_box_of_another_class_goes_if_classes_do_not_count():
    found = batched_nms(BOXES, SCORES, torch.tensor([3, 4, 3]), 0.5, class_agnostic=True)
    assert found.tolist() == [1, 2]


def test_boxes_at_the_threshold_stay():
    assert batched_nms(BOXES, SCORES, torch.zeros(3).long(), 0.8).tolist() == [1, 2, 0]


@pytest.mark.parametrize("count", [50, 900, 1500])
@pytest.mark.parametrize("num_classes", [1, 80, 1000])
def test_boxes_stay_as_if_each_class_were_alone(count, num_classes):
    boxes, scores, draw = random_boxes(count, extent=1000.0, smallest=0.05)
    classes = torch.randint(num_classes, (count,), generator=draw)
    expected = one_class_at_a_time(boxes, scores, classes, 0.5)
    assert torch.equal(batched_nms(boxes, scores, classes, 0.5), expected)


def test_tiny_boxes_of_a_late_class_are_told_apart():
    # Half a pixel wide, in a large picture: moved by 5000 * 8000 pixels, as torchvision does in
    # float32, nothing is left of them.
    boxes = torch.tensor([[0.0, 0.0, 0.5, 0.5], [2.0, 0.0, 2.5, 0.5], [7000.0, 0.0, 8000.0, 9.0]])
    classes = torch.tensor([5000, 5000, 0])
    assert sorted(batched_nms(boxes, SCORES, classes, 0.5).tolist()) == [0, 1, 2]


def test_boxes_left_of_the_picture_are_told_apart_by_class():
    boxes = torch.tensor([[-100.0, -100.0, -1.0, -1.0], [-100.0, -100.0, -1.0, -2.0]])
    assert len(batched_nms(boxes, SCORES[:2], torch.tensor([0, 1]), 0.5)) == 2


def test_of_no_boxes_none_stay():
    none = torch.zeros(0)
    assert batched_nms(torch.zeros(0, 4), none, none.long(), 0.5).tolist() == []


def test_candidates_are_the_best_pairs_above_the_threshold():
    scores = torch.tensor([[0.3, 0.9], [0.5, 0.1], [0.0, 0.8]])
    best, rows, classes = top_candidates(scores, score_threshold=0.1, num_candidates=3)
    torch.testing.assert_close(best, torch.tensor([0.9, 0.8, 0.5]))
    assert rows.tolist() == [0, 2, 1]
    assert classes.tolist() == [1, 1, 0]


def test_a_score_at_the_threshold_is_no_candidate():
    scores = torch.tensor([[0.5], [0.25]])
    best, _, _ = top_candidates(scores, score_threshold=0.25, num_candidates=3)
    assert best.tolist() == [0.5]


def test_detections_are_sorted_and_know_their_rows():
    found = select(BOXES, torch.stack([SCORES, 1 - SCORES], dim=1))
    assert found.rows.tolist() == [1, 2, 0, 2]
    assert found.classes.tolist() == [0, 0, 1, 1]
    torch.testing.assert_close(found.scores, torch.tensor([0.9, 0.8, 0.3, 0.2]))
    assert torch.equal(found.boxes, BOXES[found.rows])


def test_no_more_detections_than_asked_for():
    assert select(BOXES, SCORES[:, None], iou_threshold=0.9, max_detections=2).rows.tolist() == [
        1,
        2,
    ]


def test_candidates_are_counted_before_suppression():
    assert select(BOXES, SCORES[:, None], num_candidates=1).rows.tolist() == [1]


def test_every_level_has_its_candidates():
    found = select(BOXES, SCORES[:, None], num_candidates=1, level_sizes=[2, 1])
    assert found.rows.tolist() == [1, 2]


def test_levels_may_be_empty():
    assert select(BOXES, SCORES[:, None], level_sizes=[0, 3, 0]).rows.tolist() == [1, 2]


@pytest.mark.parametrize("count", [0, 5])
def test_nothing_above_the_threshold_is_no_detection(count):
    found = select(torch.zeros(count, 4), torch.zeros(count, 3))
    assert [len(each) for each in found] == [0, 0, 0, 0]
    assert found.boxes.shape == (0, 4)


def soft_nms_by_hand(boxes, scores, method, iou_threshold, sigma, score_threshold):
    """Figure 2 of the paper, box after box, in NumPy."""
    boxes, scores = boxes.double().numpy(), scores.double().numpy().copy()
    waiting, kept = list(range(len(boxes))), []
    while waiting:
        best = max(waiting, key=lambda row: scores[row])
        waiting.remove(best)
        kept.append(best)
        for row in waiting:
            left, top = np.maximum(boxes[best, :2], boxes[row, :2])
            right, bottom = np.minimum(boxes[best, 2:], boxes[row, 2:])
            common = max(right - left, 0) * max(bottom - top, 0)
            areas = [(b[2] - b[0]) * (b[3] - b[1]) for b in (boxes[best], boxes[row])]
            iou = common / (sum(areas) - common)
            if method == "gaussian":
                scores[row] *= np.exp(-(iou**2) / sigma)
            elif iou >= iou_threshold:
                scores[row] *= 1 - iou
        waiting = [row for row in waiting if scores[row] > score_threshold]
    return kept, scores[kept]


@pytest.mark.parametrize("method", ["linear", "gaussian"])
@pytest.mark.parametrize("seed", range(4))
def test_lowered_scores_are_those_of_the_papers_figure(method, seed):
    boxes, scores, _ = random_boxes(60, seed)
    options = {"iou_threshold": 0.3, "sigma": 0.5, "score_threshold": 0.05}
    rows, lowered = soft_nms(boxes, scores, torch.zeros(60).long(), method=method, **options)
    kept, expected = soft_nms_by_hand(boxes, scores, method, **options)
    assert rows.tolist() == kept
    torch.testing.assert_close(lowered.double(), torch.from_numpy(expected), rtol=1e-4, atol=1e-6)
    assert 5 < len(kept) < 60


def test_linear_scores_worked_by_hand():
    rows, lowered = soft_nms(BOXES, SCORES, torch.zeros(3).long(), method="linear")
    assert rows.tolist() == [1, 2, 0]
    assert lowered.tolist() == pytest.approx([0.9, 0.8, 0.7 * (1 - 0.8)])


def test_gaussian_scores_worked_by_hand():
    _, lowered = soft_nms(BOXES, SCORES, torch.zeros(3).long(), sigma=0.5)
    assert lowered.tolist() == pytest.approx([0.9, 0.8, 0.7 * np.exp(-0.64 / 0.5)])


def test_another_class_lowers_nothing():
    _, lowered = soft_nms(BOXES, SCORES, torch.tensor([0, 1, 1]))
    assert lowered.tolist() == pytest.approx([0.9, 0.8, 0.7])


def test_the_same_box_twice_is_left_once():
    rows, _ = soft_nms(BOXES[[0, 0, 0]], SCORES, torch.zeros(3).long(), method="linear")
    assert rows.tolist() == [1]


def test_a_threshold_below_zero_leaves_every_box_once():
    same = BOXES[[0, 0, 0]]
    rows, _ = soft_nms(same, SCORES, torch.zeros(3).long(), method="linear", score_threshold=-1.0)
    assert sorted(rows.tolist()) == [0, 1, 2]


def test_of_no_boxes_no_scores_are_lowered():
    rows, lowered = soft_nms(torch.zeros(0, 4), torch.zeros(0), torch.zeros(0).long())
    assert rows.shape == lowered.shape == (0,)
    assert rows.dtype == torch.int64


def test_an_unknown_method_is_refused():
    with pytest.raises(ValueError, match="must be 'linear' or 'gaussian', got 'hard'"):
        soft_nms(BOXES, SCORES, torch.zeros(3).long(), method="hard")
