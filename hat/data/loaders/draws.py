"""Whether a piece of code drew from the generators that a sample may use."""

import ctypes
import random
from typing import Any

import numpy as np
import torch

_TWISTER_BYTES = 625 * 4  # a Mersenne Twister: 624 words and the place in them


class DrawWatch:
    """Compares where torch's CPU generator, NumPy's and Python's stand before and after.

    Seeding all three for every sample costs several times what a ready sample does; to
    look at them once a batch is cheap, so a loader of samples that draw nothing looks.
    """

    def __init__(self) -> None:
        self._marked: tuple[Any, ...] = ()
        self._is_known: bytes | None = None  # a state of NumPy's with nothing held back

    def mark(self) -> bool:
        """Remember where the generators stand; False where NumPy's next draw would not show.

        NumPy draws normal numbers in pairs and holds the second back.
        """
        if not isinstance(_numpy_generator(), np.random.MT19937):  # another was put in its place
            return False
        self._marked = _states()
        numpy_state = self._marked[1]
        if numpy_state != self._is_known:
            if np.random.get_state(legacy=False)["has_gauss"]:
                return False
            self._is_known = numpy_state
        return True

    def has_drawn(self) -> bool:
        """Whether any of them was moved since `mark`."""
        return self._marked != _states()

    def restore(self) -> None:
        """Put the generators back to where `mark` found them; it must have returned True."""
        torch_state, numpy_state, python_state = self._marked
        words = torch.frombuffer(bytearray(torch_state), dtype=torch.uint8)
        torch.default_generator.set_state(words)
        numpy_words = np.frombuffer(numpy_state, np.uint32)
        np.random.set_state(("MT19937", numpy_words[:-1], int(numpy_words[-1]), 0, 0.0))
        if _python_words is None:
            random.setstate(python_state)
            return
        (content, gauss_next), version = python_state, random.getstate()[0]
        place, *python_words = np.frombuffer(content, np.uint32).tolist()
        random.setstate((version, (*python_words, place), gauss_next))


def _states() -> tuple[Any, ...]:
    torch_state = torch.default_generator.get_state().numpy().tobytes()
    return torch_state, _numpy_state(), _python_state()


def _numpy_state() -> bytes:
    # Reading it in the usual way takes 80 us.
    return ctypes.string_at(_numpy_generator().ctypes.state_address, _TWISTER_BYTES)


def _numpy_generator() -> Any:
    return np.random.get_bit_generator()  # type: ignore[attr-defined]


def _python_state() -> Any:
    if _python_words is None:
        return random.getstate()
    # `random.getstate` makes a tuple of 625 numbers, for 12 us. `gauss` holds a number back.
    return ctypes.string_at(_python_words, _TWISTER_BYTES), _python_generator.gauss_next


def _find_python_words() -> int | None:
    """Where CPython keeps the words of its generator; None unless they are found there."""
    head = object.__basicsize__
    if type(_python_generator).__basicsize__ < head + _TWISTER_BYTES:
        return None
    address = id(_python_generator) + head
    place, *words = np.frombuffer(ctypes.string_at(address, _TWISTER_BYTES), np.uint32).tolist()
    return address if _python_generator.getstate()[1] == (*words, place) else None


_python_generator: Any = random.getstate.__self__  # type: ignore[attr-defined]
_python_words = _find_python_words()
