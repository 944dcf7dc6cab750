"""Checkpoints on disk: written whole or not at all, read only when whole, never executed."""

import hashlib
import io
import json
import logging
import os
import pickle
import re
import shutil
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor, nn

from hat.errors import HatError

logger = logging.getLogger(__name__)

MANIFEST = "manifest.json"
_FORMAT = 1
_TEMPORARY = ".writing-"
_REPLACED = ".writing-replaced-"
#: Parts of the state that are weights: each has a safetensors file of its own.
_WEIGHTS = ("model", "ema")
_PLAIN = (type(None), bool, int, float, str, Tensor, nn.Parameter)


class CheckpointError(HatError):
    """A checkpoint that is not whole, or none where one was asked for."""


@dataclass(frozen=True)
class Checkpoint:
    """One checkpoint that has a manifest.

    Args:
        path: Its folder.
        info: What its writer noted: `step`, `epoch`, `scores` and more.
    """

    path: Path
    info: dict[str, Any]

    @property
    def step(self) -> int:
        return int(self.info["step"])


def write_checkpoint(folder: Path, name: str, state: dict[str, Any], info: dict[str, Any]) -> Path:
    """Write a state as `folder/name`, and return when it is safely there.

    The files are written under a temporary name beside it and flushed, their sizes
    and SHA-256 hashes last, then the folder is renamed and its parent flushed: at no
    instant is there half a checkpoint under the final name.

    Args:
        folder: Made if it is missing.
        name: Of the checkpoint; one that is there already is replaced.
        state: Tensors and plain values; `model` and `ema` hold named tensors.
        info: Plain values for the manifest, `step` among them.

    Raises:
        TypeError: If the state holds something that could not be loaded safely.
        OSError: If the disk refuses; what was there before is untouched.
    """
    _refuse_unsafe(state, "state")
    folder.mkdir(parents=True, exist_ok=True)
    temporary = folder / f"{_TEMPORARY}{name}"
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir()
    try:
        files = {
            f"{part}.safetensors": _write(
                temporary / f"{part}.safetensors", safetensors.torch.save(_separate(state[part]))
            )
            for part in _WEIGHTS
            if part in state
        }
        rest = {key: value for key, value in state.items() if key not in _WEIGHTS}
        buffer = io.BytesIO()
        torch.save(rest, buffer)
        files["state.pt"] = _write(temporary / "state.pt", buffer.getvalue())
        manifest = {"format": _FORMAT, "info": info, "files": files}
        manifest["sha256"] = _manifest_hash(manifest)
        _write(temporary / MANIFEST, json.dumps(manifest, indent=1).encode())
        _flush_folder(temporary)
        _put_in_place(temporary, folder / name)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    return folder / name


def read_checkpoint(path: Path) -> dict[str, Any]:
    """The state that a checkpoint holds, on the CPU, after its hashes were compared.

    Raises:
        CheckpointError: If it is not whole.
    """
    manifest, contents = _read_verified(path)
    try:
        state: dict[str, Any] = torch.load(
            io.BytesIO(contents["state.pt"]), map_location="cpu", weights_only=True
        )
    except pickle.UnpicklingError:  # torch's own text explains how to load it all the same
        raise CheckpointError(
            f"{path}: state.pt holds something other than tensors and plain values, and was not "
            "executed. It was not written by HAT"
        ) from None
    for part in _WEIGHTS:
        if f"{part}.safetensors" in manifest["files"]:
            state[part] = safetensors.torch.load(contents[f"{part}.safetensors"])
    return state


def verify_checkpoint(path: Path) -> Checkpoint:
    """Read a whole checkpoint and compare sizes and hashes.

    Raises:
        CheckpointError: If a file is missing, or its content is not what was written.
    """
    manifest, _ = _read_verified(path)
    return Checkpoint(path, manifest["info"])


def list_checkpoints(folder: Path) -> list[Checkpoint]:
    """The checkpoints in a folder that have a readable manifest, oldest first; not verified."""
    found = []
    for path in _candidates(folder):
        try:
            found.append(Checkpoint(path, _read_manifest(path)["info"]))
        except CheckpointError:
            continue
    return sorted(found, key=lambda checkpoint: _age(checkpoint.path))


def newest_checkpoint(folder: Path) -> Checkpoint | None:
    """The newest checkpoint that verifies; broken ones are passed over with a warning.

    Returns:
        None if the folder has no checkpoints at all.

    Raises:
        CheckpointError: If there are checkpoints, and not one is whole.
    """
    passed_over = []
    for path in sorted(_candidates(folder), key=_age, reverse=True):
        try:
            found = verify_checkpoint(path)
        except CheckpointError as error:
            passed_over.append(str(error))
            logger.warning("passed over a broken checkpoint: %s", error)
        else:
            return found
    if passed_over:
        raise CheckpointError(
            f"{folder}: none of {len(passed_over)} checkpoints is whole:\n  "
            + "\n  ".join(passed_over)
            + "\nMove them away to start from the beginning"
        )
    return None


def best_checkpoint(
    folder: Path, score: str, higher_is_better: bool, until_step: int | None = None
) -> Checkpoint | None:
    """The checkpoint with the best value of a score that was taken at its own step."""
    scored = [
        (value, checkpoint)
        for checkpoint in list_checkpoints(folder)
        if (value := score_of(checkpoint, score))
        and (until_step is None or checkpoint.step <= until_step)
    ]
    if not scored:
        return None
    choose = max if higher_is_better else min
    return choose(scored, key=lambda pair: pair[0][0])[1]


def score_of(checkpoint: Checkpoint, score: str) -> tuple[float] | None:
    """The value of a score as a 1-tuple, None if it is missing or of another step."""
    last = checkpoint.info.get("scores", {}).get(score, {}).get("last")
    is_fresh = last is not None and last["step"] == checkpoint.step
    return (float(last["value"]),) if is_fresh and last["value"] == last["value"] else None


def remove_checkpoint(path: Path) -> None:
    """Remove a checkpoint so that no half of it is ever seen."""
    hidden = path.with_name(f"{_TEMPORARY}removed-{path.name}")
    shutil.rmtree(hidden, ignore_errors=True)
    path.rename(hidden)
    shutil.rmtree(hidden, ignore_errors=True)


def remove_leftovers(folder: Path) -> None:
    """Clear away what a writer that was killed left under a temporary name."""
    for path in folder.glob(f"{_REPLACED}*"):
        final = folder / path.name.removeprefix(_REPLACED)
        if not final.exists():  # killed between the two renames: the older one still counts
            path.rename(final)
    for path in folder.glob(f"{_TEMPORARY}*"):
        shutil.rmtree(path, ignore_errors=True)


def _age(path: Path) -> tuple[list[int], str]:
    """What sorts checkpoints: the numbers in the name, as numbers."""
    return [int(number) for number in re.findall(r"\d+", path.name)], path.name


def _candidates(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    return [p for p in folder.iterdir() if p.is_dir() and not p.name.startswith(".")]


def _read_manifest(path: Path) -> dict[str, Any]:
    try:
        manifest = json.loads((path / MANIFEST).read_bytes())
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path}: no readable {MANIFEST} ({error})") from error
    if not isinstance(manifest, dict) or manifest.get("format") != _FORMAT:
        raise CheckpointError(f"{path}: {MANIFEST} is not of format {_FORMAT}")
    if manifest.pop("sha256", None) != _manifest_hash(manifest):
        raise CheckpointError(f"{path}: {MANIFEST} was changed after it was written")
    return manifest


def _read_verified(path: Path) -> tuple[dict[str, Any], dict[str, bytes]]:
    manifest = _read_manifest(path)
    contents = {}
    for name, expected in manifest["files"].items():
        try:
            content = (path / name).read_bytes()
        except OSError as error:
            raise CheckpointError(f"{path}: cannot read {name}: {error.strerror}") from error
        if len(content) != expected["size"]:
            raise CheckpointError(
                f"{path}: {name} has {len(content)} bytes, {expected['size']} were written"
            )
        if hashlib.sha256(content).hexdigest() != expected["sha256"]:
            raise CheckpointError(f"{path}: {name} is not what was written (SHA-256 differs)")
        contents[name] = content
    return manifest, contents


def _manifest_hash(manifest: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(manifest, sort_keys=True).encode()).hexdigest()


def _write(path: Path, content: bytes) -> dict[str, Any]:
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    return {"size": len(content), "sha256": hashlib.sha256(content).hexdigest()}


def _flush_folder(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _put_in_place(temporary: Path, final: Path) -> None:
    """Rename; an older checkpoint of the same name gives way first, under a temporary name."""
    replaced = final.with_name(f"{_REPLACED}{final.name}")
    if final.exists():
        shutil.rmtree(replaced, ignore_errors=True)
        final.rename(replaced)
    try:
        temporary.rename(final)
    except OSError:
        if replaced.exists():
            replaced.rename(final)
        raise
    _flush_folder(final.parent)
    shutil.rmtree(replaced, ignore_errors=True)


def _separate(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Weights as safetensors takes them: contiguous, and no two in one storage."""
    seen: set[int] = set()
    result = {}
    for name, value in weights.items():
        tensor = value.detach().contiguous()
        pointer = tensor.untyped_storage().data_ptr()
        result[name] = tensor.clone() if pointer in seen else tensor
        seen.add(pointer)
    return result


def _refuse_unsafe(value: Any, path: str) -> None:
    # By exact class: loading knows no subclasses, not even of float, as NumPy's is.
    if type(value) in (dict, OrderedDict):
        for key, item in value.items():
            _refuse_unsafe(key, f"{path}.{key}")
            _refuse_unsafe(item, f"{path}.{key}")
    elif type(value) in (list, tuple):
        for number, item in enumerate(value):
            _refuse_unsafe(item, f"{path}[{number}]")
    elif type(value) not in _PLAIN:
        raise TypeError(
            f"{path} is a {type(value).__module__}.{type(value).__qualname__}, which a checkpoint "
            "cannot hold: a state_dict has tensors, numbers, texts, lists and dicts"
        )
