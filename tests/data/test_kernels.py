"""Our kernels against torchvision's own on the same pixels."""

import copy
import pickle

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torchvision import tv_tensors
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as F

from hat.data.kernels import IMAGE_KERNELS, MASK_KERNELS, dispatch
from hat.data.pixels import Image, Mask

SIZES = [(64, 64), (33, 47), (120, 97), (1, 1), (1, 7), (5, 1), (2, 3)]
LAYOUTS = ["interleaved", "planes", "window", "transposed"]
CORNERS = [[0, 0], [30, 0], [30, 30], [0, 30]]
MOVED = [[2, 3], [28.3, 1], [25, 28.1], [3.2, 26]]
AFFINE = dict(angle=13.0, translate=[3, 2], scale=1.1, shear=[3.0, 2.0])

#: Kernels that must agree within one level at every pixel: (functional, arguments).
POINTWISE = [
    ("horizontal_flip", {}),
    ("vertical_flip", {}),
    ("resize", dict(size=[20, 30])),
    ("resize", dict(size=[70, 99])),
    ("resize", dict(size=[20, 30], antialias=False)),
    ("resize", dict(size=[70, 99], antialias=False)),
    ("resize", dict(size=[20, 30], interpolation="nearest")),
    ("resize", dict(size=[70, 99], interpolation="nearest")),
    ("resize", dict(size=[70, 99], interpolation="nearest-exact")),
    ("resize", dict(size=[20, 30], interpolation=v2.InterpolationMode.BICUBIC)),
    ("resize", dict(size=[20, 30], interpolation=3)),
    ("resize", dict(size=[24])),
    ("resize", dict(size=24, max_size=30)),
    ("resize", dict(size=None, max_size=30)),
    ("crop", dict(top=0, left=0, height=1, width=1)),
    ("crop", dict(top=-2, left=-3, height=70, width=50)),
    ("crop", dict(top=-200, left=-3, height=70, width=50)),
    ("center_crop", dict(output_size=[20, 30])),
    ("center_crop", dict(output_size=[71, 98])),
    ("center_crop", dict(output_size=31)),
    ("resized_crop", dict(top=0, left=0, height=30, width=30, size=[12, 10])),
    ("pad", dict(padding=[1, 2, 3, 4])),
    ("pad", dict(padding=3, fill=[1, 2, 3])),
    ("pad", dict(padding=[1, 2], fill=7)),
    ("pad", dict(padding=[1, -1, 0, 0])),
    ("pad", dict(padding=[1, 2], padding_mode="edge")),
    ("pad", dict(padding=[1, 2], padding_mode="reflect")),
    ("pad", dict(padding=[1, 2], padding_mode="symmetric")),
    ("pad", dict(padding=[40, 2], padding_mode="reflect")),
    ("adjust_brightness", dict(brightness_factor=0.0)),
    ("adjust_brightness", dict(brightness_factor=0.5)),
    ("adjust_brightness", dict(brightness_factor=1.37)),
    ("adjust_contrast", dict(contrast_factor=0.0)),
    ("adjust_contrast", dict(contrast_factor=0.5)),
    ("adjust_contrast", dict(contrast_factor=1.7)),
    ("adjust_saturation", dict(saturation_factor=0.0)),
    ("adjust_saturation", dict(saturation_factor=0.5)),
    ("adjust_saturation", dict(saturation_factor=1.7)),
    ("adjust_hue", dict(hue_factor=0.13)),
    ("adjust_hue", dict(hue_factor=-0.4)),
    ("adjust_hue", dict(hue_factor=0.5)),
    ("adjust_hue", dict(hue_factor=0.2)),
    ("adjust_hue", dict(hue_factor=0.4)),
    ("adjust_hue", dict(hue_factor=-0.1)),
    ("adjust_hue", dict(hue_factor=-0.3)),
    ("adjust_gamma", dict(gamma=1.3, gain=1.1)),
    ("solarize", dict(threshold=100)),
    ("posterize", dict(bits=3)),
    ("invert", {}),
    ("autocontrast", {}),
    ("equalize", {}),
    ("rgb_to_grayscale", dict(num_output_channels=1)),
    ("rgb_to_grayscale", dict(num_output_channels=3)),
    ("permute_channels", dict(permutation=[2, 0, 1])),
    ("gaussian_blur", dict(kernel_size=[5, 3], sigma=[0.8, 1.2])),
    ("gaussian_blur", dict(kernel_size=3)),
    ("adjust_sharpness", dict(sharpness_factor=2.0)),
    ("adjust_sharpness", dict(sharpness_factor=0.3)),
    ("rotate", dict(angle=180)),
    ("rotate", dict(angle=90, expand=True)),
    ("rotate", dict(angle=-90.0, expand=True)),
    ("rotate", dict(angle=0)),
    ("affine", AFFINE),
    ("rotate", dict(angle=33, fill=[9, 8, 7])),
    ("perspective", dict(startpoints=CORNERS, endpoints=MOVED, interpolation="nearest")),
]

#: Bilinear warps: (functional, arguments).
BILINEAR = [
    ("affine", AFFINE),
    ("affine", AFFINE | dict(shear=4.0)),
    ("affine", AFFINE | dict(shear=[4.0])),
    ("affine", AFFINE | dict(center=[4.0, 5.0])),
    ("rotate", dict(angle=33)),
    ("rotate", dict(angle=33.0, expand=True)),
    ("rotate", dict(angle=-120, center=[3, 4])),
    ("perspective", dict(startpoints=CORNERS, endpoints=MOVED)),
    (
        "perspective",
        dict(
            startpoints=None,
            endpoints=None,
            coefficients=[1.1, 0.1, -3.0, -0.05, 0.95, 1.0, 1e-3, 2e-3],
        ),
    ),
]

#: What torchvision refuses must be refused in the same words.
REFUSED = [
    ("resize", dict(size=[20, 30], interpolation="cubic")),
    ("pad", dict(padding=[1, 2, 3])),
    ("pad", dict(padding=1, fill=[1, 2, 3], padding_mode="edge")),
    ("pad", dict(padding=1, padding_mode="wrap")),
    ("affine", AFFINE | dict(shear=[1, 2, 3])),
    ("affine", AFFINE | dict(interpolation="bicubic")),
    ("affine", AFFINE | dict(fill=[1, 2])),
    ("perspective", dict(startpoints=None, endpoints=None)),
    ("perspective", dict(startpoints=None, endpoints=None, coefficients=[1.0])),
    ("elastic", dict(displacement=torch.zeros(1, 2, 2, 2))),
    ("adjust_brightness", dict(brightness_factor=-1)),
    ("adjust_contrast", dict(contrast_factor=-1)),
    ("adjust_saturation", dict(saturation_factor=-1)),
    ("adjust_hue", dict(hue_factor=0.6)),
    ("adjust_gamma", dict(gamma=-1)),
    ("adjust_sharpness", dict(sharpness_factor=-1)),
    ("solarize", dict(threshold=300)),
    ("rgb_to_grayscale", dict(num_output_channels=2)),
    ("permute_channels", dict(permutation=[0, 1])),
    ("gaussian_blur", dict(kernel_size=[4, 3])),
    ("gaussian_blur", dict(kernel_size=3, sigma=0.0)),
]

MASK_CASES = [
    ("horizontal_flip", {}),
    ("vertical_flip", {}),
    ("crop", dict(top=-2, left=-3, height=70, width=50)),
    ("pad", dict(padding=[1, 2, 3, 4], fill=1)),
    ("resize", dict(size=[20, 31])),
    ("resize", dict(size=[71, 99])),
    ("resize", dict(size=[24], max_size=90)),
    ("resize", dict(size=[71, 99], interpolation="nearest-exact")),
    ("resized_crop", dict(top=-3, left=0, height=30, width=30, size=[12, 10])),
    ("affine", AFFINE),
    ("affine", AFFINE | dict(fill=1)),
    ("rotate", dict(angle=33, expand=True)),
    ("rotate", dict(angle=270, expand=True)),
    ("perspective", dict(startpoints=CORNERS, endpoints=MOVED)),
]
MASK_DTYPES = [
    torch.uint8, torch.bool, torch.int16, torch.int32, torch.int64, torch.float32, torch.float64
]  # fmt: skip


def smooth_picture(height: int, width: int, seed: int = 0) -> np.ndarray:
    """Like a photograph: slow changes of colour and a little noise."""
    generator = np.random.default_rng(seed)
    coarse = generator.integers(0, 256, (height // 16 + 2, width // 16 + 2, 3))
    picture = cv2.resize(coarse.astype(np.float32), (width, height), interpolation=cv2.INTER_CUBIC)
    return (picture + generator.normal(0, 3, picture.shape)).clip(0, 255).astype(np.uint8)


def image(pixels: np.ndarray, layout: str = "interleaved") -> Image:
    """The same picture, differently laid out in memory."""
    tensor = torch.from_numpy(pixels).permute(2, 0, 1)
    return Image(
        {
            "interleaved": lambda: tensor,
            "planes": lambda: tensor.contiguous(),
            "window": lambda: torch.from_numpy(np.pad(pixels, ((2, 1), (3, 4), (0, 0))))
            .permute(2, 0, 1)[:, 2:-1, 3:-4],
            "transposed": lambda: tensor.transpose(1, 2).contiguous().transpose(1, 2),
        }[layout]()
    )  # fmt: skip


def reference(name: str, pixels: np.ndarray, arguments: dict) -> torch.Tensor:
    planes = torch.from_numpy(pixels.transpose(2, 0, 1).copy())
    return getattr(F, name)(tv_tensors.Image(planes), **arguments).as_subclass(torch.Tensor)


def blocks(shape: tuple[int, ...], dtype: torch.dtype) -> torch.Tensor:
    """A mask of squares, each plane another."""
    generator = np.random.default_rng(len(shape))
    coarse = generator.integers(0, 200, (*shape[:-2], shape[-2] // 4 + 1, shape[-1] // 4 + 1))
    fine = coarse.repeat(4, axis=-2).repeat(4, axis=-1)[..., : shape[-2], : shape[-1]]
    return torch.from_numpy(fine.copy()).to(dtype)


def outcome(function, *args, **kwargs):
    """What it returns or, as text, what it raises."""
    try:
        return function(*args, **kwargs).as_subclass(torch.Tensor)
    except Exception as error:
        return f"{type(error).__name__}: {error}"


def check_same_outcome(got, expected) -> None:
    """The same error, or the same shape and within one level everywhere."""
    if isinstance(expected, str):
        assert got == expected
        return
    assert (got.shape, got.dtype) == (expected.shape, expected.dtype)
    assert torch.all((got.int() - expected.int()).abs() <= 1)


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize(("name", "arguments"), POINTWISE, ids=str)
def test_a_picture_is_within_one_level_of_torchvision_at_every_pixel(name, arguments, size):
    pixels = smooth_picture(*size)
    got = outcome(getattr(F, name), image(pixels), **arguments)
    check_same_outcome(got, outcome(reference, name, pixels, arguments))


@pytest.mark.parametrize(("name", "arguments"), POINTWISE + BILINEAR, ids=str)
def test_the_mean_difference_from_torchvision_is_below_half_a_level(name, arguments):
    pixels = smooth_picture(120, 97)
    got = getattr(F, name)(image(pixels), **arguments)
    difference = (got.int() - reference(name, pixels, arguments).int()).abs().float()
    assert difference.mean() < 0.5


@pytest.mark.parametrize("size", [(64, 64), (33, 47), (120, 97), (1, 7), (5, 1)], ids=str)
@pytest.mark.parametrize(("name", "arguments"), BILINEAR, ids=str)
def test_bilinear_warps_without_fill_agree_edges_included(name, arguments, size):
    pixels = smooth_picture(*size)
    arguments = arguments | dict(interpolation="bilinear")
    got = getattr(F, name)(image(pixels), **arguments)
    check_same_outcome(got, reference(name, pixels, arguments))


@pytest.mark.parametrize("size", [(64, 64), (33, 47), (1, 7)], ids=str)
@pytest.mark.parametrize(("name", "arguments"), BILINEAR, ids=str)
def test_the_colour_of_a_fill_is_mixed_in_by_the_share_that_lies_outside(name, arguments, size):
    """torchvision weighs the picture twice at edges, so that they darken; we do not."""
    pixels = smooth_picture(*size)
    arguments = arguments | dict(interpolation="bilinear")
    warp = getattr(F, f"{name}_image")
    black = warp(torch.from_numpy(pixels).permute(2, 0, 1).double(), **arguments)
    inside = warp(torch.ones(3, *size, dtype=torch.float64), **arguments)
    color = torch.tensor([200.0, 100.0, 7.0], dtype=torch.float64).reshape(3, 1, 1)
    expected = black + (1 - inside) * color
    got = getattr(F, name)(image(pixels), fill=[200, 100, 7], **arguments)
    assert (got.double() - expected).abs().max() <= 1.01


@settings(max_examples=60, deadline=None, database=None, derandomize=True)
@given(
    angle=st.floats(-180, 180),
    translate=st.tuples(st.integers(-20, 20), st.integers(-20, 20)),
    scale=st.floats(0.3, 3.0),
    shear=st.tuples(st.floats(-40, 40), st.floats(-40, 40)),
    center=st.none() | st.tuples(st.floats(0, 50), st.floats(0, 40)),
)
def test_random_affine_transforms_agree_with_torchvision(angle, translate, scale, shear, center):
    pixels = smooth_picture(41, 52)
    arguments = dict(
        angle=angle, translate=translate, scale=scale, shear=shear, center=center,
        interpolation="bilinear",
    )  # fmt: skip
    got = F.affine(image(pixels), **arguments)
    check_same_outcome(got, reference("affine", pixels, arguments))


@pytest.mark.parametrize("seed", range(40))
def test_random_warps_of_masks_pick_torchvisions_pixels(seed):
    """Values that are all different, and draws so odd that no position is between two pixels."""
    generator = np.random.default_rng(seed)
    labels = torch.arange(1.0, 41 * 52 + 1).reshape(41, 52)
    arguments = dict(
        angle=generator.uniform(-180, 180),
        translate=generator.uniform(-20, 20, 2).tolist(),
        scale=generator.uniform(0.3, 3.0),
        shear=generator.uniform(-40, 40, 2).tolist(),
    )
    got = F.affine(Mask(labels), **arguments)
    assert torch.equal(got, F.affine(tv_tensors.Mask(labels), **arguments))


@pytest.mark.parametrize("size", [(33, 47), (60, 60), (1, 9)], ids=str)
@pytest.mark.parametrize("mode", ["bilinear", "nearest"])
def test_elastic_transforms_agree_with_torchvision(size, mode):
    pixels = smooth_picture(*size)
    arguments = dict(displacement=(torch.rand(1, *size, 2) - 0.5) * 0.3, interpolation=mode)
    got = F.elastic(image(pixels), **arguments)
    check_same_outcome(got, reference("elastic", pixels, arguments))


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize(("name", "arguments"), POINTWISE, ids=str)
def test_the_layout_of_memory_does_not_matter(name, arguments, layout):
    pixels = smooth_picture(45, 61)
    got = getattr(F, name)(image(pixels, layout), **arguments)
    torch.testing.assert_close(got, getattr(F, name)(image(pixels), **arguments), rtol=0, atol=0)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize(("name", "arguments"), POINTWISE + BILINEAR, ids=str)
def test_a_kernel_returns_our_class_and_leaves_its_input_alone(name, arguments, layout):
    before = smooth_picture(45, 61)
    given_image = image(before.copy(), layout)
    got = getattr(F, name)(given_image, **arguments)
    assert type(got) is Image
    assert np.array_equal(given_image.hwc(), before)


@pytest.mark.parametrize(("name", "arguments"), REFUSED, ids=str)
def test_what_torchvision_refuses_is_refused_in_the_same_words(name, arguments):
    pixels = smooth_picture(20, 30)
    expected = outcome(reference, name, pixels, arguments)
    assert isinstance(expected, str)
    assert outcome(getattr(F, name), image(pixels), **arguments) == expected


@pytest.mark.parametrize(("name", "arguments"), POINTWISE + BILINEAR, ids=str)
def test_several_pictures_at_once_are_each_transformed(name, arguments):
    pictures = [image(smooth_picture(40, 50, seed)) for seed in range(4)]
    got = getattr(F, name)(Image(torch.stack(pictures).unflatten(0, (2, 2))), **arguments)
    expected = torch.stack([getattr(F, name)(picture, **arguments) for picture in pictures])
    assert type(got) is Image
    assert torch.equal(got.flatten(0, 1), expected)


@pytest.mark.parametrize(
    "other",
    [
        torch.rand(3, 20, 30),
        torch.randint(0, 256, (1, 20, 30), dtype=torch.uint8),
        torch.randint(0, 256, (0, 3, 20, 30), dtype=torch.uint8),
    ],
    ids=["float", "grey", "none"],
)
@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("resize", dict(size=[9, 8])),
        ("affine", AFFINE),
        ("adjust_brightness", dict(brightness_factor=1.2)),
        ("adjust_hue", dict(hue_factor=0.1)),
    ],
    ids=str,
)
def test_other_pictures_run_torchvisions_kernel(name, arguments, other):
    got = getattr(F, name)(Image(other), **arguments)
    expected = getattr(F, name)(tv_tensors.Image(other), **arguments)
    assert type(got) is Image
    assert torch.equal(got, expected)


def test_a_gradient_flows_through_a_picture_of_floats():
    floats = torch.rand(3, 20, 30, requires_grad=True)
    F.adjust_brightness(Image(floats), 0.5).sum().backward()
    torch.testing.assert_close(floats.grad, torch.full((3, 20, 30), 0.5))


@pytest.mark.parametrize("dtype", MASK_DTYPES, ids=str)
@pytest.mark.parametrize(
    "shape", [(33, 47), (3, 64, 64), (0, 33, 47), (2, 2, 21, 30), (1, 1), (1, 5)], ids=str
)
@pytest.mark.parametrize(("name", "arguments"), MASK_CASES, ids=str)
def test_a_mask_is_torchvisions_pixel_for_pixel(name, arguments, shape, dtype):
    values = blocks(shape, dtype)
    got = getattr(F, name)(Mask(values), **arguments)
    expected = getattr(F, name)(tv_tensors.Mask(values), **arguments)
    assert (type(got), got.dtype) == (Mask, dtype)
    assert got.shape == expected.shape
    assert torch.equal(got, expected)


@pytest.mark.parametrize("value", [2**60 + 1, -(2**60) - 1, -1])
def test_whole_numbers_that_floats_cannot_hold_survive_a_warp(value):
    mask = Mask(torch.full((20, 20), value))
    assert F.affine(mask, **(AFFINE | dict(translate=[0, 0])))[10, 10] == value


@pytest.mark.parametrize("dtype", [torch.int16, torch.int32, torch.int64, torch.float32])
def test_a_mask_can_be_filled_with_a_negative_value(dtype):
    mask = F.affine(Mask(torch.ones(20, 20, dtype=dtype)), fill=-1, **AFFINE)
    assert mask.unique().tolist() == [-1, 1]


@settings(max_examples=200, deadline=None, database=None, derandomize=True)
@given(old=st.integers(1, 600), new=st.integers(1, 600))
def test_nearest_resizing_takes_torchs_pixels_at_any_size(old, new):
    columns = torch.arange(float(old)).repeat(3, 1)
    got = F.resize(Mask(columns), [3, new])
    assert torch.equal(got, F.resize(tv_tensors.Mask(columns), [3, new]))


@pytest.mark.parametrize("name", sorted(IMAGE_KERNELS))
def test_the_kernels_of_pictures_are_those_that_run(name, monkeypatch):
    arguments = dict(POINTWISE + BILINEAR) | {"elastic": {"displacement": torch.zeros(1, 9, 9, 2)}}
    monkeypatch.setattr(dispatch, "_run_on_image", lambda *args: torch.full((3, 1, 1), 77))
    assert getattr(F, name)(image(smooth_picture(9, 9)), **arguments[name]).flatten()[0] == 77


@pytest.mark.parametrize("name", sorted(MASK_KERNELS))
def test_the_kernels_of_masks_are_those_that_run(name, monkeypatch):
    arguments = dict(MASK_CASES) | {"elastic": {"displacement": torch.zeros(1, 9, 9, 2)}}
    monkeypatch.setattr(dispatch, "_run_on_mask", lambda *args: torch.full((1, 1), 77))
    assert getattr(F, name)(Mask(torch.zeros(9, 9)), **arguments[name]).flatten()[0] == 77


@pytest.mark.parametrize(("name", "arguments"), BILINEAR + POINTWISE, ids=str)
def test_the_number_of_threads_changes_no_pixel(name, arguments):
    picture = image(smooth_picture(301, 403))
    results = []
    for num_threads in (1, 4):
        cv2.setNumThreads(num_threads)
        results.append(getattr(F, name)(picture, **arguments))
    cv2.setNumThreads(1)
    assert torch.equal(*results)


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))])
@pytest.mark.parametrize("value", [image(smooth_picture(5, 6)), Mask(torch.ones(4, 5))])
def test_pictures_and_masks_can_be_copied_and_pickled(duplicate, value):
    again = duplicate(value)
    assert type(again) is type(value)
    assert torch.equal(again, value)


def test_a_flipped_picture_keeps_its_channels_innermost():
    flipped = F.horizontal_flip(image(smooth_picture(20, 30), "planes"))
    assert flipped.stride() == (1, 90, 3)


def test_the_whole_chain_is_within_one_level_on_average():
    chain = v2.Compose(
        [
            v2.RandomHorizontalFlip(p=1.0),
            v2.RandomAffine(
                15, (0.1, 0.1), (0.8, 1.2), interpolation=v2.InterpolationMode.BILINEAR
            ),
            v2.ColorJitter(0.4, 0.4, 0.4, 0.1),
        ]
    )
    pixels = smooth_picture(256, 256)
    torch.manual_seed(3)
    got = chain(image(pixels))
    torch.manual_seed(3)
    expected = chain(tv_tensors.Image(torch.from_numpy(pixels.transpose(2, 0, 1).copy())))
    assert (got.int() - expected.int()).abs().float().mean() <= 0.5


# Samples

#: What torchvision does not do to boxes and masks.
PICTURES_ONLY = (v2.RandAugment, v2.TrivialAugmentWide, v2.AugMix, v2.AutoAugment, v2.RandomErasing)


def drawn_sample(height: int = 120, width: int = 160) -> dict:
    """A white rectangle on black, with the box and the masks that are its truth."""
    pixels = np.zeros((height, width, 3), np.uint8)
    pixels[40:80, 50:110] = 255
    inside = torch.from_numpy(pixels[:, :, 0] > 0)
    return {
        "img": Image.from_hwc(pixels),
        "gt_bboxes": tv_tensors.BoundingBoxes(
            torch.tensor([[50.0, 40.0, 110.0, 80.0]]),
            format="XYXY",
            canvas_size=(height, width),
        ),
        "labels": torch.tensor([1]),
        "gt_masks": Mask(inside[None]),
        "gt_seg": Mask(inside.to(torch.int64)),
        "gt_depth": Mask(inside.float() * 7.5),
    }


def box_around(is_inside: torch.Tensor) -> list[int]:
    rows, columns = is_inside.any(1).nonzero(), is_inside.any(0).nonzero()
    return [int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1]


@pytest.mark.parametrize(
    "transform",
    [
        v2.RandomHorizontalFlip(p=1.0),
        v2.RandomVerticalFlip(p=1.0),
        v2.Resize([77, 93]),
        v2.Resize([240, 400]),
        v2.Pad([3, 5, 7, 11]),
        v2.CenterCrop([100, 130]),
        v2.CenterCrop([150, 201]),
        v2.RandomCrop([100, 150], pad_if_needed=True),
        v2.RandomAffine(0, (0.1, 0.1), (0.7, 1.3), interpolation=v2.InterpolationMode.BILINEAR),
        v2.RandomAffine(0, (0.1, 0.1), (0.7, 1.3)),
        v2.RandomAffine(20, (0.1, 0.1), (0.7, 1.0), 10),
        v2.RandomRotation(40, expand=True, interpolation=v2.InterpolationMode.BILINEAR),
        v2.RandomPerspective(0.3, p=1.0),
        v2.RandomResizedCrop([90, 110], scale=(0.9, 1.0)),
        v2.RandomZoomOut(p=1.0),
        v2.ScaleJitter([100, 140], (0.8, 1.5)),
        v2.RandomShortestSize([70, 140]),
    ],
    ids=lambda transform: type(transform).__name__,
)
@pytest.mark.parametrize("seed", range(3))
def test_boxes_still_fit_the_object_in_picture_and_masks(transform, seed):
    torch.manual_seed(seed)
    sample = transform(drawn_sample())
    box = sample["gt_bboxes"][0]
    seen = [
        box_around(sample["img"][0] > 127),
        box_around(sample["gt_masks"][0]),
        box_around(sample["gt_seg"] == 1),
        box_around(sample["gt_depth"] == 7.5),
    ]
    assert (torch.tensor(seen) - box).abs().max() <= 1.5


@pytest.mark.parametrize(
    "transform",
    [
        v2.ToDtype({Image: torch.float32, "others": None}, scale=True),
        v2.RandAugment(),
        v2.TrivialAugmentWide(),
        v2.AugMix(),
        v2.AutoAugment(),
        v2.RandomPhotometricDistort(p=1.0),
        v2.RandomIoUCrop(),
        v2.RandomResize(60, 100),
        v2.RandomErasing(p=1.0),
        v2.RandomChannelPermutation(),
        v2.RandomGrayscale(p=1.0),
        v2.GaussianBlur(5),
        v2.GaussianNoise(sigma=0.1),
        v2.ElasticTransform(alpha=30.0),
        v2.JPEG((20, 80)),
        v2.RandomAdjustSharpness(2, p=1.0),
        v2.RandomAutocontrast(p=1.0),
        v2.RandomEqualize(p=1.0),
        v2.RandomInvert(p=1.0),
        v2.RandomPosterize(3, p=1.0),
        v2.RandomSolarize(100, p=1.0),
    ],
    ids=lambda transform: type(transform).__name__,
)
@pytest.mark.filterwarnings("ignore:The image decoding and encoding:DeprecationWarning")
@pytest.mark.parametrize("seed", range(3))
def test_transforms_of_torchvision_run_on_whole_samples(transform, seed):
    torch.manual_seed(seed)
    sample = drawn_sample()
    if isinstance(transform, PICTURES_ONLY):
        sample = {"img": sample["img"]}
    result = transform(sample)
    assert type(result["img"]) is Image
    assert result["img"].shape[0] == 3
    assert {key: type(value) for key, value in result.items()} == {
        key: type(value) for key, value in sample.items()
    }


def test_mixup_mixes_batches_of_our_pictures():
    batch = Image(torch.stack([image(smooth_picture(20, 20, seed)) for seed in range(4)]))
    mixed, labels = v2.MixUp(num_classes=3)(F.to_dtype(batch, scale=True), torch.arange(4) % 3)
    assert mixed.shape == (4, 3, 20, 20)
    assert labels.shape == (4, 3)
