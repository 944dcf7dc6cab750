"""What is wrong with a config: where, what was expected, what to do."""

from dataclasses import dataclass
from pathlib import Path

from hat.errors import HatError


@dataclass(frozen=True)
class Location:
    """A line of a config file, or the command line."""

    file: str
    line: int | None = None

    def __str__(self) -> str:
        return self.file if self.line is None else f"{self.file}:{self.line}"


@dataclass(frozen=True)
class Mistake:
    """One thing that is wrong with a config.

    Args:
        path: Where in the config, dotted: `float_trainer.optimizer.lr`.
        location: The line to change.
        message: What was expected, what came, and the nearest valid name.
    """

    path: str
    location: Location
    message: str

    def __str__(self) -> str:
        return f"{self.path}  ({self.location})\n    {self.message}"


class ConfigError(HatError):
    """A config that cannot be used, with everything that is wrong with it.

    Args:
        source: The config file, or what else was being read.
        mistakes: At least one.
    """

    def __init__(self, source: str | Path, mistakes: list[Mistake]) -> None:
        self.source = str(source)
        self.mistakes = mistakes
        super().__init__(self.source, mistakes)

    def __str__(self) -> str:
        count = len(self.mistakes)
        head = f"{self.source}: {count} mistake{'s' if count > 1 else ''}"
        return "\n".join([head, *(f"  {mistake}" for mistake in self.mistakes)])
