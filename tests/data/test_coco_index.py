"""The index of a large COCO file on disk: read whole or made anew."""

import gc
import json
import os
import shutil

import numpy as np
import pytest
import torch
from annotation_files import coco_folder, coco_object, write_coco

from hat.data import CocoDataset
from hat.data.datasets import coco_index
from hat.data.datasets.coco_index import build_index, open_index


@pytest.fixture
def opens(tmp_path, monkeypatch):
    """Opens the file of a folder with an index; `opens.built` lists the files that were read."""
    path, built = coco_folder(tmp_path), []

    def build(path):
        built.append(path)
        return build_index(path)

    def opened():
        return CocoDataset(path, tmp_path, index_dir=tmp_path / "index")

    monkeypatch.setattr(coco_index, "build_index", build)
    opened.built, opened.path = built, path
    return opened


def index_folder(tmp_path):
    (folder,) = (tmp_path / "index").iterdir()
    return folder


def equal(sample, other):
    tensors = ["img", "gt_bboxes", "gt_classes", "gt_crowd", "gt_masks"]
    return all(torch.equal(sample[key], other[key]) for key in tensors)


def test_a_file_is_read_once(opens):
    first, second = opens(), opens()
    assert len(opens.built) == 1
    assert all(equal(first[n], second[n]) for n in range(3))


def test_an_indexed_data_set_has_the_samples_of_one_that_is_not(opens, tmp_path):
    without = CocoDataset(opens.path, tmp_path)
    assert all(equal(opens()[n], without[n]) for n in range(3))


def test_arrays_are_mapped_and_not_copied(opens):
    opens()
    boxes = opens()._index.boxes
    assert not boxes.flags.writeable
    assert type(boxes) is np.ndarray


def test_a_sample_may_be_changed(opens):
    dataset = opens()
    dataset[0]["gt_bboxes"].zero_()
    assert dataset[0]["gt_bboxes"].sum() > 0


def test_a_file_that_changed_is_read_anew_and_its_old_index_removed(opens, tmp_path):
    opens()
    write_coco(tmp_path, [coco_object(1)])
    assert len(opens()[0]["gt_bboxes"]) == 1
    assert len(opens.built) == 2
    assert len(list((tmp_path / "index").iterdir())) == 1


def test_a_file_of_the_same_size_and_another_time_is_read_anew(opens):
    opens()
    os.utime(opens.path, ns=(0, 1))
    opens()
    assert len(opens.built) == 2


def cut_short(folder):
    path = folder / "boxes.npy"
    path.write_bytes(path.read_bytes()[:-1])


def remove(folder):
    (folder / "boxes.npy").unlink()


def replace(folder):
    np.save(folder / "boxes.npy", np.zeros(7))


def empty(folder):
    (folder / "index.json").write_text("")


def other_json(folder):
    (folder / "index.json").write_text("[]")


def lack_an_array(folder):
    path = folder / "index.json"
    content = json.loads(path.read_text())
    del content["arrays"]["boxes"]
    path.write_text(json.dumps(content))


DAMAGE = [cut_short, remove, replace, empty, other_json, lack_an_array]


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_index_is_made_anew(opens, tmp_path, caplog, damage):
    opens()
    damage(index_folder(tmp_path))
    assert opens()[0]["gt_bboxes"].tolist() == [[2, 1, 13, 9], [2, 0, 3, 12]]
    assert "is damaged" in caplog.text
    opens()
    assert len(opens.built) == 2


def test_without_a_place_for_an_index_the_file_is_read_each_time(opens, tmp_path, caplog):
    (tmp_path / "index").write_text("in the way")
    opens()
    assert len(opens()) == 3
    assert len(opens.built) == 2
    assert "its index cannot be kept in" in caplog.text


def test_nothing_half_written_is_left_when_writing_fails(opens, tmp_path, monkeypatch):
    def full(path, array):
        raise OSError("no space left on device")

    monkeypatch.setattr(np, "save", full)
    assert len(opens()) == 3
    assert list((tmp_path / "index").iterdir()) == []


def test_an_index_that_another_process_wrote_meanwhile_is_used(opens, tmp_path):
    opens()
    folder = index_folder(tmp_path)
    coco_index._save_index(build_index(opens.path), folder)
    assert [path.name for path in (tmp_path / "index").iterdir()] == [folder.name]


def test_mistakes_are_told_from_the_index_too(opens, tmp_path):
    write_coco(tmp_path, [coco_object(1, bbox=(2, 1, -4, 4))])
    errors = []
    for _ in range(2):
        with pytest.raises(ValueError, match="annotation 1 of image 5: bbox") as error:
            opens()
        errors.append(str(error.value))
    assert errors[0] == errors[1]
    assert len(opens.built) == 1


def test_small_files_leave_nothing_behind(tmp_path, monkeypatch):
    monkeypatch.setenv("HAT_CACHE", str(tmp_path / "cache"))
    open_index(coco_folder(tmp_path), None)
    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize(("variable", "folder"), [("HAT_CACHE", ""), ("XDG_CACHE_HOME", "hat")])
def test_large_files_are_indexed_in_the_folder_of_caches(tmp_path, monkeypatch, variable, folder):
    monkeypatch.setattr(coco_index, "MIN_INDEXED_BYTES", 0)
    monkeypatch.delenv("HAT_CACHE", raising=False)
    monkeypatch.setenv(variable, str(tmp_path / "cache"))
    open_index(coco_folder(tmp_path), None)
    assert len(list((tmp_path / "cache" / folder / "coco").iterdir())) == 1


def test_an_index_that_was_removed_after_it_was_mapped_is_still_read(opens, tmp_path):
    dataset = opens()
    shutil.rmtree(tmp_path / "index")
    assert len(dataset[0]["gt_bboxes"]) == 2


def test_the_garbage_collector_is_on_after_a_file_was_read_or_refused(tmp_path):
    build_index(coco_folder(tmp_path))
    (tmp_path / "cut.json").write_text("{")
    with pytest.raises(ValueError, match="not whole JSON"):
        build_index(tmp_path / "cut.json")
    assert gc.isenabled()
