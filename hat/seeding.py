"""Every random draw comes from a seed and a position, never from what ran before.

A position is a few integers: (stream, epoch, position in the epoch) for a sample,
(stream, step, rank) for a training step. The streams keep draws for different
purposes apart.
"""

import contextlib
import random
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch

SAMPLE_STREAM = 1
ORDER_STREAM = 2
MODEL_STREAM = 3
BUILD_STREAM = 4
# 5 is that of the scenes of `hat.data.RoadScenes`.
LABEL_STREAM = 6
TASK_STREAM = 7
SURGERY_STREAM = 8

_MASK = (1 << 64) - 1


def derive_key(seed: int, *position: int) -> int:
    """A 64-bit number that depends on the seed and on every part of the position.

    Each part is folded in with the finalizer of SplitMix64, a bijection of 64-bit
    numbers, so two positions that differ in one part give unrelated keys.

    Example:
        >>> derive_key(0, 1, 2) != derive_key(0, 2, 1)
        True

    Reference:
        Steele, Lea, Flood, Fast Splittable Pseudorandom Number Generators, OOPSLA 2014.
    """
    key = 0
    for part in (seed, *position, len(position)):
        key = (key ^ part) + 0x9E3779B97F4A7C15 & _MASK
        key = (key ^ key >> 30) * 0xBF58476D1CE4E5B9 & _MASK
        key = (key ^ key >> 27) * 0x94D049BB133111EB & _MASK
        key ^= key >> 31
    return key


class KeyStream:
    """Keys of the positions 0, 1, 2, ... of one stream: `derive_key` for the hot path.

    Example:
        >>> keys = KeyStream(0, MODEL_STREAM)
        >>> keys.at(0) != keys.at(1)
        True
    """

    def __init__(self, seed: int, stream: int) -> None:
        self._base = derive_key(seed, stream)

    def at(self, position: int) -> int:
        """A 64-bit key, by one round of SplitMix64: its state advanced, then finalized."""
        key = self._base + position * 0x9E3779B97F4A7C15 & _MASK
        key = (key ^ key >> 30) * 0xBF58476D1CE4E5B9 & _MASK
        key = (key ^ key >> 27) * 0x94D049BB133111EB & _MASK
        return key ^ key >> 31


def text_key(text: str) -> int:
    """An integer for a name, the same in every process (`hash` of a str is not)."""
    return int.from_bytes(text.encode(), "little") % ((1 << 61) - 1)


def seed_everything(key: int) -> None:
    """Seed torch's CPU generator, NumPy's and Python's from one key.

    Sampling code in a worker may use any of the three. The generators of other
    devices are left alone: samples are made on the CPU.
    """
    torch.default_generator.manual_seed(key)
    random.seed(key)
    # From the word that torch takes NumPy would draw what torch does, so it gets the upper one of a
    # product, which depends on all bits. One word, since a list of them costs 16 us more.
    np.random.seed((key * 0x9E3779B97F4A7C15 & _MASK) >> 32)


@contextlib.contextmanager
def preserved_random_state() -> Iterator[None]:
    """Run a block that seeds or draws, and leave the CPU generators as they were."""
    torch_state = torch.default_generator.get_state()
    numpy_state = np.random.get_state()
    python_state = random.getstate()
    try:
        yield
    finally:
        torch.default_generator.set_state(torch_state)
        np.random.set_state(numpy_state)
        random.setstate(python_state)


def random_state_dict() -> dict[str, Any]:
    """The state of every global generator as plain values, safe to save."""
    numpy_state: Any = np.random.get_state(legacy=True)
    version, internal, gauss_next = random.getstate()
    return {
        "torch": torch.default_generator.get_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else [],
        "numpy": [
            numpy_state[0],
            torch.from_numpy(numpy_state[1].astype(np.int64)),
            *numpy_state[2:],
        ],
        "python": [version, list(internal), gauss_next],
    }


def load_random_state_dict(state: Mapping[str, Any]) -> None:
    """Put every global generator back to where `random_state_dict` found it.

    CUDA generators are restored when as many devices are here as were saved.
    """
    torch.default_generator.set_state(state["torch"])
    if state["cuda"] and torch.cuda.device_count() == len(state["cuda"]):
        torch.cuda.set_rng_state_all(state["cuda"])
    name, keys, *rest = state["numpy"]
    np.random.set_state((name, keys.numpy().astype(np.uint32), *rest))
    version, internal, gauss_next = state["python"]
    random.setstate((version, tuple(internal), gauss_next))
