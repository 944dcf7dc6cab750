"""RoadScenes: the same everywhere, varied, and labelled to the pixel."""

import hashlib
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import ndimage
from torchvision.transforms import v2

from hat.data import RoadScenes
from hat.data.road_scenes.drawing import draw_faces
from hat.data.road_scenes.layout import FIRST_CLASS, Draws, Road, Thing, draw_layout
from hat.data.road_scenes.shapes import NUM_ROLES
from hat.data.sample import KEYS

CORNERS = np.array([(x, y, z) for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)]) / 2
ROAD, LANE_LINE, SKY = 1, 2, 0


@pytest.fixture(scope="module")
def scenes():
    return RoadScenes(60)


@pytest.fixture(scope="module")
def samples(scenes):
    return list(scenes)


@pytest.fixture(scope="module")
def many_annotations():
    scenes = RoadScenes(200)
    return [scenes.annotation(index) for index in range(len(scenes))]


def rows(samples, *keys):
    """The values of several keys for each object of all samples."""
    return [row for sample in samples for row in zip(*(sample[key] for key in keys), strict=True)]


def corners_of(box):
    """The corners of a 3-D box in its frame, (8, 3), by the definition of `gt_bboxes_3d`."""
    x, y, z, length, width, height, yaw = box.double().tolist()
    turn = [[np.cos(yaw), -np.sin(yaw), 0], [np.sin(yaw), np.cos(yaw), 0], [0, 0, 1]]
    return (CORNERS * (length, width, height)) @ np.transpose(turn) + (x, y, z)


def projected(sample, box):
    """Pixels and depth of the corners of a 3-D box, (8, 3)."""
    corners = (
        np.column_stack([corners_of(box), np.ones(8)]) @ sample["projection"].double().numpy().T
    )
    return np.column_stack([corners[:, :2] / corners[:, 2:], corners[:, 2]])


#: Prints a digest of all that a few scenes show.
DIGEST = """
import hashlib
from hat.data import RoadScenes
digest = hashlib.sha256()
for sample in RoadScenes(3, seed=4):
    for key in ("img", "gt_bboxes", "gt_masks", "gt_seg", "gt_lanes", "gt_depth", "gt_bboxes_3d"):
        digest.update(sample[key].numpy().tobytes())
print(digest.hexdigest())
"""


def test_every_kind_of_label_is_there(samples):
    assert samples[0].keys() == {
        "img", "label", "gt_bboxes", "gt_classes", "gt_truncated", "gt_occluded", "gt_masks",
        "gt_bboxes_3d", "gt_ignore_bboxes", "gt_seg", "gt_lanes", "gt_depth", "camera_matrix",
        "projection", "img_id", "ori_shape",
    }  # fmt: skip


def test_another_process_draws_the_same(capsys):
    command = [sys.executable, "-c", DIGEST]
    output = subprocess.run(command, capture_output=True, text=True, check=True)
    exec(DIGEST, {})
    assert output.stdout == capsys.readouterr().out


def test_a_scene_does_not_depend_on_what_was_drawn_before():
    scenes = RoadScenes(9)
    first = scenes[7]["img"]
    scenes[2]
    torch.manual_seed(5)
    np.random.seed(5)
    assert torch.equal(scenes[7]["img"], first)


def test_drawing_leaves_the_global_generators_alone():
    scenes = RoadScenes(1)
    before = torch.random.get_rng_state(), np.random.get_state()[1].tolist()
    scenes[0]
    assert torch.equal(torch.random.get_rng_state(), before[0])
    assert np.random.get_state()[1].tolist() == before[1]


def test_no_two_scenes_are_alike(samples):
    assert len({sample["img"].numpy().tobytes() for sample in samples}) == len(samples)


@pytest.mark.parametrize("other", [{"split": "val"}, {"seed": 1}])
def test_another_split_or_seed_gives_other_scenes(scenes, other):
    assert not torch.equal(RoadScenes(1, **other)[0]["img"], scenes[0]["img"])


def test_the_length_does_not_change_a_scene(scenes):
    assert torch.equal(RoadScenes(5)[4]["img"], scenes[4]["img"])


def test_the_size_does_not_change_what_stands_there():
    small, large = (RoadScenes(1, size).layout(0) for size in ((64, 128), (256, 512)))
    assert small.things == large.things


def test_layouts_stay_what_they_are_in_this_release():
    layout = draw_layout(1234, (128, 256))
    rounded = [
        (thing.shape, thing.kind, *(round(value, 3) for value in thing[2:9]))
        for thing in layout.things
    ]
    text = repr((layout.scene, layout.place, layout.texture_seed, rounded))
    assert hashlib.sha256(text.encode()).hexdigest()[:16] == "bf507961101ebb84"


def test_boxes_are_those_of_the_masks_to_the_pixel(samples):
    for mask, box in rows(samples, "gt_masks", "gt_bboxes"):
        ys, xs = np.nonzero(mask.numpy())
        assert box.tolist() == [xs.min(), ys.min(), xs.max() + 1, ys.max() + 1]


def test_no_pixel_is_in_two_masks(samples):
    assert (
        max(int(sample["gt_masks"].sum(0).max()) for sample in samples if len(sample["gt_masks"]))
        == 1
    )


def test_the_class_of_a_mask_is_that_of_its_pixels(samples):
    for sample in samples:
        for mask, class_id in rows([sample], "gt_masks", "gt_classes"):
            assert set(sample["gt_seg"][mask].tolist()) == {FIRST_CLASS + int(class_id)}


def test_pixels_of_objects_without_a_mask_are_in_a_box_to_be_ignored(samples):
    for sample in samples:
        left_over = (sample["gt_seg"].numpy() >= FIRST_CLASS) & ~sample["gt_masks"].any(0).numpy()
        for x0, y0, x1, y1 in sample["gt_ignore_bboxes"].int().tolist():
            left_over[y0:y1, x0:x1] = False
        assert not left_over.any()


def test_objects_have_the_least_number_of_pixels(samples):
    assert min(int(mask.sum()) for (mask,) in rows(samples, "gt_masks")) >= 16


def test_more_pixels_can_be_asked_for():
    strict = RoadScenes(20, min_pixels=100)
    assert min(int(mask.sum()) for (mask,) in rows(strict, "gt_masks")) >= 100


def test_what_is_hidden_more_than_allowed_is_left_out(many_annotations):
    scenes = RoadScenes(200, min_visible=1.0, keys=("gt_bboxes",))
    levels = torch.cat([scenes.annotation(n)["gt_occluded"] for n in range(200)])
    assert levels.max() == 0
    assert len(levels) < sum(len(a["gt_classes"]) for a in many_annotations)


def test_the_depth_of_an_object_is_that_of_its_box(samples):
    for sample in samples:
        for mask, box in rows([sample], "gt_masks", "gt_bboxes_3d"):
            depth = sample["gt_depth"][mask]
            corners = projected(sample, box)[:, 2]
            assert corners.min() - 0.01 <= depth.min()
            assert depth.max() <= corners.max() + 0.01


def test_the_box_in_space_is_around_the_mask(samples):
    for sample in samples:
        for box, box_3d in rows([sample], "gt_bboxes", "gt_bboxes_3d"):
            pixels = projected(sample, box_3d)[:, :2]
            # A pixel whose centre is up to half a pixel beside the rim is drawn.
            low, high = pixels.min(0) - 1.07, pixels.max(0) + 1.07
            assert (low <= box[:2].numpy()).all()
            assert (box[2:].numpy() <= high).all()


def test_the_box_in_space_fits_what_is_whole(samples):
    """Not larger than it must be: of whole vehicles the picture is nearly as large as the box."""
    shares = []
    for sample in samples:
        keys = ("gt_bboxes", "gt_bboxes_3d", "gt_truncated", "gt_occluded", "gt_classes")
        for box, box_3d, truncated, occluded, class_id in rows([sample], *keys):
            if truncated == 0 and occluded == 0 and class_id < 2:
                pixels = projected(sample, box_3d)[:, :2]
                size = pixels.max(0) - pixels.min(0)
                shares.append(float((box[2:] - box[:2]).prod()) / size.prod())
    assert len(shares) > 20
    assert np.median(shares) > 0.85


def test_depth_on_the_road_is_that_of_the_ground(samples):
    for sample in samples[:20]:
        ys, xs = np.nonzero(sample["gt_seg"].numpy() == ROAD)
        inverse = np.linalg.inv(sample["projection"].double().numpy()[:, [0, 1, 3]])
        ground = inverse @ np.stack([xs + 0.5, ys + 0.5, np.ones(len(xs))])
        expected = 1 / ground[2]  # (x, y, 1) = depth * inverse @ (u, v, 1) where z is 0
        depth = sample["gt_depth"].numpy()[ys, xs]
        near = (expected > 0) & (expected < 60)
        np.testing.assert_allclose(depth[near], expected[near], rtol=1e-3)


def test_only_the_sky_has_no_depth(samples):
    for sample in samples:
        assert torch.equal(sample["gt_depth"] == 0, sample["gt_seg"] == SKY)


def test_the_projection_is_the_camera_matrix_times_a_rotation_and_a_shift(samples):
    for sample in samples[:20]:
        matrix, projection = sample["camera_matrix"].double(), sample["projection"].double()
        pose = torch.linalg.inv(matrix) @ projection
        identity = torch.eye(3, dtype=torch.float64)
        torch.testing.assert_close(pose[:, :3] @ pose[:, :3].T, identity, atol=1e-4, rtol=0)
        x, y, _ = (-pose[:, :3].T @ pose[:, 3]).tolist()  # the camera stands over the origin
        assert abs(x) < 1e-3
        assert abs(y) < 1e-3


def test_lane_points_lie_on_paint_or_between_dashes_where_nothing_hides_them(samples):
    for sample in samples:
        seg = sample["gt_seg"].numpy()
        points = sample["gt_lanes"].reshape(-1, 2).numpy()
        columns, lines = np.clip(np.floor(points).astype(int).T, 0, [[255], [127]])
        found = seg[lines, columns]
        assert (
            np.isin(found[(found < FIRST_CLASS) & (found > SKY) & (found < 5)], (1, 2)).mean()
            > 0.97
        )


def test_points_of_a_solid_line_lie_on_paint(scenes):
    shares = []
    for index in range(20):
        layout, sample = scenes.layout(index), scenes[index]
        is_solid = [line.dash is None for line in layout.lines]
        if len(sample["gt_lanes"]) != len(is_solid):
            continue  # not all lines are in the picture, so which is which is not known
        seg = sample["gt_seg"].numpy()
        points = sample["gt_lanes"][torch.tensor(is_solid)].reshape(-1, 2).numpy()
        columns, lines = np.clip(np.floor(points).astype(int).T, 0, [[255], [127]])
        found = seg[lines, columns]
        shares += (found[found < 5] == LANE_LINE).tolist()
    assert len(shares) > 200
    assert np.mean(shares) > 0.97


def test_lanes_go_from_near_to_far(samples):
    for sample in samples:
        assert (sample["gt_lanes"][:, 1:, 1] < sample["gt_lanes"][:, :-1, 1]).all()


def test_lanes_have_the_number_of_points_that_is_asked_for():
    assert RoadScenes(1, num_lane_points=7)[0]["gt_lanes"].shape[1:] == (7, 2)


def test_every_class_is_common(many_annotations):
    classes = torch.cat([annotation["gt_classes"] for annotation in many_annotations])
    assert (torch.bincount(classes, minlength=6) / 200 > 0.25).all()


def test_every_class_of_pixels_is_common(samples):
    seg = torch.stack([sample["gt_seg"].as_subclass(torch.Tensor) for sample in samples])
    shares = torch.bincount(seg.ravel().long(), minlength=len(RoadScenes.seg_classes)) / seg.numel()
    assert (shares > 0.001).all()


def test_every_scene_is_common(many_annotations):
    labels = torch.tensor([annotation["label"] for annotation in many_annotations])
    assert (torch.bincount(labels, minlength=4) > 25).all()


def test_the_day_is_brighter_than_dusk_and_dusk_than_the_night(samples):
    means = {name: [] for name in RoadScenes.scenes}
    for sample in samples:
        means[RoadScenes.scenes[sample["label"]]].append(float(sample["img"].float().mean()))
    day, dusk, night = (np.mean(means[name]) for name in ("day", "dusk", "night"))
    assert day > dusk + 10
    assert dusk > night + 10


def test_some_scenes_are_empty(many_annotations):
    assert any(len(annotation["gt_bboxes"]) == 0 for annotation in many_annotations)


def test_an_empty_scene_has_labels_without_rows(many_annotations):
    index = [len(annotation["gt_bboxes"]) for annotation in many_annotations].index(0)
    sample = RoadScenes(200)[index]
    assert sample["gt_bboxes"].shape == (0, 4)
    assert sample["gt_masks"].shape == (0, 128, 256)
    assert sample["gt_bboxes_3d"].shape == (0, 7)


def test_objects_are_cut_at_the_borders_and_hidden_by_others(many_annotations):
    truncated = torch.cat([annotation["gt_truncated"] for annotation in many_annotations])
    occluded = torch.cat([annotation["gt_occluded"] for annotation in many_annotations])
    assert 0.03 < (truncated > 0.1).float().mean() < 0.5
    assert ((truncated >= 0) & (truncated < 1)).all()
    assert (torch.bincount(occluded, minlength=3) > 20).all()


def test_what_is_truncated_touches_a_border(samples):
    for sample in samples:
        for box, truncated in rows([sample], "gt_bboxes", "gt_truncated"):
            if truncated > 0.3:
                assert min(box[0], box[1], 256 - box[2], 128 - box[3]) <= 1


def test_the_nearer_of_two_objects_covers_the_other(samples):
    """Where masks touch, what is behind never cuts a hole into what is in front."""
    for sample in samples:
        masks = sample["gt_masks"].numpy()
        order = sample["gt_bboxes_3d"][:, :2].norm(dim=1).argsort()
        for number in order[:1].tolist():
            filled = ndimage.binary_fill_holes(masks[number])
            holes = filled & ~masks[number]
            others = [m for n, m in enumerate(masks) if n != number]
            is_bicycle = sample["gt_classes"][number] == 3
            assert is_bicycle or not any((holes & other).any() for other in others)


@pytest.mark.parametrize("shape", ["limit", "no entry", "warning", "stop", "board"])
def test_what_is_written_on_a_sign_is_over_its_board(scenes, shape):
    layout = scenes.layout(0)
    palette = (0.5,) * 3 * NUM_ROLES
    sign = Thing(shape, FIRST_CLASS + 4, 6.0, 0.0, 1.0, 0.06, 1.0, 1.0, np.pi, palette)
    drawing = draw_faces(replace(layout, things=(sign,)))
    assert len(np.unique(drawing.ids[drawing.faces.kinds[drawing.ids] == FIRST_CLASS + 4])) >= 3


@pytest.mark.parametrize("size", [(32, 32), (64, 64), (128, 64), (97, 211), (256, 512)])
def test_any_size_can_be_drawn(size):
    sample = RoadScenes(2, size)[1]
    assert sample["img"].shape == (3, *size)
    assert sample["gt_seg"].shape == sample["gt_depth"].shape == size
    assert sample["gt_masks"].shape[1:] == size
    assert sample["gt_bboxes"].canvas_size == size


def test_memory_of_the_picture_is_as_a_decoder_gives_it(samples):
    assert np.shares_memory(samples[0]["img"].hwc(), samples[0]["img"].numpy())


def test_an_annotation_is_the_sample_without_its_maps(scenes):
    annotation, sample = scenes.annotation(3), scenes[3]
    assert sample.keys() - annotation.keys() == {"img", "gt_masks", "gt_seg", "gt_depth"}
    for key in ("gt_bboxes", "gt_classes", "gt_occluded", "gt_lanes", "gt_bboxes_3d"):
        assert torch.equal(annotation[key], sample[key])


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ((), set()),
        (("gt_seg",), {"gt_seg"}),
        (
            ("gt_bboxes",),
            {"gt_bboxes", "gt_classes", "gt_truncated", "gt_occluded", "gt_ignore_bboxes"},
        ),
    ],
)
def test_keys_can_be_left_out(keys, expected):
    assert RoadScenes(1, keys=keys)[0].keys() - {"img", "label", "img_id", "ori_shape"} == expected


def test_leaving_keys_out_does_not_change_the_others(scenes):
    assert torch.equal(RoadScenes(1, keys=("gt_seg",))[0]["gt_seg"], scenes[0]["gt_seg"])
    assert torch.equal(RoadScenes(1, keys=())[0]["img"], scenes[0]["img"])


def test_rows_of_objects_are_as_many_as_boxes(samples):
    for sample in samples:
        per_object = [key for key in sample if KEYS[key].is_per_object]
        assert {len(sample[key]) for key in per_object} == {len(sample["gt_bboxes"])}


def test_a_mirrored_sample_stays_consistent(samples):
    flipped = v2.RandomHorizontalFlip(1)(dict(samples[0]))
    for box, box_3d in rows([flipped], "gt_bboxes", "gt_bboxes_3d"):
        pixels = projected(flipped, box_3d)[:, :2]
        assert (pixels.min(0) - 1.07 <= box[:2].numpy()).all()
        assert (box[2:].numpy() <= pixels.max(0) + 1.07).all()


def test_a_description_counts_scenes_and_objects():
    description = RoadScenes(20, (64, 64)).describe()
    assert sum(description.num_labels.values()) == 20
    assert sum(description.num_objects.values()) > 20


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"length": -1}, "length must be 0 or more, got -1"),
        ({"size": (16, 64)}, r"at least 32 each, got \(16, 64\)"),
        ({"split": "test"}, "'train' or 'val', got 'test'"),
        ({"keys": ("gt_boxes",)}, "no keys .'gt_boxes'.; there are"),
        ({"keys": ("gt_masks",)}, "need gt_bboxes among the keys"),
        ({"min_pixels": 0}, "got 0 and 0.25"),
        ({"min_visible": 1.5}, "got 16 and 1.5"),
        ({"num_lane_points": 1}, "must be 2 or more, got 1"),
    ],
)
def test_arguments_out_of_range_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        RoadScenes(**arguments)


def test_a_road_bends_as_a_parabola_and_goes_on_straight():
    road = Road(heading=0.1, curvature=0.01, straight_from=10)
    # 0.1 * 10 + 0.01 * 100 / 2 = 1.5 at x = 10, where the slope is 0.1 + 0.01 * 10 = 0.2.
    assert road.at(10, 2.0) == pytest.approx((3.5, np.arctan(0.2)))
    assert road.at(30, 2.0) == pytest.approx((7.5, np.arctan(0.2)))
    np.testing.assert_allclose(road.lateral(np.array([10, 30]), np.array([2, 0])), [3.5, 5.5])


def test_draws_are_between_their_limits():
    draw = Draws(0)
    values = [draw.between(2, 3) for _ in range(100)]
    assert 2 <= min(values) < 2.1
    assert 2.9 < max(values) <= 3
