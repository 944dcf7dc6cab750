"""Detection, instance masks and keypoints in COCO's format."""

import logging
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torchvision.tv_tensors import BoundingBoxes, BoundingBoxFormat

from hat.data.colors import distinct_colors
from hat.data.datasets.base import Dataset, Transforms
from hat.data.datasets.coco_index import MISTAKE_TEXTS, Mistake, open_index
from hat.data.datasets.coco_results import write_results
from hat.data.datasets.coco_rle import draw_masks
from hat.data.images import read_image
from hat.data.keypoints import KeyPoints
from hat.data.orientation import TURNED, exif_orientation, orient_boxes, turned_upright
from hat.data.pixels import Mask
from hat.data.sample import Sample

logger = logging.getLogger(__name__)


class CocoDataset(Dataset):
    """Pictures and objects as a COCO file lists them.

    A sample has `gt_bboxes`, `gt_classes` and `gt_crowd`; where the file has them also
    `gt_masks`, from polygons or run lengths, and `gt_keypoints` with `gt_visibility`.
    `img_id` is the id in the file. Classes count from 0 in the order of the category
    ids, however these may skip. Boxes become XYXY and are clipped to the picture; those
    that reached more than a pixel past it are counted in the log. Keypoints stay as in
    the file, which counts pixels: (0, 0) is the centre of the first.

    A picture that its EXIF orientation turns is read upright. Where the listed size shows
    that it was labelled as it is stored, boxes, masks and keypoints are turned with it;
    `annotation` then still gives them as listed.

    All mistakes in the annotations are found when the file is opened: unknown ids, ids
    that occur twice, boxes that are not finite, negative, empty or outside the picture,
    polygons of fewer than three points, run lengths that do not fill the picture, and
    wrong types. Mistakes in the list of pictures or categories are always errors.

    A file of more than 16 MiB is read and checked once: what it holds is kept as arrays
    in a folder of caches, and mapped from there until the file changes.

    Reading it is not left to `torchvision.datasets.CocoDetection`, which gives the JSON of
    each object as it is: unchecked, in millions of Python objects that each worker copies
    bit by bit, and after `json.load` of the whole file at every start.

    Args:
        annotation_file: The JSON file.
        image_root: The folder that the file names are relative to.
        transform: See `Dataset`.
        classes: Names of categories, in the order of their numbers; objects of other
            categories are left out. By default all categories.
        with_masks: Whether samples have `gt_masks`, if the file has any.
        bad_annotations: `"raise"` refuses a file with mistakes in its annotations.
            `"drop"` leaves those annotations out and logs how many, by kind.
        missing_images: `"raise"` is an error when a picture is read that does not exist.
            `"skip"` looks for all pictures at the start, leaves out those that do not
            exist and logs how many.
        index_dir: Where the arrays of the file are kept. By default in `$HAT_CACHE`,
            `$XDG_CACHE_HOME/hat` or `~/.cache/hat`, and for large files only.

    Attributes:
        category_ids: The id in the file of each of `classes`.
        dropped: How many annotations were left out, by kind of mistake.
        num_missing_images: How many pictures were left out.

    Raises:
        FileNotFoundError: If the file or the folder does not exist.
        ValueError: If the file is no COCO file, or has mistakes.

    Reference:
        Lin et al., Microsoft COCO: Common Objects in Context, ECCV 2014.
    """

    def __init__(
        self,
        annotation_file: str | Path,
        image_root: str | Path,
        transform: Transforms = None,
        *,
        classes: Sequence[str] | None = None,
        with_masks: bool = True,
        bad_annotations: Literal["raise", "drop"] = "raise",
        missing_images: Literal["raise", "skip"] = "raise",
        index_dir: str | Path | None = None,
    ) -> None:
        super().__init__(transform)
        _check_choice("bad_annotations", bad_annotations, ("raise", "drop"))
        _check_choice("missing_images", missing_images, ("raise", "skip"))
        self.annotation_file = Path(annotation_file)
        self.image_root = Path(image_root)
        index = open_index(self.annotation_file, None if index_dir is None else Path(index_dir))
        if not self.image_root.is_dir():
            raise FileNotFoundError(f"{image_root}: no such folder")
        self.with_masks = with_masks and bool(index.header["has_masks"])
        self._index = index
        self._names = index.names
        self._class_of_category = self._choose_classes(classes)
        self._is_kept, self.dropped = self._kept_annotations(bad_annotations)
        self._images = np.arange(len(index.image_ids))
        if missing_images == "skip":
            self._images = self._images[list(_exist(self.image_root, self._names))]
        self.num_missing_images = len(index.image_ids) - len(self._images)
        self._log()

    def _choose_classes(self, classes: Sequence[str] | None) -> NDArray[np.int64]:
        """Set the classes; the class of each category, and of the unknown one at the end."""
        names: list[str] = self._index.header["category_names"]
        ids: list[int] = self._index.header["category_ids"]
        if isinstance(classes, str):
            raise TypeError(f"classes must be a list of names, got {classes!r}")
        if classes is None:
            chosen = sorted(range(len(ids)), key=ids.__getitem__)
        else:
            unknown = [name for name in classes if name not in names]
            if unknown:
                raise ValueError(f"{self.annotation_file}: no category {unknown}, only {names}")
            if len(set(classes)) < len(classes):
                raise ValueError(f"classes must differ, got {list(classes)}")
            chosen = [names.index(name) for name in classes]
        self.classes = tuple(names[category] for category in chosen)
        self.colors = distinct_colors(len(self.classes))
        self.category_ids = tuple(ids[category] for category in chosen)
        class_of_category = np.full(len(ids) + 1, -1)
        class_of_category[chosen] = np.arange(len(chosen))
        return class_of_category

    def _kept_annotations(
        self, bad_annotations: str
    ) -> tuple[NDArray[np.bool_] | None, dict[str, int]]:
        """Which annotations are used, None for all, and how many were dropped and why."""
        flags = self._index.mistakes
        if not self.with_masks:
            flags = flags & ~np.uint16(Mistake.NO_MASK)
        is_wrong = flags != 0
        num_wrong = int(is_wrong.sum())
        dropped = {
            text: int((flags & kind != 0).sum())
            for kind, text in MISTAKE_TEXTS.items()
            if num_wrong and (flags & kind).any()
        }
        if num_wrong and bad_annotations == "raise":
            raise ValueError(self._all_mistakes(num_wrong, dropped))
        is_kept = ~is_wrong & (self._class_of_category[self._index.categories] >= 0)
        return None if is_kept.all() else is_kept, dropped

    def _all_mistakes(self, num_wrong: int, counts: Mapping[str, int]) -> str:
        header = self._index.header
        lines = [f"{self.annotation_file}: {num_wrong:,} of {header['num_annotations']:,} "
                 "annotations are wrong:"]  # fmt: skip
        for kind, text in MISTAKE_TEXTS.items():
            if text in counts:
                lines.append(f"  {text}: {counts[text]:,}, such as")
                lines += [f"    {example}" for example in header["examples"][kind.name]]
        lines.append('  bad_annotations="drop" leaves them out.')
        return "\n".join(lines)

    def _log(self) -> None:
        num_clipped = self._index.header["num_clipped"]
        if num_clipped:
            logger.warning(
                "%s: clipped %d boxes that reach more than a pixel past their picture",
                self.annotation_file,
                num_clipped,
            )
        if self.dropped:
            reasons = "; ".join(f"{text}: {count:,}" for text, count in self.dropped.items())
            logger.warning("%s: dropped annotations: %s", self.annotation_file, reasons)
        if self.num_missing_images:
            logger.warning(
                "%s: left out %d of %d pictures, which are not in %s",
                self.annotation_file,
                self.num_missing_images,
                len(self._index.image_ids),
                self.image_root,
            )

    def __len__(self) -> int:
        return len(self._images)

    def load(self, index: int) -> Sample:
        image = int(self._images[index])
        rows = self._rows(image)
        sample = self._annotation(image, rows)
        try:
            img = read_image(sample["img_path"])
        except FileNotFoundError:
            raise FileNotFoundError(
                f"{sample['img_path']}: no such file, but {self.annotation_file} lists it as image "
                f'{sample["img_id"]}. missing_images="skip" leaves such images out'
            ) from None
        if self.with_masks:
            sample["gt_masks"] = draw_masks(list(self._shapes(rows)), sample["ori_shape"])
        if tuple(img.shape[-2:]) != sample["ori_shape"]:
            sample |= self._turned(sample, (int(img.shape[-2]), int(img.shape[-1])))
        return {"img": img, **sample}

    def annotation(self, index: int) -> Sample:
        image = int(self._images[index])
        return self._annotation(image, self._rows(image))

    def source(self, index: int) -> str | None:
        return os.path.join(self.image_root, self._names[int(self._images[index])])

    def write_results(self, path: str | Path, predictions: Iterable[Mapping[str, Any]]) -> int:
        """Write predictions as a file of COCO results, with the file's own ids.

        Args:
            path: The JSON file; it is replaced only once all is written.
            predictions: For each picture a dict of `img_id`, `bboxes` (M, 4) XYXY in
                pixels of the picture as it was before transforms, `classes` (M,),
                `scores` (M,) and, if there are any, `masks` (M, H, W).

        Returns:
            How many objects were written.

        Raises:
            ValueError: If an id or a class is not of this data set, or shapes differ.
        """
        return write_results(Path(path), predictions, self.category_ids, self._index.image_ids)

    def _rows(self, image: int) -> NDArray[np.int64]:
        first, last = self._index.offsets[image], self._index.offsets[image + 1]
        rows = np.arange(first, last)
        return rows if self._is_kept is None else rows[self._is_kept[first:last]]

    def _annotation(self, image: int, rows: NDArray[np.int64]) -> Sample:
        index = self._index
        height, width = index.sizes[image].tolist()
        sample: Sample = {
            "gt_bboxes": _boxes(torch.from_numpy(index.boxes[rows]), (height, width)),
            "gt_classes": torch.from_numpy(self._class_of_category[index.categories[rows]]),
            "gt_crowd": torch.from_numpy(index.crowd[rows]),
            "img_id": int(index.image_ids[image]),
            "img_path": os.path.join(self.image_root, self._names[image]),
            "ori_shape": (height, width),
        }
        if index.header["num_keypoints"]:
            points = self._keypoints(rows)
            sample["gt_keypoints"] = KeyPoints(
                torch.from_numpy(points[..., :2].copy()), canvas_size=(height, width)
            )
            sample["gt_visibility"] = torch.from_numpy(points[..., 2].astype(np.int64))
        return sample

    def _keypoints(self, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """x, y and visibility, shape (M, K, 3); zeros where an object has no such point."""
        points = np.zeros((len(rows), self._index.header["num_keypoints"], 3), np.float32)
        for place, (first, last) in zip(points, self._index.keypoint_ranges[rows], strict=True):
            place[: last - first] = self._index.keypoints[first:last]
        # The file counts pixels; here the centre of the first pixel is at 0.5.
        points[..., :2] += 0.5 * (points[..., 2:] > 0)
        return points

    def _shapes(self, rows: NDArray[np.int64]) -> Iterator[bytes | list[list[float]]]:
        """The polygons or run lengths of each object."""
        index = self._index
        for (first, last), (start, stop) in zip(
            index.part_ranges[rows], index.rle_ranges[rows], strict=True
        ):
            if start < stop:
                yield index.rle_bytes[start:stop].tobytes()
            else:
                bounds = index.part_offsets[first : last + 1].tolist()
                yield [index.part_values[begin:end].tolist() for begin, end in pairwise(bounds)]

    def _turned(self, sample: Sample, shape: tuple[int, int]) -> Sample:
        """The labels of a picture that EXIF turns, and that was labelled before it was."""
        path, listed = sample["img_path"], sample["ori_shape"]
        orientation = exif_orientation(path) if shape == listed[::-1] else 1
        if orientation not in TURNED:
            raise ValueError(
                f"{path}: the picture is {shape[1]} x {shape[0]} (W x H), but "
                f"{self.annotation_file} lists image {sample['img_id']} as "
                f"{listed[1]} x {listed[0]}. Its boxes would not fit: one of the two is wrong"
            )
        boxes = orient_boxes(sample["gt_bboxes"].as_subclass(torch.Tensor), orientation, listed)
        turned: Sample = {"gt_bboxes": _boxes(boxes, shape), "ori_shape": shape}
        if "gt_masks" in sample:
            masks = sample["gt_masks"].numpy().view(np.uint8)
            pixels = [turned_upright(mask, orientation) for mask in masks]
            turned["gt_masks"] = Mask(
                torch.from_numpy(np.stack(pixels).view(np.bool_))
                if pixels
                else torch.zeros((0, *shape), dtype=torch.bool)
            )
        if "gt_keypoints" in sample:
            points = sample["gt_keypoints"].as_subclass(torch.Tensor)
            corners = orient_boxes(torch.cat([points, points], dim=-1), orientation, listed)
            turned["gt_keypoints"] = KeyPoints(corners[..., :2], canvas_size=shape)
        return turned


def _boxes(boxes: torch.Tensor, shape: tuple[int, int]) -> BoundingBoxes:
    return BoundingBoxes(boxes, format=BoundingBoxFormat.XYXY, canvas_size=shape)


def _check_choice(name: str, value: str, choices: Sequence[str]) -> None:
    if value not in choices:
        raise ValueError(f"{name} must be one of {list(choices)}, got {value!r}")


def _exist(root: Path, names: Iterable[str]) -> Iterator[bool]:
    """Whether there is a file of each name, by one look into each folder, not at each file."""
    listings: dict[str, set[str]] = {}
    for name in names:
        folder, base = os.path.split(name)
        if folder not in listings:
            there = os.path.join(root, folder)
            listings[folder] = set(os.listdir(there)) if os.path.isdir(there) else set()
        yield base in listings[folder]
