"""How a parameter says that it wants a maker, not the thing made."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Given:
    """Marks a parameter whose dict becomes a `functools.partial`, completed later.

    An optimizer needs the model's parameters, which no config can name. Annotated
    with `Given("params")`, the parameter takes `dict(type="torch.optim.SGD", lr=0.1)`
    and receives `partial(torch.optim.SGD, lr=0.1)`.

    Args:
        argument: The argument that the receiver adds when it calls.

    Example:
        >>> from typing import Annotated, Callable
        >>> OptimizerMaker = Annotated[Callable[..., object], Given("params")]
    """

    argument: str
