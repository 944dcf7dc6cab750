"""Shows how a run goes: a bar on a terminal, plain lines anywhere else."""

from time import perf_counter
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, TaskID, TextColumn
from rich.progress import Progress as RichProgress

from hat.callbacks.base import Callback
from hat.engine.progress import Plan, Progress
from hat.engine.scores import ScoreFeed, Scores

#: Shown on the bar, in this order, as they are written; all others at the end of an epoch.
_ON_BAR = ("train/loss", "train/lr", "train/samples_per_s", "train/data_wait", "train/eta_s")


class ProgressBar(Callback):
    """Shows epoch, step, loss, learning rate, samples/s, share of waiting for data, and ETA.

    On a terminal there is a bar that moves and, after each epoch, a line that stays.
    Anywhere else there is a plain line whenever `StatsMonitor` has written, and after
    each epoch. List it behind the callbacks whose scores it should show.

    Args:
        refresh_s: Least time between two movements of the bar, in seconds.
        console: Where to; by default standard output.
    """

    def __init__(self, refresh_s: float = 0.1, console: Console | None = None) -> None:
        self.refresh_s = refresh_s
        self.console = console
        self._bar: RichProgress | None = None
        self._task: TaskID | None = None
        self._next_refresh = 0.0

    def on_loop_begin(
        self, *, progress: Progress, plan: Plan, scores: Scores, **kwargs: Any
    ) -> None:
        self._feed = ScoreFeed(scores)
        self._shown: dict[str, float] = {}
        self._of_epoch: dict[str, float] = {}
        self._console = self.console or Console(highlight=False)
        self._begun_s = perf_counter()
        if self._console.is_terminal:
            self._bar = RichProgress(
                TextColumn("{task.description}"),
                BarColumn(bar_width=16),
                TextColumn("{task.fields[count]}"),
                TextColumn("{task.fields[text]}"),
                console=self._console,
                auto_refresh=False,  # a thread that draws would take time from training
                transient=True,
            )
            self._bar.start()
            self._task = self._bar.add_task("", total=plan.steps_per_epoch, text="", count="")

    def on_epoch_begin(self, *, progress: Progress, plan: Plan, **kwargs: Any) -> None:
        if self._bar is not None and self._task is not None:
            of = f"/{plan.num_epochs}" if plan.num_epochs else ""
            self._bar.reset(self._task, description=f"epoch {progress.num_epochs_done + 1}{of}")

    def on_step_end(self, *, progress: Progress, plan: Plan, **kwargs: Any) -> None:
        if self._bar is None:
            if self._take():
                self._print(self._line(progress, plan, self._shown))
        elif (now := perf_counter()) >= self._next_refresh:
            self._next_refresh = now + self.refresh_s
            self._take()
            self._bar.update(
                self._task,  # type: ignore[arg-type]
                completed=progress.num_epoch_steps_done,
                count=_of(progress.num_epoch_steps_done, plan.steps_per_epoch),
                text=_short(self._shown),
                refresh=True,
            )

    def on_epoch_end(self, *, progress: Progress, plan: Plan, **kwargs: Any) -> None:
        self._take()
        if self._of_epoch:
            self._print(self._line(progress, plan, self._of_epoch))
        self._of_epoch = {}

    def on_loop_end(self, *, progress: Progress, scores: Scores, **kwargs: Any) -> None:
        self._take()
        self._close_bar()
        reason = f" ({progress.stop_reason})" if progress.stop_reason else ""
        self._print(
            f"done: {progress.num_epochs_done} epochs, {progress.num_steps_done} steps in "
            f"{_duration(perf_counter() - self._begun_s)}{reason}"
        )

    def on_close(self, **kwargs: Any) -> None:
        self._close_bar()

    def _close_bar(self) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = self._task = None

    def _print(self, line: str) -> None:
        if self._bar is not None:
            self._bar.console.print(line, soft_wrap=True, markup=False)
        else:  # rich takes longer to lay a plain line out than a small step takes
            self._console.file.write(line + "\n")
            self._console.file.flush()

    def _take(self) -> bool:
        new = self._feed.take()
        for name, score in new:
            if name in _ON_BAR:
                self._shown[name] = score.value
            if name != "train/memory_mib" and name != "train/eta_s":
                self._of_epoch[name] = score.value
        return bool(new)

    def _line(self, progress: Progress, plan: Plan, values: dict[str, float]) -> str:
        epoch = progress.num_epochs_done + (0 if progress.is_between_epochs else 1)
        of_epochs = f"/{plan.num_epochs}" if plan.num_epochs else ""
        of_steps = f"/{plan.num_steps}" if plan.num_steps else ""
        head = f"epoch {epoch}{of_epochs}  step {progress.num_steps_done}{of_steps}"
        return f"{head}  {_format(values)}"


def _of(count: int, total: int | None) -> str:
    return str(count) if total is None else f"{count}/{total}"


def _format(values: dict[str, float]) -> str:
    return "  ".join(f"{name} {_value(name, value)}" for name, value in sorted(values.items()))


def _short(values: dict[str, float]) -> str:
    """What fits beside a bar on a terminal of 80 columns."""
    parts = [
        f"{name.removeprefix('train/').removesuffix('_s')} {_value(name, values[name])}"
        for name in _ON_BAR
        if name in values
    ]
    return " ".join(parts).replace("samples_per", "img/s").replace("data_wait", "wait")


def _value(name: str, value: float) -> str:
    if name.endswith("eta_s"):
        return _duration(value)
    if name.endswith("samples_per_s"):
        return f"{value:.0f}"
    if name.endswith("data_wait"):
        return f"{value:.0%}"
    return f"{value:.4g}"


def _duration(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}" if hours else f"{minutes}:{seconds:02d}"
