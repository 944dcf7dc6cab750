"""How a batch travels from a worker: small tensors together, in the message itself.

Each tensor that torch sends costs a segment of shared memory, a file descriptor and several
system calls, some 0.3 to 1 ms; a detection batch of 64 has hundreds. Small ones are copied into
one buffer, which goes through the pipe with the rest of the message, and cut out of it again on
arrival, with their class and what that class holds beside the numbers (`canvas_size` of boxes).
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hat.data.collates.stack import MESSAGE_BYTES

_ALIGNMENT = 16


class _Place(NamedTuple):
    """Where a tensor lies in the buffer, and what it is."""

    offset: int
    num_bytes: int
    dtype: torch.dtype
    shape: tuple[int, ...]  # of the memory: channels last where they lie innermost
    order: tuple[int, ...]  # which dimension of the memory each dimension of the tensor is
    kind: type[Tensor]
    attributes: dict[str, Any]


class PackedBatch:
    """A batch whose small tensors lie in one buffer.

    Args:
        batch: Any nesting of dicts, lists and tuples.

    Example:
        >>> packed = PackedBatch({"gt_classes": [torch.tensor([1, 2]), torch.tensor([3])]})
        >>> packed.unpack()
        {'gt_classes': [tensor([1, 2]), tensor([3])]}
    """

    def __init__(self, batch: Any) -> None:
        self._pieces: list[NDArray[np.uint8]] = []
        self._size = 0
        self._tree = map_leaves(batch, self._stow)
        self._sent = np.empty(self._size, np.uint8)  # a tensor would go through shared memory
        offset = 0
        for piece in self._pieces:
            self._sent[offset : offset + len(piece)] = piece
            offset = _aligned(offset + len(piece))
        del self._pieces
        self._pinned: Tensor | None = None

    def unpack(self) -> Any:
        """The batch, equal to the one that was packed."""
        buffer = torch.from_numpy(self._sent) if self._pinned is None else self._pinned

        def take(value: Any) -> Any:
            return _taken(buffer, value) if isinstance(value, _Place) else value

        return map_leaves(self._tree, take)

    def pin_memory(self) -> "PackedBatch":
        """Copy all tensors to memory that a GPU reads fast."""
        self._pinned = torch.from_numpy(self._sent).pin_memory()
        self._tree = map_leaves(self._tree, pinned)
        return self

    def _stow(self, value: Any) -> Any:
        if not isinstance(value, Tensor) or not _is_packable(value):
            return value
        plain, order = _in_memory_order(value.as_subclass(Tensor))
        piece = plain.reshape(-1).view(torch.uint8).numpy()
        place = _Place(
            self._size,
            len(piece),
            value.dtype,
            tuple(plain.shape),
            order,
            type(value),
            dict(getattr(value, "__dict__", {})),
        )
        self._pieces.append(piece)
        self._size = _aligned(self._size + len(piece))
        return place


def _taken(buffer: Tensor, place: _Place) -> Tensor:
    piece = buffer[place.offset : place.offset + place.num_bytes]
    if not place.num_bytes:  # nothing has no strides to look at it by
        return _as_kind(torch.empty(place.shape, dtype=place.dtype), place.kind, place.attributes)
    tensor = piece.view(place.dtype).view(place.shape).permute(place.order)
    return _as_kind(tensor, place.kind, place.attributes)


def map_leaves(value: Any, change: Callable[[Any], Any]) -> Any:
    """The same nesting of plain dicts, lists and tuples, with everything else changed."""
    if type(value) is dict:
        return {key: map_leaves(item, change) for key, item in value.items()}
    if type(value) is list:
        return [map_leaves(item, change) for item in value]
    if type(value) is tuple:
        return tuple(map_leaves(item, change) for item in value)
    return change(value)


def _in_memory_order(tensor: Tensor) -> tuple[Tensor, tuple[int, ...]]:
    """The tensor with its dimensions as they lie in memory, and how to permute it back."""
    if not tensor.is_contiguous():
        order = sorted(range(tensor.ndim), key=tensor.stride, reverse=True)
        inverse = tuple(order.index(dimension) for dimension in range(tensor.ndim))
        if (dense := tensor.permute(order)).is_contiguous():
            return dense, inverse
    return tensor.contiguous(), tuple(range(tensor.ndim))


def _as_kind(tensor: Tensor, kind: type[Tensor], attributes: dict[str, Any]) -> Tensor:
    if kind is Tensor:
        return tensor
    tensor = tensor.as_subclass(kind)
    tensor.__dict__.update(attributes)
    return tensor


def pinned(value: Any) -> Any:
    """A tensor in memory that a GPU reads fast, of the same class; anything else as it is."""
    if isinstance(value, Tensor):
        copy = value.as_subclass(Tensor).pin_memory()
        return _as_kind(copy, type(value), dict(getattr(value, "__dict__", {})))
    pin = getattr(value, "pin_memory", None)
    return value if pin is None else pin()


def _is_packable(tensor: Tensor) -> bool:
    return (
        tensor.layout == torch.strided
        and tensor.device.type == "cpu"
        and not tensor.requires_grad
        and not tensor.is_quantized
        and not tensor.is_complex()  # may be a conjugate that is not written out
        and tensor.numel() * tensor.element_size() <= MESSAGE_BYTES
    )


def _aligned(offset: int) -> int:
    return -(-offset // _ALIGNMENT) * _ALIGNMENT
