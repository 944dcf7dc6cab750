"""Tasks weighed by learned variances, by hand."""

import math

import pytest
import torch
from torch import nn

from hat.models import ClassificationTask, GraphModel, LinearHead, UncertaintyWeighting


def balance(**log_variances):
    weighting = UncertaintyWeighting(list(log_variances)).double()
    for task, value in log_variances.items():
        nn.init.constant_(weighting.log_variances[task], value)
    return weighting


def numbers(losses):
    return {name: torch.tensor(value, dtype=torch.float64) for name, value in losses.items()}


def test_losses_and_their_sum_are_those_of_the_equation():
    # exp(-log 4) = 1/4 and exp(-log 1/2) = 2.
    found = balance(det=math.log(4), seg=math.log(0.5))(
        numbers({"det/cls": 2.0, "det/box": 6.0, "seg/ce": 3.0})
    )
    assert {name: pytest.approx(value.item()) for name, value in found.items()} == {
        "det/cls": 0.5,
        "det/box": 1.5,
        "det/log_variance": math.log(4),
        "seg/ce": 6.0,
        "seg/log_variance": math.log(0.5),
    }
    total = 0.5 + 1.5 + 6.0 + math.log(4) + math.log(0.5)
    assert sum(found.values()).item() == pytest.approx(total)


def test_the_gradient_is_worked_out_by_hand():
    # d/ds (exp(-s) L + s) = 1 - exp(-s) L: with s = log 4 and L = 8 this is 1 - 2.
    weighting = balance(det=math.log(4))
    sum(weighting(numbers({"det/cls": 2.0, "det/box": 6.0})).values()).backward()
    assert weighting.log_variances["det"].grad.item() == pytest.approx(-1)


def test_gradients_are_those_of_small_differences():
    weighting = balance(det=0.3, seg=-0.7)
    names = ["det/cls", "det/box", "seg/ce"]

    def total(det, seg, losses):
        values = {"log_variances.det": det, "log_variances.seg": seg}
        named = dict(zip(names, losses, strict=True))
        return sum(torch.func.functional_call(weighting, values, (named,)).values())

    inputs = (
        torch.tensor(0.3, dtype=torch.float64, requires_grad=True),
        torch.tensor(-0.7, dtype=torch.float64, requires_grad=True),
        torch.tensor([0.5, 2.0, 3.0], dtype=torch.float64, requires_grad=True),
    )
    assert torch.autograd.gradcheck(total, inputs)


def test_a_loss_that_does_not_change_gets_the_weight_of_its_inverse():
    weighting = UncertaintyWeighting(["det"])
    optimizer = torch.optim.SGD(weighting.parameters(), lr=0.1)
    for _ in range(300):
        optimizer.zero_grad()
        sum(weighting({"det/cls": torch.tensor(5.0)}).values()).backward()
        optimizer.step()
    assert weighting.log_variances["det"].item() == pytest.approx(math.log(5), abs=1e-5)


def test_a_task_that_is_absent_adds_nothing_and_gets_no_gradient():
    weighting = balance(det=0.0, seg=1.0)
    found = weighting(numbers({"det/cls": 2.0}))
    sum(found.values()).backward()
    assert list(found) == ["det/cls", "det/log_variance"]
    assert weighting.log_variances["seg"].grad is None


def test_shares_of_a_task_over_a_step_count_its_term_once():
    # A step of two batches with 3/4 and 1/4 of the pictures is one batch of their mean loss.
    whole, parts = balance(det=0.4), balance(det=0.4)
    sum(whole(numbers({"det/cls": 0.75 * 2 + 0.25 * 10})).values()).backward()
    for loss, share in ((2.0, 0.75), (10.0, 0.25)):
        found = parts(numbers({"det/cls": loss}))
        sum(value * share for value in found.values()).backward()
    torch.testing.assert_close(parts.log_variances["det"].grad, whole.log_variances["det"].grad)


def test_a_logged_term_does_not_change_with_the_parameter():
    weighting = balance(det=0.5)
    term = weighting(numbers({"det/cls": 1.0}))["det/log_variance"].detach()
    nn.init.constant_(weighting.log_variances["det"], 9.0)
    assert term.item() == 0.5


@pytest.mark.parametrize("tasks", [[], "det", ["det", "seg", "det"]], ids=["none", "text", "twice"])
def test_tasks_are_a_list_of_different_names(tasks):
    with pytest.raises(ValueError, match="tasks must be a list of different names"):
        UncertaintyWeighting(tasks)


def test_a_loss_of_another_task_is_refused_with_the_nearest_name():
    with pytest.raises(ValueError, match=r"'depht/l1' is of 'depht'. Did you mean 'depth'"):
        balance(depth=0.0)(numbers({"depht/l1": 1.0}))


def test_it_is_the_balance_of_a_graph_model():
    torch.manual_seed(0)
    parts = {
        "nodes": dict(a=LinearHead(3, 2), b=LinearHead(3, 2)),
        "topology": dict(a="img", b="img"),
        "outputs": dict(day="a", rain="b"),
        "tasks": dict(day=ClassificationTask(2), rain=ClassificationTask(2)),
    }
    plain = GraphModel(**parts)
    weighted = GraphModel(**parts, balance=UncertaintyWeighting(["day", "rain"], math.log(2)))
    batch = {"img": torch.rand(4, 3, 2, 2), "label": torch.tensor([0, 1, 1, 0]), "tasks": ("day",)}
    losses = weighted(batch).losses
    assert set(losses) == {"day/ce", "day/log_variance"}
    torch.testing.assert_close(losses["day/ce"], plain(batch).losses["day/ce"] / 2)
    assert "balance.log_variances.rain" in dict(weighted.named_parameters())
