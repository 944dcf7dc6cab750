"""What a person sees, on a terminal and in a file."""

import io
import re

import pytest
from helpers import make_trainer
from rich.console import Console

from hat.callbacks import Callback, ProgressBar, StatsMonitor


class Write(Callback):
    def __init__(self, name="val/acc", value=0.5):
        self.name = name
        self.value = value

    def on_epoch_end(self, *, progress, scores, **kwargs):
        scores.write(self.name, self.value, progress.num_steps_done)


class Stop(Callback):
    def __init__(self, reason):
        self.reason = reason

    def on_step_end(self, *, progress, **kwargs):
        progress.stop(self.reason)


class Fail(Callback):
    def on_step_end(self, **kwargs):
        raise RuntimeError("failed")


def terminal():
    return Console(force_terminal=True, file=io.StringIO(), width=200, color_system=None)


def shown(console, *callbacks, refresh_s=0.0, fails=False, **kwargs):
    """Everything that a run prints."""
    bar = ProgressBar(refresh_s=refresh_s, console=console)
    trainer = make_trainer(callbacks=[*callbacks, bar], **kwargs)
    if fails:
        with pytest.raises(RuntimeError, match="failed"):
            trainer.fit()
    else:
        trainer.fit()
    return console.file.getvalue()


def plain_lines(*callbacks, **kwargs):
    return shown(Console(file=io.StringIO()), *callbacks, **kwargs).splitlines()


def test_without_a_terminal_there_is_a_line_for_each_writing_and_epoch():
    lines = plain_lines(StatsMonitor(2), num_epochs=1)
    assert [line.split("  ")[:2] for line in lines[:-1]] == [
        ["epoch 1/1", "step 2/4"],
        ["epoch 1/1", "step 4/4"],
        ["epoch 1/1", "step 4/4"],
    ]


def test_a_line_shows_loss_rate_speed_waiting_and_time_left():
    line = plain_lines(StatsMonitor(4), num_epochs=2)[0]
    patterns = [
        r"train/loss 0\.\d+",
        r"train/lr 0\.1",
        r"train/samples_per_s \d+",
        r"train/data_wait \d+%",
        r"train/eta_s 0:0\d",
    ]
    assert all(re.search(pattern, line) for pattern in patterns), line


def test_the_line_of_an_epoch_shows_what_was_written_at_its_end():
    lines = plain_lines(Write("val/acc", 0.123456), num_epochs=2)
    assert lines[:2] == [
        "epoch 1/2  step 4/8  val/acc 0.1235",
        "epoch 2/2  step 8/8  val/acc 0.1235",
    ]


def test_an_epoch_without_scores_prints_nothing():
    assert len(plain_lines(num_epochs=2)) == 1


def test_the_last_line_says_what_was_done():
    assert re.fullmatch(r"done: 2 epochs, 8 steps in 0:0\d", plain_lines()[-1])


def test_the_last_line_says_why_a_run_was_stopped():
    assert plain_lines(Stop("it was enough"))[-1].endswith("(it was enough)")


@pytest.mark.parametrize("make", [terminal, lambda: Console(file=io.StringIO())])
def test_brackets_in_a_reason_are_text_and_no_markup(make):
    assert "([/tmp] is full [red])" in shown(make(), Stop("[/tmp] is full [red]"))


@pytest.mark.parametrize("make", [terminal, lambda: Console(file=io.StringIO())])
def test_brackets_in_a_score_are_text_and_no_markup(make):
    assert "val/AP[red] 0.5" in shown(make(), Write("val/AP[red]"), num_epochs=1)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 1e30, -0.0])
def test_any_value_can_be_shown(value):
    assert f"val/acc {value:.4g}" in plain_lines(Write(value=value), num_epochs=1)[0]


def test_a_run_by_steps_shows_no_number_of_epochs():
    lines = plain_lines(StatsMonitor(4), num_steps=6)
    assert lines[0].startswith("epoch 1  step 4/6  ")


def test_data_without_a_length_shows_no_totals():
    class Stream:
        def __init__(self, loader):
            self.loader = loader

        def __iter__(self):
            return iter(self.loader)

    loader = make_trainer().data_loader
    lines = plain_lines(StatsMonitor(4), data_loader=Stream(loader), num_epochs=1)
    assert lines[0].startswith("epoch 1/1  step 4  ")


def test_on_a_terminal_a_bar_moves():
    text = shown(terminal(), StatsMonitor(1), num_epochs=1)
    assert [f"{n}/4" in text for n in (1, 2, 3, 4)] == [True] * 4
    assert "epoch 1/1" in text
    assert "━" in text


def test_on_a_terminal_each_epoch_leaves_a_line():
    text = shown(terminal(), Write(), num_epochs=2)
    assert text.count("val/acc 0.5") == 2


def test_on_a_terminal_the_bar_shows_the_scores_of_training():
    text = shown(terminal(), StatsMonitor(1), num_epochs=1)
    assert re.search(r"4/4 loss 0\.\d+ lr 0\.1 img/s \d+ wait \d+% eta 0:00", text)


def test_the_bar_moves_no_more_often_than_it_may():
    text = shown(terminal(), StatsMonitor(1), refresh_s=1000.0, num_epochs=1)
    assert "1/4" in text
    assert "2/4" not in text


def test_the_bar_of_data_without_a_length_has_no_none():
    class Stream:
        def __iter__(self):
            return iter(make_trainer().data_loader)

    text = shown(terminal(), StatsMonitor(1), data_loader=Stream(), num_epochs=1)
    assert "None" not in text


def test_the_cursor_is_given_back_after_a_run():
    text = shown(terminal(), num_epochs=1)
    assert text.count("\x1b[?25l") == text.count("\x1b[?25h") > 0


def test_the_cursor_is_given_back_after_an_error():
    text = shown(terminal(), Fail(), fails=True)
    assert text.count("\x1b[?25l") == text.count("\x1b[?25h") > 0


def test_a_second_fit_shows_a_bar_again():
    console = terminal()
    bar = ProgressBar(refresh_s=0.0, console=console)
    trainer = make_trainer(callbacks=[Stop("paused"), bar], num_epochs=1)
    trainer.fit()
    trainer.fit()
    assert console.file.getvalue().count("done: ") == 2


def test_standard_output_is_the_default(capsys):
    make_trainer(callbacks=[ProgressBar()], num_epochs=1).fit()
    assert capsys.readouterr().out.startswith("done: 1 epochs, 4 steps")


def test_hours_are_shown():
    lines = plain_lines(Write("train/eta_s", 3661.0), num_epochs=1)
    assert not any("1:01:01" in line for line in lines)  # not among the scores of an epoch
    text = shown(terminal(), Write("val/eta_s", 3661.0), num_epochs=1)
    assert "val/eta_s 1:01:01" in text
