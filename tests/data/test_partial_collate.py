"""Samples of which some lack labels become a batch that says which."""

import pytest
import torch
from torchvision import tv_tensors
from torchvision.transforms import v2

from hat.data import (
    BatchColorJitter,
    BatchHorizontalFlip,
    BatchTransform,
    DataLoader,
    DevicePrefetcher,
    LidarCollate,
    PadCollate,
    PartialCollate,
    RaggedCollate,
    StackCollate,
)
from hat.data.loaders.transport import map_leaves, pinned
from hat.data.pixels import Mask
from hat.data.sample import num_samples
from hat.engine.processors.inputs import InputPreparation


def sample(number, *labels, size=(4, 6)):
    """A picture of this number with the labels that are named."""
    box = tv_tensors.BoundingBoxes(
        torch.tensor([[0.0, 0.0, number, 2.0]]), format="XYXY", canvas_size=size
    )
    all_labels = {
        "label": number,
        "gt_bboxes": box,
        "gt_seg": Mask(torch.full(size, number, dtype=torch.uint8)),
        "gt_depth": Mask(torch.full(size, number / 2)),
        "gt_masks": Mask(torch.ones(1, *size, dtype=torch.bool)),
    }
    img = torch.full((3, *size), number, dtype=torch.uint8)
    return {"img": img, "img_id": f"id{number}", **{key: all_labels[key] for key in labels}}


def rows(batch):
    return {key: value.tolist() for key, value in batch["labelled"].items()}


# --- which rows


def test_a_key_of_some_samples_is_packed_over_those_that_have_it():
    batch = PartialCollate()(
        [sample(5, "gt_seg"), sample(6, "label"), sample(7, "gt_seg", "label"), sample(8)]
    )
    assert rows(batch) == {"gt_seg": [0, 2], "label": [1, 2]}
    assert batch["gt_seg"][:, 0, 0].tolist() == [5, 7]
    assert batch["label"].tolist() == [6, 7]
    assert batch["img"][:, 0, 0, 0].tolist() == [5, 6, 7, 8]
    assert batch["img_id"] == ["id5", "id6", "id7", "id8"]


def test_rows_are_of_int64():
    batch = PartialCollate()([sample(1, "label"), sample(2)])
    assert batch["labelled"]["label"].dtype == torch.int64


def test_ragged_keys_are_listed():
    batch = PartialCollate()([sample(1), sample(2, "gt_bboxes"), sample(3, "gt_bboxes")])
    assert [boxes[0, 2].item() for boxes in batch["gt_bboxes"]] == [2, 3]
    assert rows(batch) == {"gt_bboxes": [1, 2]}


@pytest.mark.parametrize("labels", [(), ("label",), ("gt_seg", "gt_bboxes")])
def test_samples_with_the_same_keys_are_an_ordinary_batch(labels):
    samples = [sample(1, *labels), sample(2, *labels)]
    batch, expected = PartialCollate()(samples), StackCollate()(samples)
    assert batch.keys() == expected.keys()
    assert map_leaves(batch, repr) == map_leaves(expected, repr)


def test_the_order_of_keys_in_a_sample_does_not_matter():
    first = sample(1, "label", "gt_seg")
    second = dict(reversed(sample(2, "label", "gt_seg").items()))
    batch = PartialCollate()([first, second])
    assert "labelled" not in batch
    assert batch["label"].tolist() == [1, 2]


def test_labels_of_another_name_can_be_optional():
    batch = PartialCollate(optional=["pose"])([{"img_id": 1}, {"img_id": 2, "pose": 0.5}])
    assert batch["pose"].tolist() == [0.5]
    assert rows(batch) == {"pose": [1]}


def test_samples_are_counted_by_what_all_have():
    batch = {"labelled": {"label": torch.tensor([1])}, "tasks": ("a",), "label": torch.tensor([7])}
    assert num_samples({**batch, "x": torch.zeros(4, 2)}) == 4
    assert num_samples({**batch, "notes": ["a", "b", "c"]}) == 3


# --- with other collates


def test_margins_are_those_of_the_whole_batch():
    # The largest picture has no map: a map is padded to it nevertheless, and 4 divides.
    batch = PartialCollate(PadCollate(size_divisor=4))(
        [
            sample(1, "gt_seg", "gt_bboxes", size=(2, 3)),
            sample(2, size=(5, 9)),
            sample(3, "gt_depth", "gt_masks", size=(3, 2)),
        ]
    )
    assert batch["img"].shape == (3, 3, 8, 12)
    assert batch["gt_seg"].shape == (1, 8, 12)
    assert batch["gt_seg"][0, :2, :3].tolist() == [[1, 1, 1]] * 2
    assert (batch["gt_seg"] == 255).sum() == 8 * 12 - 2 * 3
    assert batch["gt_depth"].shape == (1, 8, 12)
    assert batch["gt_depth"].sum() == 1.5 * 3 * 2
    assert batch["gt_masks"][0].shape == (1, 8, 12)
    assert batch["gt_bboxes"][0].canvas_size == (8, 12)
    assert batch["img_shape"] == [(2, 3), (5, 9), (3, 2)]
    assert rows(batch) == {"gt_seg": [0], "gt_bboxes": [0], "gt_depth": [2], "gt_masks": [2]}


def test_a_map_of_another_size_than_its_picture_is_still_refused():
    wrong = {**sample(2), "gt_seg": Mask(torch.zeros(3, 3, dtype=torch.uint8))}
    with pytest.raises(ValueError, match=r"'gt_seg' of sample id2 has shape \(3, 3\)"):
        PartialCollate(PadCollate())([sample(1), wrong])


def test_pictures_of_any_size_can_be_listed():
    batch = PartialCollate(RaggedCollate())(
        [sample(1, "gt_seg", size=(2, 3)), sample(2, size=(5, 4)), sample(3, "gt_seg", size=(6, 6))]
    )
    assert [tuple(seg.shape) for seg in batch["gt_seg"]] == [(2, 3), (6, 6)]
    assert rows(batch) == {"gt_seg": [0, 2]}


def test_points_are_joined_over_all_samples():
    points = torch.ones(2, 3)
    batch = PartialCollate(LidarCollate())(
        [{"points": points, "img_id": 0}, {"points": points, "img_id": 1, "label": 4}]
    )
    assert batch["points"][:, 0].tolist() == [0, 0, 1, 1]
    assert rows(batch) == {"label": [1]}


# --- mistakes


@pytest.mark.parametrize("key", ["img", "img_id"])
def test_an_input_that_a_sample_lacks_is_named_with_the_sample(key):
    samples = [sample(1), {**sample(2), "img_path": "b.png"}, {**sample(3), "img_path": "c.png"}]
    samples[0]["img_path"] = "a.png"
    del samples[1][key]
    with pytest.raises(ValueError, match=f"sample a.png has '{key}', sample b.png has not"):
        PartialCollate()(samples)


def test_a_key_that_is_no_label_must_be_in_all():
    with pytest.raises(ValueError, match=r"has 'pose', .*only labels may be missing.*optional="):
        PartialCollate()([{"img_id": 1}, {"img_id": 2, "pose": 0.5}])


def test_a_label_that_is_not_optional_must_be_in_all():
    with pytest.raises(ValueError, match=r"has 'label', .*only gt_seg, gt_depth may be missing"):
        PartialCollate(optional=["gt_seg", "gt_depth"])([sample(1, "label"), sample(2)])


def test_an_input_cannot_be_optional():
    with pytest.raises(ValueError, match=r"all samples must have \['img'\]"):
        PartialCollate(optional=["img", "gt_seg"])


def test_a_text_is_no_list_of_keys():
    with pytest.raises(TypeError, match="must be a list of keys, got the text 'gt_seg'"):
        PartialCollate(optional="gt_seg")


def test_a_collate_that_cannot_pack_key_by_key_is_refused():
    def stacked(samples):
        return samples

    with pytest.raises(TypeError, match=r"stacked has no packer\(samples\)"):
        PartialCollate(stacked)


def test_samples_that_do_not_go_together_are_named():
    samples = [sample(1, "gt_seg"), sample(2), sample(3, "gt_seg")]
    samples[2]["gt_seg"] = Mask(torch.zeros(2, 2, dtype=torch.uint8))
    with pytest.raises(ValueError, match=r"'gt_seg' of sample id1 .* of sample id3 \(2, 2\)"):
        PartialCollate()(samples)


# --- on the way to the model


SAMPLES = [sample(1, "gt_seg"), sample(2), sample(3, "gt_bboxes", "gt_seg"), sample(4, "label")]


@pytest.mark.parametrize("num_workers", [0, 1])
def test_labelled_comes_out_of_the_loader(num_workers):
    loader = DataLoader(SAMPLES, 4, collate=PartialCollate(), num_workers=num_workers)
    (batch,) = DevicePrefetcher(loader, torch.device("cpu"))
    assert rows(batch) == {"gt_seg": [0, 2], "gt_bboxes": [2], "label": [3]}
    assert num_samples(batch) == 4


def test_labelled_stays_on_the_cpu_and_all_else_moves():
    batch = PartialCollate()(SAMPLES)
    moved = InputPreparation(device=torch.device("meta"))({**batch, "tasks": ("det",)})
    assert rows(moved) == rows(batch)
    assert moved["gt_seg"].device.type == moved["img"].device.type == "meta"
    assert moved["tasks"] == ("det",)


@pytest.mark.gpu
def test_labelled_survives_pinning_and_copies():
    batch = map_leaves(PartialCollate()(SAMPLES), pinned)
    (moved,) = DevicePrefetcher([batch], torch.device("cuda"))
    assert rows(moved) == rows(batch)
    assert moved["gt_seg"].is_cuda
    assert {value.device.type for value in moved["labelled"].values()} == {"cpu"}
    torch.manual_seed(0)
    flipped = BatchHorizontalFlip()(moved)
    torch.manual_seed(0)
    expected = BatchHorizontalFlip()(batch)
    assert torch.equal(flipped["gt_seg"].cpu(), expected["gt_seg"])


def columns(number):
    """A sample whose pixels, map, box and camera all say whether it was mirrored."""
    values = torch.arange(6, dtype=torch.float32)
    return {
        "img": values.expand(3, 4, 6),
        "gt_seg": Mask(values.to(torch.uint8).expand(4, 6)),
        "gt_bboxes": torch.tensor([[0.0, 0.0, 1.0, 2.0]]),
        "projection": torch.eye(3, 4),
        "img_id": number,
    }


def test_a_flip_mirrors_the_labels_of_the_pictures_that_it_mirrors():
    # Of 12 pictures, every second has a map and every third has boxes and a camera.
    samples = [columns(number) for number in range(12)]
    for number, each in enumerate(samples):
        for key, every in (("gt_seg", 2), ("gt_bboxes", 3), ("projection", 3)):
            if number % every:
                del each[key]
    batch = PartialCollate(optional=["gt_seg", "gt_bboxes", "projection"])(samples)
    torch.manual_seed(1)
    out = BatchHorizontalFlip(p=0.5)(batch)
    is_mirrored = (out["img"][:, 0, 0, 0] == 5).tolist()
    assert 0 < sum(is_mirrored[::2]) < 6
    assert 0 < sum(is_mirrored[::3]) < 4
    assert (out["gt_seg"][:, 0, 0] == 5).tolist() == is_mirrored[::2]
    assert [boxes[0, 0].item() == 5 for boxes in out["gt_bboxes"]] == is_mirrored[::3]
    assert (out["projection"][:, 0, 0] == -1).tolist() == is_mirrored[::3]
    assert out["labelled"] is batch["labelled"]


class Careless(BatchTransform):
    """Says nothing of `labelled`."""

    def __call__(self, batch):
        return batch


def test_a_batch_transform_that_does_not_mind_labelled_is_refused_by_name():
    prepare = InputPreparation(batch_transforms=[BatchColorJitter(0.1), Careless()])
    with pytest.raises(ValueError, match=r"Careless .* lack gt_seg, gt_bboxes, label"):
        prepare(PartialCollate()(SAMPLES))
    prepare(PartialCollate()(SAMPLES[:1]))  # every sample has every key


def test_mixing_pictures_of_which_some_have_no_label_is_refused_by_name():
    prepare = InputPreparation(batch_transforms=[v2.MixUp(num_classes=5)])
    with pytest.raises(ValueError, match=r"MixUp takes a label for each picture, and only 1 of 4"):
        prepare(PartialCollate()(SAMPLES))


def test_colours_change_whatever_labels_there_are():
    batch = PartialCollate()(SAMPLES)
    out = InputPreparation(batch_transforms=[BatchColorJitter(0.5)])(batch)
    assert out["gt_seg"] is batch["gt_seg"]
    assert rows(out) == rows(batch)
