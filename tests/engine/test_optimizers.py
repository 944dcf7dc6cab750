"""Which parameters an optimizer gets, in which groups."""

import functools

import pytest
import torch
from torch import nn

from hat.engine.optimizers import build_optimizer, group_parameters
from hat.models import ClassificationTask, GraphModel


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(1, 2, 1)
        self.norm = nn.BatchNorm2d(2)
        self.group_norm = nn.GroupNorm(1, 2)
        self.fc = nn.Linear(2, 2)


def names(net, groups):
    """For every group the names of its parameters."""
    found = {id(parameter): name for name, parameter in net.named_parameters()}
    return [[found[id(parameter)] for parameter in group["params"]] for group in groups]


def test_without_rules_there_is_one_group_of_everything():
    net = Net()
    (group,) = group_parameters(net, [])
    assert [id(p) for p in group["params"]] == [id(p) for p in net.parameters()]


def test_norm_names_the_parameters_of_normalisation_layers():
    net = Net()
    groups = group_parameters(net, [dict(match="norm", weight_decay=0.0)])
    assert names(net, groups)[1] == [
        "norm.weight",
        "norm.bias",
        "group_norm.weight",
        "group_norm.bias",
    ]


@pytest.mark.parametrize(
    "norm",
    [
        nn.BatchNorm1d(2),
        nn.SyncBatchNorm(2),
        nn.LayerNorm(2),
        nn.RMSNorm(2),
        nn.GroupNorm(1, 2),
        nn.InstanceNorm1d(2, affine=True),
    ],
    ids=lambda norm: type(norm).__name__,
)
def test_norm_knows_every_normalisation_of_torch(norm):
    net = nn.Sequential(nn.Linear(2, 2), norm)
    groups = group_parameters(net, [dict(match="norm", lr=1.0)])
    assert [id(p) for p in groups[1]["params"]] == [id(p) for p in norm.parameters()]


def test_norm_finds_a_model_that_is_itself_a_normalisation():
    assert len(group_parameters(nn.LayerNorm(2), [dict(match="norm", lr=1.0)])) == 1


def test_bias_names_every_bias():
    net = Net()
    groups = group_parameters(net, [dict(match="bias", weight_decay=0.0)])
    assert names(net, groups)[1] == ["conv.bias", "norm.bias", "group_norm.bias", "fc.bias"]


def test_patterns_match_names():
    net = Net()
    groups = group_parameters(net, [dict(match=["fc.*", "conv.weight"], lr=0.1)])
    assert names(net, groups)[1] == ["conv.weight", "fc.weight", "fc.bias"]


def test_what_no_rule_names_comes_first_without_options():
    net = Net()
    groups = group_parameters(net, [dict(match=["norm", "bias"], weight_decay=0.0)])
    assert names(net, groups)[0] == ["conv.weight", "fc.weight"]
    assert [set(group) for group in groups] == [{"params"}, {"params", "weight_decay"}]


def test_the_first_rule_that_names_a_parameter_counts():
    net = Net()
    groups = group_parameters(net, [dict(match="fc.*", lr=0.1), dict(match="bias", lr=0.2)])
    assert names(net, groups)[1:] == [
        ["fc.weight", "fc.bias"],
        ["conv.bias", "norm.bias", "group_norm.bias"],
    ]
    assert [group.get("lr") for group in groups] == [None, 0.1, 0.2]


def test_a_rule_for_everything_leaves_no_empty_group():
    (group,) = group_parameters(Net(), [dict(match="*", lr=0.1)])
    assert group["lr"] == 0.1


def test_rules_are_not_changed():
    rules = [dict(match=["bias"], lr=0.1)]
    group_parameters(Net(), rules)
    assert rules == [dict(match=["bias"], lr=0.1)]


def test_a_pattern_that_matches_nothing_is_refused_with_the_nearest_name():
    with pytest.raises(ValueError, match=r"param_groups\[1\]: 'fcc.weight' .*'fc.weight'"):
        group_parameters(Net(), [dict(match="fc.*", lr=1), dict(match="fcc.weight", lr=1)])


@pytest.mark.parametrize("match", ["norm", "bias", []])
def test_a_rule_that_names_nothing_is_refused(match):
    net = nn.Linear(2, 2, bias=False)
    with pytest.raises(ValueError, match=r"param_groups\[0\]"):
        group_parameters(net, [dict(match=match, lr=0.1)])


def test_a_rule_without_match_is_refused():
    with pytest.raises(ValueError, match=r"param_groups\[0\]: no 'match'"):
        group_parameters(Net(), [dict(weight_decay=0.0)])


def test_options_reach_the_groups_of_the_optimizer():
    maker = functools.partial(torch.optim.SGD, lr=0.1, weight_decay=0.5)
    optimizer = build_optimizer(Net(), maker, [dict(match="bias", weight_decay=0.0)])
    assert [group["weight_decay"] for group in optimizer.param_groups] == [0.5, 0.0]
    assert [group["lr"] for group in optimizer.param_groups] == [0.1, 0.1]


def test_a_tied_parameter_is_given_once():
    net = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    net[1].weight = net[0].weight
    (group,) = group_parameters(net, [])
    assert len(group["params"]) == 3


# --- tasks on shared nodes


def two_tasks():
    """`trunk` is of both tasks, `neck` and a head of `det`, a head of `seg`."""
    return GraphModel(
        nodes=dict(
            trunk=nn.Linear(2, 3),
            neck=nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3)),
            det_head=nn.Linear(3, 2),
            seg_head=nn.Linear(3, 2),
        ),
        topology=dict(trunk="x", neck="trunk", det_head="neck", seg_head="trunk"),
        outputs=dict(det="det_head", seg="seg_head"),
        inputs=["x"],
        tasks=dict(det=ClassificationTask(2), seg=ClassificationTask(2)),
    )


def test_a_rule_for_a_task_is_for_what_it_alone_uses():
    net = two_tasks()
    groups = group_parameters(net, [dict(task="det", lr=1.0)])
    assert names(net, groups)[1] == [
        "neck.0.weight",
        "neck.0.bias",
        "neck.1.weight",
        "neck.1.bias",
        "det_head.weight",
        "det_head.bias",
    ]
    assert groups[1]["lr"] == 1.0


def test_a_rule_for_all_tasks_is_for_everything():
    groups = group_parameters(two_tasks(), [dict(task=["det", "seg"], lr=1.0)])
    assert [len(group["params"]) for group in groups] == [10]


def test_a_rule_for_what_is_shared_is_for_the_trunk():
    net = two_tasks()
    groups = group_parameters(net, [dict(shared=True, lr=0.1), dict(task="seg", lr=1.0)])
    assert names(net, groups)[1:] == [
        ["trunk.weight", "trunk.bias"],
        ["seg_head.weight", "seg_head.bias"],
    ]


@pytest.mark.parametrize(
    ("match", "expected"),
    [
        ("norm", ["neck.1.weight", "neck.1.bias"]),
        ("bias", ["neck.0.bias", "neck.1.bias", "det_head.bias"]),
        ("*head*", ["det_head.weight", "det_head.bias"]),
    ],
)
def test_a_rule_of_task_and_match_is_for_what_both_name(match, expected):
    net = two_tasks()
    groups = group_parameters(net, [dict(task="det", match=match, lr=1.0)])
    assert names(net, groups)[1] == expected


def test_a_buffer_of_a_loss_is_no_parameter_of_its_task():
    net = two_tasks()
    weighted = ClassificationTask(2, {"ce": nn.CrossEntropyLoss(torch.tensor([1.0, 2.0]))})
    net.tasks["seg"] = weighted
    groups = group_parameters(net, [dict(task="seg", lr=1.0)])
    assert names(net, groups)[1] == ["seg_head.weight", "seg_head.bias"]


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        (dict(task="dett"), r"param_groups\[0\]: the model has no task 'dett'.*mean 'det'"),
        (dict(task="det", shared=True), "no parameter in common"),
        (dict(shared=False), "'shared' must be True"),
        (dict(shared=True, match="norm"), "no parameters that 'norm' stands for"),
        (dict(task="det", match="trunk.*"), r"'trunk.\*' matches none"),
    ],
)
def test_a_rule_that_names_nothing_of_a_task_is_refused(rule, message):
    with pytest.raises(ValueError, match=message):
        group_parameters(two_tasks(), [rule])


def test_a_model_without_a_graph_has_no_tasks():
    with pytest.raises(ValueError, match="tasks are those of a GraphModel, the model is a Net"):
        group_parameters(Net(), [dict(task="det", lr=1.0)])
