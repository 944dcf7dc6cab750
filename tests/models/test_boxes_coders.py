"""Boxes relative to anchors and points."""

import math

import pytest
import torch
from torchvision.models.detection._utils import BoxCoder

from hat.models import boxes_to_distances, decode_boxes, distances_to_boxes, encode_boxes

ANCHOR = torch.tensor([10.0, 20.0, 30.0, 60.0])  # 20 x 40 around (20, 40)
BOX = torch.tensor([20.0, 30.0, 60.0, 40.0])  # 40 x 10 around (40, 35)


@pytest.fixture
def pairs():
    start = torch.rand(2, 30, 2) * 100
    return torch.cat([start, start + 1 + torch.rand(2, 30, 2) * 100], dim=2)


def test_deltas_worked_by_hand():
    expected = torch.tensor([20 / 20, -5 / 40, math.log(40 / 20), math.log(10 / 40)])
    torch.testing.assert_close(encode_boxes(ANCHOR, BOX), expected)


def test_weights_are_factors():
    weights = (10.0, 10.0, 5.0, 5.0)
    factors = torch.tensor(weights)
    weighted = encode_boxes(ANCHOR, BOX, weights=weights)
    torch.testing.assert_close(weighted, encode_boxes(ANCHOR, BOX) * factors)
    torch.testing.assert_close(decode_boxes(ANCHOR, weighted, weights=weights), BOX)


def test_a_box_comes_back(pairs):
    anchors, boxes = pairs
    deltas = encode_boxes(anchors, boxes)
    torch.testing.assert_close(decode_boxes(anchors, deltas), boxes, rtol=1e-4, atol=1e-4)


def test_deltas_are_torchvisions(pairs):
    anchors, boxes = pairs
    coder = BoxCoder((10.0, 10.0, 5.0, 5.0))
    ours = encode_boxes(anchors, boxes, weights=coder.weights)
    torch.testing.assert_close(ours, coder.encode_single(boxes, anchors))


def test_decoded_boxes_are_torchvisions(pairs):
    deltas = 3 * torch.randn(30, 4)  # some beyond the limit of sizes
    expected = BoxCoder((1.0, 1.0, 1.0, 1.0)).decode_single(deltas, pairs[0])
    torch.testing.assert_close(decode_boxes(pairs[0], deltas), expected)


def test_sizes_do_not_overflow():
    box = decode_boxes(ANCHOR, torch.tensor([0.0, 0.0, 1e4, 1e4]))
    assert (box[2:] - box[:2]).tolist() == pytest.approx([20 * 62.5, 40 * 62.5])


def test_boxes_of_several_classes_are_decoded_at_once(pairs):
    anchors, deltas = pairs[0], torch.randn(30, 5, 4)
    found = decode_boxes(anchors[:, None], deltas)
    torch.testing.assert_close(found[:, 3], decode_boxes(anchors, deltas[:, 3]))


def test_distances_worked_by_hand():
    point = torch.tensor([25.0, 50.0])
    assert boxes_to_distances(point, BOX).tolist() == [5, 20, 35, -10]


def test_a_box_comes_back_from_distances(pairs):
    points, boxes = torch.rand(30, 2) * 100, pairs[1]
    distances = boxes_to_distances(points, boxes)
    torch.testing.assert_close(distances_to_boxes(points, distances), boxes)


def test_every_point_has_distances_to_every_box(pairs):
    points = torch.rand(7, 2)
    distances = boxes_to_distances(points[:, None], pairs[0])
    assert distances.shape == (7, 30, 4)
    torch.testing.assert_close(distances[2], boxes_to_distances(points[2], pairs[0]))


def test_no_boxes_have_no_deltas():
    none = torch.zeros(0, 4)
    assert encode_boxes(none, none).shape == decode_boxes(none, none).shape == (0, 4)
