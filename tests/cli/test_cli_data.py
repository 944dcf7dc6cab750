"""`hat pack` and `hat data`."""

import os

import cv2
import pytest
import torch
from running import DIGITS, TASKS, run_hat

from hat.data import DigitsDataset, PackedDataset


@pytest.fixture(scope="module")
def packed(tmp_path_factory):
    """The digits that are trained on, packed by the command; tests only read it."""
    path = tmp_path_factory.mktemp("packed") / "digits.lmdb"
    done = run_hat("pack", f"{DIGITS}.train_loader", "--out", path, "--workers", 1)
    assert done.code == 0, done.err
    return path


# --- pack


def test_what_is_packed_is_the_data_of_the_config(packed):
    dataset = PackedDataset(packed)
    assert len(dataset) == 1438
    assert torch.equal(dataset[7]["img"], DigitsDataset("train")[7]["img"])


@pytest.mark.parametrize(
    ("place", "length"),
    [
        ("", 1438),
        (".val_loader", 359),
        (".val_loader.dataset", 359),
        (".float_predictor", 359),
        (".float_trainer.callbacks[2].predictor.data_loader", 359),
    ],
)
def test_a_place_names_a_loader_or_a_data_set(tmp_path, place, length):
    done = run_hat("pack", f"{DIGITS}{place}", "--out", tmp_path / "a.lmdb", "--workers", 0)
    assert done.code == 0, done.err
    assert len(PackedDataset(tmp_path / "a.lmdb")) == length


def test_pack_says_what_it_wrote(tmp_path):
    done = run_hat("pack", f"{DIGITS}.val_loader", "--out", "a.lmdb", "--workers", 0)
    assert done.out.startswith("a.lmdb: 359 samples, 0.")


def test_overrides_are_applied(tmp_path):
    place, override = f"{DIGITS}.train_loader", "train_loader.dataset.split=val"
    done = run_hat("pack", place, override, "--out", "a.lmdb", "--workers", 0)
    assert done.code == 0, done.err
    assert len(PackedDataset("a.lmdb")) == 359


def test_a_run_can_be_named_in_place_of_a_config(digits_run):
    done = run_hat("pack", f"{digits_run}.float_predictor", "--out", "a.lmdb", "--workers", 0)
    assert done.code == 0, done.err
    assert len(PackedDataset("a.lmdb")) == 359


def test_a_packed_data_set_stands_in_a_config(write, packed):
    dataset = f"dict(type='PackedDataset', path={str(packed)!r})"
    loader = f"dict(type='DataLoader', batch_size=4, dataset={dataset})"
    write("packed_config.py", f"train_loader = {loader}")
    done = run_hat("data", "info", "packed_config.py.train_loader")
    assert "1,438 samples" in done.out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            [f"{DIGITS}.train_loadr"],
            "the config has no 'train_loadr'. Did you mean 'train_loader'?",
        ),
        ([f"{DIGITS}.val_loader.datset"], "'val_loader' has no 'datset'. Did you mean 'dataset'?"),
        ([f"{DIGITS}.batch_size"], "expected a data set or a loader, dict(type=...), got int"),
        (["nothing.py"], "no such config file or run folder"),
        (
            [f"{DIGITS}.val_loader", "val_loader.dataset.split=test"],
            "val_loader.dataset.split",
        ),
        ([f"{DIGITS}.val_loader", "--workers", "-1"], "--workers"),
    ],
)
def test_a_mistake_is_refused_before_anything_is_written(tmp_path, arguments, message):
    done = run_hat("pack", *arguments, "--out", "a.lmdb")
    assert done.code == 2
    assert message in done.err
    assert os.listdir(tmp_path) == []


def test_a_folder_is_refused_as_a_file():
    os.mkdir("folder")
    done = run_hat("pack", DIGITS, "--out", "folder")
    assert done.code == 2
    assert "folder is a folder: name a file" in done.err


# --- data info


def test_info_of_a_file_says_where_it_came_from(packed):
    done = run_hat("data", "info", packed)
    assert done.code == 0, done.err
    assert "packed from a DigitsDataset" in done.out


@pytest.mark.parametrize("target", ["packed", "config"])
def test_info_counts(packed, target):
    done = run_hat("data", "info", packed if target == "packed" else f"{DIGITS}.train_loader")
    assert "1,438 samples" in done.out
    assert "8 x 8" in done.out


def test_info_of_one_of_several_loaders_counts():
    done = run_hat("data", "info", f"{TASKS}.float_trainer.data_loader.loaders.few")
    assert done.out.startswith("DigitsDataset: 359 samples")


@pytest.mark.parametrize("command", [["info"], ["show", "--out", "a.png"]])
def test_several_loaders_are_named_to_choose_from(command):
    done = run_hat("data", command[0], TASKS, *command[1:])
    assert done.code == 2
    assert "float_trainer.data_loader.loaders.few" in done.err
    assert "float_trainer.data_loader.loaders.more" in done.err


def test_info_of_a_broken_file_is_an_error(write):
    write("a.lmdb", "text")
    done = run_hat("data", "info", "a.lmdb")
    assert done.code == 1
    assert "a.lmdb: not a packed data set" in done.err


# --- data verify


def test_a_whole_file_is_verified(packed, capfd):
    assert run_hat("data", "verify", packed).code == 0
    assert "1,438 records, 0 damaged" in capfd.readouterr().out


def test_damaged_records_are_found(packed, tmp_path, capfd):
    # All of them: a place that is hit once may lie in a page that is no longer used.
    (tmp_path / "a.lmdb").write_bytes(packed.read_bytes().replace(b"ori_shape", b"orj_shape"))
    assert run_hat("data", "verify", "a.lmdb").code == 1
    seen = capfd.readouterr()
    assert "1,438 records, 1,438 damaged" in seen.out
    assert "a.lmdb, record 0: the checksum does not fit" in seen.err


def test_a_file_that_is_cut_short_is_found(packed, tmp_path, capfd):
    (tmp_path / "a.lmdb").write_bytes(packed.read_bytes()[:100_000])
    assert run_hat("data", "verify", "a.lmdb").code == 1
    assert "a.lmdb: cut short" in capfd.readouterr().err


def test_pages_that_are_overwritten_end_in_an_error_and_not_in_a_crash(packed, tmp_path):
    data = bytearray(packed.read_bytes())
    for page in range(2, len(data) // 4096, 3):
        data[page * 4096 : page * 4096 + 64] = os.urandom(64)
    (tmp_path / "a.lmdb").write_bytes(data)
    assert run_hat("data", "verify", "a.lmdb").code == 1


# --- data show


def test_samples_are_drawn_into_one_picture():
    done = run_hat("data", "show", f"{DIGITS}.val_loader", "--out", "a.png", "--count", 5)
    assert done.code == 0, done.err
    assert cv2.imread("a.png").std() > 0
    assert done.out.strip() == "a.png: 5 of 359 samples"


def test_the_same_samples_are_drawn_again():
    for name in ("a.png", "b.png"):
        run_hat("data", "show", f"{DIGITS}.train_loader", "--out", name)
    assert (cv2.imread("a.png") == cv2.imread("b.png")).all()


def test_no_sample_is_refused():
    done = run_hat("data", "show", DIGITS, "--count", 0)
    assert done.code == 2
    assert "--count" in done.err
