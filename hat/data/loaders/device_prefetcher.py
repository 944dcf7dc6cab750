"""The next step's batches on their way to the GPU while it still works on this step."""

from collections.abc import Iterable, Iterator
from typing import Any

import torch

from hat.data.loaders.transport import map_leaves


class DevicePrefetcher:
    """Gives steps on a device, copied while it still works on the step before.

    On a GPU the copies run on a stream of their own, from pinned memory where the loader
    pins. Python runs ahead of the GPU: when it asks for the next step, the last one has
    been ordered and not finished, so copy and computation overlap, and no step is held
    back until the one after it is loaded. On the CPU it hands steps through. `Trainer` and
    `Predictor` put it around what their loader gives.

    Args:
        steps: Batches, or lists of batches.
        device: Where to.

    Example:
        >>> steps = DevicePrefetcher([{"x": torch.ones(2)}], torch.device("cpu"))
        >>> [batch["x"].tolist() for batch in steps]
        [[1.0, 1.0]]
    """

    def __init__(self, steps: Iterable[Any], device: torch.device) -> None:
        self.steps = steps
        self.device = device

    def __iter__(self) -> Iterator[Any]:
        return self._copied() if self.device.type == "cuda" else iter(self.steps)

    def _copied(self) -> Iterator[Any]:
        copies = torch.cuda.Stream(self.device)
        for step in self.steps:
            with torch.cuda.stream(copies):
                copied = map_leaves(step, self._to_device)
            current = torch.cuda.current_stream(self.device)
            current.wait_stream(copies)
            # The allocator must not give the memory away while the step still reads it.
            map_leaves(copied, self._record)
            yield copied

    def _to_device(self, value: Any) -> Any:
        return value.to(self.device, non_blocking=True) if _is_tensor(value) else value

    def _record(self, value: Any) -> Any:
        if _is_tensor(value) and value.is_cuda:
            value.record_stream(torch.cuda.current_stream(self.device))
        return value


def _is_tensor(value: Any) -> bool:
    return isinstance(value, torch.Tensor)
