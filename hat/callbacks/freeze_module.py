"""Keeps some modules as they are, for a while or for good."""

from collections.abc import Sequence
from typing import Any

from torch import nn

from hat.callbacks.base import Callback
from hat.engine.progress import Progress
from hat.models.graph.ownership import own_modules, shared_modules
from hat.models.names import matching_names


class FreezeModule(Callback):
    """Freezes modules: no gradients, and evaluation mode, so that running statistics stay too.

    The losses of a frozen task still train what it shares with others; `StopTask` leaves the
    losses out.

    Args:
        modules: Patterns over module names: `backbone`, `backbone.layer1*`. What is
            inside a module is frozen with it.
        num_epochs: Unfreeze after this many epochs; by default never.
        tasks: Of a `GraphModel`: freeze what these tasks use and no other output does.
        shared: Of a `GraphModel`: freeze the trunk, the nodes that two outputs or more use.

    Raises:
        ValueError: If nothing is to be frozen; when the engine is built, if a pattern matches
            no module, there is no such task, or nothing is shared.
    """

    def __init__(
        self,
        modules: str | Sequence[str] = (),
        num_epochs: int | None = None,
        *,
        tasks: str | Sequence[str] = (),
        shared: bool = False,
    ) -> None:
        if num_epochs is not None and num_epochs < 0:
            raise ValueError(f"num_epochs must be at least 0, got {num_epochs}")
        if not (modules or tasks or shared):
            raise ValueError("FreezeModule freezes nothing: give it modules=, tasks= or shared=")
        self.patterns = [modules] if isinstance(modules, str) else list(modules)
        self.num_epochs = num_epochs
        self.tasks = [tasks] if isinstance(tasks, str) else list(tasks)
        self.shared = shared
        self._modules: list[nn.Module] = []
        self._parameters: list[nn.Parameter] = []

    def check(self, *, model: nn.Module, **kwargs: Any) -> None:
        modules = dict(model.named_modules())
        names = matching_names([name for name in modules if name], self.patterns)
        chosen = {name: modules[name] for name in names}
        if self.tasks:
            chosen |= own_modules(model, self.tasks)
        if self.shared:
            chosen |= shared_modules(model)
        self._modules = list(chosen.values())
        # What was frozen by hand before stays so.
        parameters = (p for m in self._modules for p in m.parameters() if p.requires_grad)
        self._parameters = list(dict.fromkeys(parameters))

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
