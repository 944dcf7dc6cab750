"""IDX files give the pictures and labels that they hold."""

import gzip
import pickle

import numpy as np
import pytest
import torch
from road_files import idx_bytes, save_idx

from hat.data import IdxDataset
from hat.data.datasets.idx import read_idx

PIXELS = np.random.default_rng(0).integers(256, size=(5, 6, 4), dtype=np.uint8)


@pytest.fixture
def files(tmp_path):
    return save_idx(tmp_path)


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "pixels.idx"
    path.write_bytes(idx_bytes(PIXELS))
    return path


def test_a_file_of_mnist_is_read_as_its_authors_describe_it(tmp_path):
    # Magic 0x00000803, then 2 pictures of 1 row and 3 columns, all big-endian.
    content = bytes.fromhex("00000803 00000002 00000001 00000003 010203 fffefd")
    path = tmp_path / "train-images-idx3-ubyte"
    path.write_bytes(content)
    assert read_idx(path).tolist() == [[[1, 2, 3]], [[255, 254, 253]]]


def test_torchvision_reads_the_same(path):
    from torchvision.datasets.mnist import read_sn3_pascalvincent_tensor

    theirs = read_sn3_pascalvincent_tensor(str(path))
    assert np.array_equal(read_idx(path), theirs.numpy())


def test_a_file_is_mapped(path):
    assert isinstance(read_idx(path), np.memmap)


def test_a_compressed_file_is_known_by_its_content(path):
    path.write_bytes(gzip.compress(path.read_bytes()))
    assert np.array_equal(read_idx(path), PIXELS)


def test_grey_is_in_all_three_channels(files):
    sample = IdxDataset(*files)[2]
    expected = torch.arange(48, 72, dtype=torch.uint8).reshape(6, 4)
    assert torch.equal(sample["img"].as_subclass(torch.Tensor), expected.expand(3, 6, 4))


def test_colours_are_kept(tmp_path, files):
    rgb = np.random.default_rng(0).integers(256, size=(5, 6, 4, 3), dtype=np.uint8)
    files[0].write_bytes(idx_bytes(rgb))
    assert np.array_equal(IdxDataset(*files)[1]["img"].hwc(), rgb[1])


def test_labels_are_those_of_the_file(files):
    dataset = IdxDataset(*files)
    assert [dataset[index]["label"] for index in range(5)] == [0, 1, 2, 0, 1]
    assert dataset.classes == ("0", "1", "2")


def test_classes_can_be_named(files):
    assert IdxDataset(*files, classes=["a", "b", "c", "d"]).classes == ("a", "b", "c", "d")


def test_the_annotation_is_the_sample_without_its_picture(files):
    dataset = IdxDataset(*files)
    sample = dataset.load(3)
    del sample["img"]
    assert dataset.annotation(3) == sample


def test_the_description_counts_labels(files):
    assert dict(IdxDataset(*files).describe().num_labels) == {0: 2, 1: 2, 2: 1}


def test_a_worker_is_sent_no_pixels(files):
    dataset = IdxDataset(*files)
    sent = pickle.loads(pickle.dumps(dataset))
    assert b"images.idx3" in pickle.dumps(dataset)
    assert isinstance(sent.images, np.memmap)


def test_a_compressed_set_can_be_sent_to_a_worker(files):
    files[0].write_bytes(gzip.compress(files[0].read_bytes()))
    dataset = IdxDataset(*files)
    sent = pickle.loads(pickle.dumps(dataset))
    assert torch.equal(sent[1]["img"], dataset[1]["img"])


def test_a_label_without_class_is_refused(files):
    with pytest.raises(ValueError, match=r"labels\.idx1-ubyte: label 2 is beyond the 2 classes"):
        IdxDataset(*files, classes=["a", "b"])


def test_another_number_of_labels_is_refused(tmp_path):
    files = save_idx(tmp_path, num=5, num_labels=4)
    with pytest.raises(ValueError, match=r"labels\.idx1-ubyte: expected 5 labels"):
        IdxDataset(*files)


def test_exchanged_files_are_refused(files):
    with pytest.raises(ValueError, match=r"labels\.idx1-ubyte: expected pictures of shape"):
        IdxDataset(*files[::-1])


CONTENT = idx_bytes(PIXELS)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "expected two zero bytes"),
        (b"\0\0\x08", "expected two zero bytes"),
        (b"\x89PNG" + CONTENT[4:], "expected two zero bytes"),
        (idx_bytes(PIXELS, type_code=0x09), "type code 0x08, unsigned bytes, got 0x09"),
        (b"\0\0\x08\0" + CONTENT[4:], "1 to 4 dimensions, got 0"),
        (b"\0\0\x08\xff" + CONTENT[4:], "1 to 4 dimensions, got 255"),
        (CONTENT[:10], "ends within its header"),
        (CONTENT[:-1], "says 120 bytes follow, and there are fewer"),
        (CONTENT + b"\0", "says 120 bytes follow, and there are more"),
        (CONTENT[:4] + b"\xff" * 12 + CONTENT[16:], "and there are fewer"),
        (gzip.compress(CONTENT, mtime=0)[:-12], "cannot be read as IDX"),
        (gzip.compress(CONTENT[:-1], mtime=0), "says 120 bytes follow, and there are fewer"),
        (gzip.compress(CONTENT + b"\0" * 99, mtime=0), "says 120 bytes follow, and there are more"),
        (gzip.compress(CONTENT[:4] + b"\xff" * 12, mtime=0), "unpack it with gunzip"),
        (b"\x1f\x8b" + bytes(30), "cannot be read as IDX"),
    ],
)
def test_a_damaged_file_is_refused_by_its_name(path, content, message):
    path.write_bytes(content)
    with pytest.raises(ValueError, match=rf"pixels\.idx: .*{message}"):
        read_idx(path)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"none\.gz: no such file"):
        read_idx(tmp_path / "none.gz")


def test_pictures_without_pixels_are_refused(files):
    files[0].write_bytes(idx_bytes(np.zeros((5, 0, 4), np.uint8)))
    with pytest.raises(ValueError, match=r"images\.idx3-ubyte: pictures of \(0, 4\)"):
        IdxDataset(*files)
