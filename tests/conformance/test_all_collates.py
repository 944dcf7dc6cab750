"""Whatever HAT exports as a collate keeps the conventions of one."""

import copy
import pickle

import pytest
import torch
from torchvision import tv_tensors

import hat.data.collates as collates
from hat.data import DataLoader
from hat.data.pixels import Image, Mask
from hat.data.sample import num_samples

IDS = ["a", "b", "c"]


def sample(number):
    generator = torch.Generator().manual_seed(number)
    boxes = torch.rand(number, 4, generator=generator)
    return {
        "img": Image.from_hwc(
            torch.randint(256, (6, 8, 3), dtype=torch.uint8, generator=generator).numpy()
        ),
        "label": number,
        "gt_bboxes": tv_tensors.BoundingBoxes(boxes, format="XYXY", canvas_size=(6, 8)),
        "gt_classes": torch.arange(number),
        "gt_seg": Mask(torch.full((6, 8), number, dtype=torch.uint8)),
        "gt_masks": Mask(torch.zeros(number, 6, 8, dtype=torch.bool)),
        "points": torch.rand(5 + number, 4, generator=generator),
        "img_id": IDS[number],
        "ori_shape": (6, 8),
    }


@pytest.fixture(params=collates.__all__)
def collate(request):
    return getattr(collates, request.param)()


@pytest.fixture
def samples():
    return [sample(number) for number in range(3)]


def plain(value):
    if isinstance(value, torch.Tensor):
        return value.tolist()
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    return [plain(item) for item in value] if isinstance(value, list) else value


def test_a_batch_has_the_keys_of_its_samples(collate, samples):
    assert samples[0].keys() <= collate(samples).keys()


def test_a_batch_has_as_many_of_everything_as_samples(collate, samples):
    batch = collate(samples)
    assert num_samples(batch) == 3
    assert {len(value) for key, value in batch.items() if key != "points"} == {3}


def test_ids_stand_in_the_order_of_samples(collate, samples):
    assert collate(samples)["img_id"] == IDS


def test_labels_are_one_tensor_of_int64(collate, samples):
    labels = collate(samples)["label"]
    assert labels.dtype == torch.int64
    assert labels.tolist() == [0, 1, 2]


def test_boxes_are_a_list(collate, samples):
    assert [boxes.tolist() for boxes in collate(samples)["gt_bboxes"]] == [
        boxes["gt_bboxes"].tolist() for boxes in samples
    ]


def test_pictures_keep_their_pixels_and_type(collate, samples):
    imgs = collate(samples)["img"]
    assert {img.dtype for img in imgs} == {torch.uint8}
    assert [img.tolist() for img in imgs] == [each["img"].tolist() for each in samples]


def test_a_sample_alone_makes_a_batch(collate, samples):
    assert num_samples(collate(samples[1:2])) == 1


def test_samples_are_left_as_they_were(collate, samples):
    before = copy.deepcopy(samples)
    collate(samples)
    assert plain(samples) == plain(before)


def test_the_same_samples_make_the_same_batch(collate, samples):
    assert plain(collate(samples)) == plain(collate(samples))


def test_a_worker_can_be_sent_it(collate, samples):
    assert plain(pickle.loads(pickle.dumps(collate))(samples)) == plain(collate(samples))


def test_a_worker_makes_the_same_batch(collate, samples):
    loader = DataLoader(samples, batch_size=3, collate=collate, num_workers=1)
    assert plain(next(iter(loader))) == plain(collate(samples))


def test_unlike_keys_are_refused_by_sample(collate, samples):
    del samples[1]["ori_shape"]  # PartialCollate lets labels be missing
    with pytest.raises(ValueError, match=r"sample a has .*sample b has"):
        collate(samples)


def test_samples_that_are_no_dicts_are_refused(collate):
    with pytest.raises(TypeError, match="must be a dict, got tuple"):
        collate([(torch.zeros(3), 1)])
