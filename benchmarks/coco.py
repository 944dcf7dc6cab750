"""What opening a COCO file of 100,000 pictures and 1 million objects costs, and what workers do.

    python benchmarks/coco.py

Writes such a file (about 500 MB, polygons of 4 to 40 points) to a temporary folder; needs
6 GB of memory. Against the usual way, `json.load` and lists of dicts. Each way runs in a
process of its own. "Growth" is the memory that a forked worker has to itself after it has
read the annotations of all pictures, less what it had before: pages that it wrote to, be it
only counts of references. Four workers read at the same time; of the lists, one, which
four times would not fit into memory.
"""

import json
import multiprocessing
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import orjson
import torch

from hat.data import CocoDataset

NUM_IMAGES = 100_000
NUM_OBJECTS = 1_000_000
NUM_EPOCHS = 3


def write_file(path: Path) -> None:
    """A file that looks like instances_train2017.json, but for its random content."""
    images = [
        {
            "license": 4,
            "file_name": f"{n * 3 + 9:012d}.jpg",
            "coco_url": f"http://images.example.org/train/{n * 3 + 9:012d}.jpg",
            "height": 480,
            "width": 640,
            "date_captured": "2013-11-14 17:02:52",
            "id": n * 3 + 9,
        }
        for n in range(NUM_IMAGES)
    ]
    categories = [{"supercategory": "any", "id": n, "name": f"class {n}"} for n in range(1, 91)]
    with open(path, "wb") as file:
        file.write(b'{"info":{},"images":' + orjson.dumps(images))
        file.write(b',"categories":' + orjson.dumps(categories) + b',"annotations":[')
        for first in range(0, NUM_OBJECTS, 50_000):
            rows = orjson.dumps(list(objects(first, 50_000)))
            file.write(b","[: first > 0] + rows[1:-1])
        file.write(b"]}")


def objects(first: int, count: int) -> Iterator[dict[str, Any]]:
    rng = np.random.default_rng(first)
    image_ids = (rng.integers(NUM_IMAGES, size=count) * 3 + 9).tolist()
    boxes = np.concatenate(
        [rng.random((count, 2)) * [500, 380], rng.random((count, 2)) * 90 + 1], 1
    )
    num_points = rng.integers(4, 40, count)
    ends = np.cumsum(num_points)
    angles = (np.arange(ends[-1]) - np.repeat(ends - num_points, num_points)) * (
        2 * np.pi / np.repeat(num_points, num_points)
    )
    x, y, width, height = np.repeat(boxes, num_points, axis=0).T
    points = np.stack([x + width * (1 + np.cos(angles)) / 2, y + height * (1 + np.sin(angles)) / 2])
    values = points.T.round(2).ravel().tolist()
    for n, (box, end, num) in enumerate(
        zip(boxes.round(2).tolist(), ends.tolist(), num_points.tolist(), strict=True)
    ):
        yield {
            "segmentation": [values[2 * (end - num) : 2 * end]],
            "area": box[2] * box[3],
            "iscrowd": 0,
            "image_id": image_ids[n],
            "bbox": box,
            "category_id": n % 90 + 1,
            "id": first + n + 1,
        }


def private_mib() -> float:
    """What this process alone holds and has written: copies of what it shared are in it."""
    for line in Path("/proc/self/smaps_rollup").read_text().splitlines():
        if line.startswith("Private_Dirty"):
            return int(line.split()[1]) / 1024
    raise OSError("the kernel does not say")


def growth(read_all: Callable[[], None], num_workers: int, num_epochs: int) -> list[float]:
    """MiB by which the worst of the forked workers has grown after each epoch."""
    context = multiprocessing.get_context("fork")
    results = context.SimpleQueue()

    def work() -> None:
        before = private_mib()
        grown = []
        for _ in range(num_epochs):
            read_all()
            grown.append(private_mib() - before)
        results.put(grown)

    workers = [context.Process(target=work) for _ in range(num_workers)]
    for worker in workers:
        worker.start()
    found = [results.get() for _ in workers]
    for worker in workers:
        worker.join()
    return [max(values) for values in zip(*found, strict=True)]


def by_json(path: Path) -> None:
    start = perf_counter()
    with open(path) as file:
        document = json.load(file)
    seconds = perf_counter() - start
    by_image = defaultdict(list)
    for annotation in document["annotations"]:
        by_image[annotation["image_id"]].append(annotation)

    def read_all() -> None:
        for image in document["images"]:
            boxes = [annotation["bbox"] for annotation in by_image[image["id"]]]
            torch.tensor(boxes).view(-1, 4)

    (grown,) = growth(read_all, num_workers=1, num_epochs=1)
    print(f"json.load           open {seconds:7.2f} s{'':44}growth {grown:7.1f} MiB in one worker")


def by_hat(path: Path) -> None:
    is_new = not (path.parent / "index").exists()
    start = perf_counter()
    dataset = CocoDataset(path, path.parent, index_dir=path.parent / "index")
    opened = perf_counter() - start
    start = perf_counter()
    len(dataset), dataset.annotation(0)
    first = perf_counter() - start
    start = perf_counter()
    dataset.annotation(NUM_IMAGES // 2)
    seek = perf_counter() - start

    def read_all() -> None:
        for index in range(len(dataset)):
            dataset.annotation(index)

    line = (
        f"CocoDataset, {'first' if is_new else 'again'}  open {opened:7.2f} s   "
        f"first {first * 1e3:6.2f} ms   seek {seek * 1e3:6.2f} ms"
    )
    if not is_new:
        grown = growth(read_all, num_workers=4, num_epochs=NUM_EPOCHS)
        epochs = ", ".join(f"{value:.1f}" for value in grown)
        line += f"   growth {epochs} MiB in each of 4 workers after epoch 1, 2, 3"
    print(line)


def main() -> None:
    torch.set_num_threads(1)
    context = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "instances.json"
        write_file(path)
        print(
            f"{NUM_IMAGES:,} pictures, {NUM_OBJECTS:,} objects, {path.stat().st_size / 1e6:.0f} MB"
        )
        for way in (by_json, by_hat, by_hat):
            process = context.Process(target=way, args=(path,))
            process.start()
            process.join()


if __name__ == "__main__":
    main()
