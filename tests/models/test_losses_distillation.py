"""A student learns the scores and the attention of a teacher."""

from math import log

import pytest
import torch
from scipy.special import rel_entr, softmax

from hat.models import DistillationLoss, FeatureDistillationLoss


def test_scores_worked_by_hand():
    # At temperature 2 the teacher gives 3/4 and 1/4, the student 1/2 and 1/2.
    loss = DistillationLoss(temperature=2.0)
    teacher = torch.tensor([[2 * log(3), 0.0]])
    expected = 4 * (3 / 4 * log(3 / 2) + 1 / 4 * log(1 / 2))
    assert loss(torch.zeros(1, 2), teacher).item() == pytest.approx(expected)


def test_scores_of_pixels_are_compared_by_the_divergence_of_scipy():
    student, teacher = torch.randn(2, 5, 3, 4), torch.randn(2, 5, 3, 4)
    p, q = softmax(teacher.numpy() / 3, axis=1), softmax(student.numpy() / 3, axis=1)
    expected = 9 * rel_entr(p, q).sum(axis=1).mean()
    assert DistillationLoss(temperature=3.0)(student, teacher).item() == pytest.approx(expected)


def test_the_gradient_keeps_its_size_at_high_temperatures():
    # Hinton et al., eq. 4: it nears (student - teacher) / C for scores of mean 0.
    student = torch.tensor([[0.3, -0.1, -0.2]], dtype=torch.double, requires_grad=True)
    teacher = torch.tensor([[-0.4, 0.4, 0.0]], dtype=torch.double)
    DistillationLoss(temperature=1e4)(student, teacher).backward()
    torch.testing.assert_close(student.grad, (student - teacher).detach() / 3, rtol=1e-3, atol=0)


def test_a_teacher_that_is_sure_gives_a_finite_loss():
    assert DistillationLoss(1.0)(torch.zeros(1, 2), torch.tensor([[0.0, 1e5]])).item() == (
        pytest.approx(log(2))
    )


def test_attention_worked_by_hand():
    # Squares summed over channels: (1 + 2*2*2, 4*3) = (9, 12) -> (3/5, 4/5) by its length 15.
    student = torch.tensor([[[[1.0, 2.0]], [[2.0, 2.0]], [[2.0, 2.0]]]])
    teacher = torch.tensor([[[[0.0, 7.0]]]])  # (0, 49) -> (0, 1)
    expected = (3 / 5) ** 2 + (1 / 5) ** 2
    assert FeatureDistillationLoss()(student, teacher).item() == pytest.approx(expected)


def test_attention_is_a_mean_over_pictures():
    student, teacher = torch.randn(3, 4, 2, 2), torch.randn(3, 5, 2, 2)
    loss = FeatureDistillationLoss()
    each = [loss(*pair) for pair in zip(student.split(1), teacher.split(1), strict=True)]
    torch.testing.assert_close(loss(student, teacher), torch.stack(each).mean())


def test_attention_does_not_see_the_strength_of_a_feature():
    feature = torch.randn(2, 4, 3, 3)
    loss = FeatureDistillationLoss()
    assert loss(feature, -5 * feature).item() == pytest.approx(0, abs=1e-12)


def test_a_feature_without_any_strength_gives_a_finite_gradient():
    feature = torch.zeros(1, 2, 3, 3, requires_grad=True)
    FeatureDistillationLoss()(feature, torch.randn(1, 2, 3, 3)).backward()
    assert feature.grad.isfinite().all()


@pytest.mark.parametrize("part", [DistillationLoss, FeatureDistillationLoss])
def test_the_teacher_gets_no_gradient(part):
    student = torch.randn(2, 3, 4, 4, requires_grad=True)
    teacher = torch.randn(2, 3, 4, 4, requires_grad=True)
    part()(student, teacher).backward()
    assert teacher.grad is None
    assert student.grad.any()


def test_features_of_other_sizes_are_refused_with_both_shapes():
    with pytest.raises(ValueError, match=r"got \(1, 2, 4, 4\) and \(1, 2, 8, 8\): resize"):
        FeatureDistillationLoss()(torch.zeros(1, 2, 4, 4), torch.zeros(1, 2, 8, 8))


@pytest.mark.parametrize("temperature", [0, -1, float("nan")])
def test_an_impossible_temperature_is_refused(temperature):
    with pytest.raises(ValueError, match="temperature must be above 0, got"):
        DistillationLoss(temperature)
