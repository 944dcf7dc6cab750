"""HAT's own transforms, against those of torchvision where they exist."""

import pytest
import torch
from torchvision import tv_tensors
from torchvision.transforms import v2

from hat.data import Compose, Normalize
from hat.data.pixels import Image
from hat.data.transforms.compose import TransformError

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@pytest.fixture
def pictures():
    return torch.randint(256, (4, 3, 8, 6), dtype=torch.uint8)


def test_pictures_are_normalised_as_torchvision_does(pictures):
    expected = v2.Compose([v2.ToDtype(torch.float32, scale=True), v2.Normalize(MEAN, STD)])
    torch.testing.assert_close(Normalize(MEAN, STD)(pictures), expected(pictures))


def test_black_and_white_become_minus_one_and_one():
    # (0 / 255 - 0.5) / 0.5 = -1 and (255 / 255 - 0.5) / 0.5 = 1
    img = torch.tensor([0, 255], dtype=torch.uint8).reshape(1, 1, 1, 2)
    assert Normalize(0.5, 0.5)(img).flatten().tolist() == [-1, 1]


def test_one_number_stands_for_all_channels(pictures):
    assert torch.equal(Normalize(0.3, 0.7)(pictures), Normalize([0.3] * 3, [0.7] * 3)(pictures))


def test_by_default_pictures_are_scaled_to_one(pictures):
    torch.testing.assert_close(Normalize()(pictures), pictures / 255)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float16, torch.float32, torch.float64])
def test_the_result_is_float32(pictures, dtype):
    assert Normalize()(pictures.to(dtype)).dtype == torch.float32


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
def test_the_input_of_normalize_is_left_as_it_was(pictures, dtype):
    img = pictures.to(dtype)
    Normalize(MEAN, STD)(img)
    assert torch.equal(img, pictures.to(dtype))


def test_an_empty_batch_stays_empty(pictures):
    assert Normalize(MEAN, STD)(pictures[:0]).shape == (0, 3, 8, 6)


@pytest.mark.parametrize("std", [0.0, -1.0, float("nan"), [0.5, 0.5, 0.0]])
def test_a_deviation_that_is_not_above_zero_is_refused(std):
    with pytest.raises(ValueError, match="std must be above 0"):
        Normalize(0.5, std)


@pytest.mark.parametrize(("name", "value"), [("mean", [0.1, 0.2]), ("std", [1, 1, 1, 1])])
def test_another_number_of_channels_is_refused(pictures, name, value):
    with pytest.raises(ValueError, match=rf"{name} has \d channels, img has 3"):
        Normalize(**{name: value})(pictures)


def test_transforms_are_called_in_their_order():
    assert Compose([lambda text: text + "a", lambda text: text + "b"])("") == "ab"


def test_no_transforms_change_nothing():
    sample = {"x": 1}
    assert Compose([])(sample) is sample


def test_picture_and_boxes_move_together():
    sample = {
        "img": tv_tensors.Image(torch.tensor([[[1, 2, 3]]])),
        "gt_bboxes": tv_tensors.BoundingBoxes(
            [[0.0, 0.0, 1.0, 1.0]], format="XYXY", canvas_size=(1, 3)
        ),
    }
    flipped = Compose([v2.RandomHorizontalFlip(p=1)])(sample)
    assert flipped["img"].tolist() == [[[3, 2, 1]]]
    assert flipped["gt_bboxes"].tolist() == [[2, 0, 3, 1]]


def test_a_transform_that_fails_is_named_with_its_place():
    with pytest.raises(TransformError, match=r"transform 1 \(Normalize\) failed: ValueError: "):
        Compose([lambda img: img, Normalize([0.1, 0.2])])(torch.zeros(1, 3, 2, 2))


def test_a_function_that_fails_is_named():
    def halve(value):
        return value / 0

    with pytest.raises(TransformError, match=r"transform 0 \(halve\) failed: ZeroDivisionError"):
        Compose([halve])(1)


def test_the_first_error_stays_the_cause():
    with pytest.raises(TransformError) as caught:
        Compose([lambda value: value / 0])(1)
    assert isinstance(caught.value.__cause__, ZeroDivisionError)


def test_what_cannot_be_called_is_refused_when_built():
    with pytest.raises(TypeError, match=r"transform 1 is not callable, got 'flip'"):
        Compose([abs, "flip"])


def test_the_transforms_can_be_looked_at():
    assert list(Compose([abs, str])) == [abs, str]


# What a transform of torchvision is given


class Seen(v2.Transform):
    """A transform of a user's, that may look at anything."""

    def forward(self, sample):
        return {**sample, "seen": sorted(sample)}


@pytest.fixture
def sample():
    return {
        "img": Image(torch.arange(48, dtype=torch.uint8).reshape(3, 4, 4)),
        "gt_bboxes": tv_tensors.BoundingBoxes([[0.0, 0, 1, 1]], format="XYXY", canvas_size=(4, 4)),
        "gt_classes": torch.tensor([2]),
        "nested": [Image(torch.zeros(3, 4, 4, dtype=torch.uint8)), "text"],
        "img_id": "a",
        "label": 3,
        "ori_shape": (4, 4),
    }


def plain(value):
    if isinstance(value, torch.Tensor):
        return type(value), value.tolist(), vars(value)
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return value


@pytest.mark.parametrize(
    "transform",
    [
        v2.RandomHorizontalFlip(p=1),
        v2.RandomCrop(2),
        v2.Resize((8, 8)),
        v2.ColorJitter(0.5, 0.5),
        v2.RandomApply([v2.RandomCrop(2)]),
        v2.SanitizeBoundingBoxes(labels_getter=lambda sample: sample["gt_classes"]),
        v2.Lambda(lambda value: value),
    ],
    ids=lambda transform: type(transform).__name__,
)
def test_a_transform_of_torchvision_makes_what_it_makes_of_the_whole_sample(transform, sample):
    torch.manual_seed(1)
    expected = transform(dict(sample))
    torch.manual_seed(1)
    found = Compose([transform])(dict(sample))
    assert list(found) == list(expected)
    assert {k: plain(v) for k, v in found.items()} == {k: plain(v) for k, v in expected.items()}


def test_a_transform_of_the_user_sees_the_whole_sample(sample):
    assert Compose([Seen()])(sample)["seen"] == sorted(sample)


def test_what_a_lambda_changes_may_be_a_number(sample):
    double = v2.Lambda(lambda value: value * 2, int)
    assert Compose([double])(sample)["label"] == 6


def test_a_transform_of_torchvision_takes_what_is_no_dict():
    assert Compose([v2.Resize((2, 2))])(torch.zeros(3, 4, 4)).shape == (3, 2, 2)
