"""Tiny data sets in the formats of COCO and Pascal VOC."""

import contextlib
import json

import numpy as np
from PIL import Image as PILImage

#: Two parts of one object: rows 1 to 4, columns 2 to 5; and rows 6 to 8, columns 10 to 12.
TWO_SQUARES = [[2, 1, 6, 1, 6, 5, 2, 5], [10, 6, 13, 6, 13, 9, 10, 9]]


def write_picture(path, height=12, width=16, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(0).integers(256, size=(height, width, 3), dtype=np.uint8)
    PILImage.fromarray(noise).save(path, **options)


def coco_image(image_id, height=12, width=16, **others):
    name = f"{image_id}.png"
    return {"id": image_id, "file_name": name, "height": height, "width": width, **others}


def coco_object(object_id, image_id=5, category_id=9, bbox=(2, 1, 4, 4), **others):
    entry = {"id": object_id, "image_id": image_id, "category_id": category_id}
    return {**entry, "bbox": list(bbox), "iscrowd": 0, **others}


def coco_document(annotations, image_ids=(5, 0, 77), category_ids=(9, 0, 4)):
    names = {9: "car", 0: "person", 4: "tree"}
    return {
        "images": [coco_image(image_id) for image_id in image_ids],
        "categories": [{"id": id_, "name": names[id_]} for id_ in category_ids],
        "annotations": list(annotations),
    }


def write_coco(folder, annotations, **changes):
    """A COCO file and its pictures; `changes` replace whole lists of it."""
    document = {**coco_document(annotations), **changes}
    for image in document["images"]:
        write_picture(folder / image["file_name"], image["height"], image["width"])
    path = folder / "annotations.json"
    path.write_text(json.dumps(document))
    return path


def coco_folder(folder):
    """Three pictures: with two objects, one of them a crowd, with one, and with none."""
    # Run lengths go down the columns: two empty ones, one full, thirteen empty.
    crowd = {"size": [12, 16], "counts": [24, 12, 156]}
    annotations = [
        coco_object(31, 5, 9, (2, 1, 11, 8), segmentation=TWO_SQUARES),
        coco_object(7, 0, 4, (2, 1, 4, 4), segmentation=TWO_SQUARES[:1]),
        coco_object(32, 5, 0, (2, 0, 1, 12), iscrowd=1, segmentation=crowd),
    ]
    return write_coco(folder, annotations)


def voc_object(name="car", box=(3, 2, 6, 5), **others):
    tags = zip(("xmin", "ymin", "xmax", "ymax"), box, strict=True)
    bndbox = "".join(f"<{tag}>{value}</{tag}>" for tag, value in tags)
    more = "".join(f"<{tag}>{value}</{tag}>" for tag, value in others.items())
    return f"<object><name>{name}</name>{more}<bndbox>{bndbox}</bndbox></object>"


def voc_annotation(*objects, height=12, width=16, filename=""):
    size = f"<size><width>{width}</width><height>{height}</height><depth>3</depth></size>"
    name = f"<filename>{filename}</filename>" if filename else ""
    return f"<annotation>{name}{size}{''.join(objects)}</annotation>"


def voc_folder(folder, annotations=None, list_folder="Main"):
    """The folders of VOC for XML texts by name; each with a picture."""
    if annotations is None:
        annotations = {
            "a": voc_annotation(voc_object("car"), voc_object("dog", (1, 1, 16, 12), difficult=1)),
            "b": voc_annotation(),
            "c": voc_annotation(voc_object("person", (1.5, 2.5, 8, 9), truncated=1)),
        }
    for name, text in annotations.items():
        path = folder / "Annotations" / f"{name}.xml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        write_picture(folder / "JPEGImages" / f"{name}.jpg")
    lists = folder / "ImageSets" / list_folder
    lists.mkdir(parents=True, exist_ok=True)
    (lists / "train.txt").write_text("".join(f"{name}\n" for name in annotations))
    return folder


@contextlib.contextmanager
def error_names(folder):
    """All goes well, or fails with an error of data that begins with a file in the folder."""
    try:
        yield
    except (ValueError, FileNotFoundError) as error:
        if not str(error).startswith(str(folder)):
            raise
