"""The folder of a run: where it is, and what it holds before the first step."""

import json
import platform
import subprocess
import sys
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import hat
from hat.config.errors import ConfigError, Location, Mistake
from hat.config.record import FILE_NAME, encode
from hat.config.source import Config
from hat.files import replacing

_PACKAGES = (
    "torch",
    "torchvision",
    "torchmetrics",
    "timm",
    "numpy",
    "pillow",
    "safetensors",
    "scikit-learn",
)


def choose_folder(config: Config, out: Path | None) -> Path:
    """The folder that was asked for, or a new name `runs/<config>/<time>`; not made yet."""
    if out is not None:
        return out
    stem = Path("runs") / config.name / time.strftime("%Y%m%d-%H%M%S")
    folder, number = stem, 2
    while folder.exists():
        folder, number = stem.with_name(f"{stem.name}-{number}"), number + 1
    return folder


def refuse_used_folder(folder: Path, config: Config, is_resuming: bool) -> None:
    """Refuse to mix a new run into the folder of another.

    Raises:
        ConfigError: If the folder has content and the run does not resume.
    """
    if folder.exists() and not folder.is_dir():
        raise _refusal(config, f"--out {folder} is a file")
    if not is_resuming and folder.is_dir() and any(folder.iterdir()):
        raise _refusal(
            config,
            f"--out {folder} is not empty. Go on with the run in it: --resume. "
            "Start another: choose another folder",
        )


def write_record(folder: Path, config: Config, stage: str) -> None:
    """Write `config.json`: the resolved config, overrides, versions and the git commit.

    Raises:
        ConfigError: If the config holds something that cannot be written down.
    """
    record = {
        "name": config.name,
        "config_file": str(config.path),
        "stage": stage,
        "overrides": config.overrides,
        "command": sys.argv,
        "time": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "versions": _versions(),
        "git": _git_state(),
        "config": encode(config),
    }
    folder.mkdir(parents=True, exist_ok=True)
    with replacing(folder / FILE_NAME) as temporary:
        temporary.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


def _versions() -> dict[str, str]:
    found = {"python": platform.python_version(), "platform": platform.platform()}
    found["hat"] = hat.__version__
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def _git_state() -> dict[str, Any] | None:
    """The commit of the folder that the command runs in, and whether it was changed since."""
    commit = _git("rev-parse", "HEAD")
    if commit is None:
        return None
    return {"commit": commit, "is_changed": bool(_git("status", "--porcelain"))}


def _git(*arguments: str) -> str | None:
    try:
        done = subprocess.run(["git", *arguments], capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def _refusal(config: Config, message: str) -> ConfigError:
    return ConfigError(config.path, [Mistake("--out", Location("command line"), message)])
