"""What becomes of a batch between the loader and the model."""

import copy

import pytest
import torch
from torch import nn
from torchvision.transforms import v2

from hat.data import Normalize
from hat.engine.processors.inputs import InputPreparation
from hat.models import Classifier, ConvNet, LinearHead


def uint8_batch():
    img = torch.randint(0, 256, (4, 3, 8, 8), dtype=torch.uint8)
    return {"img": img, "label": torch.tensor([0, 1, 2, 3]), "img_id": [7, 8, 9, 10]}


def test_pictures_become_floats_of_0_to_1():
    img = torch.tensor([0, 51, 255], dtype=torch.uint8).reshape(1, 3, 1, 1)
    assert InputPreparation()({"img": img})["img"].flatten().tolist() == pytest.approx([0, 0.2, 1])


def test_normalize_is_used():
    img = torch.tensor([0, 255], dtype=torch.uint8).reshape(1, 1, 1, 2)
    prepared = InputPreparation(Normalize(0.5, 0.5))({"img": img})
    assert prepared["img"].flatten().tolist() == [-1.0, 1.0]


def test_pictures_that_are_floats_already_are_left_alone():
    batch = {"img": torch.rand(2, 3, 4, 4)}
    assert torch.equal(InputPreparation(Normalize(0.5, 0.5))(batch)["img"], batch["img"])


def test_other_keys_are_passed_on():
    batch = uint8_batch()
    prepared = InputPreparation()(batch)
    assert prepared["img_id"] == [7, 8, 9, 10]
    assert prepared["label"] is batch["label"]


@pytest.mark.parametrize("batch", [{"x": torch.ones(2)}, [torch.ones(2)], torch.ones(2), "text"])
def test_a_batch_without_pictures_is_passed_on(batch):
    assert InputPreparation()(batch) is batch


@pytest.mark.parametrize("transforms", [[], [v2.RandomErasing(p=1.0)], [v2.CutMix(num_classes=4)]])
def test_the_given_batch_is_not_changed(transforms):
    batch = uint8_batch()
    before = copy.deepcopy(batch)
    InputPreparation(batch_transforms=transforms, channels_last=True)(batch)
    assert batch.keys() == before.keys()
    assert torch.equal(batch["img"], before["img"])
    assert torch.equal(batch["label"], before["label"])


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
def test_mixup_mixes_pictures_and_labels_alike(dtype):
    # MixUp rolls the batch by one: picture 0 is mixed with 3, and so is its label.
    batch = uint8_batch()
    if dtype == torch.float32:
        batch["img"] = batch["img"] / 255
    plain = InputPreparation(Normalize(0.5, 0.5))(batch)["img"]
    mixed = InputPreparation(Normalize(0.5, 0.5), [v2.MixUp(num_classes=4)])(batch)
    share = mixed["label"][0, 0]
    expected = share * plain + (1 - share) * plain.roll(1, 0)
    torch.testing.assert_close(torch.Tensor(mixed["img"]), expected)
    torch.testing.assert_close(mixed["label"].sum(dim=1), torch.ones(4))


def test_cutmix_gives_shares_of_labels():
    mixed = InputPreparation(batch_transforms=[v2.CutMix(num_classes=4)])(uint8_batch())
    torch.testing.assert_close(mixed["label"].sum(dim=1), torch.ones(4))


def test_batch_transforms_leave_all_but_pictures_and_labels_alone():
    # A float tensor of a batch's length would be taken for something to mix.
    batch = {**uint8_batch(), "depth": torch.rand(4, 8, 8), "img_id": [1, 2, 3, 4]}
    mixed = InputPreparation(batch_transforms=[v2.CutMix(num_classes=4)])(batch)
    assert mixed["depth"] is batch["depth"]
    assert mixed["img_id"] is batch["img_id"]


def test_batch_transforms_need_no_labels():
    batch = {"img": uint8_batch()["img"]}
    prepared = InputPreparation(batch_transforms=[v2.RandomHorizontalFlip(p=1.0)])(batch)
    torch.testing.assert_close(prepared["img"], batch["img"].flip(-1) / 255)


def test_channels_last_changes_the_layout_and_not_the_values():
    batch = uint8_batch()
    img = InputPreparation(channels_last=True)(batch)["img"]
    assert img.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(img, InputPreparation()(batch)["img"])


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
def test_what_the_model_gets_is_a_plain_tensor(dtype):
    batch = {"img": uint8_batch()["img"].to(dtype)}
    img = InputPreparation(batch_transforms=[v2.RandomHorizontalFlip()])(batch)["img"]
    assert type(img) is torch.Tensor


def test_a_classifier_learns_from_mixed_labels():
    model = Classifier(ConvNet([4], depth=1), LinearHead(4, 4))
    batch = InputPreparation(batch_transforms=[v2.CutMix(num_classes=4)])(uint8_batch())
    model(batch).losses["ce"].backward()
    assert all(p.grad is not None for p in model.parameters() if isinstance(p, nn.Parameter))


def test_nested_tensors_of_a_batch_are_moved():
    batch = {"gt_bboxes": [torch.ones(1, 4)], "meta": {"flow": torch.ones(1)}, "img_id": ["a"]}
    prepared = InputPreparation(device=torch.device("meta"))(batch)
    assert prepared["gt_bboxes"][0].device.type == "meta"
    assert prepared["meta"]["flow"].device.type == "meta"
    assert prepared["img_id"] == ["a"]
