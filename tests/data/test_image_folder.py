"""Pictures in folders, with and without classes."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image as PILImage

from hat.data import ImageFiles, ImageFolder


def picture(path, level=0):
    path.parent.mkdir(parents=True, exist_ok=True)
    PILImage.fromarray(np.full((2, 3), level, np.uint8)).save(path)
    return path


@pytest.fixture
def animals(tmp_path):
    picture(tmp_path / "dog" / "a.png", 10)
    picture(tmp_path / "cat" / "b.png", 20)
    picture(tmp_path / "cat" / "a.png", 30)
    return tmp_path


def labels(dataset):
    return [sample["label"] for sample in dataset]


def ids(dataset):
    return [sample["img_id"] for sample in dataset]


def test_classes_are_the_folders_in_order(animals):
    assert tuple(ImageFolder(animals).classes) == ("cat", "dog")


def test_pictures_come_class_by_class_in_order(animals):
    assert ids(ImageFolder(animals)) == ["cat/a.png", "cat/b.png", "dog/a.png"]


def test_the_folder_is_the_label(animals):
    assert labels(ImageFolder(animals)) == [0, 0, 1]


def test_a_sample_holds_its_picture(animals):
    assert ImageFolder(animals)[2]["img"].tolist() == [[[10] * 3] * 2] * 3


def test_a_sample_knows_where_it_is_from(animals):
    sample = ImageFolder(animals)[1]
    assert sample["img_path"] == str(animals / "cat" / "b.png")
    assert sample["ori_shape"] == (2, 3)


def test_given_classes_set_the_numbers(animals):
    dataset = ImageFolder(animals, classes=["dog", "bird", "cat"])
    assert dict(zip(ids(dataset), labels(dataset), strict=True)) == {
        "dog/a.png": 0,
        "cat/a.png": 2,
        "cat/b.png": 2,
    }


def test_given_classes_may_be_absent(animals):
    assert len(ImageFolder(animals, classes=["cat", "dog", "bird"])) == 3


def test_a_folder_that_is_no_given_class_is_refused(animals):
    with pytest.raises(ValueError, match=r"folders \['dog'\] are not in classes \['cat'\]"):
        ImageFolder(animals, classes=["cat"])


def test_a_missing_root_is_refused_with_what_exists(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no such folder .*exists\)") as caught:
        ImageFolder(tmp_path / "data" / "train")
    assert str(caught.value) == f"{tmp_path / 'data' / 'train'}: no such folder ({tmp_path} exists)"


def test_a_root_without_class_folders_is_refused(tmp_path):
    picture(tmp_path / "a.png")
    with pytest.raises(FileNotFoundError, match="holds no class folders"):
        ImageFolder(tmp_path)


def test_a_root_that_is_a_file_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="no such folder"):
        ImageFolder(picture(tmp_path / "a.png"))


def test_a_class_without_pictures_is_refused(animals):
    (animals / "bird").mkdir()
    with pytest.raises(FileNotFoundError, match=r"bird: no picture in this folder"):
        ImageFolder(animals)


def test_upper_case_endings_are_found(tmp_path):
    picture(tmp_path / "cat" / "A.PNG")
    assert ids(ImageFolder(tmp_path)) == ["cat/A.PNG"]


def test_pictures_in_inner_folders_are_found(tmp_path):
    picture(tmp_path / "cat" / "2024" / "may" / "a.png")
    assert ids(ImageFolder(tmp_path)) == ["cat/2024/may/a.png"]


def test_names_may_have_any_letters(tmp_path):
    picture(tmp_path / "größe 猫" / "ñ o.png")
    assert ids(ImageFolder(tmp_path)) == ["größe 猫/ñ o.png"]


def test_files_that_are_no_pictures_are_left_out(animals):
    (animals / "cat" / "notes.txt").write_text("meow")
    (animals / "readme.md").write_text("animals")
    assert len(ImageFolder(animals)) == 3


def test_a_folder_that_ends_like_a_picture_is_left_out(animals):
    (animals / "cat" / "old.jpg").mkdir()
    assert len(ImageFolder(animals)) == 3


def test_the_root_may_be_relative(animals, monkeypatch):
    monkeypatch.chdir(animals.parent)
    assert ids(ImageFolder(animals.name)) == ["cat/a.png", "cat/b.png", "dog/a.png"]


def test_files_are_taken_in_the_given_order(animals):
    paths = [animals / "dog" / "a.png", animals / "cat" / "a.png"]
    assert ids(ImageFiles(paths)) == [str(path) for path in paths]


def test_folders_are_searched_in_order(animals):
    names = [Path(path).relative_to(animals).as_posix() for path in ImageFiles([animals]).paths]
    assert names == ["cat/a.png", "cat/b.png", "dog/a.png"]


def test_files_and_folders_may_be_mixed(animals):
    dataset = ImageFiles([animals / "dog" / "a.png", str(animals / "cat")])
    assert len(dataset) == 3


def test_a_named_file_is_taken_whatever_its_ending(animals):
    renamed = (animals / "cat" / "a.png").rename(animals / "cat" / "a.dat")
    assert ImageFiles([renamed])[0]["img"].shape == (3, 2, 3)


def test_pictures_without_labels_have_none(animals):
    assert set(ImageFiles([animals])[0]) == {"img", "img_id", "img_path", "ori_shape"}


def test_a_path_that_does_not_exist_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"missing: no such file or folder"):
        ImageFiles([tmp_path / "missing"])


def test_a_folder_without_pictures_is_refused_with_the_endings(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no picture in this folder \(looked for .*\.jpg"):
        ImageFiles([tmp_path])


def test_a_single_path_is_not_taken_for_many(animals):
    with pytest.raises(TypeError, match="list"):
        ImageFiles(str(animals))


def without_picture(sample):
    return {key: value for key, value in sample.items() if key != "img"}


def test_the_annotation_of_a_folder_is_the_sample_without_its_picture(animals):
    dataset = ImageFolder(animals)
    assert dataset.annotation(1) == without_picture(dataset[1])


def test_the_annotation_of_files_is_the_sample_without_its_picture(animals):
    dataset = ImageFiles([animals])
    assert dataset.annotation(1) == without_picture(dataset[1])


def test_an_annotation_reads_no_pixels(animals):
    path = animals / "cat" / "a.png"
    path.write_bytes(path.read_bytes()[:-16])
    assert ImageFolder(animals).annotation(0)["ori_shape"] == (2, 3)


def test_the_source_of_a_sample_is_its_file(animals):
    assert ImageFolder(animals).source(2) == str(animals / "dog" / "a.png")
    assert ImageFiles([animals]).source(2) == str(animals / "dog" / "a.png")


def test_links_to_a_store_elsewhere_are_followed(animals, tmp_path_factory):
    store = picture(tmp_path_factory.mktemp("store") / "1.png", 40)
    (animals / "cat" / "c.png").symlink_to(store)
    assert ImageFolder(animals)[2]["img"].unique().tolist() == [40]


def test_a_broken_picture_is_named(animals):
    (animals / "cat" / "a.png").write_bytes(b"text")
    with pytest.raises(ValueError, match=r"cat/a\.png: cannot be decoded"):
        ImageFolder(animals)[0]
