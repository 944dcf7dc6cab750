"""Small data sets in the layouts of Cityscapes, CamVid, KITTI, nuScenes and MNIST."""

import json

import numpy as np
from PIL import Image as PILImage

#: KITTI's axes without a tilt: the camera looks along x of the lidar, 0.3 m before it.
VELO_TO_CAM = [[0, -1, 0, 0], [0, 0, -1, -0.1], [1, 0, 0, -0.3]]
P2 = [[50, 0, 31.5, 4.0], [0, 50, 19.5, 0.2], [0, 0, 1, 0.002]]


def save_picture(path, height=40, width=64, seed=0):
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(256, size=(height, width, 3), dtype=np.uint8)
    PILImage.fromarray(pixels).save(path)
    return path


def save_map(path, values):
    """A map of one channel, of 8 or 16 bits by the type of its values."""
    path.parent.mkdir(parents=True, exist_ok=True)
    PILImage.fromarray(values).save(path)
    return path


def save_points(path, points):
    path.parent.mkdir(parents=True, exist_ok=True)
    np.asarray(points, "<f4").tofile(path)
    return path


def save_text(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def idx_bytes(values, type_code=0x08):
    sizes = b"".join(size.to_bytes(4, "big") for size in values.shape)
    return bytes([0, 0, type_code, values.ndim]) + sizes + values.tobytes()


def save_idx(folder, num=5, num_labels=None):
    """The files of pictures and of labels; picture n has class n modulo 3."""
    folder.mkdir(parents=True, exist_ok=True)
    pixels = np.arange(num * 6 * 4, dtype=np.uint8).reshape(num, 6, 4)
    labels = np.arange(num if num_labels is None else num_labels, dtype=np.uint8) % 3
    files = folder / "images.idx3-ubyte", folder / "labels.idx1-ubyte"
    for file, values in zip(files, (pixels, labels), strict=True):
        file.write_bytes(idx_bytes(values))
    return files


def calibration_text(**matrices):
    values = {"P2": P2, "R0_rect": np.eye(3), "Tr_velo_to_cam": VELO_TO_CAM, **matrices}
    rows = [f"{key}: {' '.join(map(str, np.ravel(value)))}" for key, value in values.items()]
    return "\n".join(rows) + "\n"


KITTI_ROWS = [
    "Car 0.25 1 1.5 10.00 12.00 30.00 25.00 1.50 1.60 4.00 -2.00 1.65 10.00 0.30",
    "Pedestrian 0.00 0 -0.2 40.00 10.00 46.00 30.00 1.80 0.60 0.80 2.00 1.60 8.00 -1.57",
    "DontCare -1 -1 -10 50.00 5.00 60.00 9.00 -1 -1 -1 -1000 -1000 -1000 -10",
]


def save_kitti(folder, num=3, split="training", rows=tuple(KITTI_ROWS)):
    for number in range(num):
        name = f"{number:06d}"
        save_picture(folder / split / "image_2" / f"{name}.png", seed=number)
        save_text(folder / split / "calib" / f"{name}.txt", calibration_text())
        points = np.random.default_rng(number).normal(size=(7 + number, 4))
        save_points(folder / split / "velodyne" / f"{name}.bin", points)
        if split == "training":
            save_text(folder / split / "label_2" / f"{name}.txt", "\n".join(rows))
    return folder


def cityscapes_ids():
    """Instance ids: a road, two cars, a group of cars, a caravan, a person, and no label."""
    ids = np.full((40, 64), 7, np.uint16)
    ids[:5] = 0
    ids[10:20, 5:15] = 26000
    ids[12:22, 20:30] = 26001
    ids[10:14, 40:60] = 26
    ids[30:35, 2:9] = 29000
    ids[25:39, 50:54] = 24000
    return ids


def save_cityscapes(folder, num=3, split="train"):
    ids = cityscapes_ids()
    labels = np.where(ids >= 1000, ids // 1000, ids).astype(np.uint8)
    for number in range(num):
        name = f"{split}/aachen/aachen_{number:06d}_000019"
        save_picture(folder / "leftImg8bit" / f"{name}_leftImg8bit.png", seed=number)
        save_map(folder / "gtFine" / f"{name}_gtFine_labelIds.png", labels)
        save_map(folder / "gtFine" / f"{name}_gtFine_instanceIds.png", ids)
    return folder


def save_list(folder, num=3, values=None):
    """A list file with pictures and label maps of the values 0, 1, 2 and 11."""
    lines = []
    if values is None:
        values = np.array([0, 1, 2, 11], np.uint8).repeat(16)[None].repeat(40, 0)
    for number in range(num):
        picture, label = f"images/{number}.png", f"labels/{number}.png"
        save_picture(folder / picture, seed=number)
        save_map(folder / label, values)
        lines.append(f"{picture} {label}")
    return save_text(folder / "train.txt", "\n".join(lines) + "\n")


def nuscenes_info(cameras, num=3):
    """A description of frames; camera c of frame f has the picture `f_c.png`."""
    to_camera = [[1, 0, 0, 0.1], [0, 0, -1, -0.2], [0, 1, 0, -0.3], [0, 0, 0, 1]]
    frames = []
    for frame in range(num):
        images = {
            camera: {
                "img_path": f"{frame}_{number}.png",
                "cam2img": [[40, 0, 31.5], [0, 40, 19.5], [0, 0, 1]],
                "lidar2cam": to_camera,
            }
            for number, camera in enumerate(cameras)
        }
        instances = [
            {
                "bbox_3d": [1.0, 10.0 + frame, -1.0, 4.0, 1.8, 1.5, 0.4],
                "bbox_label_3d": 1,
                "num_lidar_pts": 5,
                "num_radar_pts": 1,
                "velocity": [float("nan"), 0.0],
            },
            {
                "bbox_3d": [3.0, 20.0, -1.0, 0.7, 0.6, 1.7, -2.0],
                "bbox_label_3d": 0,
                "num_lidar_pts": 0,
                "num_radar_pts": 0,
            },
            {
                "bbox_3d": [5.0, 30.0, -1.0, 0.7, 0.6, 1.7, 0.0],
                "bbox_label_3d": -1,
                "num_lidar_pts": 9,
                "num_radar_pts": 0,
            },
        ]
        frames.append(
            {
                "token": f"token{frame}",
                "images": images,
                "lidar_points": {"num_pts_feats": 5, "lidar_path": f"{frame}.bin"},
                "instances": instances,
            }
        )
    return {"metainfo": {"categories": {"car": 1, "person": 0}}, "data_list": frames}


def save_nuscenes(folder, cameras, num=3):
    for frame in range(num):
        for number in range(len(cameras)):
            save_picture(folder / f"{frame}_{number}.png", seed=10 * frame + number)
        points = np.random.default_rng(frame).normal(size=(9, 5))
        save_points(folder / f"{frame}.bin", points)
    save_text(folder / "info.json", json.dumps(nuscenes_info(cameras, num)))
    return folder
