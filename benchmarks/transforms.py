"""What v2 transforms cost on HAT's pictures and on torchvision's own.

    python benchmarks/transforms.py

The same pixels and the same random draws, the two taking turns; medians of the time that one
thread keeps a processor busy, which other programs on the machine hardly change. torchvision is
measured on both layouts of memory: channels innermost, as decoders deliver it and as HAT keeps
it, and one plane after the other. The picture is smooth with a little noise, as photographs
are; the last rows show white noise, the hardest case for interpolation.
"""

import statistics
from collections.abc import Callable
from time import thread_time

import cv2
import numpy as np
import torch
from torchvision import tv_tensors
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as F

from hat.data.pixels import Image

SIZE = 512
BLOCKS, CALLS = 4, 5

OPS: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "horizontal_flip": F.horizontal_flip,
    "affine, bilinear": lambda x: F.affine(
        x, angle=13, translate=[5, 7], scale=1.1, shear=[3, 2], interpolation="bilinear"
    ),
    "affine, nearest": lambda x: F.affine(
        x, angle=13, translate=[5, 7], scale=1.1, shear=[3, 2], interpolation="nearest"
    ),
    "rotate, bilinear": lambda x: F.rotate(x, 30, interpolation="bilinear"),
    "perspective": lambda x: F.perspective(
        x, [[0, 0], [511, 0], [511, 511], [0, 511]], [[20, 9], [480, 30], [500, 490], [8, 505]]
    ),
    "adjust_brightness": lambda x: F.adjust_brightness(x, 1.3),
    "adjust_contrast": lambda x: F.adjust_contrast(x, 1.3),
    "adjust_saturation": lambda x: F.adjust_saturation(x, 1.3),
    "adjust_hue": lambda x: F.adjust_hue(x, 0.1),
    "adjust_gamma": lambda x: F.adjust_gamma(x, 1.3),
    "rgb_to_grayscale": lambda x: F.rgb_to_grayscale(x, 3),
    "permute_channels": lambda x: F.permute_channels(x, [2, 0, 1]),
    "autocontrast": F.autocontrast,
    "equalize": F.equalize,
    "solarize": lambda x: F.solarize(x, 128),
    "adjust_sharpness": lambda x: F.adjust_sharpness(x, 2.0),
    "gaussian_blur, 5x5": lambda x: F.gaussian_blur(x, [5, 5], [1.1, 1.1]),
    "pad, reflect": lambda x: F.pad(x, [32, 32], padding_mode="reflect"),
}

JITTER = v2.ColorJitter(brightness=0.4, contrast=0.4, saturation=0.4, hue=0.1)
CHAIN = v2.Compose(
    [
        v2.RandomHorizontalFlip(p=1.0),
        v2.RandomAffine(15, (0.1, 0.1), (0.8, 1.2), 5, interpolation=v2.InterpolationMode.BILINEAR),
        JITTER,
    ]
)
CROP = v2.RandomResizedCrop(224, antialias=True)


def smooth_picture(height: int, width: int) -> np.ndarray:
    generator = np.random.default_rng(0)
    coarse = generator.integers(0, 256, (height // 20, width // 20, 3)).astype(np.float32)
    picture = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    return (picture + generator.normal(0, 3, picture.shape)).clip(0, 255).astype(np.uint8)


def compare(name: str, op: Callable[[torch.Tensor], torch.Tensor], pixels: np.ndarray) -> None:
    interleaved = torch.from_numpy(pixels).permute(2, 0, 1)
    pictures = {
        "hat": Image(interleaved),
        "interleaved": tv_tensors.Image(interleaved),
        "planes": tv_tensors.Image(interleaved.contiguous()),
    }
    seconds: dict[str, list[float]] = {way: [] for way in pictures}
    means, largest = [], 0
    for block in range(BLOCKS):
        results = {}
        for way, picture in pictures.items():
            # In blocks, each with calls of its own kind before: memory that another way has
            # just given back to the system would else be paid for by the next.
            for call in range(-2, CALLS):
                torch.manual_seed(1000 * block + call)
                start = thread_time()
                results[way] = op(picture)
                if call >= 0:
                    seconds[way].append(thread_time() - start)
        difference = (results["hat"].int() - results["planes"].int()).abs().float()
        means.append(difference.mean().item())
        largest = max(largest, int(difference.max()))
    hat, interleaved_ms, planes_ms = (statistics.median(taken) * 1e3 for taken in seconds.values())
    print(
        f"{name:28} {hat:8.2f} {interleaved_ms:12.2f} {planes_ms:8.2f} "
        f"{interleaved_ms / hat:7.1f}x {planes_ms / hat:6.1f}x "
        f"{statistics.mean(means):9.4f} {largest:5}"
    )


def main() -> None:
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    print(
        f"{'CPU ms per picture':28} {'HAT':>8} {'torchvision:':>12} {'':8} "
        f"{'ratio to':>8} {'':7} {'difference':>9}\n"
        f"{'':28} {'':8} {'interleaved':>12} {'planes':>8} {'interl.':>8} {'planes':>7} "
        f"{'mean':>9} {'max':>5}"
    )
    picture = smooth_picture(SIZE, SIZE)
    compare("flip + affine + jitter", CHAIN, picture)
    compare("ColorJitter", JITTER, picture)
    for name, op in OPS.items():
        compare(name, op, picture)
    frame = smooth_picture(1080, 1920)
    compare("resize 1080p to 960x544", lambda x: F.resize(x, [544, 960]), frame)
    compare(
        "  the same, no antialias",
        lambda x: F.resize(x, [544, 960], antialias=False),
        frame,
    )
    compare("  the same, nearest", lambda x: F.resize(x, [544, 960], "nearest"), frame)
    compare("RandomResizedCrop to 224", CROP, frame)
    noise = np.random.default_rng(1).integers(0, 256, (SIZE, SIZE, 3), np.uint8)
    compare("noise: flip+affine+jitter", CHAIN, noise)
    compare("noise: affine, bilinear", OPS["affine, bilinear"], noise)
    compare("noise: adjust_hue", OPS["adjust_hue"], noise)


if __name__ == "__main__":
    main()
