"""Whatever bytes a file holds, a reader returns what it promises or an error with its name."""

import functools
import io
import multiprocessing
import resource
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image as PILImage

from hat.data.images import decode_image, decode_mask, exif_orientation, image_size
from hat.data.pixels import Image, Mask

LIMIT = 100_000  # pixels


def encoded(picture, kind, **options):
    file = io.BytesIO()
    if isinstance(picture, np.ndarray):
        picture = PILImage.fromarray(picture)
    picture.save(file, kind, **options)
    return file.getvalue()


def with_orientation(orientation):
    exif = PILImage.Exif()
    exif[274] = orientation
    return exif


NOISE = np.random.default_rng(0).integers(256, size=(13, 18, 4), dtype=np.uint8)
RGB, RGBA, GREY = NOISE[:, :, :3], NOISE, NOISE[:, :, 0]
GREY_16 = np.ascontiguousarray(NOISE).view(np.uint16)[:, :, 0]
PALETTE = PILImage.fromarray(RGB).quantize(8)
FILES = {
    "jpeg": encoded(RGB, "JPEG"),
    "progressive jpeg": encoded(RGB, "JPEG", progressive=True),
    "grey jpeg": encoded(GREY, "JPEG", restart_marker_blocks=1),
    "print jpeg": encoded(PILImage.fromarray(RGB).convert("CMYK"), "JPEG"),
    "turned jpeg": encoded(RGB, "JPEG", exif=with_orientation(6)),
    "png": encoded(RGB, "PNG"),
    "alpha png": encoded(RGBA, "PNG", exif=with_orientation(8)),
    "palette png": encoded(PALETTE, "PNG", transparency=1, bits=4),
    "grey png": encoded(GREY, "PNG"),
    "deep png": encoded(GREY_16, "PNG"),
    "bmp": encoded(RGB, "BMP"),
    "palette bmp": encoded(PALETTE, "BMP"),
    "webp": encoded(RGB, "WEBP"),
    "lossless webp": encoded(RGBA, "WEBP", lossless=True, exif=with_orientation(3)),
    "tiff": encoded(RGB, "TIFF"),
    "deep tiff": encoded(GREY_16, "TIFF"),
    "lzw tiff": encoded(GREY, "TIFF", compression="tiff_lzw"),
    "deflate tiff": encoded(RGB, "TIFF", compression="tiff_adobe_deflate"),
    "jpeg tiff": encoded(RGB, "TIFF", compression="jpeg"),
    "ppm": encoded(RGB, "PPM"),
    "deep ppm": encoded(GREY_16, "PPM"),
    "gif": encoded(PALETTE, "GIF"),
}

SIZES = (0, 1, 0x7F, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF)


@st.composite
def damaged(draw):
    """A file with up to four damages, half of them within the first bytes: the header."""
    data = bytearray(FILES[draw(st.sampled_from(sorted(FILES)))])
    for _ in range(draw(st.integers(1, 4))):
        near = min(64, len(data)) if draw(st.booleans()) else len(data)
        place = draw(st.integers(0, max(near - 1, 0)))
        match draw(st.sampled_from(("flip", "cut", "insert", "number", "erase"))):
            case "flip":
                data[place : place + 1] = bytes([draw(st.integers(0, 255))])
            case "cut":
                del data[max(place, 4) :]
            case "insert":
                data[place:place] = draw(st.binary(min_size=1, max_size=8))
            case "number":
                order, code = draw(st.sampled_from((">", "<"))), draw(st.sampled_from("HI"))
                number = draw(st.sampled_from(SIZES))
                packed = struct.pack("<Q", number) if order == "<" else struct.pack(">Q", number)
                size = struct.calcsize(code)
                data[place : place + size] = packed[:size] if order == "<" else packed[-size:]
            case "erase":
                del data[place : place + draw(st.integers(1, 8))]
    return bytes(data)


def result_of(read):
    """What a reader returns, or None after an error as it must be."""
    try:
        return read()
    except ValueError as error:
        message = str(error)
    assert "odd.file: cannot be decoded: " in message
    return None


def bounded(max_examples):
    return settings(
        max_examples=max_examples,
        deadline=None,
        derandomize=True,
        suppress_health_check=[HealthCheck.function_scoped_fixture],
    )


CONTENT = st.one_of(damaged(), damaged(), damaged(), st.binary(max_size=200))


@bounded(300)
@given(data=CONTENT)
def test_a_picture_is_decoded_or_refused(data):
    img = result_of(lambda: decode_image(data, "odd.file", LIMIT))
    assert img is None or (type(img) is Image and img.dtype == torch.uint8 and img.shape[0] == 3)


@bounded(150)
@given(data=CONTENT)
def test_a_mask_is_decoded_or_refused(data):
    mask = result_of(lambda: decode_mask(data, "odd.file", max_pixels=LIMIT))
    assert mask is None or (type(mask) is Mask and mask.ndim == 2)


@bounded(100)
@given(data=CONTENT)
def test_a_painted_mask_is_decoded_or_refused(data):
    colors = [tuple(color) for color in RGB[0].tolist()]
    mask = result_of(lambda: decode_mask(data, "odd.file", colors, max_pixels=LIMIT))
    assert mask is None or (type(mask) is Mask and mask.ndim == 2)


@bounded(150)
@given(data=CONTENT)
def test_a_header_tells_the_size_or_is_refused(data, tmp_path):
    path = tmp_path / "odd.file"
    path.write_bytes(data)
    size = result_of(lambda: image_size(path))
    assert size is None or (len(size) == 2 and min(size) > 0)


@bounded(100)
@given(data=CONTENT)
def test_an_orientation_is_one_of_eight_or_refused(data, tmp_path):
    path = tmp_path / "odd.file"
    path.write_bytes(data)
    assert result_of(lambda: exif_orientation(path)) in (None, 1, 2, 3, 4, 5, 6, 7, 8)


@pytest.mark.parametrize("name", sorted(FILES))
def test_no_part_of_a_file_is_taken_for_the_whole(name):
    whole = FILES[name]
    spare = {"gif": 2, "lzw tiff": 4}.get(name, 1)  # what may be missing: marks behind the pixels
    parts = [whole[:length] for length in range(0, len(whole) - spare, 7)]
    assert [result_of(lambda part=part: decode_image(part, "odd.file")) for part in parts] == [
        None for _ in parts
    ]


# Small files that claim much: refused in little memory


def png(*chunks):
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(content))
        + kind
        + content
        + struct.pack(">I", zlib.crc32(kind + content))
        for kind, content in chunks
    )


def png_header(width, height, depth=8, kind=2):
    return b"IHDR", struct.pack(">IIBBBBB", width, height, depth, kind, 0, 0, 0)


def replaced(data, old, new):
    assert old in data
    return data.replace(old, new, 1)


@functools.cache
def bomb():
    """Zeros that take 256 MB when they are unpacked."""
    packer = zlib.compressobj(1)
    return b"".join(packer.compress(bytes(1 << 20)) for _ in range(256)) + packer.flush()


def scan_bomb():
    data = encoded(np.zeros((64, 64, 3), np.uint8), "JPEG", progressive=True)
    start = data.rindex(b"\xff\xda")
    return data[:start] + data[start:-2] * 50_000 + data[-2:]


SIZE_JPEG, SIZE_LITTLE = struct.pack(">HH", 13, 18), struct.pack("<II", 18, 13)
PIXELS = b"IDAT", zlib.compress(b"")
END = b"IEND", b""
CLAIMS = {
    "jpeg": lambda: replaced(FILES["jpeg"], SIZE_JPEG, b"\xff\xf0\xff\xf0"),
    "progressive jpeg": lambda: replaced(FILES["progressive jpeg"], SIZE_JPEG, b"\xff\xf0\xff\xf0"),
    "scans": scan_bomb,
    "png": lambda: png(png_header(60000, 60000), PIXELS, END),
    "deep png": lambda: png(png_header(9000, 10000, 16, 6), PIXELS, END),
    "text": lambda: png(png_header(1, 1), (b"zTXt", b"Comment\0\0" + bomb()), PIXELS, END),
    "profile": lambda: png(png_header(1, 1), (b"iCCP", b"x\0\0" + bomb()), PIXELS, END),
    "bmp": lambda: replaced(FILES["bmp"], SIZE_LITTLE, struct.pack("<II", 60000, 60000)),
    "gif": lambda: FILES["gif"][:6] + b"\xff\xff\xff\xff" + FILES["gif"][10:],
    "webp": lambda: (
        FILES["lossless webp"][:24] + b"\xfe\x3f\0\xfe\x3f\0" + FILES["lossless webp"][30:]
    ),
    "ppm": lambda: b"P6\n60000 60000\n255\n" + bytes(100),
    "tiff": lambda: tiff(60000, 60000),
    "tiff of huge tiles": lambda: tiff(64, 64, tile=65520),
}


def tiff(width, height, tile=None):
    """A compressed grey TIFF without content."""
    tags = {256: width, 257: height, 258: 8, 259: 8, 262: 1, 277: 1}
    tags |= (
        {278: height, 273: 8, 279: 8} if tile is None else {322: tile, 323: tile, 324: 8, 325: 8}
    )
    rows = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in sorted(tags.items()))
    return (
        b"II*\0" + struct.pack("<I", 16) + bytes(8) + struct.pack("<H", len(tags)) + rows + bytes(4)
    )


READERS = {
    "picture": lambda path: decode_image(path.read_bytes(), path.name),
    "mask": lambda path: decode_mask(path.read_bytes(), path.name),
}


def outcome(read, path):
    """The type of the underlying error, and the message."""
    try:
        read(path)
    except ValueError as error:
        return type(error.__cause__).__name__, str(error)
    return "nothing", "read"


def send_outcomes(paths, connection):
    """Read each file with each reader in this process, which may take 200 MB more than it has."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + 200_000_000
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    connection.send(
        {(path.name, name): outcome(read, path) for path in paths for name, read in READERS.items()}
    )


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory):
    folder = tmp_path_factory.mktemp("claims")
    for name, make in CLAIMS.items():
        (folder / name).write_bytes(make())
    context = multiprocessing.get_context("fork")
    receiver, sender = context.Pipe(duplex=False)
    child = context.Process(target=send_outcomes, args=(sorted(folder.iterdir()), sender))
    child.start()
    sender.close()
    found = receiver.recv() if receiver.poll(60) else {}
    child.join()
    receiver.close()
    return found


@pytest.mark.parametrize("reader", ["picture", "mask"])
@pytest.mark.parametrize("name", CLAIMS)
def test_what_claims_much_is_refused_in_little_memory(outcomes, name, reader):
    cause, message = outcomes[name, reader]
    assert cause != "MemoryError"
    assert message.startswith(f"{name}: cannot be decoded: ")
