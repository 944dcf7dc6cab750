"""Ctrl-C and SIGTERM: once, the run ends at the next step; twice, at once."""

import contextlib
import signal
from collections.abc import Iterator
from types import FrameType

from hat.engine.progress import Progress

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class StopRequest:
    """Which signal asked to stop, if any did."""

    number: int | None = None

    @property
    def exit_code(self) -> int:
        """128 and the number of the signal: 130 for Ctrl-C, 143 for SIGTERM; else 0."""
        return 0 if self.number is None else 128 + self.number


@contextlib.contextmanager
def stop_on_signals(progress: Progress) -> Iterator[StopRequest]:
    """Turn the first signal of a block into a request to stop, the second into an exit."""
    request = StopRequest()

    def stop(number: int, frame: FrameType | None) -> None:
        request.number = number
        progress.stop(f"stopped by {signal.Signals(number).name}")
        for each in _SIGNALS:
            signal.signal(each, exit_at_once)

    def exit_at_once(number: int, frame: FrameType | None) -> None:
        raise SystemExit(128 + number)

    previous = {number: signal.signal(number, stop) for number in _SIGNALS}
    try:
        yield request
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
