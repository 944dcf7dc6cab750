"""`hat train`."""

import logging
from pathlib import Path
from typing import Any

from hat.cli.run_folder import choose_folder, refuse_used_folder, write_record
from hat.cli.signals import stop_on_signals
from hat.config.build import Builder
from hat.config.check import check
from hat.config.errors import ConfigError, Location, Mistake
from hat.config.record import encode
from hat.config.source import Config, load

logger = logging.getLogger(__name__)


def run_training(
    path: Path, overrides: list[str], stage: str, out: Path | None, resume: bool
) -> int:
    """Train what a config describes, in a folder of its own; return the exit code.

    Raises:
        ConfigError: With everything that is wrong with the config, before anything is
            built or written.
    """
    config = load(path, overrides, keep_mistakes=True)
    root = config.stage_part(stage, "trainer")
    check(config)
    encode(config)  # what cannot be written down could not be repeated
    if resume and out is None:
        out = _run_to_resume(config, path)
    folder = choose_folder(config, out)
    trainer = _build(config, root, folder, resume)
    write_record(folder, config, stage)
    logger.info("writing to %s", folder)
    with stop_on_signals(trainer.progress) as request:
        trainer.fit()
    _print_summary(trainer, folder)
    return request.exit_code


def _run_to_resume(config: Config, path: Path) -> Path:
    if path.is_dir():
        return path
    message = "which run? Name its folder: hat train RUNFOLDER --resume, or CONFIG --out RUNFOLDER"
    raise ConfigError(config.path, [Mistake("--resume", Location("command line"), message)])


def _build(config: Config, root: str, folder: Path, resume: bool) -> Any:
    seed = config.values[root].get("seed", 0)
    trainer = Builder(config, seed).build(root, run_dir=folder)
    from hat.callbacks.checkpoint import Checkpoint

    savers = [c for c in trainer.callbacks if isinstance(c, Checkpoint)]
    if resume and not savers:
        message = "--resume needs a Checkpoint among the callbacks"
        location = Location("command line: --resume")
        raise ConfigError(config.path, [Mistake(f"{root}.callbacks", location, message)])
    for saver in savers:
        saver.resume = saver.resume or ("auto" if resume else None)
    refuse_used_folder(folder, config, is_resuming=any(saver.resume for saver in savers))
    return trainer


def _print_summary(trainer: Any, folder: Path) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for column in ("score", "last", "best", "at step"):
        table.add_column(column, justify="left" if column == "score" else "right")
    for name in sorted(trainer.scores):
        last, best = trainer.scores.last(name), trainer.scores.best(name)
        if best is not None:
            table.add_row(name, f"{last.value:.4g}", f"{best.value:.4g}", str(best.step))
    console = Console(highlight=False)
    if table.row_count:
        console.print(table)
    console.print(f"run folder: {folder}", soft_wrap=True)
