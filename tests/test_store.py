"""Checkpoints on disk: whole or not there, and never executed."""

import collections
import enum
import hashlib
import io
import json
import multiprocessing
import os
import pickle
import random
import shutil
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torchvision import tv_tensors

from hat import store
from hat.store import CheckpointError

FILES = ["model.safetensors", "ema.safetensors", "state.pt", "manifest.json"]


def state(number=0):
    weights = {"w": torch.full((100,), float(number)), "n": torch.tensor(number)}
    return {
        "model": weights,
        "ema": {name: value + 1 for name, value in weights.items()},
        "optimizer": {"state": {0: {"momentum": torch.full((7,), -float(number))}}},
        "progress": {"num_steps_done": number},
    }


def save(folder, number=0, name=None):
    name = name or f"epoch-{number:04d}-step-{number:08d}"
    return store.write_checkpoint(folder, name, state(number), {"step": number, "epoch": number})


def plain(value):
    if isinstance(value, torch.Tensor):
        return [str(value.dtype), list(value.shape), value.float().tolist()]
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return value


def visible(folder):
    return sorted(path.name for path in folder.iterdir() if not path.name.startswith("."))


# What is written comes back.


def test_a_state_comes_back(tmp_path):
    assert plain(store.read_checkpoint(save(tmp_path, 3))) == plain(state(3))


def test_a_folder_is_made(tmp_path):
    path = save(tmp_path / "a" / "b ü 走")
    assert plain(store.read_checkpoint(path)) == plain(state())


def test_a_checkpoint_has_these_files(tmp_path):
    assert sorted(os.listdir(save(tmp_path))) == sorted(FILES)


def test_a_state_without_weights_comes_back(tmp_path):
    path = store.write_checkpoint(tmp_path, "a", {"x": 1}, {"step": 0})
    assert store.read_checkpoint(path) == {"x": 1}


@pytest.mark.parametrize(
    "tensor",
    [
        torch.zeros(0),
        torch.zeros(0, 3),
        torch.tensor(1.5),
        torch.arange(6).reshape(2, 3).T,
        torch.arange(10)[::2],
        torch.rand(2, 3, 4, 4).to(memory_format=torch.channels_last),
        torch.ones(1).expand(5),
        torch.rand(3).bfloat16(),
        torch.rand(3).half(),
        torch.rand(3).double(),
        torch.tensor([1, -1], dtype=torch.int8),
        torch.tensor([2**62]),
        torch.tensor([True, False]),
        torch.tensor([float("nan"), float("inf"), -0.0]),
        nn.Parameter(torch.ones(2)),
    ],
    ids=lambda tensor: f"{tensor.dtype}-{tuple(tensor.shape)}",
)
@pytest.mark.parametrize("part", ["model", "optimizer"])
def test_any_tensor_comes_back(tmp_path, tensor, part):
    path = store.write_checkpoint(tmp_path, "a", {part: {"x": tensor}}, {"step": 0})
    found = store.read_checkpoint(path)[part]["x"]
    assert found.dtype == tensor.dtype
    torch.testing.assert_close(found, tensor.detach(), rtol=0, atol=0, equal_nan=True)


def test_tied_weights_come_back_under_both_names(tmp_path):
    model = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))
    model[1].weight = model[0].weight
    path = store.write_checkpoint(tmp_path, "a", {"model": model.state_dict()}, {"step": 0})
    found = store.read_checkpoint(path)["model"]
    assert torch.equal(found["0.weight"], model[0].weight)
    assert torch.equal(found["1.weight"], model[0].weight)
    model.load_state_dict(found)


def test_parts_of_one_storage_come_back(tmp_path):
    whole = torch.arange(12.0)
    weights = {"head": whole[:4], "tail": whole[8:], "whole": whole, "flipped": whole.flip(0)}
    path = store.write_checkpoint(tmp_path, "a", {"model": weights}, {"step": 0})
    assert plain(store.read_checkpoint(path)["model"]) == plain(weights)


def test_several_empty_tensors_come_back(tmp_path):
    weights = {"a": torch.zeros(0), "b": torch.zeros(0, 3), "c": torch.zeros(0)}
    path = store.write_checkpoint(tmp_path, "a", {"model": weights}, {"step": 0})
    assert plain(store.read_checkpoint(path)["model"]) == plain(weights)


@pytest.mark.parametrize(
    "value", [None, True, 2**80, -0.0, float("inf"), "ü走\n", [], {}, (1, "a"), {1: [None]}]
)
def test_plain_values_come_back(tmp_path, value):
    path = store.write_checkpoint(tmp_path, "a", {"x": value}, {"step": 0})
    assert plain(store.read_checkpoint(path)["x"]) == plain(value)


def test_the_saved_state_is_no_view_of_the_one_in_use(tmp_path):
    in_use = state()
    path = store.write_checkpoint(tmp_path, "a", in_use, {"step": 0})
    in_use["model"]["w"].fill_(9)
    assert store.read_checkpoint(path)["model"]["w"][0] == 0


# What could not be loaded safely is refused when it is written.


class Color(enum.IntEnum):
    RED = 1


class Text(str):
    pass


class Custom:
    pass


Pair = collections.namedtuple("Pair", "a b")


@pytest.mark.parametrize(
    "value",
    [
        np.ones(2),
        np.float32(1),
        np.float64(1),  # a float to isinstance, and to nobody else
        np.int64(1),
        np.str_("a"),
        Color.RED,
        Text("a"),
        Custom(),
        Pair(1, 2),
        {1, 2},
        b"bytes",
        Path("a"),
        collections.defaultdict(list),
        tv_tensors.Image(torch.zeros(3, 2, 2)),
        print,
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_could_not_be_loaded_is_refused_with_its_path(tmp_path, value):
    unsafe = {**state(), "callbacks": {"0.Stats": {"values": [1, value]}}}
    with pytest.raises(TypeError, match=r"state\.callbacks\.0\.Stats\.values\[1\]"):
        store.write_checkpoint(tmp_path, "a", unsafe, {"step": 0})


@pytest.mark.parametrize("key", [np.int64(1), np.float64(1), Color.RED, (1, np.int64(1))], ids=str)
def test_a_key_that_could_not_be_loaded_is_refused_with_its_path(tmp_path, key):
    with pytest.raises(TypeError, match=r"state\.callbacks"):
        store.write_checkpoint(tmp_path, "a", {**state(), "callbacks": {key: 1}}, {"step": 0})


def test_a_refused_state_leaves_nothing_behind(tmp_path):
    save(tmp_path, 1)
    with pytest.raises(TypeError):
        store.write_checkpoint(tmp_path, "b", {"x": np.ones(2)}, {"step": 2})
    assert os.listdir(tmp_path) == ["epoch-0001-step-00000001"]


# What was damaged is noticed.


@pytest.mark.parametrize("name", FILES)
def test_a_deleted_file_is_named(tmp_path, name):
    path = save(tmp_path)
    (path / name).unlink()
    with pytest.raises(CheckpointError, match=name):
        store.verify_checkpoint(path)


@pytest.mark.parametrize("share", [0.0, 0.3, 0.999])
@pytest.mark.parametrize("name", FILES)
def test_a_file_that_was_cut_short_is_named(tmp_path, name, share):
    path = save(tmp_path)
    content = (path / name).read_bytes()
    (path / name).write_bytes(content[: int(len(content) * share)])
    with pytest.raises(CheckpointError, match=name):
        store.verify_checkpoint(path)


@pytest.mark.parametrize("share", [0.0, 0.01, 0.25, 0.5, 0.75, 0.999])
@pytest.mark.parametrize("name", FILES)
def test_a_single_flipped_bit_is_noticed_and_the_file_named(tmp_path, name, share):
    path = save(tmp_path)
    content = bytearray((path / name).read_bytes())
    content[int(len(content) * share)] ^= 1
    (path / name).write_bytes(content)
    with pytest.raises(CheckpointError, match=name):
        store.verify_checkpoint(path)


@pytest.mark.parametrize("name", FILES[:3])
def test_a_file_that_grew_is_named(tmp_path, name):
    path = save(tmp_path)
    with (path / name).open("ab") as file:
        file.write(b"x")
    with pytest.raises(CheckpointError, match=rf"{name} has \d+ bytes, \d+ were written"):
        store.verify_checkpoint(path)


@pytest.mark.parametrize("name", FILES[:3])
def test_a_file_of_another_checkpoint_is_named(tmp_path, name):
    path, other = save(tmp_path, 1), save(tmp_path, 2)
    shutil.copy(other / name, path / name)
    with pytest.raises(CheckpointError, match=f"{name} .*SHA-256 differs"):
        store.verify_checkpoint(path)


def test_reading_verifies(tmp_path):
    path = save(tmp_path)
    (path / "state.pt").write_bytes(b"")
    with pytest.raises(CheckpointError, match=r"state\.pt has 0 bytes"):
        store.read_checkpoint(path)


@pytest.mark.parametrize(
    "edit",
    [
        lambda manifest: manifest["info"].update(step=99),
        lambda manifest: manifest["files"].pop("ema.safetensors"),
        lambda manifest: manifest["files"]["state.pt"].update(size=1),
        lambda manifest: manifest.pop("sha256"),
        lambda manifest: manifest.update(sha256=None),
        lambda manifest: manifest.update(more=1),
    ],
)
def test_an_edited_manifest_is_noticed(tmp_path, edit):
    path = save(tmp_path)
    manifest = json.loads((path / "manifest.json").read_text())
    edit(manifest)
    (path / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(CheckpointError, match=r"manifest\.json was changed"):
        store.verify_checkpoint(path)


@pytest.mark.parametrize("content", ["", "{", "[]", "null", '{"format": 2}', "\x00", "1"])
def test_a_manifest_of_another_kind_is_an_error(tmp_path, content):
    path = save(tmp_path)
    (path / "manifest.json").write_text(content)
    with pytest.raises(CheckpointError, match=r"manifest\.json"):
        store.verify_checkpoint(path)


def test_a_manifest_that_is_no_text_is_an_error(tmp_path):
    path = save(tmp_path)
    (path / "manifest.json").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(CheckpointError, match=r"no readable manifest\.json"):
        store.verify_checkpoint(path)


# A checkpoint is data, whoever made it.


class Malicious:
    """Leaves a mark when it is unpickled."""

    def __init__(self, mark):
        self.mark = mark

    def __reduce__(self):
        return (Path.touch, (self.mark,))


def malicious_checkpoint(folder):
    """One whose manifest is right, and whose state would run a command if it were trusted."""
    path = save(folder)
    buffer = io.BytesIO()
    torch.save({"x": Malicious(folder / "executed")}, buffer)
    content = buffer.getvalue()
    (path / "state.pt").write_bytes(content)
    manifest = json.loads((path / "manifest.json").read_text())
    digest = hashlib.sha256(content).hexdigest()
    manifest["files"]["state.pt"] = {"size": len(content), "sha256": digest}
    del manifest["sha256"]
    text = json.dumps(manifest, sort_keys=True)
    manifest["sha256"] = hashlib.sha256(text.encode()).hexdigest()
    (path / "manifest.json").write_text(json.dumps(manifest))
    return path


def test_a_malicious_checkpoint_is_not_executed(tmp_path):
    path = malicious_checkpoint(tmp_path)
    store.verify_checkpoint(path)  # by its hashes it is whole
    with pytest.raises((CheckpointError, pickle.UnpicklingError)):
        store.read_checkpoint(path)
    assert not (tmp_path / "executed").exists()


def test_a_malicious_checkpoint_is_an_error_that_advises_nothing_dangerous(tmp_path):
    path = malicious_checkpoint(tmp_path)
    with pytest.raises(CheckpointError, match=r"state\.pt") as caught:
        store.read_checkpoint(path)
    assert "weights_only" not in str(caught.value)


# The folder of a run.


def test_checkpoints_are_listed_oldest_first(tmp_path):
    for number in (3, 1, 2):
        save(tmp_path, number)
    assert [c.step for c in store.list_checkpoints(tmp_path)] == [1, 2, 3]


def test_other_files_and_folders_are_no_checkpoints(tmp_path):
    save(tmp_path, 1)
    (tmp_path / "notes.txt").write_text("hello")
    (tmp_path / "empty").mkdir()
    (tmp_path / ".writing-epoch-0002").mkdir()
    assert [c.step for c in store.list_checkpoints(tmp_path)] == [1]
    assert store.newest_checkpoint(tmp_path).step == 1


def test_a_missing_or_empty_folder_has_no_newest(tmp_path):
    assert store.newest_checkpoint(tmp_path) is None
    assert store.newest_checkpoint(tmp_path / "missing") is None
    assert store.list_checkpoints(tmp_path / "missing") == []


def test_the_newest_whole_one_is_found(tmp_path, caplog):
    for number in (1, 2, 3):
        save(tmp_path, number)
    (tmp_path / "epoch-0003-step-00000003" / "state.pt").unlink()
    assert store.newest_checkpoint(tmp_path).step == 2
    assert "passed over a broken checkpoint" in caplog.text
    assert "epoch-0003-step-00000003: cannot read state.pt" in caplog.text


def test_only_broken_ones_are_an_error_that_names_each(tmp_path):
    for number in (1, 2):
        (save(tmp_path, number) / "state.pt").unlink()
    with pytest.raises(CheckpointError, match=r"(?s)none of 2 .*step-00000002.*step-00000001"):
        store.newest_checkpoint(tmp_path)


def scored(folder, number, value, step=None):
    last = {"value": value, "step": number if step is None else step}
    info = {"step": number, "scores": {"acc": {"last": last}}}
    store.write_checkpoint(folder, f"step-{number}", {"x": 1}, info)


@pytest.mark.parametrize(("higher_is_better", "step"), [(True, 2), (False, 3)])
def test_the_best_is_that_of_the_best_value(tmp_path, higher_is_better, step):
    for number, value in enumerate([0.5, 0.9, 0.1], 1):
        scored(tmp_path, number, value)
    assert store.best_checkpoint(tmp_path, "acc", higher_is_better).step == step


def test_a_stale_or_missing_value_is_never_the_best(tmp_path):
    scored(tmp_path, 1, 0.5)
    scored(tmp_path, 2, 0.9, step=1)
    save(tmp_path, 3)
    assert store.best_checkpoint(tmp_path, "acc", True).step == 1


def test_nan_is_never_the_best(tmp_path):
    scored(tmp_path, 1, float("nan"))
    assert store.best_checkpoint(tmp_path, "acc", True) is None
    scored(tmp_path, 2, 0.5)
    assert store.best_checkpoint(tmp_path, "acc", True).step == 2


# Writing is all or nothing.


def test_a_checkpoint_of_the_same_name_is_replaced(tmp_path):
    save(tmp_path, 1, "same")
    path = save(tmp_path, 2, "same")
    assert store.read_checkpoint(path)["progress"] == {"num_steps_done": 2}
    assert os.listdir(tmp_path) == ["same"]


def test_what_a_killed_writer_left_does_not_get_into_the_next_checkpoint(tmp_path):
    left = tmp_path / ".writing-same"
    left.mkdir()
    (left / "old.txt").write_text("old")
    assert sorted(os.listdir(save(tmp_path, 1, "same"))) == sorted(FILES)


def test_leftovers_are_removed(tmp_path):
    save(tmp_path, 1)
    shutil.copytree(tmp_path / "epoch-0001-step-00000001", tmp_path / ".writing-epoch-0002")
    store.remove_leftovers(tmp_path)
    assert os.listdir(tmp_path) == ["epoch-0001-step-00000001"]


def test_one_that_was_being_replaced_comes_back(tmp_path):
    # Killed between the two renames: the older one had given way already.
    path = save(tmp_path, 1, "same")
    path.rename(tmp_path / ".writing-replaced-same")
    store.remove_leftovers(tmp_path)
    assert store.verify_checkpoint(path).step == 1
    assert os.listdir(tmp_path) == ["same"]


def test_one_that_was_replaced_does_not_come_back(tmp_path):
    save(tmp_path, 1, "same").rename(tmp_path / ".writing-replaced-same")
    path = save(tmp_path, 2, "other").rename(tmp_path / "same")
    store.remove_leftovers(tmp_path)
    assert store.verify_checkpoint(path).step == 2
    assert os.listdir(tmp_path) == ["same"]


def test_removing_leftovers_of_a_missing_folder_does_nothing(tmp_path):
    store.remove_leftovers(tmp_path / "missing")
    assert not (tmp_path / "missing").exists()


class FailingDisk:
    """Lets a number of calls to the disk pass and fails one."""

    def __init__(self, monkeypatch, number):
        self.left = number
        monkeypatch.setattr(os, "fsync", self._failing(os.fsync))
        monkeypatch.setattr(Path, "rename", self._failing(Path.rename))
        monkeypatch.setattr(Path, "open", self._failing(Path.open))
        monkeypatch.setattr(Path, "mkdir", self._failing(Path.mkdir))

    def _failing(self, function):
        def call(*args, **kwargs):
            self.left -= 1
            if self.left == 0:
                raise OSError(28, "No space left on device")
            return function(*args, **kwargs)

        return call


def number_of_calls(folder, name, **kwargs):
    """How often writing a checkpoint calls the disk."""
    with pytest.MonkeyPatch.context() as patch:
        disk = FailingDisk(patch, 10**9)
        save(folder, 2, name, **kwargs)
    return 10**9 - disk.left


# mkdir, mkdir, then open and fsync of four files, fsync of the folder, rename, fsync of its
# parent; one rename more where an older one gives way.
NUM_CALLS = 13


def test_the_failures_below_reach_every_call_to_the_disk(tmp_path):
    assert number_of_calls(tmp_path / "new", "new") == NUM_CALLS
    save(tmp_path / "same", 1, "same")
    assert number_of_calls(tmp_path / "same", "same") == NUM_CALLS + 1


@pytest.mark.parametrize("number", range(1, NUM_CALLS + 1))
def test_a_disk_that_fails_leaves_the_older_checkpoint_and_no_half(tmp_path, number):
    save(tmp_path, 1)
    with pytest.MonkeyPatch.context() as patch:
        FailingDisk(patch, number)
        with pytest.raises(OSError, match="No space left"):
            save(tmp_path, 2)
    assert "epoch-0001-step-00000001" in visible(tmp_path)
    assert [store.verify_checkpoint(tmp_path / name).path.name for name in visible(tmp_path)]
    assert plain(store.read_checkpoint(tmp_path / "epoch-0001-step-00000001")) == plain(state(1))


@pytest.mark.parametrize("number", range(1, NUM_CALLS + 2))
def test_a_disk_that_fails_while_replacing_leaves_a_whole_one_in_place(tmp_path, number):
    path = save(tmp_path, 1, "same")
    with pytest.MonkeyPatch.context() as patch:
        FailingDisk(patch, number)
        with pytest.raises(OSError, match="No space left"):
            save(tmp_path, 2, "same")
    assert visible(tmp_path) == ["same"]
    assert store.verify_checkpoint(path).step in (1, 2)


@pytest.mark.parametrize("number", range(1, NUM_CALLS + 1))
def test_the_next_writing_succeeds_after_a_failure(tmp_path, number):
    save(tmp_path, 1)
    with pytest.MonkeyPatch.context() as patch:
        FailingDisk(patch, number)
        with pytest.raises(OSError, match="No space left"):
            save(tmp_path, 2)
    store.remove_leftovers(tmp_path)
    save(tmp_path, 2)
    assert store.newest_checkpoint(tmp_path).step == 2
    assert sorted(os.listdir(tmp_path)) == visible(tmp_path)


def save_forever(folder, same_name):
    """Writes one checkpoint after another and keeps two, as the callback does."""
    store.remove_leftovers(folder)
    found = store.newest_checkpoint(folder)
    number = 0 if found is None else found.step
    while True:
        number += 1
        save(folder, number, "same" if same_name else None)
        for old in store.list_checkpoints(folder)[:-2]:
            shutil.rmtree(old.path)


@pytest.mark.slow
@pytest.mark.parametrize("same_name", [False, True])
def test_a_writer_that_is_killed_at_any_instant_leaves_a_whole_checkpoint(tmp_path, same_name):
    processes = multiprocessing.get_context("forkserver")
    processes.set_forkserver_preload(["pytest", "torchvision.tv_tensors", "hat.store"])
    save(tmp_path, 0, "same" if same_name else None)
    chance = random.Random(0)
    steps = [0]
    for _ in range(8):
        child = processes.Process(target=save_forever, args=(tmp_path, same_name))
        child.start()
        _wait_until_newer(tmp_path, steps[-1])
        time.sleep(chance.uniform(0.0, 0.05))
        child.kill()
        child.join()
        store.remove_leftovers(tmp_path)
        assert len(visible(tmp_path)) >= 1
        steps.append(store.newest_checkpoint(tmp_path).step)
    assert steps == sorted(set(steps))


def _wait_until_newer(folder, step):
    while all(checkpoint.step <= step for checkpoint in store.list_checkpoints(folder)):
        time.sleep(0.002)
