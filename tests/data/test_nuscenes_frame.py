"""Key frames of many cameras keep cameras, points and boxes together."""

import json
import math

import numpy as np
import pytest
import torch
from PIL import Image as PILImage
from road_files import nuscenes_info, save_nuscenes, save_picture
from torchvision.transforms import v2

from hat.data import NuScenesFrames, Projection

CAMERAS = ("CAM_FRONT", "CAM_BACK")


@pytest.fixture
def folder(tmp_path):
    return save_nuscenes(tmp_path, CAMERAS)


def frames(folder, **options):
    return NuScenesFrames(folder, cameras=CAMERAS, **options)


def rewrite(folder, change):
    """Change the description of a folder."""
    info = nuscenes_info(CAMERAS)
    change(info)
    (folder / "info.json").write_text(json.dumps(info))


def num_inside(points, box):
    x, y, z, length, width, height, yaw = box.double().tolist()
    offset = points[:, :3].double().numpy() - [x, y, z]
    along = offset[:, 0] * math.cos(yaw) + offset[:, 1] * math.sin(yaw)
    across = -offset[:, 0] * math.sin(yaw) + offset[:, 1] * math.cos(yaw)
    distances = np.abs(np.stack([along, across, offset[:, 2]], 1))
    return int((distances <= np.array([length, width, height]) / 2).all(1).sum())


def test_pictures_are_in_the_order_of_the_cameras(folder):
    imgs = frames(folder)[1]["imgs"]
    assert imgs.shape == (2, 3, 40, 64)
    stored = np.asarray(PILImage.open(folder / "1_1.png")).transpose(2, 0, 1)
    assert np.array_equal(imgs[1].numpy(), stored)


def test_cameras_can_be_chosen(folder):
    sample = NuScenesFrames(folder, cameras=["CAM_BACK"])[1]
    stored = np.asarray(PILImage.open(folder / "1_1.png")).transpose(2, 0, 1)
    assert np.array_equal(sample["imgs"][0].numpy(), stored)
    assert sample["projections"].shape == (1, 3, 4)


def test_a_projection_takes_points_of_the_lidar_to_pixels(folder):
    # (1, 10, -1) is (1.1, 0.8, 9.7) for the cameras of the test; u = 40 * 1.1 / 9.7 + 31.5 and
    # v = 40 * 0.8 / 9.7 + 19.5 from the centre of the first pixel.
    projections = frames(folder)[0]["projections"]
    assert type(projections) is Projection
    places = projections.pixels(torch.tensor([[1.0, 10.0, -1.0]]))
    expected = torch.tensor([[44 / 9.7 + 32, 32 / 9.7 + 20]])
    torch.testing.assert_close(places, torch.stack([expected, expected]))


def test_camera_matrices_count_from_the_corner_of_the_first_pixel(folder):
    matrices = frames(folder)[0]["camera_matrices"]
    assert matrices[0].tolist() == [[40, 0, 32], [0, 40, 20], [0, 0, 1]]


def test_boxes_are_those_of_known_classes(folder):
    sample = frames(folder)[1]
    expected = [[1.0, 11.0, -1.0, 4.0, 1.8, 1.5, 0.4], [3.0, 20.0, -1.0, 0.7, 0.6, 1.7, -2.0]]
    torch.testing.assert_close(sample["gt_bboxes_3d"], torch.tensor(expected))
    assert sample["gt_classes"].tolist() == [1, 0]


def test_boxes_of_few_points_can_be_left_out(folder):
    assert frames(folder, min_points=1)[0]["gt_classes"].tolist() == [1]


def test_classes_are_in_the_order_of_their_numbers(folder):
    assert frames(folder).classes == ("person", "car")


def test_points_have_all_columns(folder):
    assert frames(folder)[0]["points"].shape == (9, 5)


def test_points_can_be_left_out(folder):
    assert "points" not in frames(folder, with_points=False)[0]


def test_several_folders_follow_each_other(tmp_path):
    folders = [save_nuscenes(tmp_path / name, CAMERAS, num) for name, num in (("a", 2), ("b", 3))]
    dataset = frames(folders)
    assert len(dataset) == 5
    paths = [dataset[index]["img_path"] for index in range(5)]
    names = [(0, 0), (0, 1), (1, 0), (1, 1), (1, 2)]
    assert paths == [str(folders[place] / f"{frame}_0.png") for place, frame in names]


def test_an_error_counts_frames_in_their_folder(tmp_path):
    folders = [save_nuscenes(tmp_path / name, CAMERAS, 2) for name in "ab"]
    rewrite(folders[1], lambda info: info["data_list"][1]["images"].pop("CAM_BACK"))
    with pytest.raises(ValueError, match=r"b/info\.json: frame 1: 'CAM_BACK' is missing"):
        frames(folders)[3]


def test_projections_follow_the_pictures(folder):
    dataset = NuScenesFrames(
        folder, [v2.Resize((20, 64)), v2.RandomHorizontalFlip(1.0)], cameras=CAMERAS
    )
    point = torch.tensor([[1.0, 10.0, -1.0]])
    expected = torch.tensor([64 - (44 / 9.7 + 32), (32 / 9.7 + 20) / 2])
    torch.testing.assert_close(dataset[0]["projections"].pixels(point)[1, 0], expected)


def test_the_annotation_is_the_sample_without_what_is_measured(folder):
    dataset = frames(folder)
    sample, annotation = dataset.load(2), dataset.annotation(2)
    measured = {"imgs", "points", "projections", "camera_matrices"}
    assert sample.keys() - annotation.keys() == measured
    assert torch.equal(sample["gt_bboxes_3d"], annotation["gt_bboxes_3d"])
    assert annotation["ori_shape"] == (40, 64)


def test_frames_without_labels_have_no_boxes(folder):
    rewrite(folder, lambda info: [frame.pop("instances") for frame in info["data_list"]])
    assert not any(key.startswith("gt_") for key in frames(folder)[0])


def test_a_frame_without_objects_is_ordinary(folder):
    rewrite(folder, lambda info: info["data_list"][0].update(instances=[]))
    assert frames(folder)[0]["gt_bboxes_3d"].shape == (0, 7)


def box_of(info):
    return info["data_list"][0]["instances"][0]


def camera_of(info):
    return info["data_list"][0]["images"]["CAM_FRONT"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda info: box_of(info).update(bbox_label_3d=2), "must be below 2, got 2"),
        (lambda info: box_of(info).update(bbox_label_3d="car"), "must be below 2, got 'car'"),
        (lambda info: box_of(info).update(bbox_3d=[1.0] * 6), r"of shape \(7,\)"),
        (lambda info: box_of(info).update(bbox_3d=[float("nan")] * 7), r"of shape \(7,\)"),
        (lambda info: box_of(info).update(bbox_3d=[-1.0] * 7), "a negative size"),
        (lambda info: box_of(info).pop("bbox_3d"), "'bbox_3d' is missing"),
        (lambda info: camera_of(info).update(cam2img=[[1.0]]), "cam2img of CAM_FRONT must be"),
        (lambda info: camera_of(info).update(lidar2cam="x"), "lidar2cam of CAM_FRONT must be"),
        (lambda info: camera_of(info).update(img_path="../x.png"), "leads out of"),
        (lambda info: camera_of(info).update(img_path=7), "a file name must be a text, got 7"),
        (lambda info: info["data_list"][0].pop("images"), "'images' is missing"),
        (lambda info: info["data_list"][0].update(images=[1]), "'CAM_FRONT' is missing"),
        (
            lambda info: info["data_list"][0]["lidar_points"].update(num_pts_feats=0),
            "num_pts_feats must be 3 or more",
        ),
    ],
)
def test_a_damaged_frame_is_named(folder, change, message):
    rewrite(folder, change)
    with pytest.raises(ValueError, match=rf"info\.json: frame 0: .*{message}"):
        frames(folder)[0]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "cannot be read as JSON"),
        ('{"metainfo": {"categories": {"car": 0}}, "data_list": [', "cannot be read as JSON"),
        ("[" * 100_000, "cannot be read as JSON"),
        ("[]", "expected metainfo.categories and data_list"),
        ('{"metainfo": {"categories": {}}}', "expected metainfo.categories and data_list"),
        (
            '{"metainfo": {"categories": {"car": 0}}, "data_list": [7]}',
            "expected metainfo.categories and data_list",
        ),
        ('{"metainfo": {"categories": {"car": 1}}, "data_list": []}', "numbered from 0"),
    ],
)
def test_a_damaged_description_is_named(folder, text, message):
    (folder / "info.json").write_text(text)
    with pytest.raises(ValueError, match=rf"info\.json: {message}|info\.json: .*{message}"):
        frames(folder)


def test_folders_of_other_classes_are_refused(tmp_path):
    folders = [save_nuscenes(tmp_path / name, CAMERAS, 1) for name in "ab"]
    rewrite(folders[1], lambda info: info["metainfo"].update(categories={"car": 0}))
    with pytest.raises(ValueError, match=r"b/info\.json: its classes .* differ"):
        frames(folders)


def test_pictures_of_several_sizes_are_refused(folder):
    save_picture(folder / "0_1.png", height=20)
    with pytest.raises(ValueError, match=r"frame 0: its pictures differ in \(H, W\)"):
        frames(folder)[0]


def test_a_missing_description_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"info\.json: no such file"):
        NuScenesFrames(tmp_path)


@pytest.mark.shared
def test_boxes_hold_as_many_points_as_nuscenes_counted(shared_data):
    folder = shared_data / "nuscenes_sample"
    (info,) = json.loads((folder / "info.json").read_text())["data_list"]
    known = [box["num_lidar_pts"] for box in info["instances"] if box["bbox_label_3d"] >= 0]
    sample = NuScenesFrames(folder)[0]
    counted = [num_inside(sample["points"], box) for box in sample["gt_bboxes_3d"]]
    assert sample["points"].shape == (34688, 5)
    assert len(known) == 68
    # Not all alike: nuScenes counted in another frame, and points lie on faces.
    assert np.mean(np.equal(known, counted)) > 0.8


@pytest.mark.shared
def test_boxes_are_projected_to_where_nuscenes_has_them(shared_data):
    folder = shared_data / "nuscenes_sample"
    (info,) = json.loads((folder / "info.json").read_text())["data_list"]
    sample = NuScenesFrames(folder, cameras=["CAM_FRONT"])[0]
    places = sample["projections"].pixels(sample["gt_bboxes_3d"][:, :3])[0]
    boxes = torch.tensor([box["bbox"] for box in info["cam_instances"]["CAM_FRONT"]]) + 0.5
    is_inside = (places[:, None] > boxes[:, :2]) & (places[:, None] < boxes[:, 2:])
    assert len(boxes) > 20
    assert is_inside.all(-1).any(0).float().mean() > 0.9
