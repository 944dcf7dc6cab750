"""Pictures a second from JPEG files to batches of 224x224: decode, resize, flip, collate.

    python benchmarks/pipeline.py [--seconds 4] [--rounds 5]

HAT, from files and packed, against the usual recipe (torchvision's ImageFolder with PIL
pictures, v2 transforms and torch's DataLoader) and, where they are installed, WebDataset and
litdata reading the same pictures. Each is run in turn, with 1 and 2 workers, one thread each;
medians of the rounds. Then the single steps, in this process, to say where the gain comes from.
"""

import argparse
import io
import multiprocessing
import statistics
import tarfile
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from time import perf_counter
from typing import Any

import cv2
import numpy as np
import torch
import torchvision
from PIL import Image as PILImage
from torchvision.transforms import v2

from hat.data import DataLoader, ImageFolder, PackedDataset, ShuffledSampler, pack
from hat.data.images import read_image

NUM_PICTURES, HEIGHT, WIDTH, SIZE, BATCH = 1200, 375, 500, 224, 64
RESIZE = dict(size=[SIZE, SIZE], antialias=True)


def make_pictures(root: Path) -> None:
    """JPEGs with detail on every scale, as photographs have: about 60 kB each."""
    random = np.random.default_rng(0)
    for number in range(NUM_PICTURES):
        picture = np.zeros((HEIGHT, WIDTH, 3), np.float32)
        for cells in (2, 4, 8, 16, 32, 64, 128):
            coarse = random.normal(size=(cells, cells, 3)).astype(np.float32) / cells**0.5
            picture += cv2.resize(coarse, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC)
        pixels = np.clip(picture * 60 + 128, 0, 255).astype(np.uint8)
        path = root / f"class_{number % 10}" / f"{number:05}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        PILImage.fromarray(pixels).save(path, quality=90)


def hat_transform() -> list[Any]:
    return [v2.Resize(**RESIZE), v2.RandomHorizontalFlip()]


def by_hat(dataset: Any) -> Callable[[int], Iterator[Any]]:
    def run(num_workers: int) -> Iterator[Any]:
        loader = DataLoader(
            dataset, BATCH, sampler=ShuffledSampler(), num_workers=num_workers, pin_memory=False
        )
        epoch = 0
        while True:
            yield from loader.steps(epoch)
            epoch += 1

    return run


def by_torch(dataset: Any, **options: Any) -> Callable[[int], Iterator[Any]]:
    def run(num_workers: int) -> Iterator[Any]:
        loader = torch.utils.data.DataLoader(
            dataset,
            BATCH,
            num_workers=num_workers,
            persistent_workers=True,
            worker_init_fn=one_thread,
            **options,
        )
        while True:
            yield from loader

    return run


def one_thread(worker_id: int) -> None:
    torch.set_num_threads(1)
    cv2.setNumThreads(0)


def usual_recipe(root: Path) -> Any:
    transform = v2.Compose([v2.Resize(**RESIZE), v2.RandomHorizontalFlip(), v2.PILToTensor()])
    return torchvision.datasets.ImageFolder(str(root), transform)


def usual_recipe_on_tensors(root: Path) -> Any:
    transform = v2.Compose([v2.ToImage(), v2.Resize(**RESIZE), v2.RandomHorizontalFlip()])
    return torchvision.datasets.ImageFolder(str(root), transform)


def by_webdataset(root: Path, folder: Path) -> Callable[[int], Iterator[Any]] | None:
    try:
        import webdataset
    except ImportError:
        return None
    files = sorted(root.rglob("*.jpg"))
    for shard in range(4):
        with tarfile.open(folder / f"{shard:04}.tar", "w") as tar:
            for number in range(shard, len(files), 4):
                for suffix, data in (
                    ("jpg", files[number].read_bytes()),
                    ("cls", files[number].parent.name[-1].encode()),
                ):
                    info = tarfile.TarInfo(f"{number:05}.{suffix}")
                    info.size = len(data)
                    tar.addfile(info, io.BytesIO(data))
    transform = v2.Compose([v2.Resize(**RESIZE), v2.RandomHorizontalFlip(), v2.PILToTensor()])
    dataset = (
        webdataset.WebDataset(str(folder / "{0000..0003}.tar"), shardshuffle=4)
        .shuffle(500)
        .decode("pil")
        .to_tuple("jpg", "cls")
        .map_tuple(transform, int)
    )
    return by_torch(dataset)


def by_litdata(root: Path, folder: Path) -> Callable[[int], Iterator[Any]] | None:
    try:
        import litdata
    except ImportError:
        return None
    # In a process of its own: it changes how processes are started.
    writer = multiprocessing.get_context("spawn").Process(target=write_litdata, args=(root, folder))
    writer.start()
    writer.join()
    transform = v2.Compose([v2.Resize(**RESIZE), v2.RandomHorizontalFlip(), v2.PILToTensor()])

    class Decoded(litdata.StreamingDataset):
        def __getitem__(self, index: Any) -> Any:
            item = super().__getitem__(index)
            picture = PILImage.open(io.BytesIO(item["jpg"])).convert("RGB")
            return transform(picture), item["cls"]

    def run(num_workers: int) -> Iterator[Any]:
        dataset = Decoded(str(folder), shuffle=True)
        loader = litdata.StreamingDataLoader(
            dataset, batch_size=BATCH, num_workers=num_workers, persistent_workers=True
        )
        while True:
            yield from loader

    return run


def write_litdata(root: Path, folder: Path) -> None:
    import litdata

    litdata.optimize(
        fn=litdata_item,
        inputs=[str(path) for path in sorted(root.rglob("*.jpg"))],
        output_dir=str(folder),
        chunk_bytes="32MB",
        num_workers=1,
    )


def litdata_item(path: str) -> dict[str, Any]:
    return {"jpg": Path(path).read_bytes(), "cls": int(Path(path).parent.name[-1])}


def pictures_per_second(batches: Iterator[Any], seconds: float) -> float:
    start, count = perf_counter(), 0
    while perf_counter() - start < seconds:
        batch = next(batches)
        count += len(batch["img"] if isinstance(batch, dict) else batch[0])
    return count / (perf_counter() - start)


def compare(ways: dict[str, Callable[[int], Iterator[Any]]], seconds: float, rounds: int) -> None:
    for num_workers in (1, 2):
        speeds: dict[str, list[float]] = {name: [] for name in ways}
        for _ in range(rounds):
            for name, way in ways.items():
                batches = way(num_workers)
                for _ in range(2 * num_workers + 1):  # workers have started and filled their queue
                    next(batches)
                speeds[name].append(pictures_per_second(batches, seconds))
                del batches
        usual = statistics.median(speeds["ImageFolder, PIL"])
        print(f"\n{num_workers} worker{'s' * (num_workers > 1)}:")
        for name, values in speeds.items():
            median = statistics.median(values)
            print(f"  {name:28} {median:7.0f} pictures/s  {median / usual:5.2f} x")


def by_step(root: Path) -> None:
    """Milliseconds of each step in this process, HAT and the usual recipe in turn."""
    paths = sorted(root.rglob("*.jpg"))[:100]
    resize, flip = v2.Resize(**RESIZE), v2.RandomHorizontalFlip(p=1)
    to_tensor = v2.PILToTensor()
    ways: dict[str, tuple[Callable[[Any], Any], Callable[[Any], Any]]] = {
        "decode": (read_image, lambda path: PILImage.open(path).convert("RGB")),
        "resize": (resize, resize),
        "flip": (flip, flip),
        "to tensor": (lambda img: img, to_tensor),
        "collate": (
            lambda img: torch.stack([img.as_subclass(torch.Tensor)] * 8),
            lambda img: torch.stack([img] * 8),
        ),
    }
    times: dict[str, tuple[list[float], list[float]]] = {name: ([], []) for name in ways}
    differences = []
    for path in paths:
        values: list[Any] = [path, path]
        for name, pair in ways.items():
            for side in (0, 1):
                start = perf_counter()
                values[side] = pair[side](values[side])
                times[name][side].append(perf_counter() - start)
        differences.append((values[0].float() - values[1].float()).abs())
    print("\nms a picture (collate: 8), HAT and PIL:")
    for name, (ours, theirs) in times.items():
        medians = [statistics.median(side) * 1e3 for side in (ours, theirs)]
        print(f"  {name:10} {medians[0]:6.3f} {medians[1]:6.3f}")
    difference = torch.stack(differences)
    print(f"pixels differ by {difference.mean():.4f} on average, {difference.max():.0f} at most")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    one_thread(0)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        root = folder / "pictures"
        make_pictures(root)
        size = sum(path.stat().st_size for path in root.rglob("*.jpg")) / NUM_PICTURES / 1024
        print(f"{NUM_PICTURES} JPEGs of {WIDTH}x{HEIGHT}, {size:.0f} kB each")
        pack(ImageFolder(root), folder / "packed.lmdb")
        candidates = {
            "ImageFolder, PIL": by_torch(usual_recipe(root), shuffle=True),
            "ImageFolder, PIL to tensor": by_torch(usual_recipe_on_tensors(root), shuffle=True),
            "HAT, files": by_hat(ImageFolder(root, transform=hat_transform())),
            "HAT, packed": by_hat(PackedDataset(folder / "packed.lmdb", transform=hat_transform())),
            "WebDataset": by_webdataset(root, folder),
            "litdata": by_litdata(root, folder / "litdata"),
        }
        for missing in [name for name, way in candidates.items() if way is None]:
            print(f"{missing} is not installed: left out")
        by_step(root)
        ways = {name: way for name, way in candidates.items() if way is not None}
        compare(ways, arguments.seconds, arguments.rounds)


if __name__ == "__main__":
    main()
