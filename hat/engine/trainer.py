"""Sets up a training run on one device."""

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
from torch import nn

from hat.callbacks.base import Callback
from hat.callbacks.checkpoint import Checkpoint
from hat.callbacks.checks import check_order, check_state_order, collect_hooks
from hat.callbacks.nan_guard import NanGuard
from hat.callbacks.run_log import RunLog
from hat.config.given import Given
from hat.data.loaders.device_prefetcher import DevicePrefetcher
from hat.engine.loop import Loop
from hat.engine.optimizers import build_optimizer
from hat.engine.processors.batch_processor import BatchProcessor
from hat.engine.progress import Plan, Progress
from hat.engine.scores import Scores
from hat.engine.state import TrainingState

logger = logging.getLogger(__name__)

OptimizerMaker = Annotated[Callable[..., torch.optim.Optimizer], Given("params")]


class Trainer(Loop):
    """Trains a model on one device.

    Args:
        model: A structure: called with a batch, returns a `ModelOutput`.
        data_loader: Yields steps; see `Loop`.
        optimizer: An optimizer, or what makes one from parameters, such as
            `functools.partial(torch.optim.SGD, lr=0.1)`.
        num_epochs: How many epochs to train.
        num_steps: How many committed steps to train, instead.
        stop_by: Which of the two ends the run; only needed if both are given.
        callbacks: In the order in which they are called. A `NanGuard` is put in front
            if there is none, and with `run_dir` a `RunLog` before the first
            `Checkpoint`.
        batch_processor: What a step does; by default `BatchProcessor()`.
        param_groups: Options for some parameters; see `group_parameters`.
        seed: From which the order of the data, its transforms and the model's own
            randomness come, by position.
        device: By default the GPU if there is one, else the CPU.
        channels_last: Store weights and pictures with channels innermost.
        compile: Compile the model with `torch.compile`, in place.
        nan_guard: Whether to add the `NanGuard`.
        run_dir: Where callbacks write; nothing is written without it.

    Raises:
        ValueError: If the length of the run is not clear, or a callback would read a
            score that is not written before it.
        TypeError: If a callback has a hook that does not exist, or asks for a name
            that it does not get.

    Example:
        >>> trainer = Trainer(model, loader, optimizer, num_epochs=2)  # doctest: +SKIP
        >>> trainer.fit().last("train/loss")  # doctest: +SKIP
    """

    def __init__(
        self,
        model: nn.Module,
        data_loader: Any,
        optimizer: torch.optim.Optimizer | OptimizerMaker,
        *,
        num_epochs: int | None = None,
        num_steps: int | None = None,
        stop_by: Literal["epoch", "step"] | None = None,
        callbacks: Sequence[Callback] = (),
        batch_processor: BatchProcessor | None = None,
        param_groups: Sequence[Mapping[str, Any]] = (),
        seed: int = 0,
        device: str | torch.device | None = None,
        channels_last: bool = False,
        compile: bool = False,
        nan_guard: bool = True,
        run_dir: str | Path | None = None,
    ) -> None:
        plan = make_plan(data_loader, num_epochs, num_steps, stop_by, seed)
        device = default_device() if device is None else torch.device(device)
        model.to(device, memory_format=torch.channels_last if channels_last else None)  # type: ignore[call-overload]
        if compile:
            model.compile()
        if not isinstance(optimizer, torch.optim.Optimizer):
            optimizer = build_optimizer(model, optimizer, param_groups)
        elif param_groups:
            raise ValueError("param_groups have no effect on an optimizer that is already built")
        processor = BatchProcessor() if batch_processor is None else batch_processor
        processor.set_up(device, channels_last)
        if hasattr(data_loader, "seed"):
            data_loader.seed = seed
        run_dir = None if run_dir is None else Path(run_dir)
        if run_dir is not None and hasattr(data_loader, "run_dir"):
            data_loader.run_dir = run_dir
        collect_hooks(callbacks)  # complaints count the callbacks as the caller listed them
        check_order(callbacks)
        check_state_order(callbacks, Checkpoint)
        callbacks = with_defaults(callbacks, nan_guard, has_run_dir=run_dir is not None)
        progress, scores = Progress(), Scores()
        state = TrainingState(model, optimizer, processor, progress, plan, scores, callbacks)
        self.state = state
        self.device = device
        super().__init__(
            model,
            data_loader,
            processor,
            plan,
            callbacks=callbacks,
            optimizer=optimizer,
            state=state,
            scores=scores,
            progress=progress,
            run_dir=run_dir,
            device=device,
        )

    def fit(self) -> Scores:
        """Train until the plan is done, or a callback asks to stop.

        Returns:
            The scores that callbacks wrote.
        """
        order = ", ".join(type(callback).__name__ for callback in self.callbacks)
        logger.info("training on %s; callbacks, in order: %s", self.device, order or "none")
        self.model.train()
        return super().fit()

    def _open_epoch(self) -> Iterator[Any]:
        return iter(DevicePrefetcher(super()._open_epoch(), self.device))


def make_plan(
    data_loader: Any,
    num_epochs: int | None,
    num_steps: int | None,
    stop_by: Literal["epoch", "step"] | None,
    seed: int,
) -> Plan:
    """How long a run will be, from what was asked for.

    Raises:
        ValueError: If neither or, without `stop_by`, both lengths are given.
    """
    if stop_by is None:
        if (num_epochs is None) == (num_steps is None):
            raise ValueError(
                "give num_epochs or num_steps, or both and stop_by='epoch' or 'step'; got "
                f"{num_epochs=}, {num_steps=}"
            )
        stop_by = "step" if num_epochs is None else "epoch"
    if stop_by not in ("epoch", "step"):
        raise ValueError(f"stop_by must be 'epoch' or 'step', got {stop_by!r}")
    length = {"epoch": num_epochs, "step": num_steps}[stop_by]
    if length is None or length < 0:
        raise ValueError(f"stop_by='{stop_by}' needs num_{stop_by}s of at least 0, got {length}")
    steps_per_epoch = _length(data_loader)
    if stop_by == "step":
        return Plan("step", None, num_steps, steps_per_epoch, seed)
    total = steps_per_epoch * length if steps_per_epoch is not None else None
    return Plan("epoch", num_epochs, total, steps_per_epoch, seed)


def _length(data_loader: Any) -> int | None:
    """Steps in an epoch; None where nobody can tell before it is over."""
    try:
        return len(data_loader)
    except TypeError:  # no `__len__`, or torch's loader over an iterable data set
        return None


def with_defaults(
    callbacks: Sequence[Callback], nan_guard: bool, has_run_dir: bool
) -> list[Callback]:
    """The callbacks with a guard in front and a log before the first checkpoint."""
    result = list(callbacks)
    if nan_guard and not any(isinstance(callback, NanGuard) for callback in result):
        result.insert(0, NanGuard())
    if has_run_dir and not any(isinstance(callback, RunLog) for callback in result):
        savers = [n for n, callback in enumerate(result) if isinstance(callback, Checkpoint)]
        result.insert(savers[0] if savers else len(result), RunLog())
    return result


def default_device() -> torch.device:
    """The first GPU if there is one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")
