"""Draws losses and scores over the steps of a run."""

import math
import re
from collections.abc import Mapping, Sequence
from fnmatch import fnmatch
from pathlib import Path
from time import monotonic
from typing import Any

from hat.callbacks.base import Callback
from hat.engine.progress import Progress, StepOutcome
from hat.engine.scores import ScoreFeed, Scores
from hat.files import replacing
from hat.metrics.figures import figure_class

CURVES_NAME = "curves.png"
#: How fast a run was: it differs each time, and TensorBoard shows it.
_SPEED = ("train/samples_per_s", "train/data_wait", "train/eta_s", "train/memory_mib")
_PANEL_INCHES = (3.0, 2.2)
_MOST_MARKED = 50
_FEW = 6  # curves whose names have room in their panel; others stand under it

#: Steps and values of a score.
Curve = tuple[list[int], list[float]]


class ScoreCurves(Callback):
    """Draws every score over steps, a panel for those that compare.

    There is a panel for `train/loss` and `val/loss`, one for the losses of each task, then one
    for the learning rate, and one for the scores of a task whose names begin with the same
    letters, such as `AP`, `AP50` and `AP_car`, the first of them with the thickest line. Each
    name has its last value beside it. Speed and memory are left out.

    The file is replaced at ends of epochs, and when `fit` is left, also by an error. A resumed
    run goes on with the curves of its checkpoint.

    Args:
        path: The PNG file; by default `curves.png` in the run's folder.
        names: Patterns of the scores to draw, such as `val/*`.
        interval_s: Seconds between drawings: it takes a second or two.

    Raises:
        ImportError: If matplotlib is not installed.
        ValueError: When the engine is built, if there is no folder to write to.
    """

    def __init__(
        self,
        path: str | Path | None = None,
        *,
        names: Sequence[str] = ("*",),
        interval_s: float = 60.0,
    ) -> None:
        self._figure_class = figure_class("ScoreCurves")
        self.path = None if path is None else Path(path)
        self.names = (names,) if isinstance(names, str) else tuple(names)
        self.interval_s = interval_s
        self._curves: dict[str, Curve] = {}
        self._losses: set[str] = set()
        self._feed: ScoreFeed | None = None
        self._drawn_s = -math.inf

    def check(self, *, run_dir: Path | None, **kwargs: Any) -> None:
        if self.path is None:
            if run_dir is None:
                raise ValueError("ScoreCurves has no file: give it path=, or the Trainer run_dir=")
            self.path = run_dir / CURVES_NAME

    def on_loop_begin(self, *, progress: Progress, scores: Scores, **kwargs: Any) -> None:
        self._feed = ScoreFeed(scores)
        for steps, values in self._curves.values():  # of steps that are done again
            while steps and steps[-1] > progress.num_steps_done:
                del steps[-1], values[-1]

    def on_step_end(self, *, outcome: StepOutcome, **kwargs: Any) -> None:
        self._losses.update(outcome.losses)
        self._take()

    def on_epoch_end(self, **kwargs: Any) -> None:
        self._take()
        if monotonic() - self._drawn_s >= self.interval_s:
            self._draw()

    def on_close(self, **kwargs: Any) -> None:
        if self._feed is not None:
            self._take()
            self._feed = None
            self._draw()

    def state_dict(self) -> dict[str, Any]:
        self._take()  # a callback behind this one may have written
        curves = {
            name: [list(steps), list(values)] for name, (steps, values) in self._curves.items()
        }
        return {"curves": curves, "losses": sorted(self._losses)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self._curves = {
            name: (list(steps), list(values)) for name, (steps, values) in state["curves"].items()
        }
        self._losses = set(state["losses"])

    def _take(self) -> None:
        for name, score in [] if self._feed is None else self._feed.take():
            if name not in _SPEED and any(fnmatch(name, pattern) for pattern in self.names):
                steps, values = self._curves.setdefault(name, ([], []))
                steps.append(score.step)
                values.append(score.value)

    def _draw(self) -> None:
        panels = self._panels()
        if not panels:
            return
        assert self.path is not None
        num_columns = min(4, math.ceil(math.sqrt(len(panels))))
        num_rows = math.ceil(len(panels) / num_columns)
        size = (_PANEL_INCHES[0] * num_columns, _PANEL_INCHES[1] * num_rows)
        figure = self._figure_class(figsize=size, dpi=110, layout="constrained")
        last_step = max(steps[-1] for steps, _ in self._curves.values())
        for number, (title, names) in enumerate(panels.items(), 1):
            axes = figure.add_subplot(num_rows, num_columns, number)
            axes.set_xlim(0, 1.03 * max(last_step, 1))
            _draw_panel(axes, title, {name: self._curves[name] for name in names})
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(self.path) as temporary:
            figure.savefig(temporary, format="png", metadata={"Software": None})
        self._drawn_s = monotonic()

    def _panels(self) -> dict[str, list[str]]:
        """Titles, and the names of the scores under each: losses first, then by task."""
        panels: dict[str, list[str]] = {}
        for name in self._curves:
            panels.setdefault(self._panel_of(name), []).append(name)
        order = sorted(panels, key=_rank)
        return {title: panels[title] for title in order}

    def _panel_of(self, name: str) -> str:
        where, _, rest = name.partition("/")
        task, _, key = rest.rpartition("/")
        is_loss = where == "train" and rest in self._losses
        letters = re.match("[A-Za-z]+", key)
        kind = "loss" if is_loss else letters[0] if letters else key
        return f"{task} {kind}".strip()


def _rank(title: str) -> tuple[bool, bool, bool, str]:
    task = title.rpartition(" ")[0]
    return title != "loss", not title.endswith(" loss"), bool(task), task


def _draw_panel(axes: Any, title: str, curves: Mapping[str, Curve]) -> None:
    keys = {name.partition("/")[2] for name in curves}
    if len(keys) == 1:
        title = keys.pop().replace("/", " ")
    axes.set_title(_plain(title), fontsize=9, fontweight="bold")
    axes.tick_params(labelsize=7)
    axes.ticklabel_format(scilimits=(-3, 5))
    axes.xaxis.get_offset_text().set_fontsize(6)
    axes.yaxis.get_offset_text().set_fontsize(6)
    axes.grid(alpha=0.3)
    for number, (name, (steps, values)) in enumerate(curves.items()):
        axes.plot(
            steps,
            values,
            color=f"C{number % 10}",
            linestyle="-" if number < 10 else "--",
            linewidth=2.0 if number == 0 else 1.0,
            marker="o" if len(steps) <= _MOST_MARKED else "",
            markersize=3,
            clip_on=False,
            label=_plain(f"{_short(name)} {values[-1]:.4g}"),
        )
    few = len(curves) <= _FEW
    place = {} if few else dict(loc="upper center", bbox_to_anchor=(0.5, -0.12))
    axes.legend(fontsize=6, ncols=1 if few else 2, handlelength=1.2, framealpha=0.6, **place)


def _short(name: str) -> str:
    """Without the task, which is in the title."""
    where, _, rest = name.partition("/")
    return f"{where} {rest.rpartition('/')[2]}"


def _plain(text: str) -> str:
    """Text in which matplotlib finds no formula."""
    return text.replace("$", r"\$")
