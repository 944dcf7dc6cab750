"""Damaged KITTI, lidar and IDX files are read or refused by name, whatever they hold."""

import csv
import gzip
import logging
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from road_files import (
    KITTI_ROWS,
    calibration_text,
    idx_bytes,
    save_kitti,
    save_picture,
    save_points,
    save_text,
)

from hat.data import IdxDataset, KittiObjectDataset
from hat.data.datasets.idx import read_idx
from hat.data.datasets.kitti import KittiLabels, lidar_boxes, read_calibration, read_labels
from hat.data.point_clouds import read_points

#: A bounded search: the same cases in every run.
BOUNDED = settings(
    max_examples=150,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


def expect_refused(read, message):
    def check(path, tmp_path, caplog):
        with pytest.raises(ValueError, match=rf"{path.name}.*{message}"):
            read(path)

    return check


def expect_frame_without_objects(path, tmp_path, caplog):
    """The label file as that of a frame among others: `num_ignored` regions and no objects."""
    folder = save_kitti(tmp_path / "kitti", num=1)
    (folder / "training/label_2/000000.txt").write_bytes(path.read_bytes())
    sample = KittiObjectDataset(folder)[0]
    assert sample["gt_bboxes"].shape == (0, 4)
    assert sample["gt_bboxes_3d"].shape == (0, 7)
    assert len(sample["gt_ignore_bboxes"]) == len(path.read_text().splitlines())


def expect_points(num_points, num_dropped):
    def check(path, tmp_path, caplog):
        with caplog.at_level(logging.WARNING):
            points = read_points(path)
        assert points.shape == (num_points, 4)
        assert bool(torch.isfinite(points).all())
        told = [f"left out {num_dropped} of" in message for message in caplog.messages]
        assert told == [True] * bool(num_dropped)

    return check


def expect_labels_do_not_match(path, tmp_path, caplog):
    """The label file together with pictures of which there is one more."""
    pictures = tmp_path / "pictures.idx3-ubyte"
    pictures.write_bytes(idx_bytes(np.zeros((20, 28, 28), np.uint8)))
    with pytest.raises(ValueError, match=rf"{path.name}: expected 20 labels"):
        IdxDataset(pictures, path)


#: What is expected of each file of the manifest that belongs to these readers.
EXPECTED = {
    "annotations/kitti_short_row.txt": expect_refused(
        read_labels, ":1: expected 15 values, got 14"
    ),
    "annotations/kitti_dontcare_only.txt": expect_frame_without_objects,
    "annotations/kitti_empty.txt": expect_frame_without_objects,
    "other/velodyne_not_multiple_of_16.bin": expect_refused(read_points, "no multiple of 16"),
    "other/velodyne_nan.bin": expect_points(498, 2),
    "other/velodyne_empty.bin": expect_points(0, 0),
    "other/idx_bad_magic.idx3-ubyte": expect_refused(read_idx, "got 0x09"),
    "other/idx_labels_short.idx1-ubyte": expect_labels_do_not_match,
}


@pytest.mark.shared
def test_no_file_of_the_manifest_is_left_out(shared_data):
    with (shared_data / "bad_inputs/manifest.csv").open() as file:
        names = [row["file"] for row in csv.DictReader(file)]
    ours = [name for name in names if name.startswith(("annotations/kitti", "other/"))]
    assert sorted(ours) == sorted(EXPECTED)


@pytest.mark.shared
@pytest.mark.parametrize("name", EXPECTED)
def test_a_bad_file_is_read_as_its_manifest_says(name, shared_data, tmp_path, caplog):
    EXPECTED[name](shared_data / "bad_inputs" / name, tmp_path, caplog)


def generated(name, folder):
    """A file of the kind that the manifest's file of this name is."""
    path = folder / Path(name).name
    points = np.random.default_rng(0).normal(size=(500, 4)).astype("<f4")
    if name == "other/velodyne_nan.bin":
        points[3], points[9, 2] = np.nan, np.inf
    contents = {
        "annotations/kitti_short_row.txt": KITTI_ROWS[0].rsplit(" ", 1)[0].encode(),
        "annotations/kitti_dontcare_only.txt": KITTI_ROWS[2].encode(),
        "annotations/kitti_empty.txt": b"",
        "other/velodyne_not_multiple_of_16.bin": points.tobytes() + b"1234567",
        "other/velodyne_nan.bin": points.tobytes(),
        "other/velodyne_empty.bin": b"",
        "other/idx_bad_magic.idx3-ubyte": idx_bytes(np.zeros((2, 28, 28), np.uint8), 0x09),
        "other/idx_labels_short.idx1-ubyte": idx_bytes(np.zeros(19, np.uint8)),
    }
    path.write_bytes(contents[name])
    return path


@pytest.mark.parametrize("name", EXPECTED)
def test_a_bad_file_made_here_is_read_as_expected(name, tmp_path, caplog):
    EXPECTED[name](generated(name, tmp_path), tmp_path, caplog)


def read_or_refused(read, path):
    """What a reader gives, or None where it refuses the file by its name."""
    try:
        return read(path)
    except ValueError as error:
        if str(path) not in str(error):
            raise
        return None


WORDS = st.one_of(
    st.sampled_from([word for row in KITTI_ROWS for word in row.split()]),
    st.sampled_from(["nan", "inf", "-1e309", "1e999", "1_0", "0x1", "٣", "1e38", "-0", "\x00"]),
    st.text(max_size=4),
)
CHANGES = st.lists(st.tuples(st.integers(0, 60), WORDS), max_size=4)


def changed(text):
    """Contents of a file: bytes of any kind, or the text with some of its words replaced."""

    def apply(changes):
        words = text.split(" ")
        for place, word in changes:
            words[place % len(words)] = word
        return " ".join(words).encode("utf-8", "replace")

    return st.one_of(st.binary(max_size=300), CHANGES.map(apply))


@BOUNDED
@given(changed("\n".join(KITTI_ROWS)))
@example(b"")
@example(b"\n" * 50)
def test_any_label_file_gives_finite_boxes_or_its_name(tmp_path, content):
    path = tmp_path / "label.txt"
    path.write_bytes(content)
    labels = read_or_refused(read_labels, path)
    if isinstance(labels, KittiLabels):
        calibration = read_calibration(save_text(tmp_path / "calib.txt", calibration_text()))
        boxes = lidar_boxes(labels, calibration).astype(np.float32)
        assert boxes.shape == (len(labels.types), 7)
        assert np.isfinite(boxes).all()


@BOUNDED
@given(changed(calibration_text()))
def test_any_calibration_gives_finite_matrices_or_its_name(tmp_path, content):
    path = tmp_path / "calib.txt"
    path.write_bytes(content)
    calibration = read_or_refused(read_calibration, path)
    assert calibration is None or np.isfinite(calibration.lidar_to_pixels).all()


@BOUNDED
@given(st.binary(max_size=400), st.integers(1, 7))
def test_any_points_are_finite_or_named(tmp_path, content, num_columns):
    path = tmp_path / "sweep.bin"
    path.write_bytes(content)
    points = read_or_refused(lambda file: read_points(file, num_columns), path)
    assert points is None or bool(torch.isfinite(points).all())


HEADERS = st.tuples(
    st.sampled_from([0x08, 0x08, 0x08, 0x09, 0x0D]),
    st.lists(st.sampled_from([0, 1, 2, 3, 28, 1 << 31, (1 << 32) - 1]), max_size=5),
).map(
    lambda parts: (
        bytes([0, 0, parts[0], len(parts[1])])
        + b"".join(size.to_bytes(4, "big") for size in parts[1])
    )
)


@BOUNDED
@given(
    st.one_of(st.just(b""), HEADERS),
    st.binary(max_size=60),
    st.sampled_from([bytes, gzip.compress, lambda content: gzip.compress(content)[:-9]]),
)
def test_any_idx_file_has_the_size_that_it_says_or_is_named(tmp_path, header, content, pack):
    path = tmp_path / "any.idx"
    path.write_bytes(pack(header + content))
    values = read_or_refused(read_idx, path)
    assert values is None or values.size == len(header + content) - 4 - 4 * values.ndim


@BOUNDED
@given(st.binary(max_size=80), st.binary(max_size=40))
@example(idx_bytes(np.zeros((2, 3, 4), np.uint8)), idx_bytes(np.zeros(2, np.uint8)))
def test_any_pair_of_idx_files_can_be_read_whole_or_is_named(tmp_path, pictures, labels):
    (tmp_path / "a.idx").write_bytes(pictures)
    (tmp_path / "b.idx").write_bytes(labels)
    samples = read_or_refused(
        lambda folder: list(IdxDataset(folder / "a.idx", folder / "b.idx")), tmp_path
    )
    assert samples is None or all(sample["img"].ndim == 3 for sample in samples)


@pytest.mark.parametrize("folder", ["image_2", "calib", "label_2", "velodyne"])
@pytest.mark.parametrize("content", [b"", b"\x89PNG\r\n\x1a\n\0", b"\xff" * 33])
def test_a_frame_with_a_damaged_file_is_refused_by_its_name_or_empty(tmp_path, folder, content):
    root = save_kitti(tmp_path, num=1)
    (path,) = (root / "training" / folder).iterdir()
    path.write_bytes(content)
    sample = read_or_refused(lambda _: KittiObjectDataset(root)[0], path)
    is_allowed_empty = content == b"" and folder in ("label_2", "velodyne")
    assert (sample is not None) == is_allowed_empty


def test_a_label_file_that_is_too_large_is_refused_before_it_is_read(tmp_path):
    path = tmp_path / "label.txt"
    with path.open("wb") as file:
        file.truncate(1 << 25)
    with pytest.raises(ValueError, match=r"label\.txt: .* bytes are refused"):
        read_labels(path)


def test_a_huge_sweep_is_refused_before_it_is_read(tmp_path):
    path = save_points(tmp_path / "sweep.bin", np.zeros((1, 4)))
    with path.open("r+b") as file:
        file.truncate(1 << 34)
    with pytest.raises(ValueError, match=r"sweep\.bin: .* points are refused"):
        read_points(path)


def test_a_huge_idx_file_costs_no_memory(tmp_path):
    path = tmp_path / "large.idx"
    with path.open("wb") as file:
        file.write(bytes.fromhex("00000803 00100000 00000100 00000100"))
        file.truncate(16 + (1 << 36))
    assert read_idx(path).shape == (1 << 20, 256, 256)


def test_a_picture_where_another_sort_of_file_is_expected_is_refused(tmp_path):
    path = save_picture(tmp_path / "picture.png")
    for read in (read_idx, read_labels, read_calibration):
        assert read_or_refused(read, path) is None
