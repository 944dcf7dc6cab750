"""Keeps some modules as they are, for a while or for good."""

from collections.abc import Sequence
from typing import Any

from torch import nn

from hat.callbacks.base import Callback
from hat.engine.progress import Progress
from hat.models.names import matching_names


class FreezeModule(Callback):
    """Freezes modules: no gradients, and evaluation mode, so that running statistics stay too.

    Args:
        modules: Patterns over module names: `backbone`, `backbone.layer1*`. What is
            inside a module is frozen with it.
        num_epochs: Unfreeze after this many epochs; by default never.

    Raises:
        ValueError: When the engine is built, if a pattern matches no module.
    """

    def __init__(self, modules: str | Sequence[str], num_epochs: int | None = None) -> None:
        if num_epochs is not None and num_epochs < 0:
            raise ValueError(f"num_epochs must be at least 0, got {num_epochs}")
        self.patterns = [modules] if isinstance(modules, str) else list(modules)
        self.num_epochs = num_epochs
        self._modules: list[nn.Module] = []
        self._parameters: list[nn.Parameter] = []

    def check(self, *, model: nn.Module, **kwargs: Any) -> None:
        modules = dict(model.named_modules())
        names = matching_names([name for name in modules if name], self.patterns)
        self._modules = [modules[name] for name in names]
        # What was frozen by hand before stays so.
        self._parameters = [p for m in self._modules for p in m.parameters() if p.requires_grad]

    def on_epoch_begin(self, *, progress: Progress, **kwargs: Any) -> None:
        if self._is_due(progress):
            self._set_frozen(True)

    def on_epoch_end(self, *, progress: Progress, **kwargs: Any) -> None:
        # Before the next epoch begins, where another callback may freeze the same module.
        if progress.num_epochs_done == self.num_epochs and progress.is_between_epochs:
            self._set_frozen(False)

    def _is_due(self, progress: Progress) -> bool:
        return self.num_epochs is None or progress.num_epochs_done < self.num_epochs

    def _set_frozen(self, frozen: bool) -> None:
        for module in self._modules:
            module.train(not frozen)
        for parameter in self._parameters:
            parameter.requires_grad_(not frozen)
            parameter.grad = None
