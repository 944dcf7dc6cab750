"""Losses of whole regions: Dice and the Lovasz extension of IoU."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from sklearn.metrics import f1_score, jaccard_score

from hat.models import DiceLoss, LovaszLoss

# Probabilities of class 0 at three pixels: 3/4, 1/2, 1/4; those of class 1 are the rest.
LOGITS = torch.tensor([0.75, 0.5, 0.25]).logit()
LOGITS = torch.stack([LOGITS, torch.zeros(3)])[None, :, None]
LABELS = torch.tensor([[[0, 0, 1]]])


@pytest.fixture
def pixels():
    labels = torch.randint(0, 4, (2, 6, 7))
    labels[labels == 2] = 0  # a class that no pixel has
    labels[0, :, :3] = 255
    return torch.randn(2, 4, 6, 7), labels


def hard(logits):
    """Scores whose softmax is 0 or 1, and the class it is 1 for."""
    classes = logits.argmax(dim=1)
    return 200.0 * torch.nn.functional.one_hot(classes, 4).movedim(-1, 1), classes


def flat(logits, labels):
    """Probabilities (P, C) and labels (P,) of the labelled pixels, for NumPy."""
    known = labels != 255
    probs = logits.double().softmax(dim=1).movedim(1, -1)[known]
    return probs.numpy(), labels[known].numpy()


def test_dice_worked_by_hand():
    # Class 0: 2 * (3/4 + 1/2) / (9/16 + 4/16 + 1/16 + 2) = 2.5 / 2.875
    # Class 1: 2 * 3/4 / (1/16 + 4/16 + 9/16 + 1) = 1.5 / 1.875
    expected = 1 - (2.5 / 2.875 + 1.5 / 1.875) / 2
    assert DiceLoss()(LOGITS, LABELS).item() == pytest.approx(expected)


def test_dice_is_that_of_loops_over_classes(pixels):
    probs, labels = flat(*pixels)
    dices = []
    for number in sorted(set(labels)):
        p, g = probs[:, number], (labels == number).astype(float)
        dices.append(2 * (p * g).sum() / ((p**2).sum() + (g**2).sum()))
    logits, truth = pixels
    assert DiceLoss()(logits.double(), truth).item() == pytest.approx(1 - np.mean(dices))


def test_dice_of_sure_pixels_is_the_f1_of_scikit_learn(pixels):
    logits, labels = pixels
    logits, classes = hard(logits)
    known = labels != 255
    scores = f1_score(labels[known], classes[known], labels=[0, 1, 3], average="macro")
    assert DiceLoss()(logits, labels).item() == pytest.approx(1 - scores)


def test_lovasz_worked_by_hand():
    # Class 0, errors in order: 1/2 (of the class), 1/4 (of the class), 1/4 (another one).
    #   1 - IoU grows by 1/2 as the first is lost, by 1/2 as the second is, then by 0:
    #   1/2 * 1/2 + 1/4 * 1/2 = 3/8
    # Class 1: 1/2 (another one), then 1/4 (of the class) and 1/4 (another one) in any order.
    #   IoU falls from 1 to 1/2 to 0: 1/2 * 1/2 + 1/4 * 1/2 = 3/8
    assert LovaszLoss()(LOGITS, LABELS).item() == pytest.approx(3 / 8)


def test_lovasz_is_the_mean_of_the_loss_over_all_thresholds(pixels):
    # Another definition of the Lovasz extension: the integral, over thresholds t of 0 to 1,
    # of 1 - IoU if the pixels with errors above t are the wrong ones.
    probs, labels = flat(*pixels)
    losses = []
    for number in sorted(set(labels)):
        truth = labels == number
        errors = np.abs(truth - probs[:, number])
        steps = np.concatenate([[0.0], np.sort(errors)])
        total = 0.0
        for low, high in pairwise(steps):
            wrong = errors > low
            iou = (truth & ~wrong).sum() / (truth | wrong).sum()
            total += (high - low) * (1 - iou)
        losses.append(total)
    logits, truth = pixels
    assert LovaszLoss()(logits.double(), truth).item() == pytest.approx(np.mean(losses))


def test_lovasz_of_sure_pixels_is_one_minus_the_iou_of_scikit_learn(pixels):
    logits, labels = pixels
    logits, classes = hard(logits)
    known = labels != 255
    scores = jaccard_score(labels[known], classes[known], labels=[0, 1, 3], average="macro")
    assert LovaszLoss()(logits, labels).item() == pytest.approx(1 - scores)


def test_each_of_a_million_pixels_has_its_share_of_the_gradient():
    # One class everywhere: its IoU falls by one millionth of it with each wrong pixel. By
    # differences of float32 numbers near 1 the steps would be wrong by several percent.
    logits = torch.zeros(1, 2, 1000, 1000, requires_grad=True)
    LovaszLoss()(logits, torch.zeros(1, 1000, 1000, dtype=torch.long)).backward()
    expected = torch.full((1000, 1000), -0.5 * 0.5 * 1e-6)
    torch.testing.assert_close(logits.grad[0, 0], expected)


@pytest.mark.parametrize("part", [DiceLoss, LovaszLoss])
def test_perfect_pixels_cost_nothing(part):
    labels = torch.tensor([[[0, 1, 2, 3, 255]]])
    logits = 200.0 * torch.eye(4)[[0, 1, 2, 3, 0]].T[None, :, None]
    assert part()(logits, labels).item() == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("part", [DiceLoss, LovaszLoss])
def test_pictures_of_a_batch_are_one_set_of_pixels(part, pixels):
    logits, labels = pixels
    side_by_side = torch.cat(list(logits), dim=-1)[None], torch.cat(list(labels), dim=-1)[None]
    torch.testing.assert_close(part()(logits, labels), part()(*side_by_side))


@pytest.mark.parametrize("part", [DiceLoss, LovaszLoss])
def test_another_label_may_be_the_ignored_one(part, pixels):
    logits, labels = pixels
    moved = torch.where(labels == 255, -1, labels)
    assert part(ignore_index=-1)(logits, moved) == part()(logits, labels)


@pytest.mark.parametrize("part", [DiceLoss, LovaszLoss])
def test_a_label_without_a_score_is_an_error(part):
    with pytest.raises(RuntimeError, match="out of bounds"):
        part()(torch.zeros(1, 3, 1, 1), torch.full((1, 1, 1), 3))
