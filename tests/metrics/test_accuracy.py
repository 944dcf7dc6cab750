"""Accuracy, by hand and against others."""

import pytest
import torch
from sklearn.metrics import accuracy_score, top_k_accuracy_score
from torchmetrics.classification import MulticlassAccuracy

from hat.metrics import Accuracy
from hat.metrics.accuracy import count_top_k_hits

SCORES = torch.tensor(
    [
        [9.0, 5.0, 1.0],  # best 0, then 1, then 2
        [1.0, 9.0, 5.0],  # 1, 2, 0
        [1.0, 5.0, 9.0],  # 2, 1, 0
        [9.0, 1.0, 5.0],  # 0, 2, 1
    ]
)
LABELS = torch.tensor([0, 2, 1, 1])  # found among the best 1, 2, 2 and 3


def accuracy_of(*batches, **kwargs):
    metric = Accuracy(**kwargs)
    for logits, labels in batches:
        metric.update({"label": labels}, {"logits": logits})
    return metric.compute().item()


@pytest.fixture
def random_batch():
    return torch.randn(200, 7), torch.randint(7, (200,))


@pytest.mark.parametrize(("top_k", "hits"), [(1, 1), (2, 3), (3, 4)])
def test_hits_are_counted(top_k, hits):
    assert count_top_k_hits(SCORES, LABELS, top_k).item() == hits


@pytest.mark.parametrize(("top_k", "accuracy"), [(1, 0.25), (2, 0.75), (3, 1.0)])
def test_accuracy_is_hits_over_samples(top_k, accuracy):
    assert accuracy_of((SCORES, LABELS), top_k=top_k) == accuracy


def test_a_short_last_batch_counts_as_what_it_is():
    # 1 of 4, then 1 of 1: 2 / 5, not (1/4 + 1/1) / 2
    assert accuracy_of((SCORES, LABELS), (SCORES[:1], LABELS[:1])) == 0.4


def test_an_empty_batch_counts_nothing():
    assert accuracy_of((SCORES, LABELS), (SCORES[:0], LABELS[:0])) == 0.25


@pytest.mark.parametrize("top_k", [1, 2, 5])
def test_accuracy_is_that_of_scikit_learn(random_batch, top_k):
    logits, labels = random_batch
    expected = top_k_accuracy_score(labels, logits, k=top_k, labels=range(7))
    assert accuracy_of(random_batch, top_k=top_k) == pytest.approx(expected, abs=1e-12)


def test_accuracy_of_the_best_class_is_that_of_scikit_learn(random_batch):
    logits, labels = random_batch
    expected = accuracy_score(labels, logits.argmax(dim=1))
    assert accuracy_of(random_batch) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("top_k", [1, 3])
def test_accuracy_is_that_of_torchmetrics(random_batch, top_k):
    expected = MulticlassAccuracy(7, top_k=top_k, average="micro")(*random_batch)
    assert accuracy_of(random_batch, top_k=top_k) == pytest.approx(expected.item(), abs=1e-6)


def test_the_value_of_a_class_that_never_occurs_does_not_matter():
    assert accuracy_of((SCORES[:1], LABELS[:1])) == 1


def test_mixed_labels_count_by_their_largest_share():
    shares = torch.tensor([[0.6, 0.4, 0.0], [0.3, 0.3, 0.4], [0, 0.9, 0.1], [0.1, 0.8, 0.1]])
    assert accuracy_of((SCORES, shares), top_k=2) == 0.75  # as LABELS


def test_a_label_that_is_no_class_is_not_found():
    assert accuracy_of((SCORES, torch.full((4,), 255))) == 0


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_scores_may_have_any_float_type(dtype):
    assert accuracy_of((SCORES.to(dtype), LABELS), top_k=2) == 0.75


@pytest.mark.parametrize(("kwargs", "name"), [({}, "acc"), ({"top_k": 5}, "acc_top5")])
def test_the_name_says_how_many_classes_count(kwargs, name):
    assert Accuracy(**kwargs).name == name


def test_the_name_can_be_given():
    assert Accuracy(name="share").name == "share"


def test_more_is_better():
    assert Accuracy().higher_is_better is True


@pytest.mark.parametrize("top_k", [0, -1])
def test_an_impossible_top_k_is_refused(top_k):
    with pytest.raises(ValueError, match=f"top_k must be at least 1, got {top_k}"):
        Accuracy(top_k=top_k)


def test_a_top_k_above_the_classes_is_refused():
    with pytest.raises(ValueError, match="top_k is 5, but there are only 3 classes"):
        accuracy_of((SCORES, LABELS), top_k=5)


@pytest.mark.parametrize(
    ("logits", "labels"),
    [
        (torch.zeros(4, 3), torch.zeros(5, dtype=torch.int64)),
        (torch.zeros(4), torch.zeros(4, dtype=torch.int64)),
        (torch.zeros(4, 3, 2), torch.zeros(4, dtype=torch.int64)),
        (torch.zeros(1, 3), torch.zeros((), dtype=torch.int64)),
    ],
)
def test_shapes_that_do_not_fit_are_refused(logits, labels):
    with pytest.raises(ValueError, match=r"logits must be \(N, num_classes\) and labels \(N,\)"):
        accuracy_of((logits, labels))
