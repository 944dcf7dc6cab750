"""TwoStageDetector on batches as they come: empty, odd, padded, with crowds and masks."""

import pytest
import torch

from hat.models import (
    FPN,
    ConvNet,
    RegionProposalNetwork,
    RoIHeads,
    TwoStageDetector,
)

STRIDES = [4, 8]


def make_model(with_masks=False, **heads):
    torch.manual_seed(0)
    return TwoStageDetector(
        ConvNet([8, 8, 8]),
        FPN([8, 8], 8),
        RegionProposalNetwork(8, strides=STRIDES, anchor_sizes=[8, 16]),
        RoIHeads(
            8,
            3,
            strides=STRIDES,
            hidden_channels=16,
            num_samples=32,
            with_masks=with_masks,
            mask_channels=8,
            **heads,
        ),
    )


def make_batch(boxes, size=(32, 48)):
    """One picture of noise for each list of boxes; all objects are of class 2."""
    height, width = size
    draw = torch.Generator().manual_seed(0)
    boxes = [torch.tensor(each, dtype=torch.float32).reshape(-1, 4) for each in boxes]
    return {
        "img": torch.randn(len(boxes), 3, height, width, generator=draw),
        "gt_bboxes": boxes,
        "gt_classes": [torch.full((len(each),), 2) for each in boxes],
        "gt_masks": [torch.ones(len(each), height, width, dtype=torch.bool) for each in boxes],
    }


BOX = [4.0, 4.0, 20.0, 24.0]
OTHER_BOX = [20.0, 2.0, 40.0, 30.0]


def step(model, batch):
    torch.manual_seed(1)
    losses = model(batch).losses
    sum(losses.values()).backward()
    return losses


def untrained(model):
    return [
        name
        for name, parameter in model.named_parameters()
        if parameter.grad is None or not parameter.grad.isfinite().all()
    ]


@pytest.mark.parametrize("with_masks", [False, True])
@pytest.mark.parametrize("size", [(32, 48), (33, 47)], ids=str)
@pytest.mark.parametrize("boxes", [[[]], [[], [BOX]], [[BOX, OTHER_BOX]]], ids=len)
def test_every_parameter_gets_a_finite_gradient(with_masks, size, boxes):
    model = make_model(with_masks)
    step(model, make_batch(boxes, size))
    assert untrained(model) == []


def test_pictures_may_be_stored_channels_last():
    batch = make_batch([[BOX]])
    expected = step(make_model(), batch)
    batch["img"] = batch["img"].contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(step(make_model(), batch), expected, rtol=1e-4, atol=1e-5)


def test_a_crowd_is_no_object():
    batch = make_batch([[BOX, OTHER_BOX]])
    batch["gt_crowd"] = [torch.tensor([False, True])]
    losses = step(make_model(with_masks=True), batch)
    expected = step(make_model(with_masks=True), make_batch([[BOX]]))
    torch.testing.assert_close(losses, expected, rtol=0, atol=0)


def test_truth_may_be_missing_in_training():
    assert make_model()({"img": torch.zeros(1, 3, 32, 32)}).losses == {}


def test_there_are_no_losses_in_evaluation():
    assert make_model().eval()(make_batch([[BOX]])).losses == {}


def test_there_are_no_predictions_in_training():
    assert make_model()(make_batch([[BOX]])).preds == {}


def test_masks_need_true_masks():
    batch = make_batch([[BOX]])
    del batch["gt_masks"]
    with pytest.raises(ValueError, match="with_masks=True, but the batch has no 'gt_masks'"):
        make_model(with_masks=True)(batch)


def test_a_box_without_area_is_refused():
    with pytest.raises(ValueError, match=r"picture 1 .*\[7.0, 3.0, 7.0, 9.0\].*FilterBoxes"):
        make_model()(make_batch([[BOX], [[7, 3, 7, 9]]]))


@pytest.fixture(scope="module")
def padded_preds():
    """Predictions on a picture of 20 x 30 within 32 x 48, of a model that finds anything."""
    batch = make_batch([[], []])
    batch["img_shape"] = [(32, 48), (20, 30)]
    with torch.no_grad():
        model = make_model(with_masks=True, score_threshold=0.0, max_detections=1000)
        return model.eval()(batch).preds


def test_boxes_stay_inside_the_picture_without_padding(padded_preds):
    boxes = padded_preds["bboxes"][1]
    assert (boxes[:, 2] <= 30).all()
    assert (boxes[:, 3] <= 20).all()


def test_classes_are_counted_from_zero(padded_preds):
    assert padded_preds["classes"][0].unique().tolist() == [0, 1, 2]


def test_best_scores_come_first(padded_preds):
    scores = padded_preds["scores"][0].tolist()
    assert scores == sorted(scores, reverse=True)


def test_masks_are_as_large_as_the_batch(padded_preds):
    masks = padded_preds["masks"][1]
    assert masks.dtype == torch.bool
    assert masks.shape == (len(padded_preds["bboxes"][1]), 32, 48)


def test_masks_leave_the_padding_out(padded_preds):
    masks = padded_preds["masks"][1]
    assert masks.any()
    assert not masks[:, 20:].any()
    assert not masks[:, :, 30:].any()


def test_nothing_found_is_an_empty_prediction():
    batch = {"img": torch.zeros(1, 3, 32, 32)}
    preds = make_model(with_masks=True, score_threshold=1.0).eval()(batch).preds
    assert preds["bboxes"][0].shape == (0, 4)
    assert preds["masks"][0].shape == (0, 32, 32)


def test_predictions_do_not_depend_on_the_batches_before():
    small, large = make_batch([[]], (9, 9)), make_batch([[]], (32, 48))
    fresh, used = make_model().eval(), make_model().eval()
    used(small)
    assert torch.equal(used(large).preds["bboxes"][0], fresh(large).preds["bboxes"][0])


def test_anchors_of_odd_pictures_lie_at_the_given_strides():
    rpn = RegionProposalNetwork(8, strides=[4], anchor_sizes=[8], aspect_ratios=[1.0])
    outputs = {"cls": [torch.zeros(1, 1, 3, 3)], "bbox": [torch.zeros(1, 4, 3, 3)]}
    rpn.nms_thresh = 1.0
    proposals, _ = rpn.propose(outputs, [(100, 100)], (11, 11))
    # Squares of 8 around 0, 4 and 8, cut off at 0: their right ends are 4, 8 and 12.
    assert proposals[0][:, 2].unique().tolist() == [4.0, 8.0, 12.0]


def test_levels_of_another_stride_are_refused():
    model = make_model()
    model.rpn.strides = (8, 16)
    with pytest.raises(ValueError, match="its stride is about 4, and strides="):
        model(make_batch([[BOX]]))


def test_stages_with_other_channels_are_refused():
    with pytest.raises(ValueError, match=r"roi_heads\.in_channels is 4, but FPN gives 8"):
        TwoStageDetector(
            ConvNet([8, 8]), FPN([8], 8), RegionProposalNetwork(8), RoIHeads(4, 3, strides=[4])
        )


def test_stages_with_other_strides_are_refused():
    with pytest.raises(ValueError, match=r"roi_heads\.strides is \[8\], rpn\.strides \[4, 8"):
        TwoStageDetector(
            ConvNet([8, 8]), FPN([8], 8), RegionProposalNetwork(8), RoIHeads(8, 3, strides=[8])
        )


@pytest.mark.parametrize("strides", [[], [3, 6], [4, 16]], ids=str)
def test_strides_that_do_not_double_are_refused(strides):
    with pytest.raises(ValueError, match=r"powers of two, each twice the one before"):
        RoIHeads(8, 3, strides=strides)


def test_a_level_without_an_anchor_size_is_refused():
    with pytest.raises(ValueError, match="2 strides and 1 anchor_sizes"):
        RegionProposalNetwork(8, strides=[4, 8], anchor_sizes=[16])


def test_a_second_stage_without_classes_is_refused():
    with pytest.raises(ValueError, match="num_classes of 1 or more, got 0"):
        RoIHeads(8, 0)


def test_losses_are_float32_under_autocast():
    with torch.autocast("cpu", torch.bfloat16):
        losses = make_model(with_masks=True)(make_batch([[BOX]])).losses
    assert {loss.dtype for loss in losses.values()} == {torch.float32}


def test_boxes_are_float32_under_autocast():
    with torch.autocast("cpu", torch.bfloat16), torch.no_grad():
        preds = make_model(with_masks=True).eval()(make_batch([[]])).preds
    assert preds["bboxes"][0].dtype == torch.float32


@pytest.mark.slow
def test_the_network_is_exported_as_a_whole():
    model = make_model().eval()

    class Network(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.model = model

        def forward(self, img):
            return self.model.network(img)

    img = torch.randn(1, 3, 32, 32)
    exported = torch.export.export(Network(), (img,)).module()
    torch.testing.assert_close(exported(img), model.network(img))


@pytest.mark.slow
def test_two_pictures_are_learnt_by_heart():
    batch = make_batch([[BOX], [OTHER_BOX]])
    batch["gt_masks"][0][:, :, :12] = False
    model = make_model(with_masks=True)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    torch.manual_seed(0)
    history = []
    for _ in range(120):
        loss = sum(model(batch).losses.values())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        history.append(loss.item())
    assert history[-1] < history[0] / 10
