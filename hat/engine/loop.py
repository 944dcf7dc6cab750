"""The loop: one screen, every hook in its place."""

import functools
import logging
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from time import perf_counter
from typing import Any

import torch
from torch import nn

from hat.callbacks.base import Callback
from hat.callbacks.checks import collect_hooks
from hat.engine.progress import Plan, Progress, StepOutcome
from hat.engine.scores import Scores
from hat.engine.state import TrainingState
from hat.seeding import MODEL_STREAM, ORDER_STREAM, KeyStream, derive_key, seed_everything

logger = logging.getLogger(__name__)

Batches = Sequence[Any]
Processor = Callable[..., StepOutcome]


class Loop:
    """Runs steps and tells callbacks; what a step does is the processor's.

    `Trainer` and `Predictor` set one up.

    Args:
        model: Passed to the processor and to every hook.
        data_loader: Yields steps, a batch or a list of batches each. One with
            `steps(epoch, start)`, such as HAT's, is started anywhere at no cost; any
            other iterable is iterated, and what a resumed epoch has seen is skipped.
        processor: Called with (batches, model, optimizer, hooks); says what became
            of the step.
        plan: When to end.
        callbacks: In the order in which they are called.
        optimizer: None where nothing is trained.
        state: What checkpoints hold; None where nothing is saved.
        scores: Where callbacks write and read values.
        progress: Where the run stands.
        run_dir: The run's folder.
        device: Whose generator, beside the CPU's, is seeded for every step.

    Raises:
        TypeError: If a callback has a hook that does not exist, or asks a hook for a
            name that it does not get.
    """

    def __init__(
        self,
        model: nn.Module,
        data_loader: Any,
        processor: Processor,
        plan: Plan,
        *,
        callbacks: Sequence[Callback] = (),
        optimizer: torch.optim.Optimizer | None = None,
        state: TrainingState | None = None,
        scores: Scores | None = None,
        progress: Progress | None = None,
        run_dir: Path | None = None,
        device: torch.device | None = None,
    ) -> None:
        self.model = model
        self.data_loader = data_loader
        self.processor = processor
        self.plan = plan
        self.callbacks = tuple(callbacks)
        self.optimizer = optimizer
        self.scores = Scores() if scores is None else scores
        self.progress = Progress() if progress is None else progress
        self._generators = [torch.default_generator]
        if device is not None and device.type == "cuda":
            torch.cuda.init()
            self._generators.append(torch.cuda.default_generators[device.index or 0])
        self._always = dict(
            model=model,
            optimizer=optimizer,
            data_loader=data_loader,
            progress=self.progress,
            plan=plan,
            scores=self.scores,
            state=state,
        )
        self._use_run_dir(run_dir)
        for callback in self.callbacks:
            callback.check(**self._always, run_dir=run_dir)
        self._step_keys = KeyStream(plan.seed, MODEL_STREAM)

    def fit(self) -> Scores:
        """Run to the end of the plan, or until a callback asks to stop."""
        progress, plan, hooks = self.progress, self.plan, self.hooks
        end_step = plan.end_step
        progress.stop_reason = None
        error: BaseException | None = None
        try:
            self._notify("on_setup")
            self._notify("on_loop_begin")
            while not (plan.is_done(progress) or progress.stop_reason):
                self._notify("on_epoch_begin")
                for batches, data_wait_s in self._steps():
                    for call in hooks["on_step_begin"]:
                        call(data_wait_s=data_wait_s)
                    outcome = self.processor(batches, self.model, self.optimizer, hooks)
                    progress.num_epoch_steps_done += 1
                    if outcome.skip_reason is None:
                        progress.num_steps_done += 1
                    else:
                        progress.num_steps_skipped += 1
                    for call in hooks["on_step_end"]:
                        call(batches=batches, outcome=outcome)
                    must_end = progress.stop_reason or progress.num_steps_done == end_step
                    if must_end and progress.num_epoch_steps_done != plan.steps_per_epoch:
                        break
                else:
                    progress.num_epochs_done += 1
                    progress.num_epoch_steps_done = 0
                self._notify("on_epoch_end")
            self._notify("on_loop_end")
        except BaseException as caught:
            error = caught
            raise
        finally:
            self._close(error)
        return self.scores

    def _use_run_dir(self, run_dir: Path | None) -> None:
        """Tell every hook from now on that this is the run's folder."""
        self.run_dir = run_dir
        self.hooks = {
            hook: tuple(
                functools.partial(method, **self._always, run_dir=run_dir) for method in methods
            )
            for hook, methods in collect_hooks(self.callbacks).items()
        }

    def _notify(self, hook: str) -> None:
        for call in self.hooks[hook]:
            call()

    def _steps(self) -> Iterator[tuple[Batches, float]]:
        """The steps left in this epoch, each with the seconds that it was waited for.

        The model's own randomness is set here: it comes from the seed and the number
        of the step, so a resumed step draws what the first try drew.
        """
        iterator = self._open_epoch()
        while True:
            start = perf_counter()
            data = next(iterator, None)
            progress = self.progress
            if data is None:
                if progress.is_between_epochs:  # a run that ends by steps would never end
                    raise ValueError(
                        f"the data loader gave no step in epoch {progress.num_epochs_done}: it is "
                        "empty, or an iterator that can be gone through only once"
                    )
                return
            key = self._step_keys.at(progress.num_steps_done + progress.num_steps_skipped)
            for generator in self._generators:
                generator.manual_seed(key)
            yield data if isinstance(data, list) else (data,), perf_counter() - start

    def _open_epoch(self) -> Iterator[Any]:
        epoch, start = self.progress.num_epochs_done, self.progress.num_epoch_steps_done
        if hasattr(self.data_loader, "steps"):
            return iter(self.data_loader.steps(epoch, start))
        # A loader that shuffles with the global generators gives one order per epoch this
        # way, so that skipping what was seen is right.
        seed_everything(derive_key(self.plan.seed, ORDER_STREAM, epoch))
        if start:
            logger.info("the data loader cannot seek: going through %d seen steps again", start)
        return islice(iter(self.data_loader), start, None)

    def _close(self, error: BaseException | None) -> None:
        """Let every callback close what it opened; a failure does not stop the others."""
        failed: Exception | None = None
        for call in self.hooks["on_close"]:
            try:
                call(error=error)
            except Exception as caught:
                logger.exception("a callback failed to close")
                failed = failed or caught
        if failed is not None and error is None:
            raise failed
