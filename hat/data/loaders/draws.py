"""Whether a piece of code drew from the generators that a sample may use."""

import ctypes
import random
from typing import Any

import numpy as np
import torch

_NUMPY_BYTES = 625 * 4  # of a Mersenne Twister: 624 words and the place in them


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


def _states() -> tuple[Any, ...]:
    torch_state = torch.default_generator.get_state().numpy().tobytes()
    return torch_state, _numpy_state(), random.getstate()


def _numpy_state() -> bytes:
    generator = np.random.get_bit_generator()  # type: ignore[attr-defined]
    if isinstance(generator, np.random.MT19937):  # reading it in the usual way takes 80 us
        return ctypes.string_at(generator.ctypes.state_address, _NUMPY_BYTES)
    return repr(generator.state).encode()
