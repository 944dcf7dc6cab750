"""Transforms of whole batches, against those of torchvision on each sample."""

import pytest
import torch
from torchvision import tv_tensors
from torchvision.transforms.v2 import functional as F

from hat.data import BatchColorJitter, BatchHorizontalFlip, Normalize, Projection
from hat.data.transforms.batch import color_matrices
from hat.engine.processors.inputs import InputPreparation

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def batch(count=4, size=(6, 9)):
    return {
        "img": torch.rand(count, 3, *size),
        "gt_seg": torch.randint(5, (count, *size)),
        "gt_depth": torch.rand(count, *size),
        "gt_bboxes": [
            tv_tensors.BoundingBoxes(
                torch.tensor([[1.0, 2.0, 4.0, 5.0], [0.0, 0.0, 9.0, 6.0]])[:number],
                format="XYXY",
                canvas_size=size,
            )
            for number in (2, 0, 1, 2)[:count]
        ],
        "gt_masks": [torch.rand(2, *size) > 0.5 for _ in range(count)],
        "gt_keypoints": [torch.tensor([[[1.0, 2.0]]]) for _ in range(count)],
        "projection": torch.rand(count, 3, 4),
        "label": torch.arange(count),
        "img_id": list(range(count)),
    }


# --- flip


def test_a_flip_is_that_of_torchvision():
    before = batch()
    out = BatchHorizontalFlip(p=1)(before)
    assert torch.equal(out["img"], F.horizontal_flip(before["img"]))
    assert torch.equal(out["gt_seg"], before["gt_seg"].flip(-1))
    for number, boxes in enumerate(before["gt_bboxes"]):
        assert torch.equal(
            out["gt_bboxes"][number], F.horizontal_flip(boxes).as_subclass(torch.Tensor)
        )
        assert torch.equal(out["gt_masks"][number], before["gt_masks"][number].flip(-1))


def test_a_projection_is_mirrored_as_that_of_a_sample():
    before = batch()
    out = BatchHorizontalFlip(p=1)(before)["projection"]
    for matrix, mirrored in zip(before["projection"], out, strict=True):
        expected = F.horizontal_flip(Projection(matrix, canvas_size=(6, 9)))
        torch.testing.assert_close(mirrored, expected.as_subclass(torch.Tensor))


def test_points_are_mirrored_at_the_middle():
    assert BatchHorizontalFlip(p=1)(batch())["gt_keypoints"][0].tolist() == [[[8, 2]]]


def test_pictures_are_drawn_one_by_one_and_keys_go_together():
    torch.manual_seed(0)
    before = batch()
    draws = torch.rand(4, generator=torch.Generator().manual_seed(2)) < 0.5
    torch.manual_seed(2)
    out = BatchHorizontalFlip(p=0.5)(before)
    changed = [not torch.equal(a, b) for a, b in zip(out["img"], before["img"], strict=True)]
    masks = [
        not torch.equal(a, b) for a, b in zip(out["gt_masks"], before["gt_masks"], strict=True)
    ]
    assert changed == masks == draws.tolist()
    assert 0 < sum(changed) < 4


def test_the_batch_that_is_given_is_left_as_it_was():
    torch.manual_seed(0)
    before = batch()
    torch.manual_seed(0)
    same = batch()
    BatchHorizontalFlip(p=1)(before)
    BatchColorJitter(0.5, 0.5, 0.5, 0.5)(before)
    assert all(torch.equal(before[key], same[key]) for key in ("img", "gt_seg", "projection"))


def test_padded_pictures_are_refused():
    padded = {"img": torch.zeros(2, 3, 4, 8), "img_shape": [(4, 8), (4, 6)]}
    with pytest.raises(ValueError, match=r"widths \[6, 8\] were padded to 8: mirror them before"):
        BatchHorizontalFlip()(padded)


def test_several_cameras_are_refused():
    with pytest.raises(ValueError, match="several cameras"):
        BatchHorizontalFlip()({"imgs": torch.zeros(1, 2, 3, 4, 4)})


# --- colours


def jittered(img, mean=MEAN, std=STD, **factors):
    """Pictures of 0..1 with exactly these factors, by way of a normalised batch."""
    jitter = BatchColorJitter(normalize=Normalize(mean, std))
    count = len(img)
    values = {"brightness": 1.0, "contrast": 1.0, "saturation": 1.0, "turns": 0.0} | factors
    each = {name: torch.full((count,), value) for name, value in values.items()}
    colors = color_matrices(each["saturation"], each["turns"])
    colors = colors * (each["brightness"] * each["contrast"])[:, None, None]
    out = jitter._applied(
        F.normalize(img, mean, std), colors, each["brightness"] * (1 - each["contrast"])
    )
    return out * torch.tensor(std).reshape(3, 1, 1) + torch.tensor(mean).reshape(3, 1, 1)


@pytest.fixture
def middling():
    """Pictures that no change below drives beyond black or white, where torchvision cuts too."""
    return torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(0)) * 0.3 + 0.35


@pytest.mark.parametrize("factor", [0.6, 1.0, 1.4])
@pytest.mark.parametrize("name", ["brightness", "contrast", "saturation"])
def test_a_factor_changes_what_torchvision_changes(middling, name, factor):
    expected = getattr(F, f"adjust_{name}")(middling, factor)
    torch.testing.assert_close(jittered(middling, **{name: factor}), expected, atol=2e-4, rtol=0)


def test_several_are_applied_in_their_order(middling):
    expected = F.adjust_saturation(F.adjust_contrast(F.adjust_brightness(middling, 0.8), 1.3), 0.5)
    out = jittered(middling, brightness=0.8, contrast=1.3, saturation=0.5)
    torch.testing.assert_close(out, expected, atol=2e-4, rtol=0)


def test_what_leaves_black_to_white_is_cut():
    out = jittered(torch.rand(2, 3, 8, 8), brightness=3.0)
    torch.testing.assert_close(out.amax(), torch.tensor(1.0), atol=1e-5, rtol=0)
    assert out.amin() >= -1e-5


@pytest.mark.parametrize("turns", [0.1, -0.3, 0.5])
def test_turning_hue_keeps_luma_and_grey(middling, turns):
    out = jittered(middling, turns=turns)
    before, after = (F.rgb_to_grayscale(img) for img in (middling, out))
    torch.testing.assert_close(before, after, atol=1e-3, rtol=0)
    grey = middling[:, :1].expand(-1, 3, -1, -1)
    torch.testing.assert_close(jittered(grey, turns=turns), grey, atol=1e-5, rtol=0)


def test_half_a_turn_mirrors_chroma(middling):
    # Around grey g: x = g + d becomes g - d
    grey = F.rgb_to_grayscale(middling, 3)
    torch.testing.assert_close(
        jittered(middling, turns=0.5), 2 * grey - middling, atol=1e-3, rtol=0
    )


def test_hue_turns_the_way_that_torchvision_turns_it():
    red = torch.tensor([0.6, 0.4, 0.4]).reshape(1, 3, 1, 1)
    ours, theirs = jittered(red, turns=1 / 3), F.adjust_hue(red, 1 / 3)
    assert ours.argmax(dim=1).item() == theirs.argmax(dim=1).item() == 1  # green


def test_every_picture_has_its_own_draw():
    torch.manual_seed(0)
    out = BatchColorJitter(brightness=0.5)({"img": torch.full((8, 3, 2, 2), 0.5)})["img"]
    means = out.mean(dim=(1, 2, 3))
    assert len(means.unique()) == 8
    assert means.min() >= 0.25
    assert means.max() <= 0.75


def test_one_seed_gives_one_batch():
    before = {"img": torch.rand(4, 3, 5, 5)}
    jitter = BatchColorJitter(0.5, 0.5, 0.5, 0.1)
    torch.manual_seed(1)
    first = jitter(before)["img"]
    torch.manual_seed(1)
    assert torch.equal(jitter(before)["img"], first)


def test_the_type_of_the_pictures_is_kept():
    out = BatchColorJitter(0.5, 0.5, 0.5, 0.1)({"img": torch.rand(2, 3, 4, 4).bfloat16()})
    assert out["img"].dtype == torch.bfloat16


@pytest.mark.parametrize("wrong", [dict(hue=0.6), dict(contrast=-0.1)])
def test_numbers_out_of_range_are_refused(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        BatchColorJitter(**wrong)


def test_a_flip_probability_out_of_range_is_refused():
    with pytest.raises(ValueError, match="p must be within 0 to 1, got 2"):
        BatchHorizontalFlip(2)


# --- in the engine


def test_a_processor_gives_them_all_keys():
    before = batch()
    before["img"] = torch.randint(256, (4, 3, 6, 9), dtype=torch.uint8)
    out = InputPreparation(batch_transforms=[BatchHorizontalFlip(p=1)])(before)
    torch.testing.assert_close(out["img"], before["img"].flip(-1) / 255)
    assert torch.equal(out["gt_seg"], before["gt_seg"].flip(-1))
    assert out["img_id"] == before["img_id"]
