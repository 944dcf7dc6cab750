"""Nothing is imported before it is needed: each in a process of its own."""

import subprocess
import sys

import pytest
from running import DIGITS


def imported_by(code, env):
    """Run a piece of Python, and return the top-level names of what it imported."""
    code += "\nimport sys\nprint('\\nIMPORTED', *sorted(sys.modules))"
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return set(done.stdout.splitlines()[-1].split()[1:])


@pytest.mark.parametrize(
    "code",
    [
        "import hat",
        "import hat.data, hat.models, hat.callbacks, hat.engine, hat.metrics, hat.config",
        "import hat.registry; hat.registry.all_names()",
        "from hat.cli.app import run; assert run(['--help']) == 0",
        "from hat.cli.app import run; assert run(['train', '--help']) == 0",
        "from hat.cli.app import run; assert run(['list']) == 0",
    ],
    ids=["hat", "its packages", "all names", "--help", "train --help", "list"],
)
def test_torch_is_not_imported_by(code, subprocess_env):
    assert "torch" not in imported_by(code, subprocess_env)


def test_a_name_of_a_package_imports_what_it_needs(subprocess_env):
    code = "from hat.callbacks.schedules import CosineLr"
    imported = imported_by(code, subprocess_env)
    assert "hat.callbacks.schedules.schedules" in imported
    assert "hat.callbacks.checkpoint" not in imported


@pytest.mark.slow
def test_training_on_digits_imports_nothing_that_it_does_not_use(subprocess_env):
    code = f"""
from hat.cli.app import run
assert run(["train", {str(DIGITS)!r}, "num_epochs=1", "--out", "run"]) == 0
"""
    unused = {"timm", "tensorboard", "torch.utils.tensorboard", "matplotlib", "lmdb"}
    # torchmetrics imports matplotlib wherever it is installed.
    unused -= imported_by("import torchmetrics", subprocess_env)
    assert unused & imported_by(code, subprocess_env) == set()
