"""Lists of many small things in few large arrays, which worker processes share.

Python counts references inside each object. A worker that only reads a list of a
million strings writes a million counts, and with them copies the pages that it had
shared with its parent. An array has one count.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray


class StringArray(Sequence[str]):
    """Texts in one buffer.

    Args:
        texts: What it will hold, in order.

    Example:
        >>> names = StringArray(["a.jpg", "b/ü.jpg"])
        >>> names[1], len(names)
        ('b/ü.jpg', 2)
    """

    def __init__(self, texts: Iterable[str]) -> None:
        # Names of files may hold bytes that are no UTF-8; Python keeps them as surrogates.
        encoded = [text.encode("utf-8", "surrogateescape") for text in texts]
        self.offsets = offsets_of(len(text) for text in encoded)
        self.buffer = np.frombuffer(b"".join(encoded), np.uint8)

    @classmethod
    def from_buffer(cls, buffer: NDArray[np.uint8], offsets: NDArray[np.int64]) -> "StringArray":
        """What another one's `buffer` and `offsets` hold, such as a file that is mapped."""
        array = cls.__new__(cls)
        array.buffer, array.offsets = buffer, offsets
        return array

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> list[str]: ...
    def __getitem__(self, index: int | slice) -> str | list[str]:
        if isinstance(index, slice):
            return [self[position] for position in range(*index.indices(len(self)))]
        length = len(self)
        if not -length <= index < length:
            raise IndexError(f"{length} texts, no index {index}")
        index %= length
        start, stop = self.offsets[index], self.offsets[index + 1]
        return self.buffer[start:stop].tobytes().decode("utf-8", "surrogateescape")

    def __iter__(self) -> Iterator[str]:
        return (self[index] for index in range(len(self)))


class RaggedArray:
    """Arrays that differ in their first dimension, joined into one.

    Args:
        values: All rows, shape (total, ...).
        offsets: int64, shape (n + 1,): rows `offsets[i]` to `offsets[i + 1]` are item i.

    Example:
        >>> boxes = RaggedArray(np.arange(12.0).reshape(3, 4), np.array([0, 1, 1, 3]))
        >>> [boxes[n].shape for n in range(len(boxes))]
        [(1, 4), (0, 4), (2, 4)]
    """

    def __init__(self, values: NDArray[Any], offsets: NDArray[np.int64]) -> None:
        self.values = values
        self.offsets = offsets

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, index: int) -> NDArray[Any]:
        return self.values[self.offsets[index] : self.offsets[index + 1]]


def offsets_of(lengths: Iterable[int]) -> NDArray[np.int64]:
    """Where items of these lengths start when they stand one behind the other, and the end.

    Example:
        >>> offsets_of([2, 0, 3]).tolist()
        [0, 2, 2, 5]
    """
    counts = np.fromiter(lengths, np.int64)
    return np.concatenate([np.zeros(1, np.int64), np.cumsum(counts)])
