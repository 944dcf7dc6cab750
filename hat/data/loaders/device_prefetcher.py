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
    `Predictor` put it around what their loader gives. `labelled` of a batch, which Python
    reads, stays on the CPU.

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
                copied = to_device(step, self.device)
            current = torch.cuda.current_stream(self.device)
            current.wait_stream(copies)
            # The allocator must not give the memory away while the step still reads it.
            map_leaves(copied, self._record)
            yield copied

    def _record(self, value: Any) -> Any:
        if isinstance(value, torch.Tensor) and value.is_cuda:
            value.record_stream(torch.cuda.current_stream(self.device))
        return value


def to_device(value: Any, device: torch.device) -> Any:
    """A batch, or any nesting of dicts, lists and tuples, on a device.

    `labelled` stays where it is: rows index lists too, and to read them off a device would
    wait for it.
    """
    if isinstance(value, torch.Tensor):
        return value.to(device, non_blocking=True)
    if isinstance(value, dict):
        return {
            key: item if key == "labelled" else to_device(item, device)
            for key, item in value.items()
        }
    if isinstance(value, list):
        return [to_device(item, device) for item in value]
    if type(value) is tuple:
        return tuple(to_device(item, device) for item in value)
    return value
