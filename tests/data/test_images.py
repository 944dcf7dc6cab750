"""Whatever a picture file holds, it becomes uint8 RGB or an error with the file's name."""

import struct
import zlib

import numpy as np
import pytest
import torch
from PIL import Image as PILImage

from hat.data.images import MAX_PIXELS, image_size, read_image
from hat.data.pixels import Image

RED, GREEN, BLUE = (255, 0, 0), (0, 255, 0), (0, 0, 255)
RGB = np.array([[RED, GREEN, BLUE], [(10, 20, 30), (40, 50, 60), (70, 80, 90)]], np.uint8)
ORIENTATION = 274  # the EXIF tag


def saved(path, picture, **kwargs):
    if isinstance(picture, np.ndarray):
        picture = PILImage.fromarray(picture)
    picture.save(path, **kwargs)
    return path


def channels_last(img):
    return img.permute(1, 2, 0).numpy()


def noise(height=64, width=64):
    return np.random.default_rng(0).integers(256, size=(height, width, 3), dtype=np.uint8)


# Modes


def test_a_picture_is_read_as_it_was_saved(tmp_path):
    img = read_image(saved(tmp_path / "rgb.png", RGB))
    assert channels_last(img).tolist() == RGB.tolist()


def test_a_picture_is_an_image_of_uint8(tmp_path):
    img = read_image(saved(tmp_path / "rgb.png", RGB))
    assert type(img) is Image
    assert img.dtype == torch.uint8


def test_a_path_may_be_a_text(tmp_path):
    assert read_image(str(saved(tmp_path / "rgb.png", RGB))).shape == (3, 2, 3)


def test_grey_is_expanded_to_three_channels(tmp_path):
    grey = np.array([[0, 100, 255]], np.uint8)
    img = read_image(saved(tmp_path / "grey.png", grey))
    assert img.tolist() == [[[0, 100, 255]]] * 3


def test_black_and_white_use_the_whole_range(tmp_path):
    img = read_image(saved(tmp_path / "bits.png", np.array([[True, False]])))
    assert img.tolist() == [[[255, 0]]] * 3


@pytest.mark.parametrize("name", ["grey16.png", "grey16.tif"])
def test_grey_of_16_bits_is_scaled_to_8(tmp_path, name):
    grey = np.array([[0, 255, 256, 32768, 65535]], np.uint16)
    img = read_image(saved(tmp_path / name, grey))
    assert img.tolist() == [[[0, 0, 1, 128, 255]]] * 3


def test_grey_of_16_bits_may_be_stored_high_byte_first(tmp_path):
    picture = PILImage.frombytes("I;16B", (2, 1), struct.pack(">2H", 256, 65535))
    assert read_image(saved(tmp_path / "big_endian.tif", picture)).tolist() == [[[1, 255]]] * 3


def test_a_palette_is_looked_up(tmp_path):
    picture = PILImage.fromarray(RGB).quantize(16)
    img = read_image(saved(tmp_path / "palette.png", picture))
    assert channels_last(img).tolist() == np.asarray(picture.convert("RGB")).tolist()


@pytest.mark.parametrize("transparency", [1, bytes([0, 128, 255])], ids=["one", "each"])
def test_a_palette_with_transparent_colours_is_looked_up(tmp_path, transparency):
    picture = PILImage.new("P", (3, 1))
    picture.putpalette([*RED, *GREEN, *BLUE])
    picture.putdata([0, 1, 2])
    path = saved(tmp_path / "palette.png", picture, transparency=transparency)
    assert channels_last(read_image(path)).tolist() == [[[*RED], [*GREEN], [*BLUE]]]


def test_alpha_is_dropped(tmp_path):
    alpha = np.array([[0, 1, 128], [254, 255, 0]], np.uint8)
    path = saved(tmp_path / "rgba.png", np.dstack([RGB, alpha]))
    assert channels_last(read_image(path)).tolist() == RGB.tolist()


def test_alpha_of_grey_is_dropped(tmp_path):
    grey_alpha = np.array([[[7, 0], [200, 128]]], np.uint8)
    img = read_image(saved(tmp_path / "la.png", PILImage.fromarray(grey_alpha, mode=None)))
    assert img.tolist() == [[[7, 200]]] * 3


def test_the_four_inks_of_print_become_three_colours(tmp_path):
    path = saved(tmp_path / "cmyk.jpg", PILImage.new("CMYK", (8, 8), (0, 255, 255, 0)), quality=100)
    img = read_image(path).float().mean(dim=(1, 2))  # no cyan, all magenta and yellow: red
    torch.testing.assert_close(img, torch.tensor([255.0, 0, 0]), atol=3, rtol=0)


@pytest.mark.parametrize("suffix", ["bmp", "tif", "ppm", "webp"])
def test_formats_without_loss_are_read_exactly(tmp_path, suffix):
    options = {"lossless": True} if suffix == "webp" else {}
    path = saved(tmp_path / f"picture.{suffix}", noise(), **options)
    assert np.array_equal(channels_last(read_image(path)), noise())


@pytest.mark.parametrize("progressive", [False, True])
def test_jpeg_is_read_as_pillow_does(tmp_path, progressive):
    path = saved(tmp_path / "picture.jpg", noise(), progressive=progressive)
    assert np.array_equal(channels_last(read_image(path)), np.asarray(PILImage.open(path)))


# Shapes and names


@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 5), (5, 1)])
@pytest.mark.parametrize("mode", ["RGB", "L", "I;16"])
def test_a_picture_may_be_one_pixel_wide_or_high(tmp_path, height, width, mode):
    path = saved(tmp_path / "tiny.png", PILImage.new(mode, (width, height)))
    assert read_image(path).shape == (3, height, width)


def test_the_pixels_can_be_changed_in_place(tmp_path):
    img = read_image(saved(tmp_path / "tiny.png", RGB[:1, :1]))
    assert img.add_(0).tolist() == [[[255]], [[0]], [[0]]]


def test_the_first_of_several_pictures_in_a_file_is_read(tmp_path):
    frames = [PILImage.new("RGB", (4, 4), colour) for colour in (RED, BLUE)]
    path = saved(tmp_path / "frames.png", frames[0], save_all=True, append_images=frames[1:])
    assert channels_last(read_image(path))[0, 0].tolist() == [*RED]


@pytest.mark.parametrize("name", ["straße 猫.png", "with space é.png", "UPPER.PNG", "no_suffix"])
def test_any_name_is_read(tmp_path, name):
    path = saved(tmp_path / name, RGB, format="PNG")
    assert channels_last(read_image(path)).tolist() == RGB.tolist()


def test_the_content_decides_the_format(tmp_path):
    path = saved(tmp_path / "png_named.jpg", RGB, format="PNG")
    assert channels_last(read_image(path)).tolist() == RGB.tolist()


# Orientation


@pytest.mark.parametrize(
    ("orientation", "stored"),
    [
        (1, RGB),
        (2, np.fliplr(RGB)),
        (3, np.rot90(RGB, 2)),
        (4, np.flipud(RGB)),
        (5, RGB.transpose(1, 0, 2)),
        (6, np.rot90(RGB, 1)),  # to be turned to the right, so stored turned to the left
        (7, np.rot90(RGB, 2).transpose(1, 0, 2)),
        (8, np.rot90(RGB, -1)),
    ],
)
def test_a_picture_is_turned_upright(tmp_path, orientation, stored):
    exif = PILImage.Exif()
    exif[ORIENTATION] = orientation
    path = saved(tmp_path / "turned.png", np.ascontiguousarray(stored), exif=exif)
    assert channels_last(read_image(path)).tolist() == RGB.tolist()


@pytest.mark.parametrize("orientation", [0, 9, 65535])
def test_an_orientation_that_does_not_exist_is_none(tmp_path, orientation):
    exif = PILImage.Exif()
    exif[ORIENTATION] = orientation
    path = saved(tmp_path / "turned.png", RGB, exif=exif)
    assert channels_last(read_image(path)).tolist() == RGB.tolist()


def test_damaged_exif_leaves_the_picture_as_it_is(tmp_path):
    path = saved(tmp_path / "exif.png", RGB, exif=b"Exif\0\0II*\0\x08\0\0\0\xff\xff")
    assert channels_last(read_image(path)).tolist() == RGB.tolist()


# Broken files


def assert_refused(path):
    with pytest.raises(ValueError, match="cannot be decoded") as caught:
        read_image(path)
    assert str(caught.value).startswith(f"{path}: ")


@pytest.mark.parametrize("suffix", ["jpg", "png", "bmp", "webp"])
@pytest.mark.parametrize("share", [0.02, 0.5, 0.95])
def test_a_truncated_picture_is_refused(tmp_path, suffix, share):
    path = saved(tmp_path / f"truncated.{suffix}", noise())
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    assert_refused(path)


def test_a_png_with_a_damaged_middle_is_refused(tmp_path):
    path = saved(tmp_path / "damaged.png", noise())
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(content)
    assert_refused(path)


@pytest.mark.parametrize(
    "content",
    [b"", b"just a text\n", b"\0" * 1000, b"\xff\xd8", b"\x89PNG\r\n\x1a\n", b"P6\n4x 2\n255\n"],
    ids=["empty", "text", "zeros", "jpeg start", "png start", "ppm header"],
)
def test_what_is_no_picture_is_refused(tmp_path, content):
    path = tmp_path / "named.jpg"
    path.write_bytes(content)
    assert_refused(path)


def test_a_folder_is_refused(tmp_path):
    assert_refused(tmp_path)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"missing é\.jpg: no such file"):
        read_image(tmp_path / "missing é.jpg")


def png_chunk(kind, content):
    return (
        struct.pack(">I", len(content))
        + kind
        + content
        + struct.pack(">I", zlib.crc32(kind + content))
    )


def test_a_huge_header_is_refused(tmp_path):
    path = tmp_path / "huge.png"
    header = struct.pack(">IIBBBBB", 65000, 65000, 8, 2, 0, 0, 0)
    pixels = png_chunk(b"IDAT", zlib.compress(b""))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", header) + pixels)
    with pytest.raises(ValueError, match=r"huge\.png: .*(65000 x 65000|4225000000)"):
        read_image(path)


def test_a_picture_of_the_largest_size_is_read(tmp_path):
    assert read_image(saved(tmp_path / "rgb.png", RGB), max_pixels=6).shape == (3, 2, 3)


def test_a_picture_above_the_largest_size_is_refused(tmp_path):
    path = saved(tmp_path / "rgb.png", RGB)
    with pytest.raises(
        ValueError, match=r"rgb\.png: .*claims 3 x 2 pixels; more than 5 are refused"
    ):
        read_image(path, max_pixels=5)


def test_no_picture_of_an_accepted_size_alarms_pillow():
    assert MAX_PIXELS <= PILImage.MAX_IMAGE_PIXELS


# JPEG, which another library than Pillow decodes


def smooth(height, width):
    small = noise(height // 8 + 2, width // 8 + 2)
    return np.asarray(
        PILImage.fromarray(small).resize((width, height), PILImage.Resampling.BICUBIC)
    )


@pytest.mark.parametrize("size", [(1, 1), (17, 33), (64, 48), (100, 101)])
@pytest.mark.parametrize("subsampling", ["4:4:4", "4:2:2", "4:2:0"])
@pytest.mark.parametrize("quality", [30, 95])
def test_every_sampling_of_a_jpeg_is_read_as_pillow_does(tmp_path, size, subsampling, quality):
    path = saved(tmp_path / "a.jpg", smooth(*size), subsampling=subsampling, quality=quality)
    assert np.array_equal(channels_last(read_image(path)), np.asarray(PILImage.open(path)))


@pytest.mark.parametrize("options", [{}, {"subsampling": 2}], ids=["plain", "subsampled"])
@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
def test_every_colour_space_of_a_jpeg_is_read_as_pillow_does(tmp_path, mode, options):
    picture = PILImage.frombytes(mode, (16, 12), noise(48, 48).tobytes()[: 192 * len(mode)])
    path = saved(tmp_path / "a.jpg", picture, **options)
    pillow = np.asarray(PILImage.open(path).convert("RGB"))
    assert np.array_equal(channels_last(read_image(path)), pillow)


def test_a_jpeg_that_keeps_rgb_is_read_as_pillow_does(tmp_path):
    path = saved(tmp_path / "a.jpg", noise(), keep_rgb=True)
    assert np.array_equal(channels_last(read_image(path)), np.asarray(PILImage.open(path)))


@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
def test_a_jpeg_with_damaged_scan_data_is_refused(tmp_path, mode, progressive):
    path = saved(
        tmp_path / "a.jpg",
        PILImage.fromarray(smooth(96, 96)).convert(mode),
        progressive=progressive,
    )
    content = bytearray(path.read_bytes())
    middle = len(content) * 2 // 3
    content[middle : middle + 100] = np.random.default_rng(1).bytes(100)
    path.write_bytes(content)
    assert_refused(path)


def test_bytes_behind_a_whole_jpeg_are_ignored(tmp_path):
    path = saved(tmp_path / "a.jpg", noise())
    before = read_image(path)
    path.write_bytes(path.read_bytes() + b"\0garbage" * 200)
    assert torch.equal(read_image(path), before)


@pytest.mark.parametrize("missing", [1, 2, 3, 100])
def test_a_jpeg_that_lacks_its_end_is_refused(tmp_path, missing):
    path = saved(tmp_path / "a.jpg", noise())
    path.write_bytes(path.read_bytes()[:-missing])
    assert_refused(path)


def with_odd_scan_header(content):
    """The spectral selection of a sequential JPEG's scan is fixed; some cameras write another."""
    end = content.rindex(b"\xff\xda") + 2 + 12
    assert content[end - 3 : end] == b"\0\x3f\0"
    return content[: end - 3] + b"\0\0\0" + content[end:]


def test_a_jpeg_with_an_odd_scan_header_is_read(tmp_path):
    path = saved(tmp_path / "a.jpg", noise())
    before = read_image(path)
    path.write_bytes(with_odd_scan_header(path.read_bytes()))
    assert torch.equal(read_image(path), before)


def test_a_jpeg_with_an_odd_scan_header_that_is_cut_short_is_refused(tmp_path):
    path = saved(tmp_path / "a.jpg", noise())
    path.write_bytes(with_odd_scan_header(path.read_bytes())[:-500])
    assert_refused(path)


def test_a_jpeg_of_thousands_of_scans_is_refused(tmp_path):
    path = saved(tmp_path / "a.jpg", noise(), progressive=True)
    content = path.read_bytes()
    start = content.rindex(b"\xff\xda")
    path.write_bytes(content[:start] + content[start:-2] * 300 + content[-2:])
    with pytest.raises(ValueError, match=r"a\.jpg: .* scans in one JPEG; more than 200"):
        read_image(path)


# More damage, and values that are none of a picture


def test_a_png_that_lacks_its_end_is_refused(tmp_path):
    path = saved(tmp_path / "a.png", noise())
    path.write_bytes(path.read_bytes()[:-12])
    assert_refused(path)


@pytest.mark.parametrize(
    "content", [np.full((2, 2), 0.5, np.float32), np.full((2, 2), 70_000, np.int32)]
)
def test_values_that_are_no_16_bits_are_refused(tmp_path, content):
    assert_refused(saved(tmp_path / "a.tif", content))


def test_a_file_of_another_kind_starts_no_other_program(tmp_path):
    path = saved(tmp_path / "a.eps", noise(), format="EPS")
    with pytest.raises(ValueError, match="not a picture"):
        read_image(path)


@pytest.mark.parametrize("suffix", ["jpg", "png", "bmp", "webp", "tif", "ppm", "gif"])
def test_the_header_tells_the_size_of_every_format(tmp_path, suffix):
    assert image_size(saved(tmp_path / f"a.{suffix}", noise(20, 30))) == (20, 30)


def test_a_long_header_tells_the_size_too(tmp_path):
    path = saved(tmp_path / "a.jpg", noise(20, 30), icc_profile=bytes(200_000))
    assert image_size(path) == (20, 30)


def test_the_memory_of_a_picture_is_as_opencv_wants_it(tmp_path):
    img = read_image(saved(tmp_path / "a.jpg", noise()))
    assert np.shares_memory(img.hwc(), img.numpy())
