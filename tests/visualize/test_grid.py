"""Pictures side by side, and in files."""

import cv2
import numpy as np
import pytest

from hat.data import distinct_colors
from hat.visualize import picture_grid, write_png


def plain(height, width, value):
    return np.full((height, width, 3), value, np.uint8)


def test_pictures_stand_row_by_row():
    grid = picture_grid([plain(2, 3, n) for n in (10, 20, 30)], 2, gap=1)
    assert grid.shape == (7, 9, 3)
    assert [grid[1, 1, 0], grid[1, 5, 0], grid[4, 1, 0]] == [10, 20, 30]
    assert grid[4, 5, 0] == 255


def test_smaller_pictures_stand_in_the_middle_of_their_cells():
    grid = picture_grid([plain(6, 6, 1), plain(2, 2, 2)], 2, gap=0, background=(9, 9, 9))
    assert (grid[2:4, 8:10] == 2).all()
    assert (grid == 9).all(axis=2).sum() == 36 - 4


def test_the_grid_of_wide_pictures_is_about_square():
    assert picture_grid([plain(10, 40, 0)] * 16, gap=0).shape == (80, 80, 3)


def test_there_are_no_more_columns_than_pictures():
    assert picture_grid([plain(2, 2, 0)], 5, gap=0).shape == (2, 2, 3)


def test_a_grid_of_nothing_is_refused():
    with pytest.raises(ValueError, match="at least one picture"):
        picture_grid([])


def test_a_picture_of_floats_is_refused_by_its_number():
    with pytest.raises(ValueError, match=r"picture 1: expected uint8.* got float64"):
        picture_grid([plain(2, 2, 0), np.zeros((2, 2, 3))])


def test_a_file_holds_the_picture_in_its_colours(tmp_path):
    picture = np.arange(24, dtype=np.uint8).reshape(2, 4, 3)
    write_png(tmp_path / "new" / "a.png", picture)
    read = cv2.imread(str(tmp_path / "new" / "a.png"), cv2.IMREAD_COLOR_RGB)
    assert (read == picture).all()


def test_a_file_of_a_grey_picture_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"a\.png: expected uint8"):
        write_png(tmp_path / "a.png", np.zeros((2, 2), np.uint8))


def test_colours_differ():
    colors = np.array(distinct_colors(20), int)
    apart = np.abs(colors[:, None] - colors[None]).sum(axis=2) + 1000 * np.eye(20, dtype=int)
    assert apart.min() > 30
