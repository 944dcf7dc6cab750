"""Points are read as they were written, or refused with the name of the file."""

import logging

import numpy as np
import pytest
import torch
from road_files import save_points

from hat.data.point_clouds import read_points

POINTS = np.random.default_rng(0).normal(size=(20, 4)).astype(np.float32)


@pytest.fixture
def path(tmp_path):
    return save_points(tmp_path / "sweep.bin", POINTS)


def test_points_come_back_as_they_were_written(path):
    points = read_points(path)
    assert points.dtype == torch.float32
    assert np.array_equal(points.numpy(), POINTS)


def test_points_may_have_more_columns(path):
    assert read_points(path, 5).shape == (16, 5)


def test_an_empty_file_has_no_points(tmp_path):
    assert read_points(save_points(tmp_path / "empty.bin", np.zeros((0, 4)))).shape == (0, 4)


def test_points_may_be_changed(path):
    read_points(path).zero_()
    assert np.array_equal(read_points(path).numpy(), POINTS)


def test_points_that_are_not_finite_are_left_out_and_counted(tmp_path, caplog):
    spoiled = POINTS.copy()
    spoiled[3] = np.nan
    spoiled[7, 3] = np.inf
    path = save_points(tmp_path / "sweep.bin", spoiled)
    with caplog.at_level(logging.WARNING):
        points = read_points(path)
    assert np.array_equal(points.numpy(), np.delete(POINTS, [3, 7], axis=0))
    assert caplog.messages == [f"{path}: left out 2 of 20 points: they are not finite"]


def test_points_left_out_are_told_of_once(tmp_path, caplog):
    path = save_points(tmp_path / "sweep.bin", np.full((2, 4), np.nan))
    with caplog.at_level(logging.WARNING):
        read_points(path)
        read_points(path)
    assert len(caplog.messages) == 1


def test_a_size_that_fits_no_point_is_refused(path):
    path.write_bytes(path.read_bytes()[:-3])
    with pytest.raises(ValueError, match=r"sweep\.bin: .* 317 bytes are no multiple of 16"):
        read_points(path)


def test_too_many_points_are_refused_before_they_are_read(path):
    with pytest.raises(ValueError, match=r"sweep\.bin: .* more than 19 points are refused"):
        read_points(path, max_points=19)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"none\.bin: no such file"):
        read_points(tmp_path / "none.bin")


def test_a_folder_is_no_file_of_points(tmp_path):
    with pytest.raises(ValueError, match="cannot be read as points"):
        read_points(tmp_path)
