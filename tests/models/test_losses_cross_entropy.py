"""Cross entropy of what is labelled, and of what is hard among it."""

from math import log

import pytest
import torch
from sklearn.metrics import log_loss
from torch import nn

from hat.models import CrossEntropyLoss, OhemCrossEntropyLoss

WEIGHTS = [1.0, 3.0, 0.5]


def scores_for(probabilities):
    """Scores (1, 2, 1, P) whose softmax gives class 0 these probabilities."""
    first = torch.tensor(probabilities).logit()
    return torch.stack([first, torch.zeros_like(first)])[None, :, None]


@pytest.fixture
def pixels():
    labels = torch.randint(0, 3, (2, 6, 7))
    labels[0, :, :3] = 255
    return torch.randn(2, 3, 6, 7), labels


def test_cross_entropy_worked_by_hand():
    # Probabilities of the true class: 3/4 (class 0), 1/2 (class 1); the third has none.
    # (1 * -log(3/4) + 3 * -log(1/2)) / (1 + 3)
    logits = scores_for([0.75, 0.5, 0.1])
    loss = CrossEntropyLoss(class_weight=[1.0, 3.0])(logits, torch.tensor([[[0, 1, 255]]]))
    assert loss.item() == pytest.approx((log(4 / 3) + 3 * log(2)) / 4)


def test_cross_entropy_is_the_log_loss_of_scikit_learn(pixels):
    logits, labels = pixels
    known = labels != 255
    probabilities = logits.double().softmax(dim=1).movedim(1, -1)[known]
    expected = log_loss(
        labels[known],
        probabilities,
        sample_weight=torch.tensor(WEIGHTS)[labels[known]],
        labels=[0, 1, 2],
    )
    loss = CrossEntropyLoss(class_weight=WEIGHTS)
    assert loss(logits.double(), labels).item() == pytest.approx(expected)


@pytest.mark.parametrize("smoothing", [0.0, 0.3])
@pytest.mark.parametrize("weights", [None, WEIGHTS], ids=["plain", "weighted"])
def test_cross_entropy_is_that_of_torch(pixels, weights, smoothing):
    factors = None if weights is None else torch.tensor(weights)
    theirs = nn.CrossEntropyLoss(factors, ignore_index=255, label_smoothing=smoothing)
    ours = CrossEntropyLoss(weights, label_smoothing=smoothing)
    torch.testing.assert_close(ours(*pixels), theirs(*pixels))


def test_another_label_may_be_the_ignored_one(pixels):
    logits, labels = pixels
    moved = torch.where(labels == 255, -100, labels)
    ours = CrossEntropyLoss(WEIGHTS, ignore_index=-100)
    torch.testing.assert_close(ours(logits, moved), CrossEntropyLoss(WEIGHTS)(logits, labels))


def test_shares_of_classes_are_taken_as_torch_takes_them():
    logits, shares = torch.randn(5, 3), torch.rand(5, 3).softmax(dim=1)
    theirs = nn.CrossEntropyLoss(torch.tensor(WEIGHTS), label_smoothing=0.1)
    ours = CrossEntropyLoss(WEIGHTS, label_smoothing=0.1)
    torch.testing.assert_close(ours(logits, shares), theirs(logits, shares))


def test_a_class_of_weight_zero_counts_as_not_labelled():
    loss = CrossEntropyLoss(class_weight=[0.0, 1.0])
    assert loss(torch.randn(2, 2), torch.tensor([0, 0])) == 0


def test_labels_of_bytes_are_classes_too(pixels):
    logits, labels = pixels
    loss = CrossEntropyLoss(WEIGHTS)
    assert loss(logits, labels.to(torch.uint8)) == loss(logits, labels)


def test_labels_of_another_size_are_refused_with_both_shapes():
    with pytest.raises(ValueError, match=r"shape \(1, 4, 4\) for logits of \(1, 3, 4, 4\), got"):
        CrossEntropyLoss()(torch.zeros(1, 3, 4, 4), torch.zeros(1, 8, 8).long())


def test_labels_that_are_not_whole_numbers_are_refused():
    with pytest.raises(ValueError, match=r"must be classes, int64, got torch\.float32"):
        CrossEntropyLoss()(torch.zeros(1, 3, 4, 4), torch.zeros(1, 4, 4))


@pytest.mark.parametrize("weights", [[1.0, -1.0], [float("nan"), 1.0], [float("inf"), 1.0]])
@pytest.mark.parametrize("part", [CrossEntropyLoss, OhemCrossEntropyLoss])
def test_impossible_class_weights_are_refused(part, weights):
    with pytest.raises(ValueError, match="class_weight must be one number of 0 or more"):
        part(class_weight=weights)


# True class 0 everywhere; the fifth pixel is not labelled.
PROBABILITIES = [0.9, 0.8, 0.6, 0.5, 0.1]
LABELS = torch.tensor([[[0, 0, 0, 0, 255]]])


@pytest.mark.parametrize(
    ("threshold", "min_kept", "hard"),
    [
        (0.7, 0.0, [0.6, 0.5]),  # those below the threshold
        (0.55, 0.0, [0.5]),
        (0.7, 0.4, [0.6, 0.5]),  # 2 of 5: there are as many already
        (0.7, 0.6, [0.8, 0.6, 0.5]),  # 3 of 5: one more
        (0.7, 0.5, [0.8, 0.6, 0.5]),  # half of 5, rounded up
        (0.3, 0.2, [0.5]),  # none is hard: the hardest
        (0.7, 1.0, [0.9, 0.8, 0.6, 0.5]),  # all that are labelled
    ],
)
def test_hard_pixels_worked_by_hand(threshold, min_kept, hard):
    loss = OhemCrossEntropyLoss(threshold, min_kept)(scores_for(PROBABILITIES), LABELS)
    assert loss.item() == pytest.approx(sum(-log(p) for p in hard) / len(hard))


def test_class_weights_do_not_choose_but_weigh():
    # Class 0 at 0.6 and 0.9, class 1 at 1 - 0.5: two are below 0.7, with weights 1 and 3.
    logits = scores_for([0.6, 0.5, 0.9])
    loss = OhemCrossEntropyLoss(0.7, 0.0, class_weight=[1.0, 3.0])
    expected = (-log(0.6) + 3 * -log(0.5)) / 4
    assert loss(logits, torch.tensor([[[0, 1, 0]]])).item() == pytest.approx(expected)


def test_easy_pixels_have_no_gradient():
    logits = scores_for(PROBABILITIES).requires_grad_()
    OhemCrossEntropyLoss(0.7, 0.0)(logits, LABELS).backward()
    assert (logits.grad[0, 0, 0] != 0).tolist() == [False, False, True, True, False]


def test_where_all_pixels_are_hard_it_is_cross_entropy(pixels):
    loss = OhemCrossEntropyLoss(threshold=1.0, class_weight=WEIGHTS)
    torch.testing.assert_close(loss(*pixels), CrossEntropyLoss(WEIGHTS)(*pixels))


def test_ties_with_the_last_one_kept_are_kept():
    loss = OhemCrossEntropyLoss(0.3, 0.25)  # one of four
    logits = torch.zeros(1, 2, 1, 4, requires_grad=True)
    loss(logits, torch.zeros(1, 1, 4).long()).backward()
    assert torch.count_nonzero(logits.grad) == 8


@pytest.mark.parametrize(("threshold", "min_kept"), [(0, 0.1), (1.1, 0.1), (0.7, -0.1), (0.7, 9)])
def test_an_impossible_choice_of_hard_pixels_is_refused(threshold, min_kept):
    with pytest.raises(ValueError, match=r"threshold must be in \(0, 1\] and min_kept, a share"):
        OhemCrossEntropyLoss(threshold, min_kept)
