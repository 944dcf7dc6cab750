"""Detection and segmentation in the format of Pascal VOC."""

import logging
import math
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal
from xml.etree import ElementTree

import numpy as np
import torch
from torchvision.tv_tensors import BoundingBoxes, BoundingBoxFormat

from hat.data.arrays import StringArray, offsets_of
from hat.data.datasets.base import Color, Dataset, Transforms
from hat.data.images import image_size, path_inside, read_image, read_mask
from hat.data.orientation import TURNED, exif_orientation, orient_boxes, turned_upright
from hat.data.pixels import Mask
from hat.data.sample import Sample

logger = logging.getLogger(__name__)

#: The classes of the challenges from 2007 on.
VOC_CLASSES = (
    "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow",
    "diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa",
    "train", "tvmonitor",
)  # fmt: skip

_VOID = 255
_NUM_EXAMPLES = 3
_PICTURE_SUFFIXES = (".jpg", ".jpeg", ".png")


class VocDataset(Dataset):
    """Pictures and objects in the folders of Pascal VOC.

    The folders are `Annotations`, `JPEGImages` and `ImageSets`, and with `with_seg` also
    `SegmentationClass` and `SegmentationObject`. A sample has `gt_bboxes`, `gt_classes`,
    `gt_difficult` and `gt_truncated`, which is 1 where the file says truncated: by what
    share it does not say. `img_id` is the name in the list of the set. A picture without
    objects stays, with none.

    VOC counts pixels from 1 and includes the last, so a box becomes (xmin - 1, ymin - 1,
    xmax, ymax). It is clipped to the picture; boxes that reached more than a pixel past it
    are counted in the log. A box whose xmax is not above its xmin is taken for the empty
    one that a slip of the hand draws, although VOC could mean a column of pixels; the same
    goes for y.

    The size is that of the picture itself. Files that say another are counted in the log,
    unless it is that of the picture before its EXIF orientation turns it: then boxes and
    maps are turned with it.

    All XML files are read at the start, and with them the headers of the pictures. Files
    that declare a document type are refused: it is what entities that expand to
    gigabytes need, and VOC has none.

    Reading them is not left to `torchvision.datasets.VOCDetection`, which gives the
    texts of the XML as nested dicts, unchecked and parsed anew for each sample.

    Args:
        root: The folder that holds the others, such as `VOCdevkit/VOC2012`.
        image_set: Reads `ImageSets/Main/<image_set>.txt`, or from the folder
            `ImageSets/Segmentation` with `with_seg`.
        transform: See `Dataset`.
        classes: The names in the order of their numbers; by default VOC's twenty.
        with_seg: Whether samples have `gt_seg` (0 background, n + 1 for class n, 255 not
            labelled) and `gt_masks`.
        bad_annotations: `"raise"` refuses a set in which an object has no name or box, a
            class that is not in `classes`, or a box that is not finite, reversed, empty or
            outside the picture. `"drop"` leaves such objects out and logs how many.
        missing_images: `"raise"` is an error when a picture is read that does not exist.
            `"skip"` leaves such pictures out at the start and logs how many.

    Attributes:
        dropped: How many objects were left out, by kind of mistake.
        num_missing_images: How many pictures were left out.
        num_wrong_sizes: How many files give another size than their picture has.

    Raises:
        FileNotFoundError: If a folder, the list or an annotation does not exist.
        ValueError: If an annotation is no XML of this kind, or has mistakes.

    Reference:
        Everingham et al., The Pascal Visual Object Classes (VOC) Challenge, IJCV 2010.
    """

    def __init__(
        self,
        root: str | Path,
        image_set: str = "train",
        transform: Transforms = None,
        *,
        classes: Sequence[str] = VOC_CLASSES,
        with_seg: bool = False,
        bad_annotations: Literal["raise", "drop"] = "raise",
        missing_images: Literal["raise", "skip"] = "raise",
    ) -> None:
        super().__init__(transform)
        for name, value, choices in (
            ("bad_annotations", bad_annotations, ("raise", "drop")),
            ("missing_images", missing_images, ("raise", "skip")),
        ):
            if value not in choices:
                raise ValueError(f"{name} must be one of {list(choices)}, got {value!r}")
        if isinstance(classes, str) or len(set(classes)) < len(classes):
            raise ValueError(f"classes must be a list of names that differ, got {classes!r}")
        self.root = Path(root)
        self.with_seg = with_seg
        self.classes: tuple[str, ...] = tuple(classes)
        self.colors = voc_colors(len(classes) + 1)[1:]
        if with_seg:
            self.seg_classes = ("background", *classes)
            self.seg_colors = voc_colors(len(classes) + 1)
        kind = "Segmentation" if with_seg else "Main"
        self.list_file = path_inside(self.root, f"ImageSets/{kind}/{image_set}.txt")
        reading = _Reading(self.root, self.list_file, self.classes)
        pictures = [
            picture
            for picture in map(reading.picture, _names_in(self.list_file))
            if picture.exists or missing_images == "raise"
        ]
        self.dropped = dict(reading.mistakes)
        self.num_wrong_sizes = len(reading.wrong_sizes)
        self.num_missing_images = reading.num_missing if missing_images == "skip" else 0
        reading.finish(bad_annotations)
        if self.num_missing_images:
            logger.warning(
                "%s: left out %d pictures that do not exist", self.list_file, reading.num_missing
            )
        self._store(pictures)

    def _store(self, pictures: list["_Picture"]) -> None:
        """Keep all in few arrays: worker processes share them without copies."""
        objects = [obj for picture in pictures for obj in picture.objects]
        self._ids = StringArray(picture.name for picture in pictures)
        self._files = StringArray(str(picture.path) for picture in pictures)
        self._sizes = np.array([picture.size for picture in pictures], np.int64).reshape(-1, 2)
        self._orientations = np.array([picture.orientation for picture in pictures], np.int64)
        self._offsets = offsets_of(len(picture.objects) for picture in pictures)
        self._boxes = np.array([obj.box for obj in objects], np.float32).reshape(-1, 4)
        self._class_ids = np.array([obj.class_id for obj in objects], np.int64)
        self._difficult = np.array([obj.is_difficult for obj in objects], bool)
        self._truncated = np.array([obj.is_truncated for obj in objects], np.float32)
        self._numbers = np.array([obj.number for obj in objects], np.int64)

    def __len__(self) -> int:
        return len(self._ids)

    def load(self, index: int) -> Sample:
        path = self._files[index]
        try:
            img = read_image(path)
        except FileNotFoundError:
            raise FileNotFoundError(
                f"{path}: no such file, but {self.list_file} lists {self._ids[index]!r}. "
                'missing_images="skip" leaves such pictures out'
            ) from None
        sample = {"img": img, **self.annotation(index)}
        shape = tuple(img.shape[-2:])
        if shape != sample["ori_shape"]:
            raise ValueError(
                f"{path}: the picture is {shape[1]} x {shape[0]} (W x H), but it was "
                f"{sample['ori_shape'][1]} x {sample['ori_shape'][0]} when the data set was opened"
            )
        if self.with_seg:
            sample.update(self._segmentation(index, sample["ori_shape"]))
        return sample

    def annotation(self, index: int) -> Sample:
        rows = slice(int(self._offsets[index]), int(self._offsets[index + 1]))
        height, width = self._sizes[index].tolist()
        return {
            "gt_bboxes": BoundingBoxes(
                torch.from_numpy(self._boxes[rows].copy()),
                format=BoundingBoxFormat.XYXY,
                canvas_size=(height, width),
            ),
            "gt_classes": torch.from_numpy(self._class_ids[rows].copy()),
            "gt_difficult": torch.from_numpy(self._difficult[rows].copy()),
            "gt_truncated": torch.from_numpy(self._truncated[rows].copy()),
            "img_id": self._ids[index],
            "img_path": self._files[index],
            "ori_shape": (height, width),
        }

    def source(self, index: int) -> str | None:
        return self._files[index]

    def _segmentation(self, index: int, shape: tuple[int, int]) -> Sample:
        rows = slice(int(self._offsets[index]), int(self._offsets[index + 1]))
        name = f"{self._ids[index]}.png"
        orientation = int(self._orientations[index])
        seg = _map_of(path_inside(self.root / "SegmentationClass", name), shape, orientation)
        values = seg.as_subclass(torch.Tensor)
        unknown = values[(values > len(self.classes)) & (values != _VOID)]
        if len(unknown):
            raise ValueError(
                f"{self.root / 'SegmentationClass' / name}: has the class {int(unknown[0])}, "
                f"but there are {len(self.classes)} beside the background"
            )
        objects = _map_of(path_inside(self.root / "SegmentationObject", name), shape, orientation)
        # Object n of the annotation, counted from 1, is drawn with the number n.
        numbers = torch.from_numpy(self._numbers[rows] + 1)
        masks = objects.as_subclass(torch.Tensor)[None] == numbers[:, None, None]
        return {"gt_seg": seg, "gt_masks": Mask(masks)}


def voc_colors(num_colors: int) -> list[Color]:
    """The colours of VOC's own palette: the bits of the number, dealt to red, green and blue.

    Example:
        >>> voc_colors(4)
        [(0, 0, 0), (128, 0, 0), (0, 128, 0), (128, 128, 0)]
    """
    return [
        (_every_third_bit(n), _every_third_bit(n >> 1), _every_third_bit(n >> 2))
        for n in range(num_colors)
    ]


def _every_third_bit(number: int) -> int:
    """Bits 0, 3 and 6 of a number, as the three highest of a byte."""
    return sum(128 >> place for place in range(8) if number >> 3 * place & 1)


@dataclass
class _Object:
    number: int  # its place in the file
    class_id: int
    box: list[float]
    is_difficult: bool
    is_truncated: bool


@dataclass
class _Picture:
    name: str
    path: Path
    exists: bool
    size: tuple[int, int]  # (H, W)
    orientation: int  # by which its labels are turned with it; 1 where they are not
    objects: list[_Object] = field(default_factory=list)


class _WrongObject(Exception):  # noqa: N818 - never leaves this module
    def __init__(self, kind: str, found: str) -> None:
        super().__init__(kind, found)
        self.kind = kind
        self.found = found


class _Reading:
    """Reads the annotations of a set one by one, and notes what is wrong with them."""

    def __init__(self, root: Path, list_file: Path, classes: Sequence[str]) -> None:
        self.root = root
        self.list_file = list_file
        self.class_ids = {name: class_id for class_id, name in enumerate(classes)}
        self.mistakes: Counter[str] = Counter()
        self.examples: dict[str, list[str]] = {}
        self.wrong_sizes: list[str] = []
        self.num_objects = 0
        self.num_clipped = 0
        self.num_missing = 0

    def picture(self, name: str) -> _Picture:
        file = _inside(self.root / "Annotations", f"{name}.xml", self.list_file)
        annotation = read_xml(file)
        path = self._path(file, name, annotation)
        exists = os.path.isfile(path)  # a name that cannot be one is of no file
        self.num_missing += not exists
        size, orientation = self._size(file, path, annotation, exists)
        picture = _Picture(name, path, exists, size, orientation)
        for number, entry in enumerate(annotation.findall("object")):
            self.num_objects += 1
            try:
                picture.objects.append(self._object(number, entry, picture))
            except _WrongObject as error:
                self.mistakes[error.kind] += 1
                examples = self.examples.setdefault(error.kind, [])
                if len(examples) < _NUM_EXAMPLES:
                    examples.append(f"{file}, object {number + 1}: {error.found}")
        return picture

    def _path(self, file: Path, name: str, annotation: ElementTree.Element) -> Path:
        """The picture: named as the annotation is, or else as the annotation says."""
        folder = self.root / "JPEGImages"
        for suffix in _PICTURE_SUFFIXES:
            path = _inside(folder, name + suffix, self.list_file)
            if os.path.isfile(path):
                return path
        written = (annotation.findtext("filename") or "").strip()
        return _inside(folder, written or f"{name}{_PICTURE_SUFFIXES[0]}", file)

    def _size(
        self, file: Path, path: Path, annotation: ElementTree.Element, exists: bool
    ) -> tuple[tuple[int, int], int]:
        """The size of the picture, and the orientation that turns its labels with it."""
        written = [_number(annotation, "size/height"), _number(annotation, "size/width")]
        try:
            size = image_size(path) if exists else None
        except ValueError:  # a damaged picture is an error of its sample, when that is read
            size = None
        if size is None:
            if not all(1 <= length < 2**31 for length in written):
                raise ValueError(f"{file}: has no size, and the picture {path} cannot be read")
            return (int(written[0]), int(written[1])), 1
        says_nothing = all(map(math.isnan, written))
        if says_nothing or written == list(size):
            return size, 1
        orientation = exif_orientation(path)
        if orientation in TURNED and written[::-1] == list(size):
            return size, orientation
        self.wrong_sizes.append(
            f"{file} says {written[1]:g} x {written[0]:g}, the picture is {size[1]} x {size[0]}"
        )
        return size, 1

    def _object(self, number: int, entry: ElementTree.Element, picture: _Picture) -> _Object:
        name = (entry.findtext("name") or "").strip()
        if not name:
            raise _WrongObject("no name", "an object must have a <name>")
        if name not in self.class_ids:
            raise _WrongObject("class that is not in classes", repr(name[:50]))
        return _Object(
            number,
            self.class_ids[name],
            self._box(entry, picture),
            _number(entry, "difficult") == 1,
            _number(entry, "truncated") == 1,
        )

    def _box(self, entry: ElementTree.Element, picture: _Picture) -> list[float]:
        keys = ("xmin", "ymin", "xmax", "ymax")
        xmin, ymin, xmax, ymax = (_number(entry, f"bndbox/{key}") for key in keys)
        found = f"bndbox {xmin:g}, {ymin:g}, {xmax:g}, {ymax:g}"
        if not all(map(math.isfinite, (xmin, ymin, xmax, ymax))):
            raise _WrongObject("no box of four finite numbers", found)
        if xmax < xmin or ymax < ymin:
            raise _WrongObject("box whose end is before its start", found)
        if xmax == xmin or ymax == ymin:
            raise _WrongObject("box without width or height", found)
        is_turned = picture.orientation in TURNED
        height, width = picture.size[::-1] if is_turned else picture.size
        box = [max(xmin - 1, 0), max(ymin - 1, 0), min(xmax, width), min(ymax, height)]
        if box[0] >= box[2] or box[1] >= box[3]:
            raise _WrongObject("box outside its picture", f"{found} of {width} x {height}")
        # Counted from 0 by mistake, a box starts one pixel past the picture.
        self.num_clipped += min(xmin, ymin) < 0 or xmax > width + 1 or ymax > height + 1
        return orient_boxes(torch.tensor(box), picture.orientation, (height, width)).tolist()

    def finish(self, bad_annotations: str) -> None:
        """Refuse what is wrong, or log it."""
        list_file = self.list_file
        total = sum(self.mistakes.values())
        if total and bad_annotations == "raise":
            lines = [f"{list_file}: {total:,} of {self.num_objects:,} objects are wrong:"]
            for kind, count in self.mistakes.items():
                lines.append(f"  {kind}: {count:,}, such as")
                lines += [f"    {example}" for example in self.examples[kind]]
            lines.append('  bad_annotations="drop" leaves them out.')
            raise ValueError("\n".join(lines))
        if total:
            reasons = "; ".join(f"{kind}: {count:,}" for kind, count in self.mistakes.items())
            logger.warning("%s: dropped objects: %s", list_file, reasons)
        if self.num_clipped:
            logger.warning(
                "%s: clipped %d boxes that reach more than a pixel past their picture",
                list_file,
                self.num_clipped,
            )
        if self.wrong_sizes:
            logger.warning(
                "%s: %d annotations give a wrong size, such as %s",
                list_file,
                len(self.wrong_sizes),
                "; ".join(self.wrong_sizes[:_NUM_EXAMPLES]),
            )


class _WithoutDoctype(ElementTree.TreeBuilder):
    def doctype(self, name: str, pubid: str | None, system: str | None) -> None:
        raise ValueError(f"declares a document type ({name}), which may hide anything")


def read_xml(path: Path) -> ElementTree.Element:
    """The `<annotation>` of a file.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is no whole XML, is no annotation, or declares a document type.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise FileNotFoundError(f"{path}: no such file") from None
    except IsADirectoryError:
        raise ValueError(f"{path}: expected an XML file, got a folder") from None
    try:
        parser = ElementTree.XMLParser(target=_WithoutDoctype())
        root = ElementTree.fromstring(data, parser)
    except (ElementTree.ParseError, ValueError, LookupError) as error:
        raise ValueError(f"{path}: not whole XML: {error}") from None
    if root.tag != "annotation":
        raise ValueError(f"{path}: expected <annotation>, got <{root.tag[:50]}>")
    return root


def _inside(folder: Path, name: str, said_by: Path) -> Path:
    try:
        return path_inside(folder, name)
    except ValueError as error:
        raise ValueError(f"{said_by}: {error}") from None


def _number(element: ElementTree.Element, path: str) -> float:
    """The number in an element below; NaN if there is none."""
    try:
        return float(element.findtext(path) or "nan")
    except ValueError:
        return math.nan


def _names_in(list_file: Path) -> Iterator[str]:
    try:
        lines = list_file.read_text("utf-8").splitlines()
    except FileNotFoundError:
        raise FileNotFoundError(f"{list_file}: no such file{_other_sets(list_file)}") from None
    except UnicodeDecodeError as error:
        raise ValueError(f"{list_file}: not a text: {error}") from None
    names = [line.strip() for line in lines if line.strip()]
    repeated = [name for name, count in Counter(names).items() if count > 1]
    if repeated:
        raise ValueError(f"{list_file}: lists {repeated[:_NUM_EXAMPLES]} more than once")
    return iter(names)


def _other_sets(list_file: Path) -> str:
    others = sorted(path.stem for path in list_file.parent.glob("*.txt"))
    return f"; there are {others}" if others else ""


def _map_of(path: Path, shape: tuple[int, int], orientation: int) -> Mask:
    found = Mask(torch.from_numpy(turned_upright(read_mask(path).numpy(), orientation)))
    if tuple(found.shape) != shape:
        raise ValueError(
            f"{path}: the map is {found.shape[1]} x {found.shape[0]} (W x H), "
            f"its picture {shape[1]} x {shape[0]}"
        )
    return found
