"""What every callback is: hooks that do nothing until a subclass writes them."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor


class Callback:
    """Changes or watches a run from outside the loop.

    A subclass writes the hooks that it wants. Each names what it uses and ends with
    `**kwargs` for the rest of what `HOOK_ARGUMENTS` lists for it:

    Example:
        >>> class StopAfter(Callback):
        ...     def __init__(self, num_steps):
        ...         self.num_steps = num_steps
        ...
        ...     def on_step_end(self, *, progress, **kwargs):
        ...         if progress.num_steps_done >= self.num_steps:
        ...             progress.stop(f"{self.num_steps} steps were asked for")
    """

    def on_setup(self, *args: Any, **kwargs: Any) -> None:
        """Before anything else: open what will be needed, restore what was saved."""

    def on_loop_begin(self, *args: Any, **kwargs: Any) -> None:
        """Once, after every `on_setup`: the run stands where it will go on from."""

    def on_epoch_begin(self, *args: Any, **kwargs: Any) -> None:
        """Before the steps of an epoch; also when a run resumes inside one."""

    def on_step_begin(self, *args: Any, **kwargs: Any) -> None:
        """Before the batches of a step; its data has arrived."""

    def on_batch_begin(self, *args: Any, **kwargs: Any) -> None:
        """Before a forward pass; the batch is on the device and normalised."""

    def on_backward_begin(self, *args: Any, **kwargs: Any) -> None:
        """After a forward pass, before its backward pass."""

    def on_backward_end(self, *args: Any, **kwargs: Any) -> None:
        """After a backward pass; gradients may still lack other batches of the step."""

    def on_batch_end(self, *args: Any, **kwargs: Any) -> None:
        """After everything about one batch."""

    def on_optimizer_step_begin(self, *args: Any, **kwargs: Any) -> None:
        """Gradients are whole and unscaled; `outcome.skip` keeps the weights as they are."""

    def on_step_end(self, *args: Any, **kwargs: Any) -> None:
        """After a step, committed or skipped; it is counted already."""

    def on_epoch_end(self, *args: Any, **kwargs: Any) -> None:
        """After an epoch, or what was done of it: see `progress.is_between_epochs`."""

    def on_loop_end(self, *args: Any, **kwargs: Any) -> None:
        """Once, after the last epoch; not when training failed."""

    def on_close(self, *args: Any, **kwargs: Any) -> None:
        """Always, when `fit` is left, also by an error: close what `on_setup` opened."""

    def check(self, *args: Any, **kwargs: Any) -> None:
        """When the engine is built: refuse what cannot work, such as a folder that is missing.

        Gets by name what every hook gets.

        Raises:
            ValueError: With what to change.
        """

    def reads(self) -> list[str]:
        """The names of scores that this callback cannot do without."""
        return []

    def writes(self) -> list[str]:
        """The names of scores that this callback writes; `train/*` if they are not known."""
        return []

    def state_dict(self) -> dict[str, Any]:
        """What must survive a restart: tensors and plain values."""
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take back what `state_dict` gave."""

    def averaged_weights(self) -> dict[str, Tensor] | None:
        """Weights for evaluation, in place of the model's; None from all but averagers."""
        return None

    def load_averaged_weights(self, weights: Mapping[str, Tensor]) -> None:
        """Take back what `averaged_weights` gave."""
