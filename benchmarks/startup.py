"""How soon `hat` answers, and how soon `hat train` reaches its first step.

    python benchmarks/startup.py

- help: `hat --help`, the whole process, median of 5.
- first step: from the start of `hat train configs/classification/digits.py` to its first
  step, less the time that a fresh process takes to import the same modules; median of 5,
  the two in turn.
"""

import importlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from time import perf_counter
from typing import Any

from hat.callbacks import Callback

CONFIG = Path(__file__).parents[1] / "configs" / "classification" / "digits.py"
_STARTED = perf_counter()


class FirstStep(Callback):
    """Notes when the first step begins and what is imported by then, and leaves."""

    def on_step_begin(self, **kwargs: Any) -> None:
        note = {"seconds": perf_counter() - _STARTED, "modules": sorted(sys.modules)}
        Path(os.environ["STARTUP_NOTE"]).write_text(json.dumps(note))
        os._exit(0)


def child_train(config: str, folder: str) -> None:
    from hat.cli.app import run

    run(["train", config, "--out", folder])


def child_import(note: str) -> None:
    modules = json.loads(Path(note).read_text())["modules"]
    start = perf_counter()
    for name in modules:
        try:
            importlib.import_module(name)
        except ImportError:  # modules that exist only while another one is imported
            continue
    print(perf_counter() - start)


def spawn(*arguments: str, **environment: str) -> str:
    path = f"{Path(__file__).parent}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"
    done = subprocess.run(
        [sys.executable, "-c", f"import startup; startup.{arguments[0]}(*{arguments[1:]!r})"],
        env={**os.environ, "PYTHONPATH": path, **environment},
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise SystemExit(done.stderr)
    return done.stdout


def measure_first_step(num_rounds: int) -> tuple[float, float]:
    reached, imports = [], []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        config = folder / "digits.py"
        added = "\nfloat_trainer['callbacks'].append(dict(type='startup.FirstStep'))\n"
        config.write_text(CONFIG.read_text() + added)
        note = folder / "note.json"
        for number in range(num_rounds + 1):
            spawn("child_train", str(config), str(folder / f"run{number}"), STARTUP_NOTE=str(note))
            reached.append(json.loads(note.read_text())["seconds"])
            imports.append(float(spawn("child_import", str(note))))
    return statistics.median(reached[1:]), statistics.median(imports[1:])


def measure_help(num_rounds: int) -> float:
    hat = Path(sys.executable).with_name("hat")
    seconds = []
    for _ in range(num_rounds + 1):
        start = perf_counter()
        subprocess.run([hat, "--help"], capture_output=True, check=True)
        seconds.append(perf_counter() - start)
    return statistics.median(seconds[1:])


def main() -> None:
    print(f"hat --help: {measure_help(5):.2f} s")
    reached, imports = measure_first_step(5)
    print(
        f"hat train to its first step: {reached:.2f} s, imports alone {imports:.2f} s, "
        f"the rest {reached - imports:.2f} s"
    )


if __name__ == "__main__":
    main()
