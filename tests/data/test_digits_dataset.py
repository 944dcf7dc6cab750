"""The digits that come with scikit-learn."""

import sys

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

from hat.data import DigitsDataset
from hat.data.pixels import Image


@pytest.fixture(scope="module")
def train():
    return DigitsDataset("train")


@pytest.fixture(scope="module")
def val():
    return DigitsDataset("val")


def ids(dataset):
    return {sample["img_id"] for sample in dataset}


def test_the_splits_have_1438_and_359_digits(train, val):
    assert (len(train), len(val)) == (1438, 359)


def test_every_fifth_digit_is_held_out(val):
    assert ids(val) == set(range(4, 1797, 5))


def test_by_default_digits_are_for_training():
    assert len(DigitsDataset()) == 1438


def test_no_digit_is_in_both_splits(train, val):
    assert not ids(train) & ids(val)


def test_every_digit_is_in_a_split(train, val):
    assert ids(train) | ids(val) == set(range(1797))


def test_a_sample_is_a_picture_with_its_class(val):
    sample = val[0]
    assert type(sample["img"]) is Image
    assert sample["img"].dtype == torch.uint8
    assert sample["img"].shape == (3, 8, 8)
    assert sample["ori_shape"] == (8, 8)


@pytest.mark.parametrize("index", [0, 100, 358])
def test_pictures_and_classes_are_those_of_scikit_learn(val, index):
    digits, sample = load_digits(), val[index]
    grey = digits.images[sample["img_id"]]  # 0..16
    assert np.abs(sample["img"].numpy() * (16 / 255) - grey).max() < 0.04  # half a level of 255
    assert int(sample["label"]) == digits.target[sample["img_id"]]


def test_the_brightest_pixel_is_white(train):
    assert max(int(sample["img"].max()) for sample in train) == 255


@pytest.mark.parametrize("split", ["train", "val"])
def test_classes_are_balanced(split):
    labels = torch.tensor([int(sample["label"]) for sample in DigitsDataset(split)])
    shares = torch.bincount(labels, minlength=10) / len(labels)
    # Three deviations of a random tenth of 359 digits: 3 * sqrt(0.1 * 0.9 / 359) = 0.05.
    assert shares.min() > 0.05
    assert shares.max() < 0.15


def test_class_names_are_the_digits(train):
    assert tuple(train.classes) == tuple("0123456789")


def test_another_split_is_refused():
    with pytest.raises(ValueError, match="split must be 'train' or 'val', got 'test'"):
        DigitsDataset("test")


def test_without_scikit_learn_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    with pytest.raises(ImportError, match=r"pip install 'hat-framework\[digits\]'"):
        DigitsDataset()
