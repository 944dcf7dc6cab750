"""Masks and depth maps hold the numbers that were stored; paths stay inside; boxes turn."""

import io
import struct
import zlib

import numpy as np
import pytest
import torch
from PIL import Image as PILImage

from hat.data.images import (
    check_same_size,
    decode_mask,
    exif_orientation,
    image_size,
    orient_boxes,
    path_inside,
    read_depth,
    read_image,
    read_mask,
)
from hat.data.pixels import Mask

RED, GREEN, BLUE = (255, 0, 0), (0, 255, 0), (0, 0, 255)
CLASSES = np.array([[0, 1, 2], [2, 1, 255]], np.uint8)


def saved(path, picture, **options):
    if isinstance(picture, np.ndarray):
        picture = PILImage.fromarray(picture)
    picture.save(path, **options)
    return path


def palette_picture(indices, colors):
    picture = PILImage.fromarray(np.array(indices, np.uint8))
    picture.putpalette([channel for color in colors for channel in color])
    return picture


def exif(orientation):
    tags = PILImage.Exif()
    tags[274] = orientation
    return tags


# Numbers as they are stored


@pytest.mark.parametrize("suffix", ["png", "bmp", "tif"])
def test_grey_values_are_kept(tmp_path, suffix):
    mask = read_mask(saved(tmp_path / f"mask.{suffix}", CLASSES))
    assert type(mask) is Mask
    assert mask.dtype == torch.uint8
    assert mask.tolist() == CLASSES.tolist()


@pytest.mark.parametrize("suffix", ["png", "bmp", "tif"])
def test_palette_indices_are_kept(tmp_path, suffix):
    picture = palette_picture([[0, 2], [1, 1]], [RED, GREEN, BLUE])
    assert read_mask(saved(tmp_path / f"mask.{suffix}", picture)).tolist() == [[0, 2], [1, 1]]


@pytest.mark.parametrize("bits", [1, 2, 4])
def test_palette_indices_of_few_bits_are_kept(tmp_path, bits):
    picture = palette_picture([[0, 1, 1]], [RED, BLUE])
    assert read_mask(saved(tmp_path / "mask.png", picture, bits=bits)).tolist() == [[0, 1, 1]]


def test_one_bit_is_zero_or_one(tmp_path):
    path = saved(tmp_path / "mask.png", np.array([[True, False]]))
    assert read_mask(path).tolist() == [[1, 0]]


@pytest.mark.parametrize(("bits", "row"), [(2, 0b00_01_10_11), (4, 0x03)])
def test_grey_of_few_bits_is_not_stretched(bits, row):
    def chunk(kind, content):
        crc = struct.pack(">I", zlib.crc32(kind + content))
        return struct.pack(">I", len(content)) + kind + content + crc

    count = 8 // bits
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", count, 1, bits, 0, 0, 0, 0))
    pixels = chunk(b"IDAT", zlib.compress(bytes([0, row])))
    data = b"\x89PNG\r\n\x1a\n" + header + pixels + chunk(b"IEND", b"")
    assert decode_mask(data, "mask.png").tolist() == [[0, 1, 2, 3] if bits == 2 else [0, 3]]


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_16_bits_stay_16(tmp_path, suffix):
    ids = np.array([[0, 255, 256, 26001, 65535]], np.uint16)
    mask = read_mask(saved(tmp_path / f"ids.{suffix}", ids))
    assert mask.dtype == torch.int32
    assert mask.tolist() == ids.tolist()


def test_transparency_of_a_palette_changes_no_index(tmp_path):
    picture = palette_picture([[0, 1, 2]], [RED, GREEN, BLUE])
    path = saved(tmp_path / "mask.png", picture, transparency=bytes([0, 128, 255]))
    assert read_mask(path).tolist() == [[0, 1, 2]]


def test_a_mask_can_be_changed_in_place(tmp_path):
    mask = read_mask(saved(tmp_path / "mask.png", CLASSES))
    assert mask.zero_().sum() == 0


# Painted masks


PAINTED = np.array([[RED, RED, BLUE], [GREEN, BLUE, BLUE]], np.uint8)


def test_a_painted_mask_is_refused_without_colours(tmp_path):
    path = saved(tmp_path / "mask.png", PAINTED)
    with pytest.raises(ValueError, match="RGB colours; if each colour stands") as caught:
        read_mask(path)
    assert str(caught.value).startswith(f"{path}: ")


def test_a_sequence_of_colours_numbers_them_in_order(tmp_path):
    mask = read_mask(saved(tmp_path / "mask.png", PAINTED), [BLUE, RED, GREEN])
    assert mask.dtype == torch.uint8
    assert mask.tolist() == [[1, 1, 0], [2, 0, 0]]


def test_a_mapping_gives_each_colour_its_class(tmp_path):
    mask = read_mask(saved(tmp_path / "mask.png", PAINTED), {RED: 7, GREEN: 255, BLUE: 0})
    assert mask.tolist() == [[7, 7, 0], [255, 0, 0]]


def test_large_classes_are_int32(tmp_path):
    mask = read_mask(saved(tmp_path / "mask.png", PAINTED), {RED: 7, GREEN: 70_000, BLUE: -1})
    assert mask.dtype == torch.int32
    assert mask.tolist() == [[7, 7, -1], [70_000, -1, -1]]


def test_a_colour_without_class_is_named(tmp_path):
    path = saved(tmp_path / "mask.png", PAINTED)
    with pytest.raises(ValueError, match=r"not in `colors`: \(0, 255, 0\)$"):
        read_mask(path, [RED, BLUE])


def test_many_colours_without_class_are_counted(tmp_path):
    shades = np.arange(8, dtype=np.uint8)[None, :, None].repeat(3, axis=2)
    with pytest.raises(ValueError, match=r"\(0, 0, 0\), .* and 3 more$"):
        read_mask(saved(tmp_path / "mask.png", shades), [RED])


def test_alpha_of_a_painted_mask_is_dropped(tmp_path):
    path = saved(tmp_path / "mask.png", np.dstack([PAINTED, CLASSES]))
    assert read_mask(path, [BLUE, RED, GREEN]).tolist() == [[1, 1, 0], [2, 0, 0]]


def test_colours_of_a_palette_are_looked_up_where_colours_are_given(tmp_path):
    path = saved(tmp_path / "mask.png", palette_picture([[0, 1]], [GREEN, RED]))
    assert read_mask(path, [RED, GREEN]).tolist() == [[1, 0]]


def test_two_classes_of_one_colour_are_refused(tmp_path):
    path = saved(tmp_path / "mask.png", PAINTED)
    with pytest.raises(ValueError, match=r"colors: \(255, 0, 0\) stands for 0 and 2"):
        read_mask(path, [RED, BLUE, RED])


@pytest.mark.parametrize("colors", [[(1, 2)], [(0, 0, 256)], []])
def test_colours_that_are_none_are_refused(tmp_path, colors):
    path = saved(tmp_path / "mask.png", PAINTED)
    with pytest.raises(ValueError, match=r"^colors: "):
        read_mask(path, colors)


# What is no mask


def test_a_jpeg_is_refused_whatever_its_name(tmp_path):
    path = saved(tmp_path / "mask.png", CLASSES, format="JPEG")
    with pytest.raises(ValueError, match="JPEG cannot hold a mask"):
        read_mask(path)


def test_a_tiff_that_is_compressed_as_jpeg_is_refused(tmp_path):
    path = saved(tmp_path / "mask.tif", CLASSES, compression="jpeg")
    with pytest.raises(ValueError, match="JPEG cannot hold a mask"):
        read_mask(path)


@pytest.mark.parametrize("suffix", ["ppm", "webp", "gif"])
def test_formats_that_may_change_numbers_are_refused(tmp_path, suffix):
    path = saved(tmp_path / f"mask.{suffix}", CLASSES)
    with pytest.raises(ValueError, match="must be one of PNG, BMP, TIFF"):
        read_mask(path)


def test_grey_with_alpha_is_refused(tmp_path):
    path = saved(tmp_path / "mask.png", PILImage.new("LA", (2, 2)))
    with pytest.raises(ValueError, match="one channel, got grey with alpha"):
        read_mask(path)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.99])
def test_a_mask_that_is_cut_short_is_refused(tmp_path, share):
    noise = np.random.default_rng(0).integers(256, size=(64, 64), dtype=np.uint8)
    path = saved(tmp_path / "mask.png", noise)
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
    with pytest.raises(ValueError, match="cannot be decoded") as caught:
        read_mask(path)
    assert str(caught.value).startswith(f"{path}: ")


@pytest.mark.parametrize("place", range(45, 60))
def test_a_flipped_byte_among_the_pixels_is_noticed(place):
    file = io.BytesIO()
    PILImage.fromarray(CLASSES).save(file, "PNG")
    data = bytearray(file.getvalue())
    data[place] ^= 1
    with pytest.raises(ValueError, match=r"^mask\.png: cannot be decoded"):
        decode_mask(bytes(data), "mask.png")


def test_a_mask_of_too_many_pixels_is_refused(tmp_path):
    path = saved(tmp_path / "mask.png", CLASSES)
    with pytest.raises(ValueError, match="claims 3 x 2 pixels; more than 5 are refused"):
        read_mask(path, max_pixels=5)


def test_a_missing_mask_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"mask\.png: no such file"):
        read_mask(tmp_path / "mask.png")


def test_a_mask_of_the_size_of_its_picture_passes():
    check_same_size(Mask(torch.zeros(2, 3)), "mask.png", (2, 3), "img.jpg")


def test_a_mask_of_another_size_is_refused_with_both_files():
    with pytest.raises(ValueError, match=r"^mask\.png: .* 3 x 2 pixels, .* img\.jpg 2 x 3$"):
        check_same_size(Mask(torch.zeros(2, 3)), "mask.png", (3, 2), "img.jpg")


# Depth


def test_depth_is_divided_by_the_scale(tmp_path):
    path = saved(tmp_path / "depth.png", np.array([[0, 256, 640, 65535]], np.uint16))
    depth = read_depth(path, 256)
    assert type(depth) is Mask
    assert depth.dtype == torch.float32
    assert depth.tolist() == [[0.0, 1.0, 2.5, 65535 / 256]]


def test_depth_of_8_bits_is_refused(tmp_path):
    path = saved(tmp_path / "depth.png", CLASSES)
    with pytest.raises(ValueError, match=r"depth\.png: .* expected depth of 16 bits, got 8 bits"):
        read_depth(path, 256)


@pytest.mark.parametrize("scale", [0, -1, float("inf"), float("nan")])
def test_a_scale_that_is_none_is_refused(tmp_path, scale):
    with pytest.raises(ValueError, match="scale must be positive"):
        read_depth(tmp_path / "depth.png", scale)


# Orientation


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_box_stays_on_its_object(tmp_path, kind, orientation):
    stored = np.zeros((24, 40), np.uint8)
    stored[3:9, 5:16] = 255
    path = saved(tmp_path / "stored", stored, format=kind, exif=exif(orientation))
    assert exif_orientation(path) == orientation
    box = orient_boxes(torch.tensor([[5.0, 3.0, 16.0, 9.0]]), orientation, (24, 40))[0]
    rows, columns = np.nonzero(read_image(path)[0].numpy() > 127)
    assert box.tolist() == [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_size_is_that_of_the_upright_picture(tmp_path, kind, orientation):
    picture = np.zeros((24, 40), np.uint8)
    path = saved(tmp_path / "stored", picture, format=kind, exif=exif(orientation))
    assert image_size(path) == tuple(read_image(path).shape[1:])


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_mask_is_turned_like_its_picture(tmp_path, kind, orientation):
    path = saved(tmp_path / "mask", CLASSES, format=kind, exif=exif(orientation))
    assert torch.equal(read_mask(path).to(torch.uint8), read_image(path)[0])


def test_depth_is_turned_upright(tmp_path):
    path = saved(tmp_path / "d.png", np.array([[1, 2]], np.uint16), exif=exif(6))
    assert read_depth(path, 1).tolist() == [[1.0], [2.0]]


def test_the_content_of_a_file_tells_its_orientation(tmp_path):
    path = saved(tmp_path / "picture.jpg", CLASSES, exif=exif(7))
    assert exif_orientation(path.read_bytes()) == 7


def test_xmp_tells_the_orientation_where_exif_does_not(tmp_path):
    xmp = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><a tiff:Orientation="6"/></x:xmpmeta>'
    path = saved(tmp_path / "picture.jpg", CLASSES, xmp=xmp)
    assert exif_orientation(path) == 6
    assert read_image(path).shape == (3, 3, 2)


def test_a_picture_without_exif_is_upright(tmp_path):
    assert exif_orientation(saved(tmp_path / "picture.png", CLASSES)) == 1


def test_what_is_no_picture_has_no_orientation(tmp_path):
    path = tmp_path / "text.jpg"
    path.write_text("text")
    with pytest.raises(ValueError, match=r"text\.jpg: cannot be decoded: not a picture"):
        exif_orientation(path)


@pytest.mark.parametrize("orientation", [0, 9])
def test_an_orientation_that_does_not_exist_is_refused(orientation):
    with pytest.raises(ValueError, match=f"from 1 to 8, got {orientation}"):
        orient_boxes(torch.zeros(1, 4), orientation, (2, 2))


# Names that come from annotations


@pytest.mark.parametrize("name", ["a.jpg", "val/1.jpg", "./a b/é.jpg", "a..b/..c.jpg", "12:30.jpg"])
def test_a_name_inside_is_the_file_in_the_folder(tmp_path, name):
    assert path_inside(tmp_path, name) == tmp_path / name


@pytest.mark.parametrize("name", ["../a.jpg", "a/../../b.jpg", "a/..", "..", "/etc/passwd", "//a"])
def test_a_name_that_leads_out_is_refused_with_the_folder(tmp_path, name):
    with pytest.raises(ValueError, match="leads out of the folder") as caught:
        path_inside(tmp_path, name)
    assert str(caught.value).startswith(f"{tmp_path}: the file name {name!r} ")


@pytest.mark.parametrize("name", ["a\0.jpg", "..\\a.jpg", "C:/a.jpg", "c:a.jpg", "\\\\host\\a"])
def test_a_name_that_leads_out_elsewhere_is_refused(tmp_path, name):
    with pytest.raises(ValueError, match="a NUL, a backslash or a drive letter"):
        path_inside(tmp_path, name)


@pytest.mark.parametrize("name", ["", ".", "./", None, 12])
def test_a_name_of_no_file_is_refused(tmp_path, name):
    with pytest.raises(ValueError, match=r"names no file|must be a text"):
        path_inside(tmp_path, name)


def test_a_link_that_stands_in_the_folder_is_followed(tmp_path):
    (tmp_path / "store").mkdir()
    (tmp_path / "set").mkdir()
    stored = saved(tmp_path / "store" / "1.png", CLASSES)
    (tmp_path / "set" / "a.png").symlink_to(stored)
    assert read_mask(path_inside(tmp_path / "set", "a.png")).tolist() == CLASSES.tolist()
