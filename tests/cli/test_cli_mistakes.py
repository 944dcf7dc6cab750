"""What the command says, and with which code it ends, when something is wrong."""

from importlib.metadata import entry_points
from pathlib import Path

import pytest
from running import POINTS, run_hat

import hat
from hat.cli import main

POINTS_TEXT = POINTS.read_text()

FILES = {
    "syntax.py": "a = (\n",
    "name.py": "a = 1\nb = c\n",
    "empty.py": "",
    "object.py": POINTS_TEXT + "\nspare = object()\n",
    "local.py": "from helpers import TinyModel\nclass Mine(TinyModel): ...\n"
    + POINTS_TEXT.replace('"helpers.TinyModel"', "Mine"),
    "untyped.py": "float_trainer = dict(model=1)\n",
    "order.py": POINTS_TEXT + "\nfloat_trainer['callbacks'].reverse()\n",
    "run/config.json": "{}",
}


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("train nope.py", "nope.py: 1 mistake"),
        ("train nope.py", "cannot read the config: No such file"),
        ("train syntax.py", "syntax.py:1)\n    not Python: '(' was never closed"),
        ("train name.py", "name.py:2)\n    NameError: name 'c' is not defined"),
        ("train empty.py", "needs a top-level 'float_trainer'. It has no trainer."),
        ("train object.py", "a config holds plain values"),
        ("train local.py", "a config holds plain values"),
        ("train untyped.py", "untyped.py: 1 mistake"),
        ("train order.py", "reads the score 'val/acc' before"),
        ("train run", "not the config of a run"),
        ("train .", "is no run folder: it has no config.json"),
        ("train POINTS --stage flaot", "It has a trainer for: float. Did you mean 'float_trainer'"),
        ("train POINTS batch_sise=8", "no top-level 'batch_sise'. Did you mean 'batch_size'?"),
        ("train POINTS batch_size=ten", "expected an int like 5, got 'ten'"),
        ("train POINTS batch_size", "'batch_size' is not key=value"),
        ("train POINTS model.type=helpers.TinyModle", "Did you mean 'TinyModel'?"),
        ("train POINTS model.type=.", "model.type"),
        ("train POINTS model.dropuot=1.0", "has no argument 'dropuot'. Did you mean 'dropout'?"),
        ("train POINTS model.dropout=2.0", "float_trainer.model"),
        ("train POINTS float_trainer.num_epochs=none", "give num_epochs or num_steps"),
        ("train POINTS float_trainer.callbacks[3].best=val/ac", "Did you mean 'val/acc'?"),
        ("train POINTS --ot run", "--ot"),
        ("train", "Missing argument"),
        ("trian", "No such command 'trian'"),
        ("validate POINTS", "which weights? Give a run's folder"),
        ("validate POINTS --checkpoint nope", "nope: no such checkpoint"),
        ("validate POINTS --checkpoint none --stage flaot", "needs a top-level 'flaot_predictor'"),
        ("validate .", "is no run folder"),
        ("predict nope.py", "cannot read the config"),
        ("list bakbone", "no kind 'bakbone'. Did you mean 'backbone'?"),
        ("config show nope.py", "cannot read the config"),
        ("config diff POINTS nope.py", "cannot read the config"),
        ("config diff POINTS", "Missing argument"),
    ],
)
def test_a_mistake_of_the_user_is_told_without_a_traceback(write, command, message):
    for name, text in FILES.items():
        write(name, text)
    done = run_hat(*command.replace("POINTS", str(POINTS)).split())
    assert done.code == 2
    assert message in done.err
    assert "Traceback" not in done.err
    assert not Path("runs").exists()


def test_all_mistakes_are_told_together(write):
    write("config.py", POINTS_TEXT.replace("batch_size=7", "batchsize=7"))
    overrides = ("model.dropuot=1", "float_trainer.optimizer.type=SDG", "batch_sise=8", "lr=fast")
    done = run_hat("train", "config.py", *overrides)
    assert "config.py: 6 mistakes" in done.err
    assert "no top-level 'batch_sise'. Did you mean 'batch_size'?" in done.err
    assert "expected a float like 0.1, got 'fast'" in done.err
    assert "'batchsize'. Did you mean 'batch_size'?" in done.err
    assert "DataLoader needs 'batch_size' (int)" in done.err
    assert "'dropuot'. Did you mean 'dropout'?" in done.err
    assert "HAT has no 'SDG'" in done.err


def test_what_a_constructor_refuses_is_told_once_with_its_place():
    done = run_hat("train", POINTS, "model.dropout=2.0")
    assert done.err.count("dropout probability") == 1
    assert "points_config.py: 1 mistake\n  float_trainer.model  (" in done.err


def test_a_validation_on_another_model_is_told_before_anything_is_written(write):
    write("config.py", POINTS_TEXT.replace("    model=model,", "    model=dict(model),"))
    done = run_hat("train", "config.py", "--out", "run")
    assert done.code == 2
    assert "the predictor has another model than the trainer" in done.err
    assert "Traceback" not in done.err
    assert not Path("run").exists()


def test_a_training_that_fails_ends_with_1_and_says_where(write):
    write(
        "failing_parts.py",
        "from hat.callbacks import Callback\n"
        "class Failing(Callback):\n"
        "    def on_step_end(self, *, progress, **kwargs):\n"
        "        if progress.num_steps_done == 3:\n"
        "            raise RuntimeError('the disk is gone')\n",
    )
    callbacks = "float_trainer.callbacks=[{type: StatsMonitor}, {type: failing_parts.Failing}]"
    done = run_hat("train", POINTS, callbacks, "--out", "run")
    assert done.code == 1
    assert "failing_parts.py" in done.err
    assert done.err.splitlines()[-1] == "hat: RuntimeError: the disk is gone"


def test_a_sample_that_cannot_be_made_ends_training_with_its_name(write):
    write(
        "broken_parts.py",
        "from helpers import Points\n"
        "class Broken(Points):\n"
        "    def __getitem__(self, index):\n"
        "        return super().__getitem__(index) | {'part': 1 / (index - 7)}\n",
    )
    done = run_hat("train", POINTS, "float_trainer.data_loader.dataset={type: broken_parts.Broken}")
    assert done.code == 1
    assert "hat: SampleError: sample 7 (epoch 0, position " in done.err.splitlines()[-1]


def test_the_version_is_printed():
    assert run_hat("--version").out == f"hat {hat.__version__}\n"


@pytest.mark.parametrize("command", ["--help", "train --help", "predict --help", "config --help"])
def test_help_is_printed(command):
    done = run_hat(*command.split())
    assert done.code == 0
    assert "Usage:" in done.out


def test_without_a_command_help_is_printed():
    done = run_hat()
    assert (done.code, "Usage:" in done.out) == (2, True)


@pytest.mark.usefixtures("capsys")
def test_the_command_exits_with_the_code_of_the_run():
    with pytest.raises(SystemExit) as caught:
        main(["train", "nope.py"])
    assert caught.value.code == 2


def test_the_command_is_installed():
    [script] = entry_points(group="console_scripts", name="hat")
    assert script.load() is main
