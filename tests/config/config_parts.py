"""Parts that the tests' configs name; each keeps what it was built with."""

import enum
import functools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import torch

from hat.config import Given

OptimizerMaker = Annotated[Callable[..., torch.optim.Optimizer], Given("params")]


class Color(enum.Enum):
    RED = "red"


class Box:
    """Takes anything that is given by name."""

    def __init__(self, **contents: Any) -> None:
        self.contents = contents

    @classmethod
    def closed(cls) -> "Box":
        return cls(is_closed=True)


class Typed:
    """Takes one value of each plain type."""

    def __init__(
        self,
        number: int = 0,
        share: float = 0.0,
        text: str = "",
        is_on: bool = False,
        sizes: Sequence[int] = (),
        pair: tuple[int, int] = (0, 0),
        named: Mapping[str, float] | None = None,
        mode: Literal["max", "min"] = "max",
        path: Path | None = None,
        box: Box | None = None,
        boxes: Sequence[Box] = (),
        call: Callable[[], Any] | None = None,
    ) -> None:
        self.arguments = locals()


class Needs:
    """Cannot be built without its first two arguments."""

    def __init__(self, width: int, height: int, depth: int = 1) -> None:
        self.size = (width, height, depth)


class Refuses:
    """Cannot be built at all."""

    tries = 0

    def __init__(self, reason: str = "no") -> None:
        type(self).tries += 1
        raise ValueError(reason)


class Silent:
    """Fails without a word."""

    def __init__(self) -> None:
        raise RuntimeError


class Learner:
    """Wants what makes an optimizer, or one that is made."""

    def __init__(self, optimizer: torch.optim.Optimizer | OptimizerMaker) -> None:
        self.optimizer = optimizer


class Drawn:
    """Draws a weight when it is built."""

    def __init__(self, before: Any = None) -> None:
        self.weight = torch.rand(3)


def make_box(size: int = 0) -> Box:
    return Box(size=size)


of_size_3 = functools.partial(make_box, size=3)


def looked_up(key: str) -> None:
    {}[key]
