"""Cityscapes: street scenes, every pixel labelled, things as instances."""

from pathlib import Path
from typing import Literal

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torchvision import tv_tensors
from torchvision.datasets import Cityscapes

from hat.data.arrays import StringArray
from hat.data.datasets.base import Dataset, Transforms
from hat.data.images import check_same_size, image_size, read_image, read_mask
from hat.data.pixels import Mask
from hat.data.sample import Sample

_ENDING = "_leftImg8bit.png"
_NOT_LABELLED = 255
#: torchvision keeps the official table of ids, names and colours. The licence plate (-1) is
#: in no map of ids.
_LABELS = [label for label in Cityscapes.classes if label.id >= 0]
_EVALUATED = sorted((c for c in _LABELS if c.train_id != _NOT_LABELLED), key=lambda c: c.train_id)
_THINGS = [label for label in _EVALUATED if label.has_instances]
_TRAIN_IDS = np.array([label.train_id for label in _LABELS], np.uint8)
#: From here on an id is 1000 times the class plus the number of the instance.
_FIRST_INSTANCE = 1000


class CityscapesDataset(Dataset):
    """Cityscapes with the 19 classes that are evaluated, and instances of 8 if wanted.

    The folder is laid out as Cityscapes ships it: `leftImg8bit/<split>/<city>` and
    `gtFine/<split>/<city>`. The ids of its label maps become the 19 train ids; all others
    are 255, not labelled. With instances, a thing that has a number of its own becomes a
    mask with its box and class; pixels of a group in which no single thing can be told (an
    id without number) become one mask of their class with `gt_crowd`.

    Args:
        root: The folder that holds `leftImg8bit` and the annotations.
        split: `train`, `val`, `test` (without labels) or `train_extra` (coarse only).
        transform: See `Dataset`.
        annotations: The folder of the labels: `gtFine` or `gtCoarse`.
        with_labels: Whether to give labels; by default for all splits but `test`, whose
            published maps hold none.
        with_instances: Whether to give `gt_masks`, `gt_bboxes`, `gt_classes` and
            `gt_crowd` too.

    Raises:
        FileNotFoundError: If the folder is missing or empty, or a picture lacks its labels.
        ValueError: If a map holds an id that is none of Cityscapes', or differs in size
            from its picture; the message names the file.

    Reference:
        Cordts et al., The Cityscapes Dataset for Semantic Urban Scene Understanding,
        CVPR 2016.
    """

    seg_classes = tuple(label.name for label in _EVALUATED)
    seg_colors = tuple(label.color for label in _EVALUATED)

    def __init__(
        self,
        root: str | Path,
        split: Literal["train", "val", "test", "train_extra"] = "train",
        transform: Transforms = None,
        *,
        annotations: Literal["gtFine", "gtCoarse"] = "gtFine",
        with_labels: bool | None = None,
        with_instances: bool = False,
    ) -> None:
        super().__init__(transform)
        if split not in ("train", "val", "test", "train_extra"):
            raise ValueError(f"split must be train, val, test or train_extra, got {split!r}")
        if annotations not in ("gtFine", "gtCoarse"):
            raise ValueError(f"annotations must be gtFine or gtCoarse, got {annotations!r}")
        self.with_labels = split != "test" if with_labels is None else with_labels
        if with_instances and not self.with_labels:
            raise ValueError("with_instances needs labels, and this split is read without them")
        self.with_instances = with_instances
        if with_instances:
            self.classes = tuple(label.name for label in _THINGS)
            self.colors = tuple(label.color for label in _THINGS)
        self.images_folder = Path(root) / "leftImg8bit" / split
        self.labels_folder = Path(root) / annotations / split
        self._ending = f"_{annotations}_{'instanceIds' if with_instances else 'labelIds'}.png"
        if not self.images_folder.is_dir():
            raise FileNotFoundError(f"{self.images_folder}: no such folder")
        pictures = sorted(self.images_folder.glob(f"*/*{_ENDING}"))
        if not pictures:
            raise FileNotFoundError(f"{self.images_folder}: holds no <city>/*{_ENDING}")
        self.names = StringArray(
            file.relative_to(self.images_folder).as_posix().removesuffix(_ENDING)
            for file in pictures
        )
        if self.with_labels:
            self._check_labels()

    def _check_labels(self) -> None:
        missing = [name for name in self.names if not self._label_file(name).is_file()]
        if missing:
            raise FileNotFoundError(
                f"{self._label_file(missing[0])}: no such file; {len(missing)} of "
                f"{len(self.names)} pictures lack theirs. with_labels=False reads pictures alone"
            )

    def __len__(self) -> int:
        return len(self.names)

    def load(self, index: int) -> Sample:
        img = read_image(self._picture(index))
        size = (img.shape[-2], img.shape[-1])
        sample: Sample = {"img": img, **self._identity(index), "ori_shape": size}
        if not self.with_labels:
            return sample
        path = self._label_file(self.names[index])
        ids = _read_ids(path)
        check_same_size(torch.from_numpy(ids), path, size, self._picture(index))
        # An instance's id begins with that of its class.
        labels = np.where(ids >= _FIRST_INSTANCE, ids // _FIRST_INSTANCE, ids)
        sample["gt_seg"] = Mask(torch.from_numpy(_TRAIN_IDS[labels]))
        if self.with_instances:
            instance_ids, numbers, is_crowd = _things_in(ids)
            masks = ids == instance_ids[:, None, None]
            sample |= {
                "gt_bboxes": _boxes_of(masks),
                "gt_classes": numbers,
                "gt_crowd": is_crowd,
                "gt_masks": Mask(torch.from_numpy(masks)),
            }
        return sample

    def annotation(self, index: int) -> Sample:
        """The size from the picture's header; with instances their boxes, from their map."""
        sample = {**self._identity(index), "ori_shape": image_size(self._picture(index))}
        if self.with_instances:
            ids = _read_ids(self._label_file(self.names[index]))
            instance_ids, numbers, is_crowd = _things_in(ids)
            sample["gt_bboxes"] = _boxes_of(ids == instance_ids[:, None, None])
            sample["gt_classes"], sample["gt_crowd"] = numbers, is_crowd
        return sample

    def source(self, index: int) -> str:
        return str(self._picture(index))

    def _identity(self, index: int) -> Sample:
        return {"img_id": self.names[index].split("/")[-1], "img_path": self.source(index)}

    def _picture(self, index: int) -> Path:
        return self.images_folder / (self.names[index] + _ENDING)

    def _label_file(self, name: str) -> Path:
        return self.labels_folder / (name + self._ending)


def _read_ids(path: Path) -> NDArray[np.int32]:
    """The ids of a label or instance map, shape (H, W), all of them known ones."""
    ids = read_mask(path).as_subclass(torch.Tensor).to(torch.int32).numpy()
    present = np.flatnonzero(np.bincount(ids.ravel()))
    classes = np.where(present >= _FIRST_INSTANCE, present // _FIRST_INSTANCE, present)
    unknown = present[classes >= len(_LABELS)]
    if len(unknown):
        raise ValueError(f"{path}: ids {unknown[:5].tolist()} are none of Cityscapes'")
    return ids


def _things_in(ids: NDArray[np.int32]) -> tuple[NDArray[np.int64], torch.Tensor, torch.Tensor]:
    """The ids of things and groups of them, their classes, and which are groups."""
    numbers = {label.id: number for number, label in enumerate(_THINGS)}
    found = [
        (id_, numbers[id_ // _FIRST_INSTANCE or id_], id_ < _FIRST_INSTANCE)
        for id_ in np.flatnonzero(np.bincount(ids.ravel())).tolist()
        if (id_ // _FIRST_INSTANCE or id_) in numbers
    ]
    instance_ids, classes, is_crowd = zip(*found, strict=True) if found else ((), (), ())
    return (
        np.array(instance_ids, np.int64),
        torch.tensor(classes, dtype=torch.int64),
        torch.tensor(is_crowd, dtype=torch.bool),
    )


def _boxes_of(masks: NDArray[np.bool_]) -> tv_tensors.BoundingBoxes:
    """The smallest boxes around masks, none of them empty."""
    corners = np.zeros((len(masks), 4), np.float32)
    for row, mask in enumerate(masks):
        left, top, width, height = cv2.boundingRect(mask.view(np.uint8))
        corners[row] = left, top, left + width, top + height
    return tv_tensors.BoundingBoxes(
        torch.from_numpy(corners), format="XYXY", canvas_size=masks.shape[1:]
    )
