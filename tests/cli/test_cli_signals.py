"""Ctrl-C and SIGTERM: once, the run ends at the next step and can go on; twice, at once."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from running import POINTS, checkpoints, run_hat, weights

from hat.cli.signals import stop_on_signals
from hat.engine.progress import Progress

PACED = (
    "num_epochs=5",
    "float_trainer.callbacks=[{type: pace.Pace}, {type: LrUpdater, schedule: {type: CosineLr}}, "
    "{type: Checkpoint}]",
)
PACE = """
import os, time
from hat.callbacks import Callback

class Pace(Callback):
    '''Where it is told to, it says that step 6 has begun, and then goes slowly.'''

    def on_step_begin(self, *, progress, **kwargs):
        if "PACE" in os.environ and progress.num_steps_done >= 5:
            open(os.environ["PACE"], "w").close()
            time.sleep(0.5)
"""


@pytest.fixture
def stopped(write, subprocess_env):
    """Start a training in a process of its own, send it a signal in its sixth step, and wait."""

    def start_and_stop(number):
        write("pace.py", PACE)
        code = "import sys; from hat.cli import main; main(sys.argv[1:])"
        process = subprocess.Popen(
            [sys.executable, "-c", code, "train", str(POINTS), *PACED, "--out", "run"],
            env={**subprocess_env, "PACE": "begun"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        try:
            wait_for(Path("begun"), process)
            process.send_signal(number)
            out, err = process.communicate(timeout=60)
        finally:
            process.kill()
        return process.returncode, out, err

    return start_and_stop


def send_while_training(*numbers):
    with stop_on_signals(Progress()):
        for number in numbers:
            os.kill(os.getpid(), number)


def wait_for(path, process):
    while not path.exists():
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.02)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "exit_code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)], ids=["INT", "TERM"]
)
def test_a_stopped_run_leaves_a_checkpoint_and_goes_on_to_the_same_weights(
    stopped, number, exit_code
):
    code, _, err = stopped(number)
    assert code == exit_code
    assert "Traceback" not in err
    # 4 steps an epoch: the sixth step is the second of the second epoch
    assert checkpoints(Path("run"))[-1].startswith("epoch-0001-step-0000000")
    assert run_hat("train", "run", "--resume").code == 0
    assert run_hat("train", POINTS, *PACED, "--out", "whole").code == 0
    assert checkpoints(Path("run"))[-1] == "epoch-0005-step-00000020"
    assert weights(Path("run")) == weights(Path("whole"))


@pytest.mark.parametrize(
    ("number", "exit_code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)], ids=["INT", "TERM"]
)
def test_the_first_signal_asks_the_run_to_stop(number, exit_code):
    progress = Progress()
    with stop_on_signals(progress) as request:
        os.kill(os.getpid(), number)
    assert progress.stop_reason == f"stopped by {number.name}"
    assert request.exit_code == exit_code


@pytest.mark.parametrize(
    ("first", "second", "exit_code"),
    [
        (signal.SIGINT, signal.SIGINT, 130),
        (signal.SIGTERM, signal.SIGINT, 130),
        (signal.SIGINT, signal.SIGTERM, 143),
    ],
)
def test_the_second_signal_exits_at_once(first, second, exit_code):
    with pytest.raises(SystemExit) as caught:
        send_while_training(first, second)
    assert caught.value.code == exit_code


def test_without_a_signal_the_exit_code_is_0():
    with stop_on_signals(Progress()) as request:
        pass
    assert request.exit_code == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals_mean_afterwards_what_they_meant_before(number):
    before = signal.getsignal(number)
    with stop_on_signals(Progress()):
        os.kill(os.getpid(), signal.SIGINT)
    assert signal.getsignal(number) is before


def test_signals_mean_what_they_meant_before_after_an_error_too():
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(RuntimeError, match="boom"), stop_on_signals(Progress()):
        raise RuntimeError("boom")
    assert signal.getsignal(signal.SIGINT) is before


@pytest.mark.parametrize(
    ("number", "exit_code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)], ids=["INT", "TERM"]
)
def test_a_run_that_a_signal_ends_says_so_and_returns_its_code(write, number, exit_code):
    write(
        "stopping.py",
        "import os\n"
        "from hat.callbacks import Callback\n"
        "class Stopping(Callback):\n"
        "    def on_batch_end(self, *, progress, **kwargs):\n"
        f"        if progress.num_steps_done == 5: os.kill(os.getpid(), {int(number)})\n",
    )
    callbacks = "[{type: stopping.Stopping}, {type: ProgressBar}, {type: Checkpoint}]"
    done = run_hat("train", POINTS, f"float_trainer.callbacks={callbacks}", "--out", "run")
    assert done.code == exit_code
    assert f"(stopped by {number.name})" in done.out
    assert checkpoints(Path("run"))[-1] == "epoch-0001-step-00000006"


def test_ctrl_c_before_training_begins_ends_with_130(write):
    write("config.py", "raise KeyboardInterrupt\n")
    done = run_hat("train", "config.py")
    assert (done.code, "Traceback" in done.err) == (130, False)
