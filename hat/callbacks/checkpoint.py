"""Saves the whole state of a run, and takes it up again."""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import torch

import hat
from hat import store
from hat.callbacks.base import Callback
from hat.callbacks.class_names import class_names, label_class_names
from hat.engine.progress import Progress, StepOutcome
from hat.engine.scores import Scores, is_better
from hat.engine.state import TrainingState
from hat.errors import HatError
from hat.registry import did_you_mean

logger = logging.getLogger(__name__)

FOLDER_NAME = "checkpoints"


class ResumeError(HatError, ValueError):
    """A checkpoint that this run cannot go on from."""


class Checkpoint(Callback):
    """Saves checkpoints, keeps the newest and the best, and resumes from one.

    A checkpoint is a folder `epoch-0002-step-00000100` that is there whole or not at all (see
    `hat.store`). List it behind every callback that has state or writes what it reads.

    Args:
        every: Save after this many epochs or steps, and at the end of the run.
        by: The unit of `every`.
        keep_last: How many of the newest to keep.
        best: A score, or several; the checkpoint where it was best, for each its own, is
            kept too, and saved even if it is not the time for one. `hat validate` and
            `hat predict` take the first one's.
        mode: Whether the best is the largest or the smallest, for all or by their names; by
            default as the writer of the score says.
        resume: `auto` takes up the newest whole checkpoint of the folder, if there is
            any; a path takes up that one.
        folder: Where to; by default `checkpoints` in the run's folder.

    Raises:
        ValueError: If a number is out of range; when the engine is built, if there is no
            folder to write to; on resuming (`ResumeError`), if the checkpoint is of another run.
        CheckpointError: On resuming, if no checkpoint is whole.
    """

    def __init__(
        self,
        every: int = 1,
        by: Literal["epoch", "step"] = "epoch",
        *,
        keep_last: int = 2,
        best: str | Sequence[str] | None = None,
        mode: Literal["max", "min"] | Mapping[str, Literal["max", "min"]] | None = None,
        resume: str | Path | None = None,
        folder: str | Path | None = None,
    ) -> None:
        if every < 1 or keep_last < 1:
            raise ValueError(f"every and keep_last must be at least 1, got {every=}, {keep_last=}")
        if by not in ("epoch", "step"):
            raise ValueError(f"by must be 'epoch' or 'step', got {by!r}")
        names = [] if best is None else [best] if isinstance(best, str) else list(best)
        modes = _modes(mode, names)
        self.every = every
        self.by = by
        self.keep_last = keep_last
        self.best = names
        self.modes = modes
        self.resume = resume
        self.folder = None if folder is None else Path(folder)
        self._saved_at: tuple[int, int] | None = None
        self._best_values: dict[str, float] = {}
        self._seen_at = -1

    def reads(self) -> list[str]:
        return list(self.best)

    def check(self, *, run_dir: Path | None, **kwargs: Any) -> None:
        if self.folder is None:
            if run_dir is None:
                raise ValueError(
                    "Checkpoint has no folder: give it folder=, or the Trainer run_dir="
                )
            self.folder = run_dir / FOLDER_NAME

    def on_setup(self, *, progress: Progress, state: TrainingState, **kwargs: Any) -> None:
        assert self.folder is not None
        store.remove_leftovers(self.folder)
        if progress.num_steps_tried > 0:  # a second `fit` of the same trainer
            return
        if self.resume is not None:
            self._resume(self.folder, progress, state)
        elif store.list_checkpoints(self.folder):
            raise ResumeError(
                f"{self.folder} has checkpoints of another run. Go on with it: resume='auto'. "
                "Start another: choose another folder"
            )

    def on_step_end(
        self,
        *,
        progress: Progress,
        scores: Scores,
        state: TrainingState,
        data_loader: Any,
        outcome: StepOutcome,
        **kwargs: Any,
    ) -> None:
        if not outcome.is_committed or (self.by == "epoch" and not self.best):
            return
        is_due = self.by == "step" and progress.num_steps_done % self.every == 0
        is_best = self._is_best(progress, scores)  # it remembers: ask even if it is time anyway
        if is_due or is_best:
            self._save(progress, scores, state, data_loader)

    def on_epoch_end(
        self,
        *,
        progress: Progress,
        scores: Scores,
        state: TrainingState,
        data_loader: Any,
        **kwargs: Any,
    ) -> None:
        if not progress.is_between_epochs:
            return
        is_due = self.by == "epoch" and progress.num_epochs_done % self.every == 0
        is_best = self._is_best(progress, scores)
        if is_due or is_best:
            self._save(progress, scores, state, data_loader)

    def on_loop_end(
        self,
        *,
        progress: Progress,
        scores: Scores,
        state: TrainingState,
        data_loader: Any,
        **kwargs: Any,
    ) -> None:
        if self._is_best(progress, scores) or self._position(progress) != self._saved_at:
            self._save(progress, scores, state, data_loader)

    def _position(self, progress: Progress) -> tuple[int, int]:
        return progress.num_epochs_done, progress.num_steps_tried

    def _resume(self, folder: Path, progress: Progress, state: TrainingState) -> None:
        if self.resume == "auto":
            found = store.newest_checkpoint(folder)
            if found is None:
                logger.info("nothing to resume in %s: starting from the beginning", folder)
                return
            path = found.path
        else:
            path = Path(str(self.resume))
        try:
            state.load_state_dict(store.read_checkpoint(path))
        except (ValueError, RuntimeError, KeyError) as error:
            raise ResumeError(f"cannot resume from {path}: {error}") from error
        self._saved_at = self._position(progress)
        self._best_values = self._best_saved(folder, progress, state.scores)
        logger.info(
            "resumed from %s: %d epochs and %d steps are done",
            path,
            progress.num_epochs_done,
            progress.num_steps_done,
        )

    def _best_saved(self, folder: Path, progress: Progress, scores: Scores) -> dict[str, float]:
        """The best values up to where the run stands; their checkpoints are always kept."""
        found = {}
        for name, higher in self._directions(scores).items():
            until = progress.num_steps_done
            best = store.best_checkpoint(folder, name, higher, until_step=until)
            value = None if best is None else store.score_of(best, name)
            if value is not None:
                found[name] = value[0]
        return found

    def _is_best(self, progress: Progress, scores: Scores) -> bool:
        """Whether one of the scores was written at this step and beats all that were saved."""
        if self._seen_at == scores.num_written:
            return False
        self._seen_at = scores.num_written
        is_best = False
        for name, higher in self._directions(scores).items():
            value, step = scores.last(name)
            is_new = step == progress.num_steps_done
            if is_new and is_better(value, self._best_values.get(name), higher):
                self._best_values[name] = value
                is_best = True  # the others are remembered too
        return is_best

    def _directions(self, scores: Scores) -> dict[str, bool]:
        """Of the scores that were written so far, whether higher is better."""
        return {name: self._higher(name, scores) for name in self.best if name in scores}

    def _higher(self, name: str, scores: Scores) -> bool:
        if name in self.modes:
            return self.modes[name] == "max"
        higher = scores.higher_is_better(name)
        if higher is None:
            raise ValueError(
                f"Checkpoint: nobody says whether '{name}' is better high or low: set mode="
            )
        return higher

    def _save(
        self, progress: Progress, scores: Scores, state: TrainingState, data_loader: Any
    ) -> None:
        assert self.folder is not None
        best = [
            {"score": name, "higher_is_better": higher}
            for name, higher in self._directions(scores).items()
        ]
        info = {
            "step": progress.num_steps_done,
            "epoch": progress.num_epochs_done,
            "progress": progress.state_dict(),
            "scores": scores.summary(),
            "best": best[0] if best else None,
            "all_best": best,
            # so that predictions can be named without the data
            "classes": class_names(data_loader),
            "label_classes": label_class_names(data_loader),
            "versions": {"hat": hat.__version__, "torch": torch.__version__},
        }
        name = "epoch-{:04d}-step-{:08d}".format(*self._position(progress))
        path = store.write_checkpoint(self.folder, name, state.state_dict(), info)
        self._saved_at = self._position(progress)
        store.verify_checkpoint(path)  # before any older one is given up
        self._remove_old(scores)

    def _remove_old(self, scores: Scores) -> None:
        assert self.folder is not None
        found = store.list_checkpoints(self.folder)
        kept = {checkpoint.path for checkpoint in found[-self.keep_last :]}
        for name, higher in self._directions(scores).items():
            best = store.best_checkpoint(self.folder, name, higher)
            kept |= {best.path} if best is not None else set()
        for checkpoint in found:
            if checkpoint.path not in kept:
                store.remove_checkpoint(checkpoint.path)


def _modes(
    mode: Literal["max", "min"] | Mapping[str, Literal["max", "min"]] | None, names: Sequence[str]
) -> dict[str, str]:
    """By the names of scores, what was said of them."""
    if mode is None:
        return {}
    modes = dict(mode) if isinstance(mode, Mapping) else dict.fromkeys(names, mode)
    given = [mode] if isinstance(mode, str) else [*modes.values()]
    for value in given:
        if value not in ("max", "min"):
            raise ValueError(f"mode must be 'max', 'min' or None, got {value!r}")
    for name in modes:
        if name not in names:
            raise ValueError(
                f"mode has '{name}', which is not among best={list(names)}."
                f"{did_you_mean(name, names)}"
            )
    return dict(modes)
