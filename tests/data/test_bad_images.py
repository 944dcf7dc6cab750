"""The shared collection of odd pictures and masks, file by file: read right, or refused by name."""

import csv

import numpy as np
import pytest
import torch
from PIL import Image as PILImage

from hat.data import ImageFiles
from hat.data.images import (
    check_same_size,
    exif_orientation,
    image_size,
    orient_boxes,
    read_image,
    read_mask,
)

pytestmark = pytest.mark.shared

#: What the error of each says.
REFUSED = {
    "truncated_header.jpg": "cut short",
    "corrupt_middle.jpg": "Corrupt JPEG data",
    "zero_byte.jpg": "is empty",
    "text_named.jpg": "not a picture",
    "truncated.png": "cut short",
    "huge_header.jpg": "claims 65000 x 65000 pixels",
    "zero_width.png": "not a picture",
}
SHAPES = {
    "reference.jpg": (3, 360, 480),
    "trailing_garbage.jpg": (3, 360, 480),
    "grayscale.jpg": (3, 360, 480),
    "progressive.jpg": (3, 360, 480),
    **{f"exif_orientation_{n}.jpg": (3, 180, 240) for n in range(1, 9)},
    "png_named.jpg": (3, 180, 240),
    "webp_named.jpg": (3, 180, 240),
    "UPPERCASE.JPG": (3, 180, 240),
    "name with space é.jpg": (3, 180, 240),
    "gray16.png": (3, 180, 240),
    "rgb16.png": (3, 180, 240),
    "rgba.png": (3, 180, 240),
    "gray_alpha.png": (3, 180, 240),
    "palette_transparency.png": (3, 180, 240),
    "one_pixel.png": (3, 1, 1),
    "small.bmp": (3, 45, 60),
}
MASKS = {"wrong_size.png", "rgb_coded.png", "palette.png", "lossy_mask.jpg"}


@pytest.fixture
def bad(shared_data):
    return shared_data / "bad_inputs"


@pytest.fixture
def odd(bad):
    return bad / "images"


def difference(path, other):
    """Mean difference in levels of 0..255."""
    return (read_image(path).float() - read_image(other).float()).abs().mean().item()


def names_in(bad, folder):
    rows = csv.DictReader((bad / "manifest.csv").read_text(encoding="utf-8").splitlines())
    files = (row["file"].split("/") for row in rows)
    return {name for first, *rest in files for name in rest if first == folder}


def test_every_picture_of_the_manifest_is_tested_here(bad):
    assert names_in(bad, "images") == REFUSED.keys() | SHAPES.keys()


def test_every_mask_of_the_manifest_is_tested_here(bad):
    assert names_in(bad, "masks") == MASKS


@pytest.mark.parametrize("name", sorted(REFUSED))
def test_a_broken_picture_is_refused(odd, name):
    with pytest.raises(ValueError, match=REFUSED[name]) as caught:
        read_image(odd / name)
    assert str(caught.value).startswith(f"{odd / name}: ")


@pytest.mark.parametrize("name", sorted(REFUSED.keys() - {"corrupt_middle.jpg", "truncated.png"}))
def test_a_broken_header_has_no_size(odd, name):
    with pytest.raises(ValueError, match=REFUSED[name]) as caught:
        image_size(odd / name)
    assert str(caught.value).startswith(f"{odd / name}: ")


@pytest.mark.parametrize("name", sorted(SHAPES))
def test_a_whole_picture_is_read(odd, name):
    assert read_image(odd / name).shape == SHAPES[name]


@pytest.mark.parametrize("name", sorted(SHAPES))
def test_the_header_tells_the_size(odd, name):
    assert image_size(odd / name) == SHAPES[name][1:]


@pytest.mark.parametrize(
    ("name", "same"),
    [
        ("trailing_garbage.jpg", "reference.jpg"),
        ("progressive.jpg", "reference.jpg"),
        ("rgb16.png", "png_named.jpg"),
        ("rgba.png", "png_named.jpg"),
        ("name with space é.jpg", "UPPERCASE.JPG"),
    ],
)
def test_an_odd_file_shows_the_same_as_a_plain_one(odd, name, same):
    assert difference(odd / name, odd / same) == 0


@pytest.mark.parametrize("name", ["webp_named.jpg", "palette_transparency.png", "UPPERCASE.JPG"])
def test_an_odd_file_shows_nearly_the_same_as_a_plain_one(odd, name):
    assert difference(odd / name, odd / "png_named.jpg") < 4


@pytest.mark.parametrize("orientation", range(2, 9))
def test_all_orientations_look_the_same(odd, orientation):
    name = f"exif_orientation_{orientation}.jpg"
    assert difference(odd / name, odd / "exif_orientation_1.jpg") < 4


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_box_follows_the_orientation(odd, orientation):
    path = odd / f"exif_orientation_{orientation}.jpg"
    stored = np.asarray(PILImage.open(path)).astype(float)
    box = torch.tensor([20, 30, 75, 60])
    left, top, right, bottom = orient_boxes(box, exif_orientation(path), stored.shape[:2]).tolist()
    upright = read_image(path)[:, top:bottom, left:right].float().mean((1, 2))
    torch.testing.assert_close(
        upright.double(), torch.tensor(stored[30:60, 20:75].mean((0, 1))), rtol=0, atol=1e-3
    )


@pytest.mark.parametrize("name", ["grayscale.jpg", "gray_alpha.png", "gray16.png"])
def test_an_odd_grey_picture_has_three_equal_channels(odd, name):
    img = read_image(odd / name)
    assert torch.equal(img[0], img[1])
    assert torch.equal(img[0], img[2])


def test_the_ramp_of_16_bits_covers_8(odd):
    levels, counts = read_image(odd / "gray16.png")[0].unique(return_counts=True)
    assert levels.tolist() == list(range(256))
    assert counts.max() < 1.1 * counts.min()


def test_the_ramp_of_16_bits_stays_16_as_a_mask(odd):
    mask = read_mask(odd / "gray16.png")
    assert mask.dtype == torch.int32
    assert (mask.min(), mask.max()) == (0, 65535)


def test_a_transparent_palette_is_left_alone_in_a_mask(odd):
    path = odd / "palette_transparency.png"
    assert np.array_equal(read_mask(path), np.asarray(PILImage.open(path)))


def test_odd_names_are_found_in_a_folder(odd):
    found = {path.rsplit("/", 1)[1] for path in ImageFiles([odd]).paths}
    assert found == REFUSED.keys() | SHAPES.keys()


# Masks


def test_a_mask_of_another_size_is_refused_with_both_files(bad, odd):
    path = bad / "masks" / "wrong_size.png"
    with pytest.raises(ValueError, match=r"240 x 180 .* 480 x 360") as caught:
        check_same_size(read_mask(path), path, image_size(odd / "reference.jpg"), "picture.jpg")
    assert str(caught.value).startswith(f"{path}: ")


def test_a_painted_mask_is_refused_without_colours(bad):
    path = bad / "masks" / "rgb_coded.png"
    with pytest.raises(ValueError, match=r"RGB colours; if each colour .* `colors`") as caught:
        read_mask(path)
    assert str(caught.value).startswith(f"{path}: ")


def test_a_painted_mask_is_decoded_by_the_colours_of_its_palette(bad):
    palette = PILImage.open(bad / "masks" / "palette.png").getpalette()
    colors = {tuple(palette[n : n + 3]): n // 3 for n in range(len(palette) - 3, -1, -3)}
    painted = read_mask(bad / "masks" / "rgb_coded.png", colors)
    assert torch.equal(painted, read_mask(bad / "masks" / "palette.png"))


def test_a_palette_mask_holds_its_indices(bad):
    path = bad / "masks" / "palette.png"
    assert np.array_equal(read_mask(path), np.asarray(PILImage.open(path)))


def test_a_lossy_mask_is_refused(bad):
    path = bad / "masks" / "lossy_mask.jpg"
    with pytest.raises(ValueError, match="JPEG cannot hold a mask") as caught:
        read_mask(path)
    assert str(caught.value).startswith(f"{path}: ")
