"""Commands run in a temporary folder; two short runs are shared by many tests."""

import os

import pytest
from running import DIGITS, POINTS, run_hat


@pytest.fixture(autouse=True)
def _in_a_temporary_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")


@pytest.fixture(scope="session")
def points_run(tmp_path_factory):
    """The folder of a run on points; tests only read it."""
    folder = tmp_path_factory.mktemp("points") / "run"
    done = run_hat("train", POINTS, "--out", folder)
    assert done.code == 0, done.err
    return folder


@pytest.fixture(scope="session")
def digits_run(tmp_path_factory):
    """The folder of a run of a very small network on digits; tests only read it."""
    folder = tmp_path_factory.mktemp("digits") / "run"
    small = ("model.backbone={type: ConvNet, channels: [4], depth: 1}", "model.head.in_channels=4")
    done = run_hat("train", DIGITS, "num_epochs=2", *small, "--out", folder)
    assert done.code == 0, done.err
    return folder


@pytest.fixture
def write(tmp_path):
    """Write a file into the folder in which commands run."""

    def write_file(name, text):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return path

    return write_file


@pytest.fixture
def subprocess_env():
    """Variables for a process of its own that imports `helpers`."""
    path = os.pathsep.join([str(POINTS.parents[1]), os.environ.get("PYTHONPATH", "")])
    return {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"}
