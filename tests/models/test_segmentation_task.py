"""The segmentation task brings scores to full size and learns from labelled pixels alone."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from hat.models import ConvNet, FcnHead, SegmentationTask, Segmentor

NUM_CLASSES = 5


@pytest.fixture
def task():
    return SegmentationTask(NUM_CLASSES)


def make_batch(count=2, height=33, width=49, label=None):
    labels = torch.randint(NUM_CLASSES, (count, height, width))
    if label is not None:
        labels = torch.full_like(labels, label)
    return {"img": torch.randn(count, 3, height, width), "gt_seg": labels}


def make_model(**kwargs):
    return Segmentor(
        ConvNet([8, 8]),
        FcnHead(8, NUM_CLASSES),
        SegmentationTask(NUM_CLASSES, **kwargs),
        aux_heads=[FcnHead(8, NUM_CLASSES, in_index=0), FcnHead(8, NUM_CLASSES, in_index=1)],
    )


def test_the_loss_of_equal_scores_is_the_log_of_the_classes(task):
    losses = task.losses({"seg": torch.zeros(2, NUM_CLASSES, 9, 13)}, make_batch())
    torch.testing.assert_close(losses, {"ce": torch.tensor(NUM_CLASSES).log()})


def test_scores_are_compared_with_labels_after_bilinear_interpolation(task):
    # By hand: one row of scores 0 and 4 for class 1, doubled in width, is 0, 1, 3, 4; class 0
    # has 0 everywhere; the labels are 1 1 0 0.
    scores = torch.tensor([[0.0, 0.0], [0.0, 4.0]])[None, :, None]  # (1, 2, 1, 2)
    labels = torch.tensor([[[1, 1, 0, 0]]])
    of_pixels = [F.softplus(torch.tensor(value)) for value in (0.0, -1.0, 3.0, 4.0)]
    losses = SegmentationTask(2).losses({"seg": scores}, {"gt_seg": labels})
    torch.testing.assert_close(losses["ce"], torch.stack(of_pixels).mean())


def test_predictions_are_the_best_class_after_bilinear_interpolation(task):
    scores = torch.randn(3, NUM_CLASSES, 5, 7)
    whole = F.interpolate(scores, size=(33, 49), mode="bilinear", align_corners=False)
    preds = task.predictions({"seg": scores}, make_batch(3))
    assert torch.equal(preds["seg"], whole.argmax(dim=1))


def test_predictions_of_innermost_channels_are_the_same(task):
    scores = torch.randn(3, NUM_CLASSES, 5, 7)
    plain = task.predictions({"seg": scores}, make_batch(3))
    strided = scores.to(memory_format=torch.channels_last)
    assert torch.equal(task.predictions({"seg": strided}, make_batch(3))["seg"], plain["seg"])


def test_of_equal_scores_the_first_class_is_predicted(task):
    preds = task.predictions({"seg": torch.zeros(1, NUM_CLASSES, 4, 4)}, make_batch(1))
    assert preds["seg"].unique().tolist() == [0]


def test_predictions_are_int64_and_cut_from_the_graph(task):
    scores = torch.randn(2, NUM_CLASSES, 9, 13, requires_grad=True)
    seg = task.predictions({"seg": scores}, make_batch())["seg"]
    assert (seg.dtype, seg.requires_grad) == (torch.int64, False)


def test_predictions_have_the_size_of_the_picture_not_of_the_labels(task):
    batch = make_batch() | {"gt_seg": torch.zeros(2, 66, 98).long()}
    assert task.predictions({"seg": torch.zeros(2, 5, 9, 13)}, batch)["seg"].shape == (2, 33, 49)


def test_losses_are_taken_at_the_size_of_the_labels(task):
    batch = make_batch() | {"gt_seg": torch.full((2, 66, 98), 255)}
    batch["gt_seg"][:, 65, 97] = 1
    scores = torch.zeros(2, NUM_CLASSES, 9, 13)
    scores[:, 1, 8, 12] = 50
    torch.testing.assert_close(task.losses({"seg": scores}, batch)["ce"], torch.tensor(0.0))


def test_pixels_that_are_not_labelled_do_not_count(task):
    batch = make_batch()
    scores = torch.randn(2, NUM_CLASSES, 33, 49)
    batch["gt_seg"][:, :, 20:] = 255
    expected = F.cross_entropy(scores[..., :20], batch["gt_seg"][..., :20])
    torch.testing.assert_close(task.losses({"seg": scores}, batch)["ce"], expected)


def test_another_label_can_stand_for_not_labelled():
    task = SegmentationTask(NUM_CLASSES, ignore_index=3)
    losses = task.losses({"seg": torch.randn(2, NUM_CLASSES, 9, 9)}, make_batch(label=3))
    assert losses["ce"].item() == 0


def test_a_batch_without_labels_has_no_losses(task):
    assert task.losses({"seg": torch.zeros(2, 5, 9, 9)}, {"img": torch.zeros(2, 3, 9, 9)}) == {}


def test_given_losses_are_named_and_called_at_full_size():
    task = SegmentationTask(2, losses={"l1": nn.CrossEntropyLoss(), "l2": nn.CrossEntropyLoss()})
    batch = {"gt_seg": torch.zeros(1, 8, 8).long()}
    assert list(task.losses({"seg": torch.zeros(1, 2, 4, 4)}, batch)) == ["l1", "l2"]


def test_auxiliary_losses_are_weighted_and_numbered(task):
    scores = torch.randn(2, NUM_CLASSES, 9, 13)
    losses = task.losses({"seg": scores, "aux": (scores, scores)}, make_batch())
    assert list(losses) == ["ce", "aux0_ce", "aux1_ce"]
    torch.testing.assert_close(losses["aux1_ce"], 0.4 * losses["ce"])


@pytest.mark.parametrize("size", [(65, 97), (33, 64), (64, 64)])
def test_a_batch_of_one_of_any_size_trains_every_parameter(size):
    model = make_model()
    sum(model(make_batch(1, *size)).losses.values()).backward()
    assert [n for n, p in model.named_parameters() if p.grad is None] == []


def test_a_batch_without_a_labelled_pixel_gives_zero_gradients():
    model = make_model()
    sum(model(make_batch(label=255)).losses.values()).backward()
    assert [n for n, p in model.named_parameters() if p.grad is None or p.grad.any()] == []


def test_auxiliary_heads_are_not_used_in_evaluation():
    assert list(make_model().eval()(make_batch()).losses) == ["ce"]


def test_scores_of_half_precision_are_compared_in_float32(task):
    scores = torch.randn(1, NUM_CLASSES, 9, 9).bfloat16()
    batch = make_batch(1, 9, 9)
    expected = F.cross_entropy(scores.float(), batch["gt_seg"])
    torch.testing.assert_close(task.losses({"seg": scores}, batch)["ce"], expected)


@pytest.mark.slow
def test_the_network_is_traced_without_a_break():
    model = make_model().eval()
    exported = torch.export.export(NetworkOf(model), (torch.randn(1, 3, 32, 48),))
    img = torch.randn(1, 3, 32, 48)
    torch.testing.assert_close(exported.module()(img), model.network(img))


class NetworkOf(nn.Module):
    """The part of a structure that is exported."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, img):
        return self.model.network(img)


def test_scores_of_another_number_of_classes_are_refused(task):
    with pytest.raises(ValueError, match=r"num_classes=5.*got \(2, 4, 9, 9\)"):
        task.losses({"seg": torch.zeros(2, 4, 9, 9)}, make_batch())


def test_labels_with_channels_are_refused(task):
    batch = {"gt_seg": torch.zeros(2, 1, 9, 9).long()}
    with pytest.raises(ValueError, match=r"gt_seg must be \(N, H, W\) with N = 2"):
        task.losses({"seg": torch.zeros(2, 5, 9, 9)}, batch)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_classes": 0}, "num_classes"),
        ({"num_classes": 2, "aux_weight": -0.1}, "aux_weight"),
        ({"num_classes": 2, "losses": {}}, "at least one loss"),
    ],
    ids=["classes", "weight", "losses"],
)
def test_arguments_out_of_range_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        SegmentationTask(**arguments)
