"""torch's loader with HAT's keys: one set of workers, an epoch at a time."""

import functools
from collections.abc import Iterator
from typing import Any

import torch

from hat.data.loaders.batch_maker import Failure, MadeBatch
from hat.data.loaders.sample_maker import SampleError
from hat.data.loaders.transport import PackedBatch
from hat.data.loaders.workers import Waiting, WorkerWatch, children, start_worker


def _as_it_is(made: Any) -> Any:
    return made


class Pipeline:
    """Runs a source of batches in this process or in workers.

    Args:
        source: A data set of torch's whose items are whole batches.
        keys: What `source` is asked for, in order; None if it is iterated.
        watch: Of the workers.
        options: For `torch.utils.data.DataLoader`.
    """

    def __init__(
        self,
        source: "torch.utils.data.Dataset[Any]",
        keys: Any,
        watch: WorkerWatch,
        options: dict[str, Any],
    ) -> None:
        self.keys = keys
        self.watch = watch
        self.is_open = False
        self.is_broken = False
        self._loader: torch.utils.data.DataLoader[Any] | None = torch.utils.data.DataLoader(
            source,
            sampler=keys,
            batch_size=None,
            collate_fn=_as_it_is,
            worker_init_fn=start_worker,
            generator=torch.Generator(),  # its own: torch's default would draw from the global one
            **options,
        )

    def batches(self) -> Iterator[MadeBatch]:
        """The batches of the keys.

        Raises:
            SampleError: If one cannot be made, or a worker dies or hangs.
        """
        self.is_open = True
        try:
            loader = self._loader
            assert loader is not None
            yield from self._from_workers(loader) if loader.num_workers else self._here(loader)
        finally:
            self.is_open = False

    def _here(self, loader: "torch.utils.data.DataLoader[Any]") -> Iterator[MadeBatch]:
        """Without workers torch's loader would add nothing but its cost."""
        source = loader.dataset
        made = iter(source) if self.keys is None else map(source.__getitem__, self.keys)
        return (batch.pin_memory() for batch in made) if loader.pin_memory else made

    def _from_workers(self, loader: "torch.utils.data.DataLoader[Any]") -> Iterator[MadeBatch]:
        iterator = self._awaited(functools.partial(self._start, loader))
        while True:
            made = self._awaited(functools.partial(next, iterator, None))
            if made is None:
                return
            if isinstance(made, Failure):
                self._end()  # the error may hold this iterator, whose workers would linger
                raise made.to_error()
            if isinstance(made.batch, PackedBatch):
                made.batch = made.batch.unpack()
            yield made

    def _start(self, loader: "torch.utils.data.DataLoader[Any]") -> Iterator[Any]:
        before = {process.pid for process in children()}
        try:
            return iter(loader)
        finally:  # a worker may have died before all of them were started
            new = [process for process in children() if process.pid not in before]
            if new:  # persistent workers are those of the epoch before
                self.watch.started(new)

    def _awaited(self, call: Any) -> Any:
        if (text := self.watch.find_dead()) is not None:  # died while nobody waited
            self._end()
            raise SampleError(text)
        try:
            with Waiting(self.watch) as waiting:
                return call()
        except Exception as error:
            text = self.watch.find_dead() or self.watch.of_silence(error, waiting.seconds)
            self._end()
            raise SampleError(text) from (None if isinstance(error, SampleError) else error)

    def _end(self) -> None:
        self.is_broken = True
        self.watch.end_workers()
        self._loader = None
