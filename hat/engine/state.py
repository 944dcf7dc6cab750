"""Everything that a checkpoint holds, taken and put back in one call."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from hat.callbacks.base import Callback
from hat.engine.processors.batch_processor import BatchProcessor
from hat.engine.progress import Plan, Progress
from hat.engine.scores import Scores
from hat.seeding import load_random_state_dict, random_state_dict


class TrainingState:
    """The parts of a run that change while it runs.

    The order of the data and the model's own randomness need no state beyond the
    progress: both come from the seed and a position.
    """

    def __init__(
        self,
        model: nn.Module,
        optimizer: torch.optim.Optimizer,
        processor: BatchProcessor,
        progress: Progress,
        plan: Plan,
        scores: Scores,
        callbacks: Sequence[Callback],
    ) -> None:
        self.model = model
        self.optimizer = optimizer
        self.processor = processor
        self.progress = progress
        self.plan = plan
        self.scores = scores
        self.callbacks = {
            f"{position}.{type(callback).__name__}": callback
            for position, callback in enumerate(callbacks)
        }
        averagers = [
            name
            for name, callback in self.callbacks.items()
            if type(callback).averaged_weights is not Callback.averaged_weights
        ]
        if len(averagers) > 1:
            raise ValueError(f"a run can average its weights once, got {', '.join(averagers)}")

    def _names_with_state(self) -> list[str]:
        return [
            name
            for name, callback in self.callbacks.items()
            if type(callback).state_dict is not Callback.state_dict
        ]

    def state_dict(self) -> dict[str, Any]:
        """Weights under `model` and, where a callback averages them, `ema`; all else by part.

        Tensors are those in use, not copies.
        """
        averages = [a for c in self.callbacks.values() if (a := c.averaged_weights()) is not None]
        return {
            "model": self.model.state_dict(),
            **({"ema": averages[0]} if averages else {}),
            "optimizer_class": type(self.optimizer).__name__,
            "optimizer": self.optimizer.state_dict(),
            "processor": self.processor.state_dict(),
            "progress": self.progress.state_dict(),
            "seed": self.plan.seed,
            "scores": self.scores.state_dict(),
            "callbacks": {
                name: self.callbacks[name].state_dict() for name in self._names_with_state()
            },
            "random": random_state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Put everything back.

        Raises:
            ValueError: If the state is that of another run: other callbacks, another
                seed, other weights. Nothing of the data or the schedule would fit.
        """
        self._refuse_other_run(state)
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.processor.load_state_dict(state["processor"])
        self.progress.load_state_dict(state["progress"])
        self.scores.load_state_dict(state["scores"])
        for name, callback_state in state["callbacks"].items():
            self.callbacks[name].load_state_dict(callback_state)
        for callback in self.callbacks.values():
            if "ema" in state and callback.averaged_weights() is not None:
                callback.load_averaged_weights(state["ema"])
        load_random_state_dict(state["random"])

    def _refuse_other_run(self, state: dict[str, Any]) -> None:
        if state["seed"] != self.plan.seed:
            raise ValueError(
                f"the checkpoint is of a run with seed {state['seed']}, this one has seed "
                f"{self.plan.seed}: the order of the samples would change in the middle"
            )
        names, saved_names = self._names_with_state(), list(state["callbacks"])
        unknown = [name for name in saved_names if name not in names]
        if unknown:
            raise ValueError(
                f"the checkpoint has the state of {unknown}, this run has callbacks "
                f"{list(self.callbacks)}: resume with the callbacks it was saved with"
            )
        fresh = [name for name in names if name not in saved_names]
        if fresh:
            raise ValueError(
                f"the checkpoint has no state of {fresh}, which this run has: resume with the "
                "callbacks it was saved with"
            )
        optimizer = type(self.optimizer).__name__
        if state["optimizer_class"] != optimizer:
            raise ValueError(
                f"the checkpoint has the state of the optimizer {state['optimizer_class']}, this "
                f"run has {optimizer}"
            )
        own, saved = self.model.state_dict(), state["model"]
        wrong = sorted({n for n in {*own, *saved} if n not in own or n not in saved})
        wrong += [n for n in own if n in saved and own[n].shape != saved[n].shape]
        if wrong:
            raise ValueError(f"the checkpoint is of another model: {', '.join(wrong[:5])} differ")
