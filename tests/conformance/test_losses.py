"""Whatever HAT exports as a loss keeps the conventions of one of the two families."""

import pytest
import torch

import hat.models.losses as losses
from hat.models import (
    CIoULoss,
    CrossEntropyLoss,
    DiceLoss,
    DIoULoss,
    DistillationLoss,
    FeatureDistillationLoss,
    GaussianFocalLoss,
    GIoULoss,
    IoULoss,
    LovaszLoss,
    OhemCrossEntropyLoss,
    ScaleInvariantLogLoss,
    SigmoidFocalLoss,
)

WEIGHTS = [1.0, 2.0, 0.5]


def pixels():
    labels = torch.randint(0, 3, (2, 3, 5))
    labels[:, 0, 0] = 255
    return torch.randn(2, 3, 3, 5), labels


def pictures():
    return torch.randn(4, 3), torch.tensor([0, 255, 2, 1])


def scores():
    return torch.randn(2, 3, 3, 5), torch.randn(2, 3, 3, 5)


def features():
    return torch.randn(2, 3, 3, 5), torch.randn(2, 4, 3, 5)


def depths():
    truth = torch.rand(2, 3, 5) * 50
    truth[:, 1, 1] = 0
    return torch.rand(2, 3, 5) * 50 + 0.5, truth


def targets():
    return torch.randn(2, 3, 4), torch.randint(0, 2, (2, 3, 4)).float()


def heatmaps():
    heatmap = torch.rand(2, 3, 4)
    heatmap[:, 1, 1] = 1
    return torch.randn(2, 3, 4), heatmap


def boxes():
    corners, sizes = torch.rand(2, 6, 2) * 5, torch.rand(2, 6, 2) * 5 + 1
    return tuple(torch.cat([corners, corners + sizes], dim=2))


#: By the name of the class and, after it, of the variant: a scalar loss and what it is called with.
SCALAR = {
    "CrossEntropyLoss": (CrossEntropyLoss, pixels),
    "CrossEntropyLoss of pictures": (CrossEntropyLoss, pictures),
    "CrossEntropyLoss with class weights": (lambda **k: CrossEntropyLoss(WEIGHTS, **k), pixels),
    "CrossEntropyLoss smoothed": (lambda **k: CrossEntropyLoss(label_smoothing=0.2, **k), pixels),
    "OhemCrossEntropyLoss": (OhemCrossEntropyLoss, pixels),
    "OhemCrossEntropyLoss with class weights": (
        lambda **k: OhemCrossEntropyLoss(0.4, 0.3, WEIGHTS, **k),
        pixels,
    ),
    "DiceLoss": (DiceLoss, pixels),
    "LovaszLoss": (LovaszLoss, pixels),
    "DistillationLoss": (DistillationLoss, scores),
    "FeatureDistillationLoss": (FeatureDistillationLoss, features),
    "ScaleInvariantLogLoss": (ScaleInvariantLogLoss, depths),
}
#: The same for losses that give one value for each element or box.
UNREDUCED = {
    "SigmoidFocalLoss": (SigmoidFocalLoss, targets),
    "GaussianFocalLoss": (GaussianFocalLoss, heatmaps),
    "IoULoss": (IoULoss, boxes),
    "IoULoss squared": (lambda: IoULoss(power=2), boxes),
    "GIoULoss": (GIoULoss, boxes),
    "DIoULoss": (DIoULoss, boxes),
    "CIoULoss": (CIoULoss, boxes),
}
ALL = SCALAR | UNREDUCED
#: torchvision takes one factor of CIoU for a constant in the gradient, as the paper does.
SMOOTH = sorted(set(ALL) - {"CIoULoss"})
#: Truth that says nothing of any pixel.
NOTHING = {name: 255 for name in SCALAR if "Distillation" not in name}
NOTHING["ScaleInvariantLogLoss"] = 0


def made(name):
    part, inputs = ALL[name]
    return part(), *inputs()


every_loss = pytest.mark.parametrize("name", sorted(ALL))
every_scalar = pytest.mark.parametrize("name", sorted(SCALAR))
every_labelled = pytest.mark.parametrize("name", sorted(NOTHING))


#: What weighs the losses of tasks, and is called with them in place of outputs and truth.
BALANCES = {"UncertaintyWeighting"}


def test_every_exported_loss_is_tested_here():
    assert {name.split()[0] for name in ALL} | BALANCES == set(losses.__all__)


@every_scalar
def test_a_loss_of_the_first_family_is_one_number(name):
    loss, pred, truth = made(name)
    assert loss(pred, truth).shape == ()


@pytest.mark.parametrize("name", sorted(UNREDUCED))
def test_a_loss_of_the_second_family_has_a_value_for_each_element_or_box(name):
    loss, pred, truth = made(name)
    expected = pred.shape[:1] if truth.shape[-1:] == (4,) and pred.ndim == 2 else pred.shape
    assert loss(pred, truth).shape == expected


@every_loss
def test_it_is_positive(name):
    loss, pred, truth = made(name)
    assert loss(pred, truth).sum() > 0


@pytest.mark.parametrize("name", SMOOTH)
def test_gradients_are_those_of_small_differences(name):
    loss, pred, truth = made(name)
    truth = truth.double() if truth.is_floating_point() else truth
    pred = pred.double().requires_grad_()
    assert torch.autograd.gradcheck(lambda values: loss(values, truth), (pred,))


@every_loss
def test_gradients_are_finite_for_large_values(name):
    loss, pred, truth = made(name)
    pred = (pred * 200).requires_grad_()
    value = loss(pred, truth).sum()
    value.backward()
    assert value.isfinite()
    assert pred.grad.isfinite().all()


@every_loss
def test_the_inputs_are_left_as_they_were(name):
    loss, pred, truth = made(name)
    before = pred.clone(), truth.clone()
    loss(pred, truth)
    assert torch.equal(pred, before[0])
    assert torch.equal(truth, before[1])


@every_loss
def test_values_of_low_precision_are_computed_in_float32(name):
    loss, pred, truth = made(name)
    low = pred.bfloat16()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        value = loss(low, truth)
    assert value.dtype == torch.float32
    torch.testing.assert_close(value, loss(low.float(), truth), rtol=0, atol=0)


@every_loss
def test_the_layout_in_memory_does_not_matter(name):
    loss, pred, truth = made(name)
    strided = pred.mT.contiguous().mT
    assert not strided.is_contiguous()
    torch.testing.assert_close(loss(strided, truth), loss(pred, truth))


@every_loss
def test_it_has_nothing_to_learn_or_to_save(name):
    loss, _, _ = made(name)
    assert loss.state_dict() == {}
    assert list(loss.parameters()) == []


@every_loss
def test_an_empty_batch_gives_zero_with_a_gradient(name):
    loss, pred, truth = made(name)
    nothing = pred[:0].requires_grad_()
    value = loss(nothing, truth[:0]).sum()
    value.backward()
    assert value == 0
    assert nothing.grad.shape == nothing.shape


@every_scalar
def test_the_weight_is_a_factor(name):
    loss, pred, truth = made(name)
    weighted = SCALAR[name][0](weight=2.5)
    torch.testing.assert_close(weighted(pred, truth), 2.5 * loss(pred, truth))


@every_labelled
def test_without_truth_it_is_zero_with_a_gradient_of_zero(name):
    loss, pred, truth = made(name)
    pred.requires_grad_()
    value = loss(pred, torch.full_like(truth, NOTHING[name]))
    value.backward()
    assert value == 0
    assert torch.equal(pred.grad, torch.zeros_like(pred))


@every_labelled
def test_what_is_not_labelled_has_no_gradient(name):
    loss, pred, truth = made(name)
    pred.requires_grad_()
    loss(pred, truth).backward()
    places = pred.grad if pred.shape == truth.shape else pred.grad.movedim(1, -1)
    assert torch.count_nonzero(places[truth == NOTHING[name]]) == 0


@every_labelled
def test_what_is_predicted_where_nothing_is_labelled_does_not_matter(name):
    loss, pred, truth = made(name)
    unlabelled = truth == NOTHING[name]
    unlabelled = unlabelled if pred.shape == truth.shape else unlabelled[:, None]
    other = torch.where(unlabelled.expand_as(pred), 7 + torch.rand_like(pred), pred)
    torch.testing.assert_close(loss(other, truth), loss(pred, truth))


@every_loss
def test_shapes_that_do_not_fit_are_refused(name):
    loss, pred, truth = made(name)
    with pytest.raises(ValueError, match=r"shape|same|\(M, 4\)|one size"):
        loss(pred, truth[:1])
