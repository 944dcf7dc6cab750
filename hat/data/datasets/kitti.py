"""KITTI's object benchmark: a camera, a lidar and boxes in both."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torchvision import tv_tensors

from hat.data.arrays import StringArray
from hat.data.datasets.base import Dataset, Transforms
from hat.data.images import IMAGE_SUFFIXES, image_size, read_image
from hat.data.point_clouds import read_points
from hat.data.projection import Projection
from hat.data.sample import Sample

#: The classes of the benchmark; `DontCare` is no class.
KITTI_CLASSES = (
    "Car",
    "Van",
    "Truck",
    "Pedestrian",
    "Person_sitting",
    "Cyclist",
    "Tram",
    "Misc",
)
_COLORS = {  # those of Cityscapes where it has the class
    "Car": (0, 0, 142),
    "Van": (0, 60, 200),
    "Truck": (0, 0, 70),
    "Pedestrian": (220, 20, 60),
    "Person_sitting": (255, 120, 120),
    "Cyclist": (119, 11, 32),
    "Tram": (0, 80, 100),
    "Misc": (150, 150, 150),
}
_NUM_VALUES = 15
#: No number of a frame comes near it, and products of a few such numbers still fit float32.
_LARGEST = 1e9
_MAX_TEXT_BYTES = 1 << 24
#: KITTI counts places in a picture from the centre of the first pixel, HAT from its corner.
_TO_CORNER = 0.5
_SHIFT = np.array([[1, 0, _TO_CORNER], [0, 1, _TO_CORNER], [0, 0, 1.0]])


class KittiObjectDataset(Dataset):
    """Frames of KITTI's object benchmark: picture, lidar points, boxes in 2-D and 3-D.

    The folder is laid out as KITTI ships it: `<split>/image_2`, `<split>/calib`,
    `<split>/label_2` and `<split>/velodyne`. What is converted:

    - Places in the picture are counted from the outer corner of the first pixel: half a
      pixel is added to all four sides of a box, and to what the calibration projects.
      Sizes stay as they are, and with them the overlaps that the official evaluation
      computes (right less left, without 1).
    - 3-D boxes are given in the frame of the points (x forward, y left, z up, metres),
      by their centres; KITTI has them in the rectified camera frame, by the middle of
      their floors. Yaw is that of the box's length about z.
    - `DontCare` regions are `gt_ignore_bboxes`, and so are the objects of KITTI's
      classes that are not in `classes`.

    `projection` maps the frame of the points to pixels, `camera_matrix` that of the camera.

    Args:
        root: The folder that holds `training` and `testing`.
        split: `training`, or `testing`, which has no labels.
        transform: See `Dataset`.
        classes: Which of KITTI's classes to give, in the order of their numbers.
        frames: The frames to read, such as `["000008"]`, or a text file with one a line;
            by default all pictures.
        with_points: Whether to read the lidar's points.
        points_folders: Where these lie in the split; of a frame that is in several, those
            of the first are read.

    Raises:
        FileNotFoundError: If the folder or a frame's file is missing.
        ValueError: If a class is none of KITTI's, or a file is damaged; the message names
            the file, and the line.

    Reference:
        Geiger, Lenz, Urtasun, Are we ready for Autonomous Driving? The KITTI Vision
        Benchmark Suite, CVPR 2012; the readme of its object development kit.
    """

    def __init__(
        self,
        root: str | Path,
        split: Literal["training", "testing"] = "training",
        transform: Transforms = None,
        *,
        classes: Sequence[str] = KITTI_CLASSES,
        frames: Sequence[str] | str | Path | None = None,
        with_points: bool = True,
        points_folders: Sequence[str] = ("velodyne", "velodyne_reduced"),
    ) -> None:
        super().__init__(transform)
        if split not in ("training", "testing"):
            raise ValueError(f"split must be 'training' or 'testing', got {split!r}")
        unknown = [name for name in classes if name not in KITTI_CLASSES]
        if unknown:
            raise ValueError(f"classes {unknown} are not among KITTI's: {', '.join(KITTI_CLASSES)}")
        self.folder = Path(root) / split
        self.classes: Sequence[str] = tuple(classes)
        self.colors = tuple(_COLORS[name] for name in self.classes)
        self.with_labels = split == "training"
        self.with_points = with_points
        self.points_folders = tuple(points_folders)
        self.pictures = self._find_pictures(frames)

    def _find_pictures(self, frames: Sequence[str] | str | Path | None) -> StringArray:
        folder = self.folder / "image_2"
        if not folder.is_dir():
            raise FileNotFoundError(f"{folder}: no such folder")
        found = {
            file.stem: file.name
            for file in sorted(folder.iterdir())
            if file.suffix.lower() in IMAGE_SUFFIXES
        }
        if not found:
            raise FileNotFoundError(f"{folder}: holds no pictures")
        if frames is None:
            return StringArray(found.values())
        where: str | Path = "frames"
        if isinstance(frames, str | Path):
            where, frames = frames, _read_text(Path(frames)).split()
        missing = [name for name in frames if name not in found]
        if missing:
            raise FileNotFoundError(
                f"{where}: {len(missing)} frames have no picture in {folder}, first {missing[0]!r}"
            )
        return StringArray(found[name] for name in frames)

    def __len__(self) -> int:
        return len(self.pictures)

    def load(self, index: int) -> Sample:
        frame = Path(self.pictures[index]).stem
        img = read_image(self._picture(index))
        height, width = img.shape[-2:]
        calibration = read_calibration(self._file("calib", frame))
        sample: Sample = {"img": img, **self._annotation(index, (height, width), calibration)}
        if self.with_points:
            sample["points"] = read_points(self._points_file(frame))
        sample["projection"] = Projection(
            _SHIFT @ calibration.lidar_to_pixels, canvas_size=(height, width)
        )
        sample["camera_matrix"] = Projection(
            _SHIFT @ calibration.camera_to_pixels[:, :3], canvas_size=(height, width)
        )
        return sample

    def annotation(self, index: int) -> Sample:
        """The boxes, from the frame's text files, and the size from the picture's header."""
        frame = Path(self.pictures[index]).stem
        calibration = read_calibration(self._file("calib", frame)) if self.with_labels else None
        return self._annotation(index, image_size(self._picture(index)), calibration)

    def source(self, index: int) -> str:
        return str(self._picture(index))

    def _picture(self, index: int) -> Path:
        return self.folder / "image_2" / self.pictures[index]

    def _file(self, folder: str, frame: str) -> Path:
        return self.folder / folder / f"{frame}.txt"

    def _points_file(self, frame: str) -> Path:
        files = [self.folder / folder / f"{frame}.bin" for folder in self.points_folders]
        for file in files:
            if file.is_file():
                return file
        raise FileNotFoundError(
            f"{files[0]}: no such file, nor in {', '.join(self.points_folders[1:]) or 'others'}; "
            "with_points=False reads frames without points"
        )

    def _annotation(
        self, index: int, size: tuple[int, int], calibration: "KittiCalibration | None"
    ) -> Sample:
        sample: Sample = {
            "img_id": Path(self.pictures[index]).stem,
            "img_path": self.source(index),
            "ori_shape": size,
        }
        if not self.with_labels:
            return sample
        assert calibration is not None
        labels = read_labels(self._file("label_2", sample["img_id"]))
        is_given = [name in self.classes for name in labels.types]
        boxes = labels.boxes + _TO_CORNER
        numbers = [self.classes.index(name) for name in labels.types if name in self.classes]
        return {
            **sample,
            "gt_bboxes": _bounding_boxes(boxes[is_given], size),
            "gt_classes": torch.tensor(numbers, dtype=torch.int64),
            "gt_truncated": torch.from_numpy(labels.truncated[is_given].astype(np.float32)),
            "gt_occluded": torch.from_numpy(labels.occluded[is_given]),
            "gt_bboxes_3d": torch.from_numpy(
                lidar_boxes(labels, calibration)[is_given].astype(np.float32)
            ),
            "gt_ignore_bboxes": _bounding_boxes(boxes[np.logical_not(is_given)], size),
        }


def _bounding_boxes(boxes: NDArray[np.float64], size: tuple[int, int]) -> tv_tensors.BoundingBoxes:
    return tv_tensors.BoundingBoxes(
        torch.from_numpy(boxes.astype(np.float32).reshape(-1, 4)), format="XYXY", canvas_size=size
    )


@dataclass(frozen=True)
class KittiLabels:
    """The rows of a label file, M of them, as they stand there.

    Args:
        types: The class of each, or `DontCare`.
        truncated: Share outside the picture, shape (M,); -1 of `DontCare`.
        occluded: int64, shape (M,); -1 of `DontCare`.
        boxes: Left, top, right, bottom, shape (M, 4).
        sizes: Height, width, length in metres, shape (M, 3).
        locations: The middle of the floor in the rectified camera frame, shape (M, 3).
        rotations: About the axis that points down, shape (M,).
    """

    types: Sequence[str]
    truncated: NDArray[np.float64]
    occluded: NDArray[np.int64]
    boxes: NDArray[np.float64]
    sizes: NDArray[np.float64]
    locations: NDArray[np.float64]
    rotations: NDArray[np.float64]


def read_labels(path: str | Path) -> KittiLabels:
    """Read a label file of KITTI's object benchmark; an empty one has no rows.

    Args:
        path: The file.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If a row is not one; the message names the file and the line.
    """
    types, rows = [], []
    for number, line in enumerate(_read_text(Path(path)).splitlines(), 1):
        if line.strip():
            try:
                name, row = _parse_row(line.split())
            except ValueError as error:
                raise ValueError(f"{path}:{number}: {error}") from None
            types.append(name)
            rows.append(row)
    values = np.array(rows, np.float64).reshape(-1, _NUM_VALUES - 1)
    return KittiLabels(
        types=types,
        truncated=values[:, 0],
        occluded=values[:, 1].astype(np.int64),
        boxes=values[:, 3:7],
        sizes=values[:, 7:10],
        locations=values[:, 10:13],
        rotations=values[:, 13],
    )


def _parse_row(words: list[str]) -> tuple[str, list[float]]:
    if len(words) != _NUM_VALUES:
        raise ValueError(f"expected {_NUM_VALUES} values, got {len(words)}")
    name, *numbers = words
    if name not in (*KITTI_CLASSES, "DontCare"):
        raise ValueError(
            f"{name!r} is none of KITTI's types: {', '.join(KITTI_CLASSES)} and DontCare"
        )
    values = _finite(numbers)
    truncated, occluded, _, left, top, right, bottom = values[:7]
    if right < left or bottom < top:
        raise ValueError(f"a box from ({left}, {top}) to ({right}, {bottom}) is turned inside out")
    if name != "DontCare":
        if not 0 <= truncated <= 1:
            raise ValueError(f"truncated must be from 0 to 1, got {truncated}")
        if occluded not in (0, 1, 2, 3):
            raise ValueError(f"occluded must be 0, 1, 2 or 3, got {occluded}")
        if min(values[7:10]) < 0:
            raise ValueError(f"height, width and length must not be negative, got {values[7:10]}")
    return name, values


def _finite(words: Sequence[str]) -> list[float]:
    values = [float(word) for word in words]
    if not all(abs(value) < _LARGEST for value in values):
        raise ValueError(f"expected finite numbers below {_LARGEST:g}, got {' '.join(words)}")
    return values


@dataclass(frozen=True)
class KittiCalibration:
    """What a calibration file says of the left colour camera and the lidar.

    Args:
        camera_to_pixels: `P2`, shape (3, 4): from the rectified camera frame to pixels
            counted from the centre of the first.
        lidar_to_camera: `R0_rect` times `Tr_velo_to_cam`, shape (4, 4): from the frame of
            the points to the rectified camera frame.
    """

    camera_to_pixels: NDArray[np.float64]
    lidar_to_camera: NDArray[np.float64]

    @property
    def lidar_to_pixels(self) -> NDArray[np.float64]:
        """From the frame of the points to pixels counted from the centre of the first."""
        return self.camera_to_pixels @ self.lidar_to_camera


def read_calibration(path: str | Path) -> KittiCalibration:
    """Read a calibration file of KITTI's object benchmark.

    Args:
        path: The file.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If a matrix is missing or damaged; the message names the file and the
            line.
    """
    matrices: dict[str, list[float]] = {}
    for number, line in enumerate(_read_text(Path(path)).splitlines(), 1):
        key, colon, numbers = line.partition(":")
        if not line.strip():
            continue
        try:
            if not colon:
                raise ValueError(f"expected 'name: numbers', got {line[:40]!r}")
            if key in matrices:
                raise ValueError(f"{key} stands there twice")
            matrices[key] = _finite(numbers.split())
        except ValueError as error:
            raise ValueError(f"{path}:{number}: {error}") from None
    try:
        rectify, to_camera = np.eye(4), np.eye(4)
        rectify[:3, :3] = _matrix(matrices, "R0_rect", (3, 3))
        to_camera[:3] = _matrix(matrices, "Tr_velo_to_cam", (3, 4))
        lidar_to_camera = rectify @ to_camera
        if abs(abs(np.linalg.det(lidar_to_camera[:3, :3])) - 1) > 0.01:
            raise ValueError("R0_rect times Tr_velo_to_cam does not turn without scaling")
        return KittiCalibration(_matrix(matrices, "P2", (3, 4)), lidar_to_camera)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


def _matrix(
    matrices: Mapping[str, list[float]], key: str, shape: tuple[int, int]
) -> NDArray[np.float64]:
    if key not in matrices:
        raise ValueError(f"{key} is missing; it has {', '.join(matrices) or 'nothing'}")
    if len(matrices[key]) != math.prod(shape):
        raise ValueError(f"{key} must have {math.prod(shape)} numbers, got {len(matrices[key])}")
    return np.array(matrices[key]).reshape(shape)


def lidar_boxes(labels: KittiLabels, calibration: KittiCalibration) -> NDArray[np.float64]:
    """The 3-D boxes of all rows in the frame of the points.

    Args:
        labels: M rows; what comes out for `DontCare` means nothing.
        calibration: That of the frame.

    Returns:
        Shape (M, 7): centre x, y, z, length, width, height, yaw in (-pi, pi].
    """
    to_lidar = np.linalg.inv(calibration.lidar_to_camera)
    heights, widths, lengths = labels.sizes.T
    centres = labels.locations.copy()
    centres[:, 1] -= heights / 2  # y points down, and the location is that of the floor
    centres = centres @ to_lidar[:3, :3].T + to_lidar[:3, 3]
    # Where the length of the box points, first in the camera's frame.
    headings = np.stack(
        [np.cos(labels.rotations), np.zeros_like(heights), -np.sin(labels.rotations)], axis=1
    )
    headings = headings @ to_lidar[:3, :3].T
    yaws = np.arctan2(headings[:, 1], headings[:, 0])
    return np.column_stack([centres, lengths, widths, heights, yaws])


def _read_text(path: Path) -> str:
    try:
        if path.stat().st_size > _MAX_TEXT_BYTES:
            raise ValueError(f"more than {_MAX_TEXT_BYTES:,} bytes are refused")
        return path.read_text("utf-8")
    except FileNotFoundError:
        raise FileNotFoundError(f"{path}: no such file") from None
    except (OSError, ValueError) as error:
        raise ValueError(f"{path}: cannot be read as text: {error}") from error
