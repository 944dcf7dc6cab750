"""The annotations of a COCO file as a few large arrays, kept on disk once they are known.

Loading the JSON of a large set takes longer than all else that opening it needs, and the
objects it becomes are what makes the memory of workers grow: each look at one writes its
count of references. Arrays that are mapped from files are read by all workers from the
same pages.
"""

import contextlib
import gc
import hashlib
import json
import logging
import os
import reprlib
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import IntFlag
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from hat.data.arrays import StringArray, offsets_of
from hat.data.datasets.coco_rle import checked_rle
from hat.data.paths import path_inside

logger = logging.getLogger(__name__)

#: Changes whenever the arrays below mean something else, so that old indices are not read.
FORMAT = 1

#: Smaller files are read each time: it takes well under a second and leaves nothing behind.
MIN_INDEXED_BYTES = 16 << 20

#: Of each kind of mistake, how many are told one by one.
NUM_EXAMPLES = 3

_MAX_SIZE = 2**31 - 1
_MAX_ID = 2**63 - 1


class Mistake(IntFlag):
    """What can be wrong with an annotation; one may have several."""

    ENTRY = 1
    DUPLICATE_ID = 2
    UNKNOWN_IMAGE = 4
    UNKNOWN_CATEGORY = 8
    NOT_FINITE = 16
    NEGATIVE_SIZE = 32
    EMPTY_BOX = 64
    OUTSIDE = 128
    POLYGON = 256
    RLE = 512
    KEYPOINTS = 1024
    NO_MASK = 2048


_MASK_MISTAKES = Mistake.POLYGON | Mistake.RLE

#: How errors and logs name each kind.
MISTAKE_TEXTS = {
    Mistake.ENTRY: "missing key or wrong type",
    Mistake.DUPLICATE_ID: "id of an earlier annotation",
    Mistake.UNKNOWN_IMAGE: "image_id that is not listed",
    Mistake.UNKNOWN_CATEGORY: "category_id that is not listed",
    Mistake.NOT_FINITE: "box that is not finite",
    Mistake.NEGATIVE_SIZE: "box of negative width or height",
    Mistake.EMPTY_BOX: "box without width or height",
    Mistake.OUTSIDE: "box outside its picture",
    Mistake.POLYGON: "polygon that is none",
    Mistake.RLE: "run lengths that do not fill the picture",
    Mistake.KEYPOINTS: "keypoints that are none",
    Mistake.NO_MASK: "no mask, although others have one",
}


@dataclass
class CocoIndex:
    """What a COCO file says, in arrays. Annotations are ordered by picture.

    Args:
        header: Names and counts, by the keys of `_header`.
        image_ids: Ids of the N pictures, in the order of the file.
        sizes: Their (H, W), shape (N, 2).
        name_bytes: Their file names, as in `StringArray`.
        name_offsets: The offsets of the names.
        offsets: Rows `offsets[n]` to `offsets[n + 1]` are the annotations of picture n.
        boxes: XYXY, clipped to the picture, shape (M, 4).
        categories: Positions in the header's lists of categories; -1 where unknown.
        crowd: Whether an object is a region of many.
        mistakes: `Mistake` of each annotation; 0 where nothing is wrong.
        part_ranges: Polygons of an annotation: rows of `part_offsets`, shape (M, 2).
        part_offsets: Where each polygon starts in `part_values`, and the end.
        part_values: x and y in turn of all polygons.
        rle_ranges: The bytes of an annotation's compressed run lengths, shape (M, 2).
        rle_bytes: All run lengths.
        keypoint_ranges: Rows of `keypoints` that are an annotation's, shape (M, 2).
        keypoints: x, y and visibility of each.
        folder: Where the arrays are mapped from, if they are.
    """

    header: dict[str, Any]
    image_ids: NDArray[np.int64]
    sizes: NDArray[np.int64]
    name_bytes: NDArray[np.uint8]
    name_offsets: NDArray[np.int64]
    offsets: NDArray[np.int64]
    boxes: NDArray[np.float32]
    categories: NDArray[np.int32]
    crowd: NDArray[np.bool_]
    mistakes: NDArray[np.uint16]
    part_ranges: NDArray[np.int64]
    part_offsets: NDArray[np.int64]
    part_values: NDArray[np.float64]
    rle_ranges: NDArray[np.int64]
    rle_bytes: NDArray[np.uint8]
    keypoint_ranges: NDArray[np.int64]
    keypoints: NDArray[np.float32]
    folder: Path | None = None

    @property
    def names(self) -> StringArray:
        """The file names of the pictures."""
        return StringArray.from_buffer(self.name_bytes, self.name_offsets)

    def __reduce__(self) -> Any:
        # A process that is sent a mapped index maps it too, where a copy would be its own.
        if self.folder is not None:
            return load_index, (self.folder,)
        return CocoIndex, tuple(vars(self).values())


def open_index(path: Path, index_dir: Path | None) -> CocoIndex:
    """The index of a COCO file, from disk where there is one of this very file.

    Args:
        path: The file.
        index_dir: Where indices are kept. By default that is `$HAT_CACHE`, or `hat` in
            the user's folder of caches, and only large files leave one.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file as a whole is no COCO file.
    """
    try:
        status = path.stat()
    except FileNotFoundError:
        raise FileNotFoundError(f"{path}: no such file") from None
    if index_dir is None:
        if status.st_size < MIN_INDEXED_BYTES:
            return build_index(path)
        index_dir = default_index_dir()
    name = hashlib.sha256(os.fsencode(path.resolve())).hexdigest()[:20]
    folder = index_dir / f"{name}-{status.st_size}-{status.st_mtime_ns}-{FORMAT}"
    if folder.is_dir():
        try:
            return load_index(folder)
        except (OSError, ValueError, KeyError, TypeError) as error:
            logger.warning("%s: the index %s is damaged (%s), making it anew", path, folder, error)
            shutil.rmtree(folder, ignore_errors=True)
    index = build_index(path)
    try:
        _save_index(index, folder)
        for older in index_dir.glob(f"{name}-*"):
            if older != folder and not older.name.endswith(".partial"):
                shutil.rmtree(older, ignore_errors=True)
        return load_index(folder)
    except OSError as error:
        logger.warning("%s: its index cannot be kept in %s: %s", path, index_dir, error)
        return index


def default_index_dir() -> Path:
    """Where indices are kept unless said otherwise."""
    if "HAT_CACHE" in os.environ:
        return Path(os.environ["HAT_CACHE"]) / "coco"
    caches = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(caches) / "hat" / "coco"


def _save_index(index: CocoIndex, folder: Path) -> None:
    """Write all files under a name that nobody reads, then rename: whole or not at all."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    arrays = {name: a for name, a in vars(index).items() if isinstance(a, np.ndarray)}
    shapes = {name: [array.dtype.str, list(array.shape)] for name, array in arrays.items()}
    partial = Path(tempfile.mkdtemp(suffix=".partial", prefix=folder.name, dir=folder.parent))
    try:
        for name, array in arrays.items():
            np.save(partial / f"{name}.npy", array)
        content = {"header": index.header, "arrays": shapes}
        (partial / "index.json").write_text(json.dumps(content))
        try:
            partial.rename(folder)
        except OSError:
            if not folder.is_dir():  # else another process has written the same meanwhile
                raise
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def load_index(folder: Path) -> CocoIndex:
    """Map the arrays of an index on disk.

    Raises:
        OSError: If a file is missing.
        ValueError: If a file is cut short or holds something else than was written.
    """
    content = json.loads((folder / "index.json").read_text())
    arrays = {}
    for name, (dtype, shape) in content["arrays"].items():
        # Plain arrays over the mapped memory: slices of `np.memmap` take ten times as long.
        array = np.asarray(np.load(folder / f"{name}.npy", mmap_mode="r"))
        if array.dtype.str != dtype or list(array.shape) != shape:
            raise ValueError(f"{name} is {array.dtype.str} {array.shape}, not {dtype} {shape}")
        arrays[name] = array
    return CocoIndex(content["header"], **arrays, folder=folder)


def build_index(path: Path) -> CocoIndex:
    """Read a COCO file and check all that it says.

    Raises:
        ValueError: If the file as a whole, an image or a category is wrong. What is wrong
            with annotations is noted in the index.
    """
    with _no_garbage_collection():
        document = read_json(path)
        if not isinstance(document, dict):
            raise ValueError(
                f"{path}: expected an object with images, annotations and categories, "
                f"got {_type_name(document)}"
            )
        lists = {}
        for key in ("images", "categories", "annotations"):
            if not isinstance(document.get(key), list):
                found = _type_name(document[key]) if key in document else "no such key"
                raise ValueError(f"{path}: expected a list {key!r}, got {found}")
            lists[key] = document.pop(key)
        images, categories = lists["images"], lists["categories"]
        _check_unique(path, "images", images, _image_mistake)
        _check_unique(path, "categories", categories, _category_mistake)
        return _index_of(images, categories, lists["annotations"])


@contextlib.contextmanager
def _no_garbage_collection() -> Iterator[None]:
    """Millions of objects are made, none of them garbage; looking for some takes as long again."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def read_json(path: Path) -> Any:
    """What a JSON file holds; NaN and Infinity, which JSON does not have, are read too.

    Raises:
        ValueError: If the file is not whole JSON.
    """
    import orjson

    try:
        data = path.read_bytes()
    except IsADirectoryError:
        raise ValueError(f"{path}: expected a JSON file, got a folder") from None
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError:
        try:
            return json.loads(data)
        except RecursionError:
            raise ValueError(f"{path}: nested too deeply") from None
        except ValueError as error:
            raise ValueError(f"{path}: not whole JSON: {error}") from error


def _check_unique(
    path: Path, kind: str, entries: list[Any], mistake_of: Callable[[Any], str | None]
) -> None:
    """Refuse the file if any image (or category) is wrong or has the id of another."""
    mistakes = [
        f"{kind}[{position}]: {mistake}"
        for position, entry in enumerate(entries)
        if (mistake := mistake_of(entry)) is not None
    ]
    if not mistakes:
        counts = Counter(entry["id"] for entry in entries)
        mistakes = [f"{n} {kind} have the id {id_}" for id_, n in counts.items() if n > 1]
    if not mistakes and kind == "categories":
        counts = Counter(entry["name"] for entry in entries)
        mistakes = [f"{n} {kind} have the name {name!r}" for name, n in counts.items() if n > 1]
    if mistakes:
        shown = "\n  ".join(mistakes[:NUM_EXAMPLES])
        more = f"\n  and {len(mistakes) - NUM_EXAMPLES:,} more" * (len(mistakes) > NUM_EXAMPLES)
        raise ValueError(f"{path}: mistakes in {kind}:\n  {shown}{more}")


def _image_mistake(image: Any) -> str | None:
    if not isinstance(image, dict):
        return f"expected an object, got {_type_name(image)}"
    if not _is_id(image.get("id")):
        return f"id must be a whole number, got {_short(image.get('id'))}"
    for key in ("height", "width"):
        size = image.get(key)
        if type(size) is not int or not 1 <= size <= _MAX_SIZE:
            return f"{key} of image {image['id']} must be a positive number, got {_short(size)}"
    name = image.get("file_name")
    if not isinstance(name, str) or not name:
        return f"file_name of image {image['id']} must be a text, got {_short(name)}"
    try:
        path_inside(f"image {image['id']}", name)
    except ValueError as error:
        return str(error)
    if not _is_encodable(name):
        return f"file_name {_short(name)} of image {image['id']} cannot be one"
    return None


def _category_mistake(category: Any) -> str | None:
    if not isinstance(category, dict):
        return f"expected an object, got {_type_name(category)}"
    if not _is_id(category.get("id")):
        return f"id must be a whole number, got {_short(category.get('id'))}"
    if not isinstance(category.get("name"), str) or not category["name"]:
        return f"name of category {category['id']} must be a text"
    return None


class _Columns(NamedTuple):
    ids: NDArray[np.int64]
    image_ids: NDArray[np.int64]
    category_ids: NDArray[np.int64]
    boxes: NDArray[np.float64]  # x, y, width, height
    crowd: NDArray[np.bool_]
    segmentations: list[Any]
    parts: list[list[float]]
    num_parts: NDArray[np.int64]
    part_values: NDArray[np.float64]
    keypoints: list[Any]


def _columns(annotations: list[Any]) -> _Columns:
    """Annotations, all of right types, as columns.

    The types are looked at by the million: nothing is done for one object but in C.

    Raises:
        TypeError, KeyError, OverflowError: If a key lacks or a type is wrong somewhere.
    """
    _only(annotations, dict)
    boxes = [annotation["bbox"] for annotation in annotations]
    _only(boxes, list)
    if set(map(len, boxes)) - {4}:
        raise TypeError
    crowd = [annotation.get("iscrowd", 0) for annotation in annotations]
    if set(crowd) - {0, 1}:
        raise TypeError
    segmentations = [annotation.get("segmentation") for annotation in annotations]
    _only(segmentations, list, dict, type(None))
    polygons = [value if type(value) is list else () for value in segmentations]
    parts = list(chain.from_iterable(polygons))
    _only(parts, list)
    for value in segmentations:
        if type(value) is dict:
            _check_rle_types(value)
    keypoints = [annotation.get("keypoints") or [] for annotation in annotations]
    _only(keypoints, list)
    _only(chain.from_iterable(keypoints), int, float)
    return _Columns(
        _integers([annotation["id"] for annotation in annotations]),
        _integers([annotation["image_id"] for annotation in annotations]),
        _integers([annotation["category_id"] for annotation in annotations]),
        _numbers(boxes).reshape(-1, 4),
        np.array(crowd, bool),
        segmentations,
        parts,
        np.fromiter(map(len, polygons), np.int64, len(polygons)),
        _numbers(parts),
        keypoints,
    )


def _only(values: Any, *types: type) -> None:
    if set(map(type, values)) - set(types):
        raise TypeError


def _integers(values: list[Any]) -> NDArray[np.int64]:
    _only(values, int)
    return np.array(values, np.int64)


def _numbers(lists: Sequence[Sequence[Any]]) -> NDArray[np.float64]:
    _only(chain.from_iterable(lists), int, float)
    return np.fromiter(chain.from_iterable(lists), np.float64)


def _check_rle_types(rle: dict[str, Any]) -> None:
    size, counts = rle["size"], rle["counts"]
    _only([size], list)
    _only(size, int)
    _only([counts], list, str)
    if type(counts) is list:
        _only(counts, int)


#: Stands where an annotation cannot be read.
_NOTHING = {"id": 0, "image_id": 0, "category_id": 0, "bbox": [0, 0, 0, 0]}


def _mended(annotation: Any) -> tuple[dict[str, Any], Mistake, str]:
    """The annotation with harmless values where its types are wrong, and what was wrong."""
    if not isinstance(annotation, dict):
        return _NOTHING, Mistake.ENTRY, f"got {_type_name(annotation)}"
    for keys in (("id",), ("image_id",), ("category_id",), ("bbox", "iscrowd")):
        alone = _NOTHING | {key: annotation[key] for key in keys if key in annotation}
        if keys[0] not in annotation:
            return _NOTHING, Mistake.ENTRY, f"{keys[0]} is missing"
        if not _has_right_types(alone):
            values = ", ".join(f"{key} {_short(annotation[key])}" for key in keys & alone.keys())
            return _NOTHING, Mistake.ENTRY, values
    mended, mistakes, texts = dict(annotation), Mistake(0), []
    for key, kind in (("segmentation", Mistake.POLYGON), ("keypoints", Mistake.KEYPOINTS)):
        value = annotation.get(key)
        if not _has_right_types(_NOTHING | {key: value}):
            mended[key] = None
            mistakes |= Mistake.RLE if isinstance(value, dict) else kind
            texts.append(f"{key} {_short(value)}")
    return mended, mistakes, ", ".join(texts)


def _has_right_types(annotation: dict[str, Any]) -> bool:
    try:
        _columns([annotation])
    except (KeyError, TypeError, OverflowError):
        return False
    return True


class _Report:
    """Collects what is wrong: a flag for each annotation, and a few told in words."""

    def __init__(self, columns: _Columns, flags: NDArray[np.uint16]) -> None:
        self.columns = columns
        self.flags = flags
        self.texts: dict[str, list[str]] = {}

    def add(self, kind: Mistake, rows: NDArray[Any], text: Callable[[int], str]) -> None:
        """Note the rows (numbers, or a bool for each) whose other values can be believed."""
        rows = np.flatnonzero(rows) if rows.dtype == bool else rows
        rows = rows[self.flags[rows] & Mistake.ENTRY == 0]
        self.flags[rows] |= np.uint16(kind)
        for row in rows[:NUM_EXAMPLES].tolist():
            where = f"annotation {self.columns.ids[row]} of image {self.columns.image_ids[row]}"
            self.tell(kind, f"{where}: {text(row)}")

    def tell(self, kind: Mistake, text: str) -> None:
        texts = self.texts.setdefault(str(kind.name), [])
        if len(texts) < NUM_EXAMPLES:
            texts.append(text)


def _index_of(images: list[Any], categories: list[Any], annotations: list[Any]) -> CocoIndex:
    image_ids = np.array([image["id"] for image in images], np.int64)
    category_ids = np.array([category["id"] for category in categories], np.int64)
    sizes = np.array([(i["height"], i["width"]) for i in images], np.int64).reshape(-1, 2)
    columns, report = _read(annotations)
    image_rows = _positions(columns.image_ids, image_ids)
    category_rows = _positions(columns.category_ids, category_ids)
    report.add(Mistake.DUPLICATE_ID, _repeated(columns.ids, report.flags), lambda row: "same id")
    report.add(Mistake.UNKNOWN_IMAGE, image_rows < 0, lambda row: "no such image")
    report.add(
        Mistake.UNKNOWN_CATEGORY,
        category_rows < 0,
        lambda row: f"category_id {columns.category_ids[row]}",
    )
    heights, widths = _sizes_of(image_rows, sizes)
    boxes, num_clipped = _clipped_boxes(columns, report, heights, widths)
    part_offsets = _checked_parts(columns, report, np.maximum(heights, widths))
    rles = _checked_rles(columns, report, image_rows, sizes)
    num_keypoints, keypoints = _checked_keypoints(columns, report, categories, category_rows)
    has_mask = (columns.num_parts > 0) | np.fromiter(map(bool, rles), bool, len(rles))
    has_masks = any(columns.segmentations) or bool((report.flags & _MASK_MISTAKES).any())
    if has_masks:
        is_told = report.flags & (_MASK_MISTAKES | Mistake.UNKNOWN_IMAGE) != 0
        report.add(Mistake.NO_MASK, ~has_mask & ~is_told, lambda row: "no segmentation")

    # Those of no known image go to the end, where no picture's rows are.
    image_rows[image_rows < 0] = len(images)
    order = np.argsort(image_rows, kind="stable")
    names = StringArray([image["file_name"] for image in images])
    counts = np.bincount(image_rows, minlength=len(images) + 1)[: len(images)]
    return CocoIndex(
        header={
            "category_ids": category_ids.tolist(),
            "category_names": [category["name"] for category in categories],
            "num_annotations": len(annotations),
            "num_clipped": num_clipped,
            "num_keypoints": num_keypoints,
            "has_masks": has_masks,
            "examples": report.texts,
        },
        image_ids=image_ids,
        sizes=sizes,
        name_bytes=names.buffer,
        name_offsets=names.offsets,
        offsets=offsets_of(counts),
        boxes=boxes[order],
        categories=category_rows[order].astype(np.int32),
        crowd=columns.crowd[order],
        mistakes=report.flags[order],
        part_ranges=_ranges(columns.num_parts)[order],
        part_offsets=part_offsets,
        part_values=columns.part_values,
        rle_ranges=_ranges(map(len, rles))[order],
        rle_bytes=np.frombuffer(b"".join(rles), np.uint8),
        keypoint_ranges=_ranges(map(len, keypoints))[order],
        keypoints=_numbers(list(chain.from_iterable(keypoints))).astype(np.float32).reshape(-1, 3),
    )


def _read(annotations: list[Any]) -> tuple[_Columns, _Report]:
    try:
        columns = _columns(annotations)
    except (KeyError, TypeError, OverflowError):
        mended = [_mended(annotation) for annotation in annotations]
        columns = _columns([annotation for annotation, _, _ in mended])
        report = _Report(columns, np.array([kind for _, kind, _ in mended], np.uint16))
        for position, (annotation, kinds, text) in enumerate(mended):
            where = f"annotations[{position}]"
            if kinds and Mistake.ENTRY not in kinds:
                where = f"annotation {annotation['id']} of image {annotation['image_id']}"
            for kind in kinds:
                report.tell(kind, f"{where}: {text}")
        return columns, report
    return columns, _Report(columns, np.zeros(len(annotations), np.uint16))


def _positions(ids: NDArray[np.int64], known: NDArray[np.int64]) -> NDArray[np.int64]:
    """Where each id stands among the known ones; -1 where it does not."""
    if len(known) == 0:
        return np.full(len(ids), -1)
    order = np.argsort(known)
    places = np.searchsorted(known, ids, sorter=order).clip(max=len(known) - 1)
    found = order[places]
    return np.where(known[found] == ids, found, -1)


def _repeated(ids: NDArray[np.int64], flags: NDArray[np.uint16]) -> NDArray[np.int64]:
    """Rows whose id an earlier readable row has."""
    rows = np.flatnonzero(flags & Mistake.ENTRY == 0)
    rows = rows[np.argsort(ids[rows], kind="stable")]
    return np.sort(rows[1:][ids[rows[1:]] == ids[rows[:-1]]])


def _sizes_of(
    image_rows: NDArray[np.int64], sizes: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Heights and widths of the annotations' pictures, the largest where none is known."""
    known = np.concatenate([sizes, np.full((1, 2), _MAX_SIZE)])
    return known[image_rows, 0], known[image_rows, 1]  # row -1 is the last


def _clipped_boxes(
    columns: _Columns, report: _Report, heights: NDArray[np.int64], widths: NDArray[np.int64]
) -> tuple[NDArray[np.float32], int]:
    """XYXY inside the picture, and how many reached more than a pixel past it."""
    x, y, width, height = columns.boxes.T
    with np.errstate(over="ignore", invalid="ignore"):
        corners = np.stack([x, y, x + width, y + height], 1)
        limits = np.stack([widths, heights, widths, heights], 1)
        clipped = corners.clip(0, limits)
        past = np.abs(corners - clipped).max(1, initial=0) > 1
        boxes = clipped.astype(np.float32)
        is_inside = (boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1])
    not_finite = np.asarray(~np.isfinite(columns.boxes).all(axis=1))
    negative = ~not_finite & ((width < 0) | (height < 0))
    empty = ~not_finite & ~negative & ((width == 0) | (height == 0))
    outside = ~(not_finite | negative | empty | is_inside)
    for kind, rows in (
        (Mistake.NOT_FINITE, not_finite),
        (Mistake.NEGATIVE_SIZE, negative),
        (Mistake.EMPTY_BOX, empty),
        (Mistake.OUTSIDE, outside),
    ):
        report.add(kind, rows, lambda row: f"bbox {columns.boxes[row].tolist()}")
    return boxes, int((past & (report.flags == 0)).sum())


def _checked_parts(
    columns: _Columns, report: _Report, longer_sides: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Where polygons start among all values.

    One reaches nowhere near the picture if it is further away than the picture's longer
    side. To draw it would take time and memory in proportion to the distance.
    """
    lengths = np.fromiter(map(len, columns.parts), np.int64, len(columns.parts))
    offsets = offsets_of(lengths)
    annotation_of = np.repeat(np.arange(len(columns.num_parts)), columns.num_parts)
    is_wrong = (lengths < 6) | (lengths % 2 == 1)
    filled = np.flatnonzero(lengths)
    if len(filled):
        starts = offsets[filled]
        sides = longer_sides[annotation_of[filled]]
        lowest = np.minimum.reduceat(columns.part_values, starts)
        highest = np.maximum.reduceat(columns.part_values, starts)
        is_wrong[filled] |= ~((lowest >= -sides) & (highest <= 2 * sides))  # NaN is neither
    rows = np.unique(annotation_of[is_wrong])
    report.add(
        Mistake.POLYGON,
        rows,
        lambda row: (
            f"segmentation {_short(columns.segmentations[row])}: every polygon needs "
            "three points or more, x and y of each, in or near the picture"
        ),
    )
    return offsets


def _checked_rles(
    columns: _Columns, report: _Report, image_rows: NDArray[np.int64], sizes: NDArray[np.int64]
) -> list[bytes]:
    """The compressed run lengths of each annotation; empty where it has none."""
    rles = [b""] * len(columns.segmentations)
    wrong: dict[int, str] = {}
    for row, value in enumerate(columns.segmentations):
        if type(value) is dict and image_rows[row] >= 0:
            try:
                height, width = sizes[image_rows[row]].tolist()
                rles[row] = checked_rle(value["counts"], value["size"], (height, width))
            except ValueError as error:
                wrong[row] = str(error)
    report.add(Mistake.RLE, np.array(list(wrong), np.int64), wrong.__getitem__)
    return rles


def _checked_keypoints(
    columns: _Columns,
    report: _Report,
    categories: list[Any],
    category_rows: NDArray[np.int64],
) -> tuple[int, list[list[list[float]]]]:
    """How many points the file knows, and those of each annotation as x, y, visibility."""
    named = [category.get("keypoints") for category in categories]
    expected = [len(names) if isinstance(names, list) else 0 for names in named]
    triples: list[list[list[float]]] = []
    wrong: list[int] = []
    if not any(expected) and not any(columns.keypoints):
        return 0, [[]] * len(columns.keypoints)
    for row, values in enumerate(columns.keypoints):
        points = [values[start : start + 3] for start in range(0, len(values), 3)]
        if values and not _are_keypoints(points, expected[category_rows[row]]):
            wrong.append(row)
            points = []
        triples.append(points)
    report.add(
        Mistake.KEYPOINTS,
        np.array(wrong, np.int64),
        lambda row: (
            f"keypoints {_short(columns.keypoints[row])}: expected x, y and visibility "
            "0, 1 or 2 of every point of the category"
        ),
    )
    return max([*map(len, triples), *expected], default=0), triples


def _are_keypoints(points: list[list[float]], expected: int) -> bool:
    return (
        len(points[-1]) == 3
        and expected in (0, len(points))
        and all(abs(x) < 1e9 and abs(y) < 1e9 and v in (0, 1, 2) for x, y, v in points)
    )


def _ranges(lengths: Any) -> NDArray[np.int64]:
    offsets = offsets_of(lengths)
    return np.stack([offsets[:-1], offsets[1:]], 1)


def _is_id(value: Any) -> bool:
    return type(value) is int and -_MAX_ID <= value <= _MAX_ID


def _is_encodable(name: str) -> bool:
    try:
        name.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return False
    return True


def _short(value: Any) -> str:
    return reprlib.repr(value)


def _type_name(value: Any) -> str:
    return type(value).__name__
