"""Key frames in the manner of nuScenes: cameras all around, a lidar, 3-D boxes."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from hat.data.arrays import StringArray
from hat.data.colors import distinct_colors
from hat.data.datasets.base import Dataset, Transforms
from hat.data.images import image_size, path_inside, read_image
from hat.data.pixels import Image
from hat.data.point_clouds import read_points
from hat.data.projection import Projection
from hat.data.sample import Sample

#: Cameras in the order in which one looks around, from the front to the right.
NUSCENES_CAMERAS = (
    "CAM_FRONT",
    "CAM_FRONT_RIGHT",
    "CAM_BACK_RIGHT",
    "CAM_BACK",
    "CAM_BACK_LEFT",
    "CAM_FRONT_LEFT",
)
#: nuScenes counts places in a picture from the centre of the first pixel, HAT from its corner.
_SHIFT = np.array([[1, 0, 0.5], [0, 1, 0.5], [0, 0, 1.0]])
#: No number of a frame comes near it, and products of a few such numbers still fit float32.
_LARGEST = 1e9
_FRAME_KEYS = ("token", "images", "lidar_points", "instances")


class NuScenesFrames(Dataset):
    """Key frames of several cameras and a lidar, described by `info.json` files.

    Each folder holds an `info.json` and the files that it names. It lists the frames
    (`data_list`), each with the pictures of its cameras (`img_path`, `cam2img`,
    `lidar2cam`), its lidar sweep (`lidar_path`, `num_pts_feats`) and its boxes
    (`bbox_3d`: centre, length, width, height, yaw in the frame of the lidar;
    `bbox_label_3d`), and the classes (`metainfo.categories`, name to number).

    A sample has `imgs` instead of `img`, with `projections` and `camera_matrices` of the
    same cameras, in the order of `cameras`. Points and boxes are in the lidar's frame,
    which in nuScenes has x to the right, y ahead and z up.

    Args:
        folders: One folder or several, whose frames follow each other.
        transform: See `Dataset`. Transforms of torchvision treat all cameras alike.
        cameras: The cameras to read, in this order.
        with_points: Whether to read the lidar's points.
        min_points: Boxes in which lidar and radar found fewer points are left out;
            nuScenes evaluates those with 1 or more.

    Raises:
        FileNotFoundError: If a folder has no `info.json`, or a file that it names is
            missing.
        ValueError: If a description is damaged or lacks a camera, folders differ in their
            classes, or pictures of a frame differ in size; the message names the file and
            the frame.

    Reference:
        Caesar et al., nuScenes: A multimodal dataset for autonomous driving, CVPR 2020.
        The layout of `info.json` is that of OpenMMLab's infos, version 1.1.
    """

    def __init__(
        self,
        folders: str | Path | Sequence[str | Path],
        transform: Transforms = None,
        *,
        cameras: Sequence[str] = NUSCENES_CAMERAS,
        with_points: bool = True,
        min_points: int = 0,
    ) -> None:
        super().__init__(transform)
        if not cameras:
            raise ValueError("cameras is empty: name at least one")
        names = [folders] if isinstance(folders, str | Path) else folders
        self.folders = [Path(name) for name in names]
        if not self.folders:
            raise ValueError("folders is empty: name at least one")
        self.cameras = tuple(cameras)
        self.with_points = with_points
        self.min_points = min_points
        infos = [_Info(folder / "info.json") for folder in self.folders]
        for info in infos:
            if info.classes != infos[0].classes:
                raise ValueError(
                    f"{info.path}: its classes {info.classes} differ from those of "
                    f"{infos[0].path}, {infos[0].classes}"
                )
        self.classes: Sequence[str] = infos[0].classes
        self.colors = distinct_colors(len(self.classes))
        self.folder_ids = np.repeat(np.arange(len(infos)), [len(info.frames) for info in infos])
        # As texts in one buffer, each parsed when it is read: see `hat.data.arrays`.
        self.frames = StringArray(json.dumps(frame) for info in infos for frame in info.frames)

    def __len__(self) -> int:
        return len(self.frames)

    def load(self, index: int) -> Sample:
        frame = self._frame(index)
        imgs = [read_image(frame.picture(name)) for name in self.cameras]
        sizes = {name: tuple(img.shape[-2:]) for name, img in zip(self.cameras, imgs, strict=True)}
        if len(set(sizes.values())) > 1:
            raise ValueError(f"{frame.where}: its pictures differ in (H, W): {sizes}")
        height, width = imgs[0].shape[-2:]
        to_pixels = np.stack([frame.intrinsics(name) for name in self.cameras])
        from_lidar = np.stack([frame.matrix(name, "lidar2cam", (4, 4)) for name in self.cameras])
        pixels = np.stack([img.hwc() for img in imgs])
        sample: Sample = {
            "imgs": Image(torch.from_numpy(pixels).permute(0, 3, 1, 2)),
            **self._annotation(frame, (height, width)),
            "projections": Projection(to_pixels @ from_lidar[:, :3], canvas_size=(height, width)),
            "camera_matrices": Projection(to_pixels, canvas_size=(height, width)),
        }
        if self.with_points:
            sample["points"] = read_points(*frame.sweep())
        return sample

    def annotation(self, index: int) -> Sample:
        """The boxes, and the size from the header of the first camera's picture."""
        frame = self._frame(index)
        return self._annotation(frame, image_size(frame.picture(self.cameras[0])))

    def source(self, index: int) -> str:
        frame = self._frame(index)
        return str(frame.picture(self.cameras[0]))

    def _frame(self, index: int) -> "_Frame":
        number = index - int(np.searchsorted(self.folder_ids, self.folder_ids[index]))
        folder = self.folders[self.folder_ids[index]]
        return _Frame(folder, f"{folder / 'info.json'}: frame {number}", self.frames[index])

    def _annotation(self, frame: "_Frame", size: tuple[int, int]) -> Sample:
        sample: Sample = {
            "img_id": frame.identity,
            "img_path": str(frame.picture(self.cameras[0])),
            "ori_shape": size,
        }
        boxes = frame.boxes(len(self.classes), self.min_points)
        if boxes is not None:
            sample["gt_bboxes_3d"], sample["gt_classes"] = boxes
        return sample


class _Info:
    """What an `info.json` holds: the names of the classes, and a dict for each frame."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            content = json.loads(path.read_bytes())  # orjson refuses the NaN of velocities
        except FileNotFoundError:
            raise FileNotFoundError(f"{path}: no such file") from None
        except (OSError, ValueError, RecursionError) as error:
            raise ValueError(f"{path}: cannot be read as JSON: {error}") from error
        try:
            numbers = content["metainfo"]["categories"]
            self.classes = tuple(sorted(numbers, key=numbers.__getitem__))
            is_counted = sorted(numbers.values()) == list(range(len(numbers)))
            # `cam_instances` is the larger part of a frame, and not read here.
            self.frames = [
                {key: frame[key] for key in _FRAME_KEYS if key in frame}
                for frame in content["data_list"]
            ]
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(
                f"{path}: expected metainfo.categories and data_list: "
                f"{type(error).__name__}: {error}"
            ) from error
        if not is_counted:
            raise ValueError(f"{path}: categories must be numbered from 0, got {numbers}")


class _Frame:
    """One frame of an `info.json`; every error names the file and the frame."""

    def __init__(self, folder: Path, where: str, text: str) -> None:
        self.folder = folder
        self.where = where
        self.info = json.loads(text)

    @property
    def identity(self) -> str:
        return str(self._get(self.info, "token"))

    def picture(self, camera: str) -> Path:
        """The file of a camera's picture."""
        return self._path(self._get(self._camera(camera), "img_path"))

    def sweep(self) -> tuple[Path, int]:
        """The file of the points, and how many numbers each has."""
        lidar = self._get(self.info, "lidar_points")
        num_columns = self._get(lidar, "num_pts_feats")
        if not isinstance(num_columns, int) or num_columns < 3:
            raise ValueError(f"{self.where}: num_pts_feats must be 3 or more, got {num_columns!r}")
        return self._path(self._get(lidar, "lidar_path")), num_columns

    def intrinsics(self, camera: str) -> NDArray[np.float64]:
        """From a camera's frame to pixels counted from the outer corner of the first."""
        return _SHIFT @ self.matrix(camera, "cam2img", (3, 3))

    def matrix(self, camera: str, key: str, shape: tuple[int, int]) -> NDArray[np.float64]:
        return self._numbers(self._get(self._camera(camera), key), f"{key} of {camera}", shape)

    def boxes(self, num_classes: int, min_points: int) -> tuple[torch.Tensor, torch.Tensor] | None:
        """Boxes and classes; None where the frame has no labels. Class -1 is no class."""
        if "instances" not in self.info:
            return None
        boxes, classes = [], []
        for instance in self.info["instances"]:
            box = self._numbers(self._get(instance, "bbox_3d"), "bbox_3d", (7,))
            class_id = self._get(instance, "bbox_label_3d")
            if not isinstance(class_id, int) or not -1 <= class_id < num_classes:
                raise ValueError(
                    f"{self.where}: bbox_label_3d must be below {num_classes}, got {class_id!r}"
                )
            if min(box[3:6]) < 0:
                raise ValueError(f"{self.where}: a box has a negative size: {box.tolist()}")
            if class_id >= 0 and self._num_points(instance, min_points) >= min_points:
                boxes.append(box)
                classes.append(class_id)
        stacked = np.array(boxes, np.float32).reshape(-1, 7)
        return torch.from_numpy(stacked), torch.tensor(classes, dtype=torch.int64)

    def _num_points(self, instance: Any, min_points: int) -> int:
        if not min_points:  # they need not be known
            return 0
        return int(self._get(instance, "num_lidar_pts") + self._get(instance, "num_radar_pts"))

    def _camera(self, name: str) -> Any:
        return self._get(self._get(self.info, "images"), name)

    def _get(self, values: Any, key: str) -> Any:
        if not isinstance(values, Mapping) or key not in values:
            known = ", ".join(values) if isinstance(values, Mapping) else type(values).__name__
            raise ValueError(f"{self.where}: {key!r} is missing; there is {known}")
        return values[key]

    def _path(self, name: Any) -> Path:
        if not isinstance(name, str):
            raise ValueError(f"{self.where}: a file name must be a text, got {name!r}")
        try:
            return path_inside(self.folder, name)
        except ValueError as error:
            raise ValueError(f"{self.where}: {error}") from None

    def _numbers(self, values: Any, name: str, shape: tuple[int, ...]) -> NDArray[np.float64]:
        try:
            numbers = np.array(values, np.float64)
        except (TypeError, ValueError):
            numbers = np.array(np.nan)
        if numbers.shape != shape or not (np.abs(numbers) < _LARGEST).all():
            raise ValueError(
                f"{self.where}: {name} must be finite numbers of shape {shape}, got {values!r}"
            )
        return numbers
