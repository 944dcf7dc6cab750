"""A packed data set gives the samples that it was packed from, or says what is wrong."""

import contextlib
import os
import pickle
import signal
import subprocess
import sys
import time

import lmdb
import numpy as np
import pytest
import torch
from PIL import Image as PILImage
from torchvision.transforms import v2

from hat.data import (
    DataLoader,
    Dataset,
    DigitsDataset,
    ImageFolder,
    PackedDataset,
    PackError,
    ShuffledSampler,
    pack,
    packing,
)
from hat.data.pixels import Image


def same(value, other):
    if isinstance(value, torch.Tensor):
        return (
            type(value) is type(other)
            and value.dtype == other.dtype
            and torch.equal(value.as_subclass(torch.Tensor), other.as_subclass(torch.Tensor))
            and vars(value) == vars(other)
        )
    return type(value) is type(other) and value == other


def same_samples(one, other):
    return len(one) == len(other) and all(
        list(a) == list(b) and all(same(a[key], b[key]) for key in a)
        for a, b in zip(one, other, strict=True)
    )


@pytest.fixture
def folder(tmp_path):
    for number in range(6):
        path = tmp_path / "pictures" / f"class {number % 2}" / f"{number}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(number).integers(256, size=(20, 30, 3), dtype=np.uint8)
        PILImage.fromarray(pixels).save(path)
    return ImageFolder(tmp_path / "pictures")


class Counting(Dataset):
    """Numbers that are slow or deadly to make, if so asked."""

    def __init__(self, length=10, deadly=(), delay_s=0.0):
        super().__init__()
        self.length, self.deadly, self.delay_s = length, deadly, delay_s

    def __len__(self):
        return self.length

    def load(self, index):
        time.sleep(self.delay_s)
        if index in self.deadly:
            os.kill(os.getpid(), signal.SIGKILL)
        return {"x": torch.tensor(index), "name": f"sample {index}"}


@pytest.mark.parametrize("num_workers", [0, 2])
def test_samples_of_files_come_back(folder, tmp_path, num_workers):
    pack(folder, tmp_path / "a.lmdb", num_workers=num_workers)
    assert same_samples(PackedDataset(tmp_path / "a.lmdb"), folder)


def test_samples_without_files_come_back(tmp_path):
    pack(DigitsDataset("val"), tmp_path / "a.lmdb")
    assert same_samples(PackedDataset(tmp_path / "a.lmdb"), DigitsDataset("val"))


def test_files_are_kept_byte_for_byte(folder, tmp_path):
    pack(folder, tmp_path / "a.lmdb")
    packed = (tmp_path / "a.lmdb").read_bytes()
    # Longer records lie in pages of their own, one behind the other.
    assert folder.source(0).endswith(".jpg")
    with open(folder.source(0), "rb") as file:
        assert file.read()[-200:] in packed


def test_names_of_classes_come_back(folder, tmp_path):
    pack(folder, tmp_path / "a.lmdb")
    assert list(PackedDataset(tmp_path / "a.lmdb").classes) == ["class 0", "class 1"]


def test_the_transform_is_left_out(folder, tmp_path):
    transformed = ImageFolder(folder.root, transform=v2.RandomCrop(5))
    pack(transformed, tmp_path / "a.lmdb")
    assert same_samples(PackedDataset(tmp_path / "a.lmdb"), folder)


def test_a_transform_is_applied_to_what_is_read_back(folder, tmp_path):
    pack(folder, tmp_path / "a.lmdb")
    packed = PackedDataset(tmp_path / "a.lmdb", transform=v2.Resize((4, 5)))
    assert packed[0]["img"].shape == (3, 4, 5)


def test_annotations_have_all_but_the_picture(folder, tmp_path):
    pack(folder, tmp_path / "a.lmdb")
    sample = folder[1]
    sample.pop("img")
    assert PackedDataset(tmp_path / "a.lmdb").annotation(1) == sample


def test_a_foreign_data_set_can_be_packed(tmp_path):
    pack([{"x": n} for n in range(3)], tmp_path / "a.lmdb")
    assert [s["x"] for s in PackedDataset(tmp_path / "a.lmdb")] == [0, 1, 2]


def test_an_empty_data_set_can_be_packed(tmp_path):
    pack([], tmp_path / "a.lmdb")
    assert len(PackedDataset(tmp_path / "a.lmdb")) == 0


def test_more_than_the_first_map_holds_can_be_packed(tmp_path, monkeypatch):
    monkeypatch.setattr(packing, "_FIRST_MAP_BYTES", 1 << 16)
    noise = torch.randint(256, (64, 3, 32, 32), dtype=torch.uint8)
    pack([{"img": Image(img)} for img in noise], tmp_path / "a.lmdb")
    assert torch.equal(PackedDataset(tmp_path / "a.lmdb")[63]["img"], noise[63])


def test_progress_is_told(tmp_path):
    seen = []
    pack(Counting(3), tmp_path / "a.lmdb", on_progress=lambda *counts: seen.append(counts))
    assert seen == [(1, 3), (2, 3), (3, 3)]


def test_two_data_sets_can_read_one_file(tmp_path):
    pack(Counting(), tmp_path / "a.lmdb")
    one, other = PackedDataset(tmp_path / "a.lmdb"), PackedDataset(tmp_path / "a.lmdb")
    assert same_samples(one, other)


def test_a_worker_can_be_sent_the_data_set(tmp_path):
    pack(Counting(), tmp_path / "a.lmdb")
    packed = PackedDataset(tmp_path / "a.lmdb")
    assert same_samples(pickle.loads(pickle.dumps(packed)), packed)


@pytest.mark.parametrize("num_workers", [0, 1, 2])
def test_batches_are_those_of_the_data_set(folder, tmp_path, num_workers):
    pack(folder, tmp_path / "a.lmdb")
    augment = v2.RandomResizedCrop(16)
    loaders = [
        DataLoader(data, batch_size=2, sampler=ShuffledSampler(), num_workers=workers)
        for data, workers in (
            (PackedDataset(tmp_path / "a.lmdb", transform=augment), num_workers),
            (ImageFolder(folder.root, transform=augment), 0),
        )
    ]
    packed, plain = ([batch["img"] for batch in loader.steps(epoch=3)] for loader in loaders)
    assert all(torch.equal(a, b) for a, b in zip(packed, plain, strict=True))


# An end in the middle


def test_nothing_has_the_name_until_all_is_written(tmp_path):
    names = []
    pack(
        Counting(3), tmp_path / "a.lmdb", on_progress=lambda *_: names.append(os.listdir(tmp_path))
    )
    assert names == [["a.lmdb.partial"]] * 3
    assert os.listdir(tmp_path) == ["a.lmdb"]


def interrupted(dataset, path, after):
    """Pack until some records are written, then fail."""

    def stop(done, total):
        if done == after:
            raise KeyboardInterrupt

    with contextlib.suppress(KeyboardInterrupt):
        pack(dataset, path, on_progress=stop)


def test_a_second_call_goes_on_where_the_first_ended(tmp_path):
    interrupted(Counting(), tmp_path / "a.lmdb", after=4)
    seen = []
    pack(Counting(), tmp_path / "a.lmdb", on_progress=lambda done, _: seen.append(done))
    assert seen == [5, 6, 7, 8, 9, 10]
    assert same_samples(PackedDataset(tmp_path / "a.lmdb"), Counting())


def test_two_cannot_write_one_file(tmp_path):
    def pack_too(done, total):
        with pytest.raises(PackError, match="another process is writing it"):
            pack(Counting(3), tmp_path / "a.lmdb")

    pack(Counting(3), tmp_path / "a.lmdb", on_progress=pack_too)
    assert same_samples(PackedDataset(tmp_path / "a.lmdb"), Counting(3))


def test_another_data_set_does_not_go_on(tmp_path):
    interrupted(Counting(), tmp_path / "a.lmdb", after=4)
    with pytest.raises(PackError, match=r"a\.lmdb\.partial was begun with another data set"):
        pack([{"x": n} for n in range(10)], tmp_path / "a.lmdb")


@pytest.mark.slow
def test_a_killed_call_can_be_taken_up(tmp_path):
    code = (
        "import sys; sys.path.insert(0, sys.argv[2])\n"
        "from data.test_packing import Counting\n"
        "from hat.data import pack\n"
        "pack(Counting(400, delay_s=0.005), sys.argv[1])\n"
    )
    path = tmp_path / "a.lmdb"
    partial = tmp_path / "a.lmdb.partial"
    tests = os.path.dirname(os.path.dirname(__file__))
    process = subprocess.Popen([sys.executable, "-c", code, str(path), tests])
    while not (partial.exists() and partial.stat().st_size > 40_000) and process.poll() is None:
        time.sleep(0.01)
    process.kill()
    assert process.wait() == -signal.SIGKILL
    assert not path.exists()
    pack(Counting(400), path)
    assert same_samples(PackedDataset(path), Counting(400))


def test_a_file_that_was_begun_is_hinted_at(tmp_path):
    interrupted(Counting(), tmp_path / "a.lmdb", after=4)
    with pytest.raises(FileNotFoundError, match=r"was begun: run `hat pack` again"):
        PackedDataset(tmp_path / "a.lmdb")


def test_a_worker_that_dies_ends_the_packing(tmp_path):
    with pytest.raises(PackError, match=r"a worker died while it encoded one of the samples \[.*7"):
        pack(Counting(deadly=(7,)), tmp_path / "a.lmdb", num_workers=1)


# What cannot be packed


class Random(Counting):
    def load(self, index):
        return {"x": torch.rand(1)}


class Broken(Counting):
    def load(self, index):
        if index == 6:
            raise ValueError("no such thing")
        return super().load(index)

    def source(self, index):
        return f"file {index}"


def test_samples_that_are_drawn_at_random_are_refused(tmp_path):
    with pytest.raises(PackError, match="is drawn at random below its own transform"):
        pack(Random(), tmp_path / "a.lmdb")


@pytest.mark.parametrize("num_workers", [0, 1])
def test_a_sample_that_cannot_be_read_is_named(tmp_path, num_workers):
    with pytest.raises(PackError, match=r"sample 6 \(file 6\): ValueError: no such thing"):
        pack(Broken(), tmp_path / "a.lmdb", num_workers=num_workers)


# Damage


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"a\.lmdb: no such file$"):
        PackedDataset(tmp_path / "a.lmdb")


@pytest.mark.parametrize(
    "content",
    [b"", b"text", bytes(20_000), os.urandom(20_000)],
    ids=["empty", "text", "zeros", "noise"],
)
def test_a_file_of_another_kind_is_refused(tmp_path, content):
    (tmp_path / "a.lmdb").write_bytes(content)
    with pytest.raises(PackError, match=r"a\.lmdb: not a packed data set"):
        PackedDataset(tmp_path / "a.lmdb")


def test_an_lmdb_file_of_others_is_refused(tmp_path):
    environment = lmdb.open(str(tmp_path / "a.lmdb"), subdir=False, lock=False)
    with environment.begin(write=True) as transaction:
        transaction.put(b"key", b"value")
    environment.close()
    with pytest.raises(PackError, match="but not one of `hat pack`"):
        PackedDataset(tmp_path / "a.lmdb")


def test_a_file_that_is_cut_short_is_refused(folder, tmp_path):
    pack(folder, tmp_path / "a.lmdb")
    os.truncate(tmp_path / "a.lmdb", (tmp_path / "a.lmdb").stat().st_size - 1)
    with pytest.raises(PackError, match="cut short"):
        PackedDataset(tmp_path / "a.lmdb")


def flip_a_bit_of(picture, path):
    """In the end of the picture's file, since all begin alike, wherever it lies in the packed one.

    LMDB leaves copies behind in pages that it has divided.
    """
    with open(picture, "rb") as file:
        end = file.read()[-200:]
    flipped = bytes([end[0] ^ 1]) + end[1:]
    data = path.read_bytes()
    assert end in data
    path.write_bytes(data.replace(end, flipped))


def test_a_flipped_bit_is_found(folder, tmp_path):
    path = tmp_path / "a.lmdb"
    pack(folder, path)
    flip_a_bit_of(folder.source(2), path)
    with pytest.raises(PackError, match=r"a\.lmdb, record 2: the checksum does not fit"):
        PackedDataset(path)[2]


def test_other_records_than_the_damaged_are_read(folder, tmp_path):
    path = tmp_path / "a.lmdb"
    pack(folder, path)
    flip_a_bit_of(folder.source(2), path)
    problems = dict(packing.damaged_records(path))
    assert [index for index, problem in problems.items() if problem] == [2]
