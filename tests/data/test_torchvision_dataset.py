"""Data sets of torchvision as samples."""

import struct

import numpy as np
import pytest
import torch
from torchvision.datasets import MNIST, FakeData

from hat.data import TorchvisionDataset
from hat.data.pixels import Image

DIGITS = np.random.default_rng(0).integers(256, size=(6, 28, 28), dtype=np.uint8)
LABELS = np.array([3, 1, 4, 1, 5, 9], np.uint8)


class Pairs:
    """One pair of picture and target, as a data set of torchvision would give it."""

    def __init__(self, picture, target):
        self.pair = picture, target

    def __len__(self):
        return 1

    def __getitem__(self, index):
        return self.pair


@pytest.fixture
def mnist(tmp_path):
    folder = tmp_path / "MNIST" / "raw"
    folder.mkdir(parents=True)
    for part in ("train", "t10k"):
        images = struct.pack(">4I", 0x803, *DIGITS.shape) + DIGITS.tobytes()
        (folder / f"{part}-images-idx3-ubyte").write_bytes(images)
        labels = struct.pack(">2I", 0x801, len(LABELS)) + LABELS.tobytes()
        (folder / f"{part}-labels-idx1-ubyte").write_bytes(labels)
    return MNIST(tmp_path, train=True)


def test_a_colour_picture_is_kept():
    fake = FakeData(4, (3, 6, 5))
    expected = np.asarray(fake[2][0]).transpose(2, 0, 1)
    assert np.array_equal(TorchvisionDataset(fake)[2]["img"].numpy(), expected)


def test_a_picture_is_an_image_of_uint8():
    img = TorchvisionDataset(FakeData(1, (3, 6, 5)))[0]["img"]
    assert type(img) is Image
    assert img.dtype == torch.uint8


def test_grey_digits_have_three_channels(mnist):
    img = TorchvisionDataset(mnist)[1]["img"]
    assert np.array_equal(img.numpy(), np.stack([DIGITS[1]] * 3))


def test_labels_are_plain_numbers(mnist):
    labels = [sample["label"] for sample in TorchvisionDataset(mnist)]
    assert labels == [3, 1, 4, 1, 5, 9]
    assert {type(label) for label in labels} == {int}


def test_the_length_is_that_of_the_data_set(mnist):
    assert len(TorchvisionDataset(mnist)) == 6


def test_class_names_are_handed_on(mnist):
    assert TorchvisionDataset(mnist).classes[3] == "3 - three"


def test_a_data_set_need_not_name_classes():
    assert TorchvisionDataset(Pairs(torch.zeros(1, 2, 2, dtype=torch.uint8), 0)).classes is None


def test_the_index_is_the_id(mnist):
    assert TorchvisionDataset(mnist)[4]["img_id"] == 4


def test_the_size_before_transforms_is_kept():
    dataset = TorchvisionDataset(FakeData(1, (3, 6, 5)), transform=lambda s: {**s, "img": None})
    assert dataset[0]["ori_shape"] == (6, 5)


@pytest.mark.parametrize("shape", [(4, 5), (1, 4, 5), (3, 4, 5)])
def test_tensors_are_pictures_too(shape):
    picture = torch.arange(np.prod(shape), dtype=torch.uint8).reshape(shape)
    img = TorchvisionDataset(Pairs(picture, 0))[0]["img"]
    assert torch.equal(img.as_subclass(torch.Tensor), picture.expand(3, 4, 5))


def test_arrays_are_pictures_too():
    picture = np.arange(4 * 5 * 3, dtype=np.uint8).reshape(4, 5, 3)
    img = TorchvisionDataset(Pairs(picture, 0))[0]["img"]
    assert np.array_equal(img.numpy(), picture.transpose(2, 0, 1))


def test_changing_a_picture_does_not_change_the_data_set():
    picture = torch.zeros(3, 4, 5, dtype=torch.uint8)
    TorchvisionDataset(Pairs(picture, 0))[0]["img"].add_(1)
    assert not picture.any()


@pytest.mark.parametrize("target", [2, np.int64(2), np.uint8(2), torch.tensor(2)])
def test_any_whole_number_is_a_class(target):
    picture = torch.zeros(1, 2, 2, dtype=torch.uint8)
    assert TorchvisionDataset(Pairs(picture, target))[0]["label"] == 2


@pytest.mark.parametrize(
    ("target", "kind"),
    [
        ((1, 2), "tuple"),
        ({"boxes": []}, "dict"),
        (None, "NoneType"),
        (0.5, "float"),
        ("cat", "str"),
        (torch.zeros(2), "Tensor"),
        (torch.tensor(0.5), "Tensor"),
    ],
)
def test_a_target_that_is_no_class_is_refused(target, kind):
    picture = torch.zeros(1, 2, 2, dtype=torch.uint8)
    with pytest.raises(TypeError, match=rf"Pairs\[0\]: expected a class number .*got {kind}"):
        TorchvisionDataset(Pairs(picture, target))[0]


@pytest.mark.parametrize("picture", ["a.jpg", None, torch.zeros(3, 4, 4)])
def test_what_is_no_picture_is_refused(picture):
    with pytest.raises(TypeError, match=r"Pairs\[0\]: expected a PIL picture"):
        TorchvisionDataset(Pairs(picture, 0))[0]


@pytest.mark.parametrize("shape", [(4, 6, 6), (2, 6, 6), (6,), (1, 3, 6, 6)])
def test_a_tensor_that_is_no_picture_is_refused_with_its_shape(shape):
    picture = torch.zeros(shape, dtype=torch.uint8)
    with pytest.raises(TypeError, match=r"Pairs\[0\]: .*\(" + ", ".join(map(str, shape))):
        TorchvisionDataset(Pairs(picture, 0))[0]
