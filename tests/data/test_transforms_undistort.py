"""Lenses undone, against OpenCV's own projection of points through a lens."""

import pickle

import cv2
import numpy as np
import pytest
import torch
from torchvision import tv_tensors

from hat.data import Projection, Undistort
from hat.data.pixels import Image, Mask

SIZE = (120, 160)
MATRIX = [[110.0, 0.0, 79.5], [0.0, 112.0, 60.0], [0.0, 0.0, 1.0]]
NEW_MATRIX = [[90.0, 0.0, 82.0], [0.0, 91.0, 57.0], [0.0, 0.0, 1.0]]
LENS = [-0.28, 0.07, 0.002, -0.001, 0.0]
FISHEYE = [0.05, 0.01, -0.004, 0.001]


def seen_by_the_lens(points, fisheye=False):
    """Where points (x, y, 1) of the camera's frame are in its picture: pixels' centres whole."""
    points = np.column_stack([points, np.ones(len(points))])[:, None]
    zero = np.zeros(3)
    if fisheye:
        pixels, _ = cv2.fisheye.projectPoints(
            points, zero, zero, np.array(MATRIX), np.array(FISHEYE)
        )
    else:
        pixels, _ = cv2.projectPoints(points, zero, zero, np.array(MATRIX), np.array(LENS))
    return torch.from_numpy(pixels.reshape(-1, 2))


def pinhole(points, matrix=NEW_MATRIX):
    matrix = torch.tensor(matrix, dtype=torch.float64)
    return torch.from_numpy(points) * matrix.diagonal()[:2] + matrix[:2, 2]


@pytest.mark.parametrize("fisheye", [False, True])
def test_points_of_the_lens_become_those_of_a_pinhole(fisheye):
    points = np.random.default_rng(0).uniform(-0.6, 0.6, (200, 2)) * [1.0, 0.8]
    undistort = Undistort(
        MATRIX, FISHEYE if fisheye else LENS, new_camera_matrix=NEW_MATRIX, fisheye=fisheye
    )
    seen = tv_tensors.KeyPoints(seen_by_the_lens(points, fisheye) + 0.5, canvas_size=SIZE)
    torch.testing.assert_close(
        undistort(seen).as_subclass(torch.Tensor), pinhole(points) + 0.5, atol=1e-3, rtol=0
    )


def test_without_distortion_nothing_moves():
    undistort = Undistort(MATRIX, [0.0] * 4)
    pixels = np.random.default_rng(0).integers(256, size=(*SIZE, 3), dtype=np.uint8)
    box = tv_tensors.BoundingBoxes([[3.0, 4.0, 50.0, 60.0]], format="XYXY", canvas_size=SIZE)
    sample = {
        "img": Image.from_hwc(pixels),
        "gt_seg": Mask(torch.arange(160, dtype=torch.uint8).expand(SIZE).clone()),
        "gt_bboxes": box,
    }
    out = undistort(sample)
    assert torch.equal(out["img"], sample["img"])
    assert torch.equal(out["gt_seg"], sample["gt_seg"])
    torch.testing.assert_close(out["gt_bboxes"], box, atol=1e-3, rtol=0)


def test_pictures_are_those_of_opencv():
    noise = np.random.default_rng(0).integers(256, size=(*SIZE, 3), dtype=np.uint8)
    pixels = cv2.GaussianBlur(noise, (0, 0), 2.0)  # both round places to 1/32 of a pixel
    out = Undistort(MATRIX, LENS)(Image.from_hwc(pixels))
    expected = cv2.undistort(pixels, np.array(MATRIX), np.array(LENS))
    assert np.abs(out.hwc().astype(int) - expected.astype(int)).mean() < 0.5


@pytest.fixture
def drawn():
    """A rectangle with its box, masks and corners, as a lens would see it: filled by pixel."""
    mask = np.zeros(SIZE, bool)
    mask[20:90, 30:120] = True
    return {
        "img": Image.from_hwc(np.repeat(mask[:, :, None], 3, axis=2).astype(np.uint8) * 255),
        "gt_bboxes": tv_tensors.BoundingBoxes(
            [[30.0, 20.0, 120.0, 90.0]], format="XYXY", canvas_size=SIZE
        ),
        "gt_masks": Mask(torch.from_numpy(mask)[None]),
        "gt_seg": Mask(torch.from_numpy(mask.astype(np.uint8))),
        "gt_depth": Mask(torch.from_numpy(mask.astype(np.float32)) * 7),
    }


def extent(mask):
    rows, columns = mask.any(1).nonzero(), mask.any(0).nonzero()
    return torch.tensor([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1], dtype=torch.float32)


def test_the_box_of_a_drawn_rectangle_fits_it(drawn):
    out = Undistort(MATRIX, LENS)(drawn)
    box = out["gt_bboxes"].as_subclass(torch.Tensor)[0]
    torch.testing.assert_close(box, extent(out["gt_masks"][0]), atol=1.0, rtol=0)
    assert (box - torch.tensor([30.0, 20.0, 120.0, 90.0])).abs().max() > 2  # the lens matters


def test_picture_and_masks_agree(drawn):
    out = Undistort(MATRIX, LENS, new_camera_matrix=NEW_MATRIX)(drawn)
    from_picture = out["img"][0] > 127
    assert (from_picture != out["gt_masks"][0]).float().mean() < 0.01
    assert (from_picture != (out["gt_depth"] == 7)).float().mean() < 0.01


def test_masks_get_no_values_between(drawn):
    out = Undistort(MATRIX, LENS)(drawn)
    assert out["gt_depth"].unique().tolist() == [0, 7]
    assert out["gt_masks"].dtype == torch.bool


def test_what_the_lens_did_not_see_is_not_labelled(drawn):
    out = Undistort(MATRIX, LENS, new_camera_matrix=[[50, 0, 80], [0, 50, 60], [0, 0, 1]], fill=9)(
        drawn
    )
    assert out["gt_seg"][0, 0] == 255
    assert out["gt_depth"][0, 0] == 0
    assert out["img"][:, 0, 0].tolist() == [9, 9, 9]


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int64])
def test_many_masks_and_large_integers_are_moved(drawn, dtype):
    masks = torch.stack([drawn["gt_masks"][0].to(dtype) * n for n in range(7)])
    out = Undistort(MATRIX, LENS)(Mask(masks))
    assert out.dtype == dtype
    assert out[6].unique().tolist() == [0, 6]


def test_a_projection_follows_to_the_new_matrix():
    # K maps to pixels from the outer corner, so OpenCV's centre is half a pixel less.
    shift = torch.tensor([[0.0, 0.0, 0.5], [0.0, 0.0, 0.5], [0.0, 0.0, 0.0]])
    projection = Projection(torch.tensor(MATRIX) + shift, canvas_size=SIZE)
    out = Undistort(MATRIX, LENS, new_camera_matrix=NEW_MATRIX)(projection)
    expected = torch.tensor(NEW_MATRIX) + shift
    torch.testing.assert_close(out.as_subclass(torch.Tensor), expected, atol=1e-4, rtol=0)


def test_points_in_space_are_where_the_picture_shows_them():
    points = np.random.default_rng(0).uniform(-0.5, 0.5, (50, 2))
    undistort = Undistort(MATRIX, LENS, new_camera_matrix=NEW_MATRIX)
    seen = undistort.points(seen_by_the_lens(points) + 0.5)
    shift = torch.tensor([[0.0, 0.0, 0.5], [0.0, 0.0, 0.5], [0.0, 0.0, 0.0]])
    projection = undistort(Projection(torch.tensor(MATRIX) + shift, canvas_size=SIZE))
    space = torch.from_numpy(np.column_stack([points, np.ones(50)])).float() * 8
    torch.testing.assert_close(projection.pixels(space), seen.float(), atol=1e-2, rtol=0)


def test_a_box_that_leaves_the_picture_is_cut():
    boxes = tv_tensors.BoundingBoxes([[0.0, 0.0, 160.0, 120.0]], format="XYXY", canvas_size=SIZE)
    assert Undistort(MATRIX, LENS)(boxes).tolist() == [[0, 0, 160, 120]]


def test_maps_are_made_once_and_not_sent_to_workers(drawn):
    undistort = Undistort(MATRIX, LENS)
    undistort(drawn)
    first = undistort._maps[SIZE]
    undistort(drawn)
    assert undistort._maps[SIZE] is first
    assert len(pickle.dumps(undistort)) < 10_000


def test_a_picture_of_another_size_is_refused(drawn):
    with pytest.raises(ValueError, match=r"pictures of \(60, 80\), got \(120, 160\)"):
        Undistort(MATRIX, LENS, size=[60, 80])(drawn)


def test_pictures_of_several_cameras_are_refused():
    with pytest.raises(ValueError, match="several cameras"):
        Undistort(MATRIX, LENS)(Image(torch.zeros(2, 3, 4, 4, dtype=torch.uint8)))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (dict(camera_matrix=[[1.0, 2.0]]), "camera_matrix must be 3 x 3, got shape"),
        (dict(new_camera_matrix=[[1.0]]), "new_camera_matrix must be 3 x 3"),
        (dict(distortion=[0.1, 0.2]), "must be a list of 4, 5, 8, 12, 14 numbers"),
        (dict(distortion=LENS, fisheye=True), "must be a list of 4 numbers"),
    ],
)
def test_shapes_are_checked(arguments, message):
    with pytest.raises(ValueError, match=message):
        Undistort(**(dict(camera_matrix=MATRIX, distortion=LENS) | arguments))
