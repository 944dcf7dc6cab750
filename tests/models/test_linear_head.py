"""A feature becomes class scores."""

import pytest
import torch

from hat.models import LinearHead


def test_scores_are_linear_in_the_mean_of_the_feature():
    head = LinearHead(2, 1)
    head.fc.weight.data = torch.tensor([[3.0, 10.0]])
    head.fc.bias.data = torch.tensor([0.5])
    feature = torch.tensor([[[[1.0, 3.0]], [[5.0, 5.0]]]])  # means 2 and 5
    assert head(feature).tolist() == [[56.5]]  # 3 * 2 + 10 * 5 + 0.5


def test_a_pooled_feature_is_taken_as_it_is():
    head = LinearHead(4, 3)
    feature = torch.randn(2, 4)
    assert torch.equal(head(feature), head(feature[:, :, None, None]))


def test_dropout_acts_in_training():
    head = LinearHead(100, 3, dropout=0.5).train()
    feature = torch.ones(1, 100)
    assert not torch.equal(head(feature), head(feature))


def test_dropout_rests_in_evaluation():
    head = LinearHead(100, 3, dropout=0.5).eval()
    feature = torch.ones(1, 100)
    assert torch.equal(head(feature), head(feature))


@pytest.mark.parametrize("dropout", [-0.1, 1.0, float("nan")])
def test_an_impossible_dropout_is_refused(dropout):
    with pytest.raises(ValueError, match=r"dropout must be in \[0, 1\), got"):
        LinearHead(4, 3, dropout=dropout)
