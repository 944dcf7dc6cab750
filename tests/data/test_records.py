"""A record gives back every value and type; damage is an error that names it."""

import io

import msgpack
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image as PILImage
from torchvision import tv_tensors

from hat.data.keypoints import KeyPoints
from hat.data.pixels import Image, Mask
from hat.data.projection import Projection
from hat.data.records import EncodedPicture, decode_sample, encode_sample

CANVAS = (6, 8)


def picture(height=6, width=8):
    return torch.arange(3 * height * width, dtype=torch.uint8).reshape(3, height, width)


VALUES = {
    "picture": Image(picture()),
    "empty picture": Image(picture(0, 8)),
    "grey picture": Image(picture()[:1]),
    "float picture": Image(picture().float()),
    "surround": Image(torch.stack([picture()] * 6)),
    "classes": torch.tensor([3, 1, 2]),
    "bool": torch.tensor([True, False, True]),
    "no rows": torch.zeros(0, 4),
    "scalar": torch.tensor(2.5, dtype=torch.float64),
    "half": torch.tensor([1.5, -2.0], dtype=torch.float16),
    "bfloat16": torch.tensor([1.5, -2.0], dtype=torch.bfloat16),
    "large": torch.arange(10_000, dtype=torch.int32).reshape(100, 100),
    "turned": torch.arange(12).reshape(3, 4).T,
    "masks": Mask(torch.rand(3, 31, 17) > 0.5),
    "no masks": Mask(torch.zeros(0, 31, 17, dtype=torch.bool)),
    "segmentation": Mask(torch.arange(48).reshape(6, 8).to(torch.uint8)),
    "depth": Mask(torch.rand(6, 8)),
    "boxes": tv_tensors.BoundingBoxes([[0.5, 1, 2, 3]], format="XYXY", canvas_size=CANVAS),
    "other boxes": tv_tensors.BoundingBoxes([[1, 1, 2, 3]], format="CXCYWH", canvas_size=CANVAS),
    "their points": tv_tensors.KeyPoints(torch.rand(2, 5, 2), canvas_size=CANVAS),
    "points": KeyPoints(torch.rand(2, 5, 2), canvas_size=CANVAS),
    "projection": Projection(torch.rand(3, 4), canvas_size=CANVAS),
}


def back(value, **kwargs):
    return decode_sample(encode_sample({"value": value}, **kwargs), "record")["value"]


def png(pixels):
    file = io.BytesIO()
    PILImage.fromarray(pixels.permute(1, 2, 0).numpy()).save(file, "png")
    return file.getvalue()


@pytest.mark.parametrize("compress", [True, False])
@pytest.mark.parametrize("name", VALUES)
class TestTensors:
    def test_values_come_back(self, name, compress):
        found = back(VALUES[name], compress=compress)
        assert found.dtype == VALUES[name].dtype
        assert found.shape == VALUES[name].shape
        assert torch.equal(found.as_subclass(torch.Tensor), VALUES[name].as_subclass(torch.Tensor))

    def test_classes_come_back(self, name, compress):
        assert type(back(VALUES[name], compress=compress)) is type(VALUES[name])

    def test_what_is_known_of_the_canvas_comes_back(self, name, compress):
        assert vars(back(VALUES[name], compress=compress)) == vars(VALUES[name])

    def test_what_comes_back_can_be_written_to(self, name, compress):
        back(VALUES[name], compress=compress).zero_()


@pytest.mark.parametrize(
    "value",
    [
        None,
        True,
        7,
        -(2**62),
        1.5,
        float("inf"),
        "ü",
        b"\0\1",
        [1, [2, "a"]],
        (4, 6),
        ((1, 2), [3]),
        {"a": (1,), "b": {}},
        [],
        (),
    ],
)
def test_plain_values_come_back_with_their_types(value):
    assert repr(back(value)) == repr(value)


def test_an_array_comes_back():
    array = np.arange(6, dtype=np.int16).reshape(2, 3)
    assert back(array).dtype == np.int16
    assert np.array_equal(back(array), array)


def test_numbers_of_numpy_come_back_as_those_of_python():
    assert repr(back([np.int64(3), np.float32(0.5), np.bool_(True)])) == "[3, 0.5, True]"


def test_the_order_of_the_keys_is_kept():
    sample = {"b": 1, "a": 2, "c": 3}
    assert list(decode_sample(encode_sample(sample), "record")) == ["b", "a", "c"]


def test_a_file_is_kept_in_place_of_the_pixels():
    data = png(picture())
    record = encode_sample({"img": Image(picture())}, files={"img": data})
    assert data in record
    assert torch.equal(decode_sample(record, "record")["img"], picture())


def test_pictures_can_be_left_encoded():
    sample = decode_sample(
        encode_sample({"img": VALUES["picture"], "label": 3}), "r", with_pictures=False
    )
    assert isinstance(sample["img"], EncodedPicture)
    assert sample["label"] == 3


def test_pictures_keep_their_order_in_memory():
    pixels = np.arange(3 * 4 * 5, dtype=np.uint8).reshape(4, 5, 3)
    found = back(Image.from_hwc(pixels), compress=False)
    assert found.permute(1, 2, 0).is_contiguous()
    assert np.array_equal(found.hwc(), pixels)


def test_pictures_are_smaller_as_png():
    flat = {"img": Image(torch.zeros(3, 64, 64, dtype=torch.uint8))}
    assert len(encode_sample(flat)) < 1000 < 64 * 64 * 3


@pytest.mark.parametrize("value", [object(), {1, 2}, torch.zeros(2, dtype=torch.complex64), print])
def test_what_a_record_cannot_hold_is_refused(value):
    with pytest.raises(TypeError, match="a record cannot hold"):
        encode_sample({"label": 1, "thing": value})


def test_a_refusal_names_the_key():
    with pytest.raises(TypeError, match="'thing'"):
        encode_sample({"thing": [object()]})


def test_nothing_is_unpickled(monkeypatch):
    def refuse(*args, **kwargs):
        raise AssertionError("a record was executed")

    data = encode_sample(VALUES)
    for name in ("pickle.loads", "pickle.Unpickler", "torch.load"):
        monkeypatch.setattr(name, refuse)
    assert list(decode_sample(data, "record")) == list(VALUES)


@pytest.mark.parametrize(
    "data",
    [b"", b"\xc1", b"\x80\x80", msgpack.packb([1]), msgpack.packb({"a": msgpack.ExtType(9, b"")})],
)
def test_what_is_no_record_is_an_error_with_its_name(data):
    with pytest.raises(ValueError, match=r"^some record: "):
        decode_sample(data, "some record")


def test_a_tensor_that_claims_more_than_it_has_is_refused():
    fields = ["Tensor", "float32", [1 << 20, 1 << 20], True, b"x", {}]
    data = msgpack.packb({"a": msgpack.ExtType(2, msgpack.packb(fields))})
    with pytest.raises(ValueError, match=r"record: .* bytes is refused"):
        decode_sample(data, "record")


WHOLE = encode_sample({**VALUES, "ori_shape": (6, 8), "img_id": "a", "list": [1, (2, 3)]})


@settings(max_examples=300, deadline=None)
@given(st.integers(0, len(WHOLE) - 1), st.binary(min_size=0, max_size=4), st.booleans())
def test_a_damaged_record_is_a_record_or_an_error_with_its_name(place, other, is_cut):
    data = WHOLE[:place] + other + (b"" if is_cut else WHOLE[place + len(other) :])
    outcome = ""
    try:
        decode_sample(data, "some record")
    except ValueError as error:
        outcome = str(error)
    assert outcome == "" or outcome.startswith("some record")
