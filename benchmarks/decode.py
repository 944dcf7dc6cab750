"""How many JPEGs a second are decoded on one core, and whether the pixels are the same.

    python benchmarks/decode.py

Pillow, OpenCV, simplejpeg and torchvision decode the same files from memory; `read_image`,
which looks for damage and turns pictures upright, and Pillow as `torchvision.datasets`
uses it, read them from disk. Ways take turns, so that what else the machine does meets all
of them; the median of the rounds counts.
"""

import io
import statistics
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from time import perf_counter
from typing import Any

import cv2
import numpy as np
import simplejpeg
import torch
from PIL import Image as PILImage

from hat.data.images import image_size, read_image

SIDES = (256, 512)
FILES = 32
ROUNDS = 9

Way = Callable[[Path, bytes], Any]


def by_pillow(path: Path, data: bytes) -> Any:
    return np.asarray(PILImage.open(io.BytesIO(data)).convert("RGB"))


def by_pillow_from_disk(path: Path, data: bytes) -> Any:
    with path.open("rb") as file:
        return np.asarray(PILImage.open(file).convert("RGB"))


def by_opencv(path: Path, data: bytes) -> Any:
    return cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR_RGB)


def by_simplejpeg(path: Path, data: bytes) -> Any:
    return simplejpeg.decode_jpeg(data)


def by_torchvision(path: Path, data: bytes) -> Any:
    from torchvision.io import ImageReadMode, decode_jpeg

    encoded = torch.frombuffer(bytearray(data), dtype=torch.uint8)
    return decode_jpeg(encoded, ImageReadMode.RGB).permute(1, 2, 0).numpy()


def by_read_image(path: Path, data: bytes) -> Any:
    return read_image(path).permute(1, 2, 0).numpy()


WAYS: dict[str, Way] = {
    "Pillow": by_pillow,
    "OpenCV": by_opencv,
    "simplejpeg": by_simplejpeg,
    "torchvision": by_torchvision,
    "Pillow, from disk": by_pillow_from_disk,
    "read_image, from disk": by_read_image,
}


def make_files(folder: Path, side: int) -> list[tuple[Path, bytes]]:
    """Pictures of coarse and fine texture, about as large as photographs are."""
    generator = np.random.default_rng(side)
    files = []
    for number in range(FILES):
        coarse = generator.integers(256, size=(side // 16, side // 16, 3), dtype=np.uint8)
        smooth = cv2.resize(coarse, (side, side), interpolation=cv2.INTER_CUBIC).astype(np.int16)
        noisy = smooth + generator.integers(-12, 13, size=smooth.shape, dtype=np.int16)
        path = folder / f"{side}_{number}.jpg"
        PILImage.fromarray(noisy.clip(0, 255).astype(np.uint8)).save(path, quality=85)
        files.append((path, path.read_bytes()))
    return files


def works(way: Way, files: list[tuple[Path, bytes]]) -> bool:
    """Whether an installed version has this way; torchvision's is to be removed."""
    try:
        way(*files[0])
    except (ImportError, RuntimeError, AttributeError):
        return False
    return True


def seconds(way: Way, files: list[tuple[Path, bytes]]) -> float:
    start = perf_counter()
    for path, data in files:
        way(path, data)
    return perf_counter() - start


def main() -> None:
    warnings.simplefilter("ignore")  # torchvision's, of what it will remove
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    with tempfile.TemporaryDirectory() as folder:
        for side in SIDES:
            report(side, make_files(Path(folder), side))


def report(side: int, files: list[tuple[Path, bytes]]) -> None:
    size = sum(len(data) for _, data in files) / len(files) / 1024
    print(f"{side} x {side} pixels, {size:.0f} KiB a file")
    ways = {name: way for name, way in WAYS.items() if works(way, files)}
    rounds = [{name: seconds(way, files) for name, way in ways.items()} for _ in range(ROUNDS)]
    rates = {name: FILES / statistics.median(r[name] for r in rounds) for name in ways}
    for name, way in ways.items():
        is_same = all(np.array_equal(way(*file), by_pillow(*file)) for file in files)
        pixels = "same pixels" if is_same else "OTHER PIXELS"
        ratio = rates[name] / rates["Pillow"]
        print(f"  {name:24}{rates[name]:8,.0f} images/s  {ratio:5.2f} x Pillow  {pixels}")
    start = perf_counter()
    for path, _ in files:
        image_size(path)
    print(f"  {'image_size, from disk':24}{FILES / (perf_counter() - start):8,.0f} files/s")


if __name__ == "__main__":
    main()
