"""Labels are drawn where they are."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from hat.data import RoadScenes
from hat.visualize import draw_sample

RED, GREEN = (255, 0, 0), (0, 255, 0)
NAMES = SimpleNamespace(
    classes=["cat", "dog"], colors=[RED, GREEN], seg_colors=[RED, GREEN], label_classes=["a"]
)


def sample_of(**labels):
    return {"img": torch.full((3, 32, 64), 100, dtype=torch.uint8), **labels}


def drawn(layer, dataset=NAMES, min_side=64, depth_range=None, **labels):
    sample = sample_of(**labels)
    return draw_sample(sample, dataset, layers=[layer], min_side=min_side, depth_range=depth_range)


def is_color(picture, color):
    return (picture == color).all(axis=2)


def test_a_sample_without_labels_is_its_picture():
    assert (draw_sample(sample_of(), min_side=1) == 100).all()


@pytest.mark.parametrize(("min_side", "shape"), [(64, (32, 64, 3)), (65, (64, 128, 3))])
def test_small_pictures_are_enlarged_by_whole_factors(min_side, shape):
    assert draw_sample(sample_of(), min_side=min_side).shape == shape


def test_the_sample_is_left_as_it_was():
    sample = RoadScenes(1)[0]
    before = {k: v.clone() for k, v in sample.items() if isinstance(v, torch.Tensor)}
    draw_sample(sample)
    assert all(torch.equal(sample[key], value) for key, value in before.items())


def test_every_label_of_a_road_scene_changes_the_picture():
    scenes = RoadScenes(1)
    sample = scenes[0]
    bare = draw_sample(sample, scenes, layers=[])
    layers = ["gt_seg", "gt_masks", "gt_lanes", "gt_bboxes", "gt_bboxes_3d", "gt_depth", "label"]
    same = [
        layer for layer in layers if (draw_sample(sample, scenes, layers=[layer]) == bare).all()
    ]
    assert same == []


def test_a_box_is_drawn_on_the_pixels_inside_its_rim():
    boxes, classes = torch.tensor([[10.0, 20.0, 15.0, 24.0]]), torch.tensor([1])
    picture = drawn("gt_bboxes", SimpleNamespace(colors=NAMES.colors, classes=["", ""]),
                    gt_bboxes=boxes, gt_classes=classes)  # fmt: skip
    ys, xs = np.nonzero(is_color(picture, GREEN))
    assert [xs.min(), ys.min(), xs.max(), ys.max()] == [10, 20, 14, 23]
    assert len(xs) == 2 * 5 + 2 * 2


def test_the_name_of_a_class_is_written_above_its_box():
    boxes, classes = torch.tensor([[10.0, 24.0, 15.0, 28.0]]), torch.tensor([1])
    named = drawn("gt_bboxes", gt_bboxes=boxes, gt_classes=classes)
    assert is_color(named[:20], GREEN).any()


def test_scores_make_names_longer():
    labels = {"gt_bboxes": torch.tensor([[0.0, 24.0, 5.0, 28.0]]), "gt_classes": torch.tensor([0])}
    plain = drawn("gt_bboxes", **labels)
    scored = drawn("gt_bboxes", **labels, scores=torch.tensor([0.5]))
    assert is_color(scored, RED).sum() > is_color(plain, RED).sum()


def test_a_mask_tints_its_pixels():
    mask = torch.zeros(1, 32, 64, dtype=torch.bool)
    mask[0, 8:20, 8:20] = True
    picture = drawn("gt_masks", gt_masks=mask, gt_classes=torch.tensor([0]))
    assert picture[14, 14].tolist() == [169, 55, 55]  # 0.55 * 100 + 0.45 * (255, 0, 0), cut
    assert is_color(picture, (100, 100, 100)).sum() == 32 * 64 - 144


def test_pixels_without_a_class_are_not_tinted():
    seg = torch.full((32, 64), 255, dtype=torch.uint8)
    seg[:, :32] = 1
    picture = drawn("gt_seg", gt_seg=seg)
    assert (picture[:, :32] == (50, 177, 50)).all()
    assert (picture[:, 32:] == 100).all()


def test_near_is_red_and_far_is_blue_and_unknown_black():
    depth = torch.full((32, 64), 10.0)
    depth[:, :16], depth[:, 16:32] = 0, 100.0
    picture = drawn("gt_depth", gt_depth=depth).astype(int)
    assert (picture[:, :16] == 0).all()
    assert picture[0, 20, 2] > picture[0, 20, 0]
    assert picture[0, 40, 0] > picture[0, 40, 2]


def test_lanes_and_keypoints_are_drawn_where_they_are():
    points = torch.tensor([[[5.0, 5.0], [40.0, 5.0]]])
    changed = (drawn("gt_lanes", gt_lanes=points) != 100).any(axis=2)
    assert changed[5, 5:41].all()
    assert not changed[10:].any()
    hidden = drawn("gt_keypoints", gt_keypoints=points, gt_visibility=torch.tensor([[2, 0]]))
    changed = (hidden != 100).any(axis=2)
    assert changed[5, 5]
    assert not changed[:, 30:].any()


def test_a_box_in_space_is_drawn_through_the_projection():
    # Looking along x from the origin: u = 32 - 20 y / x, v = 16 - 20 z / x.
    projection = torch.tensor([[32.0, -20, 0, 0], [16, 0, -20, 0], [1, 0, 0, 0]])
    box = torch.tensor([[11.0, 0, 0, 2, 8, 4, 0]])  # its near face: x 10, y -4..4, z -2..2
    picture = drawn("gt_bboxes_3d", gt_bboxes_3d=box, projection=projection)
    ys, xs = np.nonzero((picture != 100).any(axis=2))
    assert [xs.min(), ys.min(), xs.max(), ys.max()] == pytest.approx([24, 12, 40, 20], abs=1)


def test_a_box_around_the_camera_is_cut_and_drawn():
    projection = torch.tensor([[32.0, -20, 0, 0], [16, 0, -20, 0], [1, 0, 0, 0]])
    box = torch.tensor([[0.0, 0, 0, 40, 8, 4, 0]])
    assert (drawn("gt_bboxes_3d", gt_bboxes_3d=box, projection=projection) != 100).any()


def test_without_a_projection_boxes_in_space_are_left_out():
    assert (drawn("gt_bboxes_3d", gt_bboxes_3d=torch.zeros(1, 7)) == 100).all()


def test_names_and_colours_are_not_needed():
    labels = {"gt_bboxes": torch.tensor([[10.0, 10, 20, 20]]), "gt_classes": torch.tensor([4])}
    assert (drawn("gt_bboxes", None, **labels) != 100).any()


@pytest.mark.parametrize(
    ("sample", "message"),
    [
        ({"label": 1}, r"needs `img`, this one has \['label'\]"),
        ({"img": torch.zeros(3, 4, 4)}, "must be uint8 .* got float32"),
        ({"img": torch.zeros(2, 3, 4, 4, dtype=torch.uint8)}, "before they are normalised"),
    ],
)
def test_what_is_no_picture_is_refused(sample, message):
    with pytest.raises(ValueError, match=message):
        draw_sample(sample)


def test_an_unknown_layer_is_refused():
    with pytest.raises(ValueError, match=r"no layers .'boxes'.; there are"):
        draw_sample(sample_of(), layers=["boxes"])


def test_each_camera_of_several_is_drawn_with_its_boxes():
    facing = torch.tensor([[40.0, 0, 32, 0], [0, 40, 16, 0], [0, 0, 1, 0]])
    sample = {
        "imgs": torch.zeros(2, 3, 32, 64, dtype=torch.uint8),
        "projections": torch.stack([facing, -facing]),  # the second looks the other way
        "gt_bboxes_3d": torch.tensor([[0, 0, 8.0, 2, 2, 2, 0]]),
        "gt_classes": torch.tensor([0]),
    }
    drawn = draw_sample(sample, min_side=64)
    empty = draw_sample({**sample, "gt_bboxes_3d": torch.zeros(0, 7)}, min_side=64)
    rows = np.nonzero((drawn != empty).any(axis=2))[0]
    assert len(rows) > 0
    assert rows.max() < drawn.shape[0] // 2  # wide pictures stand one above the other


def test_depth_of_one_range_has_one_color():
    near = drawn("gt_depth", gt_depth=torch.full((32, 64), 4.0), depth_range=(2.0, 50.0))
    mixed = torch.full((32, 64), 4.0)
    mixed[:, 32:] = 40.0
    both = drawn("gt_depth", gt_depth=mixed, depth_range=(2.0, 50.0))
    assert (both[:, :32] == near[:, :32]).all()
    assert (both[:, 40:] != near[:, 40:]).any()


def test_depth_beyond_the_range_has_the_color_of_its_end():
    at_end, beyond = (
        drawn("gt_depth", gt_depth=torch.full((32, 64), depth), depth_range=(2.0, 50.0))
        for depth in (50.0, 90.0)
    )
    assert (at_end == beyond).all()


@pytest.mark.parametrize("depth_range", [(0.0, 5.0), (5.0, 2.0)])
def test_a_depth_range_that_is_none_is_refused(depth_range):
    with pytest.raises(ValueError, match="depth_range must be"):
        draw_sample(sample_of(), depth_range=depth_range)
