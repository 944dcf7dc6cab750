"""The next step's batches on their way to the GPU while this step runs."""

from collections.abc import Iterator
from typing import Any

import torch

from hat.data.loaders.transport import map_leaves


class DevicePrefetcher:
    """Gives the steps of a loader on a device, one step ahead of their use.

    On a GPU the copies run on a stream of their own beside the computation, from pinned
    memory where the loader pins. Order, length and start are those of the loader. On the
    CPU it hands steps through. `Trainer` and `Predictor` put it around their loader.

    Args:
        loader: A `DataLoader`, or anything with `steps(epoch, start)`.
        device: Where to.

    Example:
        >>> loader = DataLoader([{"x": n} for n in range(3)], batch_size=2)
        >>> steps = DevicePrefetcher(loader, torch.device("cpu")).steps(epoch=0, start=1)
        >>> [batch["x"].tolist() for batch in steps]
        [[2]]
    """

    def __init__(self, loader: Any, device: torch.device) -> None:
        self.loader = loader
        self.device = device

    def steps(self, epoch: int, start: int = 0) -> Iterator[Any]:
        """The steps of an epoch from `start` on."""
        steps = iter(self.loader.steps(epoch, start))
        return self._ahead(steps) if self.device.type == "cuda" else steps

    def _ahead(self, steps: Iterator[Any]) -> Iterator[Any]:
        copies = torch.cuda.Stream(self.device)
        following = self._copied(next(steps, None), copies)
        while following is not None:
            current = following
            torch.cuda.current_stream(self.device).wait_stream(copies)
            # The allocator must not give the memory away while the step still reads it.
            map_leaves(current, self._record)
            # Asked for after the step before was queued: the copy runs while that computes.
            following = self._copied(next(steps, None), copies)
            yield current

    def _copied(self, step: Any, stream: Any) -> Any:
        if step is None:
            return None
        with torch.cuda.stream(stream):
            return map_leaves(step, self._to_device)

    def _to_device(self, value: Any) -> Any:
        if isinstance(value, torch.Tensor):
            return value.to(self.device, non_blocking=True)
        return value

    def _record(self, value: Any) -> Any:
        if isinstance(value, torch.Tensor):
            value.record_stream(torch.cuda.current_stream(self.device))
        return value
