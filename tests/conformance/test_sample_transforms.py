"""Whatever HAT exports as a transform of samples keeps a sample whole."""

import copy
import inspect
import pickle

import numpy as np
import pytest
import torch
from torchvision import tv_tensors
from torchvision.transforms import v2

import hat.data.transforms as transforms
from hat.data import (
    ClassAwareCrop,
    Compose,
    ConvertColor,
    CopyPaste,
    Dataset,
    DefocusBlur,
    DropKeys,
    FilterBoxes,
    Letterbox,
    Mosaic,
    MotionBlur,
    PadToMultiple,
    Projection,
    Rain,
    RemapClasses,
    SensorNoise,
    SimulateNv12,
    Undistort,
)
from hat.data.pixels import Image, Mask
from hat.data.sample import KEYS
from hat.data.transforms.recording import recorded_transforms
from hat.seeding import seed_everything

SIZE = (20, 30)
CAMERA = [[40.0, 0.0, 14.5], [0.0, 40.0, 9.5], [0.0, 0.0, 1.0]]

#: How each transform of samples is built.
MAKERS = {
    "ClassAwareCrop": lambda: ClassAwareCrop((16, 40), focus=[2]),
    "Compose": lambda: Compose(
        [v2.RandomHorizontalFlip(p=1), v2.RandomCrop(12, pad_if_needed=True)]
    ),
    "ConvertColor": lambda: ConvertColor("yuv444"),
    "CopyPaste": lambda: CopyPaste(p=1, max_objects=2),
    "DefocusBlur": DefocusBlur,
    "DropKeys": lambda: DropKeys(["gt_depth"]),
    "FilterBoxes": lambda: FilterBoxes(min_size=5),
    "Letterbox": lambda: Letterbox((24, 64)),
    "Mosaic": lambda: Mosaic((24, 64), p=1),
    "MotionBlur": MotionBlur,
    "PadToMultiple": lambda: PadToMultiple(32),
    "Rain": Rain,
    "RemapClasses": lambda: RemapClasses({"all": [0, 1, 2]}),
    "SensorNoise": SensorNoise,
    "SimulateNv12": SimulateNv12,
    "Undistort": lambda: Undistort(CAMERA, [-0.3, 0.05, 0.01, 0.0]),
}
#: Not of samples: a base, one of whole batches, and functions.
OTHERS = {"MixingTransform", "Normalize"}
BATCH = {name for name in transforms.__all__ if name.startswith("Batch")}
NAMES = [
    name
    for name in transforms.__all__
    if not inspect.isfunction(getattr(transforms, name)) and name not in OTHERS | BATCH
]
MIXING = {"CopyPaste", "Mosaic"}


def boxes_in(seed, count, size):
    draw = np.random.default_rng(seed)
    height, width = size
    x, y = draw.integers(width, size=(count, 1)), draw.integers(height, size=(count, 1))
    corners = np.hstack([x, y, draw.integers(x, width) + 1, draw.integers(y, height) + 1])
    return tv_tensors.BoundingBoxes(
        torch.from_numpy(corners).float().reshape(-1, 4), format="XYXY", canvas_size=size
    )


def make_sample(seed=0, count=3, size=SIZE):
    """A sample with every key that a transform may meet, a mask for each box."""
    draw = torch.Generator().manual_seed(seed)
    height, width = size
    boxes = boxes_in(seed, count, size)
    masks = torch.zeros(count, height, width, dtype=torch.bool)
    for mask, (left, top, right, bottom) in zip(masks, boxes.int().tolist(), strict=True):
        mask[top:bottom, left:right] = True
    pixels = torch.randint(256, (height, width, 3), generator=draw, dtype=torch.uint8)
    points = boxes.as_subclass(torch.Tensor).reshape(count, 2, 2).clone()
    return {
        "img": Image.from_hwc(pixels.numpy()),
        "gt_bboxes": boxes,
        "gt_classes": torch.arange(count) % 3,
        "gt_crowd": torch.zeros(count, dtype=torch.bool),
        "gt_truncated": torch.zeros(count),
        "gt_keypoints": tv_tensors.KeyPoints(points, canvas_size=size),
        "gt_visibility": torch.full((count, 2), 2),
        "gt_masks": Mask(masks),
        "gt_ignore_bboxes": boxes_in(seed + 1, 2, size),
        "gt_seg": Mask(torch.randint(3, size, generator=draw, dtype=torch.uint8)),
        "gt_depth": Mask(torch.rand(size, generator=draw)),
        "camera_matrix": Projection(CAMERA, canvas_size=size),
        "label": torch.tensor(1),
        "img_id": seed,
        "ori_shape": size,
    }


class Samples(Dataset):
    """Samples of several sizes; in some there is no object."""

    def __init__(self, transform, count=3, size=SIZE):
        super().__init__(transform)
        self.count = count
        self.size = size

    def __len__(self):
        return 6

    def load(self, index):
        return make_sample(index, self.count, self.size)


def mixable(name):
    """What must stand before a transform."""
    return [DropKeys(["label", "camera_matrix"])] if name == "Mosaic" else []


def applied(name, index=0, seed=0, count=3, size=SIZE):
    dataset = Samples([*mixable(name), MAKERS[name]()], count, size)
    seed_everything(seed)
    return dataset[index]


def require_equal(sample, other):
    assert sample.keys() == other.keys()
    for key, value in sample.items():
        assert type(value) is type(other[key]), key
        if isinstance(value, torch.Tensor):
            torch.testing.assert_close(value, other[key], rtol=0, atol=0, msg=key)
        else:
            assert value == other[key], key


@pytest.fixture(params=NAMES)
def name(request):
    return request.param


SHAPES = pytest.mark.parametrize(
    ("count", "size"),
    [(3, SIZE), (0, SIZE), (1, (1, 1)), (2, (1, 30)), (4, (33, 1))],
    ids=["usual", "empty", "one pixel", "one row", "one column"],
)


def test_every_exported_transform_is_tested(name):
    assert name in MAKERS


@SHAPES
def test_parts_have_one_canvas(name, count, size):
    sample = applied(name, count=count, size=size)
    height, width = sample["img"].shape[-2:]
    assert sample["gt_seg"].shape == (height, width)
    assert sample["gt_masks"].shape[1:] == (height, width)
    for key in ("gt_bboxes", "gt_keypoints", "gt_ignore_bboxes"):
        assert sample[key].canvas_size == (height, width)


@SHAPES
def test_boxes_stay_inside(name, count, size):
    sample = applied(name, count=count, size=size)
    height, width = sample["img"].shape[-2:]
    for key in ("gt_bboxes", "gt_ignore_bboxes"):
        boxes = sample[key].as_subclass(torch.Tensor)
        assert bool((boxes >= 0).all())
        assert bool((boxes <= torch.tensor([width, height, width, height])).all())
        assert bool((boxes[:, 2:] >= boxes[:, :2]).all())


@SHAPES
def test_all_keys_of_objects_have_as_many_rows(name, count, size):
    sample = applied(name, count=count, size=size)
    rows = {key: len(sample[key]) for key in sample if KEYS[key].is_per_object}
    assert len(set(rows.values())) == 1, rows


def test_classes_and_dtypes_are_kept(name):
    before, after = make_sample(), applied(name)
    for key, value in after.items():
        assert type(value) is type(before[key]), key
        assert getattr(value, "dtype", None) == getattr(before[key], "dtype", None), key


def test_the_sample_that_is_given_is_left_as_it_was(name):
    transform = Compose([MAKERS[name]()])
    samples = [Compose(mixable(name))(make_sample(seed)) for seed in range(5)]
    before = copy.deepcopy(samples)
    others = iter(samples[1:])
    transform(samples[0], lambda place: next(others))
    for sample, expected in zip(samples, before, strict=True):
        require_equal(sample, expected)


def test_one_seed_gives_one_sample(name):
    require_equal(applied(name, seed=3), applied(name, seed=3))


def test_looking_on_changes_nothing(name):
    unseen = applied(name, seed=5)
    with recorded_transforms() as records:
        seen = applied(name, seed=5)
    require_equal(seen, unseen)
    assert records[-1].is_applied


def test_a_worker_can_be_sent_the_transform(name):
    transform = pickle.loads(pickle.dumps(MAKERS[name]()))
    dataset = Samples([*mixable(name), transform])
    seed_everything(0)
    require_equal(dataset[0], applied(name))


@pytest.mark.parametrize(
    ("name", "key"),
    [
        (name, key)
        for name in NAMES
        for key in ("gt_masks", "gt_seg", "gt_bboxes", "gt_depth", "gt_keypoints")
        if (name, key) not in {("CopyPaste", "gt_masks"), ("ClassAwareCrop", "gt_seg")}
    ],
)
def test_keys_may_be_missing(name, key):
    dropped = [DropKeys([key]), *mixable(name), MAKERS[name]()]
    seed_everything(0)
    assert key not in Samples(dropped)[0]


@pytest.mark.parametrize("name", sorted(MIXING))
def test_a_transform_that_mixes_needs_a_data_set(name):
    with pytest.raises(RuntimeError, match="must stand in the list transform= of a data set"):
        Compose([MAKERS[name]()])(make_sample())
