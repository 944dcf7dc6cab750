"""The `hat` command in this process, and what to look at in a run's folder."""

import contextlib
import importlib
import io
import json
import logging
import sys
from dataclasses import dataclass
from pathlib import Path

from hat.cli.app import run

ROOT = Path(__file__).resolve().parents[2]
DIGITS = ROOT / "configs" / "classification" / "digits.py"
POINTS = Path(__file__).with_name("points_config.py")
TASKS = Path(__file__).with_name("tasks_config.py")


@dataclass
class Done:
    """How a command ended, and what it printed."""

    code: int
    out: str
    err: str


def run_hat(*arguments) -> Done:
    """Run `hat` with these arguments, and leave the process as a command would find it."""
    logger, out, err = logging.getLogger("hat"), io.StringIO(), io.StringIO()
    before = logger.handlers[:], logger.level, logger.propagate, sys.path[:]
    importlib.invalidate_caches()  # a module may have been written a moment ago
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = run([str(argument) for argument in arguments])
    finally:
        logger.handlers[:], logger.propagate, sys.path[:] = before[0], before[2], before[3]
        logger.setLevel(before[1])
        for name in [n for n, m in sys.modules.items() if n != "__main__" and _is_here(m)]:
            del sys.modules[name]  # another test may have a module of this name
    return Done(code, out.getvalue(), err.getvalue())


def _is_here(module) -> bool:
    file = getattr(module, "__file__", None)
    return file is not None and Path(file).parent == Path.cwd()


def checkpoints(folder: Path) -> list[str]:
    """The names of a run's checkpoints, oldest first."""
    return sorted(path.name for path in (folder / "checkpoints").iterdir())


def weights(folder: Path) -> bytes:
    """The bytes of the newest weights of a run."""
    newest = folder / "checkpoints" / checkpoints(folder)[-1]
    return (newest / "model.safetensors").read_bytes()


def read_json(path: Path):
    return json.loads(Path(path).read_text(encoding="utf-8"))
