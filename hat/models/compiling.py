"""Which part of a structure `torch.compile` sees."""

from typing import Any

from torch import nn


def compile_parts(*parts: nn.Module | None, **options: Any) -> None:
    """Compile modules in place, each as a whole.

    Structures compile their network alone: truth comes in lists of any length, and every
    new length would compile losses and post-processing anew.

    Args:
        parts: Modules; None stands for a part that a structure does not have.
        options: As for `torch.compile`.
    """
    for part in parts:
        if part is not None:
            part.compile(**options)
