"""The next step's batches on their way to the GPU while this step runs."""

from collections.abc import Iterable, Iterator
from typing import Any

import torch

from hat.data.loaders.transport import map_leaves


class DevicePrefetcher:
    """Gives steps on a device, copied one step ahead of their use.

    On a GPU the copies run on a stream of their own beside the computation, from pinned
    memory where the loader pins. The order is that of the steps. On the CPU it hands
    steps through. `Trainer` and `Predictor` put it around what their loader gives.

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
        return self._ahead() if self.device.type == "cuda" else iter(self.steps)

    def _ahead(self) -> Iterator[Any]:
        steps = iter(self.steps)
        copies = torch.cuda.Stream(self.device)
        following = self._copied(next(steps, None), copies)
        while following is not None:
            current = following
            torch.cuda.current_stream(self.device).wait_stream(copies)
            # The allocator must not give the memory away while the step still reads it.
            map_leaves(current, self._record)
            following = self._copied(next(steps, None), copies)
            yield current

    def _copied(self, step: Any, stream: Any) -> Any:
        if step is None:
            return None
        with torch.cuda.stream(stream):
            return map_leaves(step, self._to_device)

    def _to_device(self, value: Any) -> Any:
        return value.to(self.device, non_blocking=True) if _is_tensor(value) else value

    def _record(self, value: Any) -> Any:
        if _is_tensor(value) and value.is_cuda:
            value.record_stream(torch.cuda.current_stream(self.device))
        return value


def _is_tensor(value: Any) -> bool:
    return isinstance(value, torch.Tensor)
