"""One graph of many tasks: run in part, labelled in part, trained in part, changed and copied."""

import copy
import functools
import itertools
import pickle

import pytest
import torch
from graph_cases import (
    KEYS_OF,
    NODES_OF,
    NUM_CLASSES,
    SIZE,
    TASKS,
    ByHand,
    freeze_norms,
    make_batch,
    make_model,
    make_nodes,
    make_samples,
    make_tasks,
    topology,
)
from torch import nn

from hat.models import ConvNet, FcnHead, GraphModel, LinearHead, SegmentationTask

SAMPLES = make_samples()
FULL = make_batch(SAMPLES)
PICTURES = FULL["img"]


@pytest.fixture
def model():
    return make_model()


def count_calls(model):
    """How often each node runs from now on, by its name."""
    calls = dict.fromkeys(model.node_names, 0)

    def note(name):
        def hook(*_):
            calls[name] += 1

        return hook

    for name in model.node_names:
        getattr(model, name).register_forward_hook(note(name))
    return calls


def ran(calls):
    return {name for name, count in calls.items() if count}


def total(losses):
    return torch.stack(list(losses.values())).sum()


def step(model, batch, outputs=None):
    losses = model(batch, outputs).losses
    total(losses).backward()
    return losses


def assert_same(found, expected):
    torch.testing.assert_close(found, expected, rtol=0, atol=0)


# --- both forms


@pytest.mark.parametrize("training", [True, False])
def test_function_and_mapping_give_the_same(training):
    one, other = (make_model(form).train(training) for form in ("function", "mapping"))
    assert_same(other(FULL), one(FULL))


def test_parameters_are_called_by_their_node(model):
    names = {name.split(".")[0] for name, _ in model.named_parameters()}
    assert names == set(model.node_names)
    assert "scene_head.fc.weight" in model.state_dict()


def test_losses_and_predictions_carry_the_task(model):
    losses, preds = model.eval()(FULL)
    assert {name.split("/")[0] for name in losses} == set(TASKS)
    assert {"det/bboxes", "seg/seg", "depth/depth", "scene/logits"} <= set(preds)


def test_in_training_there_are_no_predictions(model):
    assert model(FULL).preds == {}


def test_each_output_is_that_of_the_network_by_hand(model):
    found = model.eval().network(PICTURES)
    nodes = dict(model.named_children())
    assert_same(found, {task: ByHand(nodes, task)(PICTURES) for task in TASKS})


def test_the_losses_are_those_of_the_task_modules():
    model, nodes = freeze_norms(make_model()), make_nodes()
    expected = {
        f"{name}/{key}": value
        for name, task in make_tasks().items()
        for key, value in task.losses(freeze_norms(ByHand(nodes, name))(PICTURES), FULL).items()
    }
    assert_same(model(FULL).losses, expected)


def test_weights_are_applied_to_the_losses_of_their_task():
    plain = freeze_norms(make_model())(FULL).losses
    weighted = freeze_norms(make_model(task_weights=dict(seg=0.5, det=2.0)))(FULL).losses
    factors = dict(seg=0.5, det=2.0)
    expected = {name: loss * factors.get(name.split("/")[0], 1) for name, loss in plain.items()}
    assert_same(weighted, expected)


def test_a_balance_gets_all_losses_of_a_step():
    class Doubled(nn.Module):
        def forward(self, losses):
            return {f"twice {name}": 2 * loss for name, loss in losses.items()}

    plain = freeze_norms(make_model())(FULL).losses
    doubled = freeze_norms(make_model(balance=Doubled()))(FULL).losses
    assert_same(doubled, {f"twice {name}": 2 * loss for name, loss in plain.items()})


def test_an_output_without_a_task_is_a_prediction_as_it_is():
    nodes = make_nodes()
    model = GraphModel(nodes, topology, dict(scene=make_tasks()["scene"])).eval()
    assert_same(model(FULL).preds["seg"], ByHand(nodes, "seg")(PICTURES))


def test_an_output_without_a_task_is_not_computed_in_training():
    model = GraphModel(make_nodes(), topology, dict(scene=make_tasks()["scene"]))
    calls = count_calls(model)
    model(FULL)
    assert ran(calls) == set(NODES_OF["scene"])


def test_auxiliary_outputs_are_learnt_from_too():
    model = make_model("aux")
    assert "seg/aux0_ce" in step(model, FULL, ["seg"])
    assert model.aux_head.classifier.weight.grad.abs().sum() > 0


def test_auxiliary_outputs_are_cut_to_the_labelled_rows():
    model = freeze_norms(make_model("aux"))
    part = model(make_batch(SAMPLES, seg=[1, 3]), ["seg"]).losses
    assert_same(part, model(make_batch([SAMPLES[1], SAMPLES[3]]), ["seg"]).losses)


def test_a_node_that_is_called_twice_learns_from_both_calls():
    def twice(nodes, img, other):
        return dict(a=nodes.head(nodes.trunk(img)), b=nodes.head(nodes.trunk(other)))

    nodes = dict(trunk=nn.Conv2d(3, 4, 1), head=LinearHead(4, 4))
    tasks = dict(a=make_tasks()["scene"], b=make_tasks()["scene"])
    model = GraphModel(nodes, twice, tasks)
    batch = FULL | {"other": PICTURES.flip(0) * 2}
    step(model, batch)
    both = model.trunk.weight.grad.clone()
    apart = []
    for name in tasks:
        model.zero_grad()
        step(model, batch, name)
        apart.append(model.trunk.weight.grad.clone())
    torch.testing.assert_close(both, sum(apart))
    assert model.shared_nodes() == ("trunk", "head")


def test_a_model_may_read_several_inputs():
    nodes = dict(left=nn.Conv2d(3, 4, 1), right=nn.Conv2d(1, 4, 1), head=nn.Bilinear(4, 4, 2))
    for name in ("left", "right"):
        nodes[name] = nn.Sequential(nodes[name], nn.AdaptiveAvgPool2d(1), nn.Flatten())
    edges = dict(left="img", right="lidar", head=["left", "right"])
    outputs = dict(near="head", far="left")
    model = GraphModel(nodes, edges, outputs=outputs, inputs=("lidar", "img")).eval()
    lidar = torch.randn(4, 1, 8, 8)
    expected = nodes["head"](nodes["left"](PICTURES), nodes["right"](lidar))
    assert_same(model({"img": PICTURES, "lidar": lidar}).preds["near"], expected)
    assert_same(model.subgraph("far")(PICTURES)["far"], nodes["left"](PICTURES))


# --- in part


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize(
    "tasks",
    [names for n in (1, 2, 3) for names in itertools.combinations(TASKS, n)],
    ids="+".join,
)
def test_what_is_asked_for_runs_its_nodes_once_and_no_others(model, tasks, training):
    calls = count_calls(model.train(training))
    model(FULL, tasks)
    assert ran(calls) == {name for task in tasks for name in NODES_OF[task]}
    assert max(calls.values()) == 1


def test_asking_for_a_part_does_not_change_it(model):
    model.eval()
    everything = model(FULL)
    for task in TASKS:
        part = model(FULL, task)
        assert_same(part.preds, {n: v for n, v in everything.preds.items() if n in part.preds})
        assert_same(part.losses, {n: v for n, v in everything.losses.items() if n in part.losses})
        assert {name.split("/")[0] for name in part.losses} == {task}


def test_a_batch_says_what_it_is_for(model):
    calls = count_calls(model)
    losses = model(FULL | {"tasks": ("scene",)}).losses
    assert set(losses) == {"scene/ce"}
    assert ran(calls) == set(NODES_OF["scene"])


def test_only_active_tasks_are_trained(model):
    model.active_tasks = ("seg", "scene")
    assert {name.split("/")[0] for name in model(FULL).losses} == {"seg", "scene"}
    assert {name.split("/")[0] for name in model.eval()(FULL).preds} == set(TASKS)


def test_a_subgraph_is_a_module_with_the_parameters_of_its_nodes(model):
    part = model.subgraph("scene")
    own = {p for name in NODES_OF["scene"] for p in getattr(model, name).parameters()}
    assert set(part.parameters()) == own
    assert list(part.state_dict()) == [
        name for name in model.state_dict() if name.split(".")[0] in NODES_OF["scene"]
    ]


def test_a_subgraph_is_made_once(model):
    assert model.subgraph(["det", "seg"]) is model.subgraph(("det", "seg"))
    assert model.subgraph("det") is model.subgraph(["det"])


def test_a_subgraph_takes_inputs_by_position_and_by_name(model):
    part = model.eval().subgraph(["scene"])
    assert_same(part(img=PICTURES), part(PICTURES))


def test_a_subgraph_follows_the_mode_of_the_model(model):
    part = model.subgraph(["seg"])
    model.eval()
    assert not any(module.training for module in model.subgraph(["seg"]).modules())
    assert part is model.subgraph(["seg"])


def test_a_node_that_is_replaced_is_used(model):
    model.eval()(FULL, "scene")
    torch.manual_seed(5)
    model.scene_head = LinearHead(16, 4).eval()
    expected = model.scene_head(model.backbone(PICTURES)[-1])
    assert_same(model(FULL, "scene").preds["scene/logits"], expected)


def test_a_node_keeps_the_mode_that_it_was_given(model):
    model.train().neck.eval()
    model.backbone.eval()
    before = copy.deepcopy(dict(model.backbone.named_buffers()))
    step(model, FULL)
    assert_same(dict(model.backbone.named_buffers()), before)


@pytest.mark.parametrize(
    ("outputs", "nodes"),
    [
        ("scene", {"backbone", "scene_head"}),
        (["seg", "scene"], {"backbone", "neck", "seg_head", "scene_head"}),
    ],
)
def test_what_tasks_use_is_named(model, outputs, nodes):
    tasks = {f"tasks.{name}" for name in ([outputs] if isinstance(outputs, str) else outputs)}
    assert set(model.named_modules_of(outputs)) == nodes | tasks
    everything = dict(model.named_parameters())
    used = {name for name in everything if name.split(".")[0] in nodes}
    assert set(model.named_parameters_of(outputs)) == used
    assert all(p is everything[n] for n, p in model.named_parameters_of(outputs).items())
    buffers = {name for name, _ in model.named_buffers() if name.split(".")[0] in nodes}
    assert set(model.named_buffers_of(outputs)) == buffers


def test_shared_nodes_are_those_of_two_tasks_or_more(model):
    assert model.shared_nodes() == ("backbone", "neck")


# --- labelled in part


LEVELS = {"none": [], "some": [0, 2], "all": [0, 1, 2, 3]}


@functools.cache
def alone(task, level):
    """Losses and gradients of one task by hand, on the pictures that are labelled for it."""
    if level == "none":
        return {}, {}
    network = freeze_norms(ByHand(make_nodes(), task))
    batch = make_batch([SAMPLES[row] for row in LEVELS[level]])
    losses = make_tasks()[task].losses(network(batch["img"]), batch)
    total(losses).backward()
    grads = {n: p.grad for n, p in network.nodes.named_parameters() if p.grad is not None}
    return {f"{task}/{name}": loss.detach() for name, loss in losses.items()}, grads


@functools.cache
def frozen_norms_model():
    return freeze_norms(make_model())


@pytest.mark.parametrize("levels", list(itertools.product(LEVELS, repeat=4)), ids="-".join)
def test_each_task_learns_from_its_labelled_pictures_alone(levels):
    model = frozen_norms_model()
    model.zero_grad()
    rows = {task: LEVELS[level] for task, level in zip(TASKS, levels, strict=True)}
    losses = model(make_batch(SAMPLES, **rows)).losses
    expected, grads = {}, {}
    for task, level in zip(TASKS, levels, strict=True):
        own_losses, own_grads = alone(task, level)
        expected |= own_losses
        for name, grad in own_grads.items():
            grads[name] = grads.get(name, 0) + grad
    torch.testing.assert_close(losses, expected, rtol=1e-6, atol=1e-6)
    if losses:
        total(losses).backward()
    found = {n: p.grad for n, p in model.named_parameters() if p.grad is not None}
    torch.testing.assert_close(found, grads, rtol=1e-5, atol=1e-6)


def test_tasks_without_truth_are_not_run(model):
    calls = count_calls(model)
    model(make_batch(SAMPLES, det=[], depth=[], seg=[]))
    assert ran(calls) == set(NODES_OF["scene"])


def test_a_batch_without_any_truth_runs_nothing(model):
    calls = count_calls(model)
    assert model({"img": PICTURES}) == ({}, {})
    assert ran(calls) == set()


def test_every_picture_is_evaluated_whatever_is_labelled(model):
    losses, preds = model.eval()(make_batch(SAMPLES, seg=[1], det=[]))
    assert {len(value) for value in preds.values()} == {len(SAMPLES)}
    assert {name.split("/")[0] for name in losses} == {"seg", "depth", "scene"}


def test_a_task_needs_all_its_keys(model):
    batch = make_batch(SAMPLES, det=[0, 1, 2])
    batch["labelled"]["gt_classes"] = torch.tensor([1, 2, 3])
    batch["gt_classes"] = [SAMPLES[row]["gt_classes"] for row in (1, 2, 3)]
    freeze_norms(model)
    found = model(batch, "det").losses
    assert_same(found, model(make_batch(SAMPLES[1:3]), "det").losses)
    assert model.num_labelled(batch)["det"] == 2


def test_labelled_pictures_are_counted(model):
    batch = make_batch(SAMPLES, det=[1, 2, 3], seg=[], scene=[0])
    assert model.num_labelled(batch) == dict(det=3, seg=0, depth=4, scene=1)
    assert model.num_labelled(batch | {"tasks": ("seg", "scene")}) == dict(seg=0, scene=1)


def test_inactive_tasks_are_not_counted(model):
    model.active_tasks = ("scene",)
    assert model.num_labelled(FULL) == dict(scene=4)


# --- trained in part


OPTIMIZERS = {
    "sgd": lambda params: torch.optim.SGD(params, lr=0.01, momentum=0.9, weight_decay=0.1),
    "adamw": lambda params: torch.optim.AdamW(params, lr=1e-3, weight_decay=0.1),
}


def tensors_of(model):
    return {name: value.clone() for name, value in model.state_dict().items()}


@pytest.mark.parametrize("by", ["active_tasks", "tasks of the batch", "labels"])
@pytest.mark.parametrize("kind", OPTIMIZERS)
def test_training_one_task_leaves_what_it_does_not_use_as_it_was(model, kind, by):
    optimizer = OPTIMIZERS[kind](model.parameters())

    def train(batch, num_steps):
        for _ in range(num_steps):
            optimizer.zero_grad()
            step(model, batch)
            optimizer.step()

    small = {key: value[:2] for key, value in FULL.items()}
    train(small, 3)  # momentum and averages of all tasks
    before = tensors_of(model)
    if by == "active_tasks":
        model.active_tasks = ("seg",)
    elif by == "tasks of the batch":
        small["tasks"] = ("seg",)
    else:
        small = {"img": small["img"], "gt_seg": small["gt_seg"]}
    train(small, 100)
    after = tensors_of(model)
    used = {*model.named_parameters_of("seg"), *model.named_buffers_of("seg")}
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed <= used  # the coarse level of the neck is not used by `seg`
    assert {name.split(".")[0] for name in changed} == set(NODES_OF["seg"])


# --- copies


def copied(model):
    return copy.deepcopy(model)


def pickled(model):
    return pickle.loads(pickle.dumps(model))


@pytest.mark.parametrize("form", ["function", "mapping", "aux"])
@pytest.mark.parametrize("how", [copied, pickled])
def test_a_copy_gives_the_same_and_is_independent(how, form):
    def local(nodes, img):  # cannot be pickled itself
        return topology(nodes, img)

    model = make_model(form).eval()
    if form == "function":
        model = GraphModel(make_nodes(), local, make_tasks()).eval()
    before = model(FULL)
    other = how(model)
    assert_same(other(FULL), before)
    for parameter in other.parameters():
        parameter.data.zero_()
    assert_same(model(FULL), before)
    assert not torch.equal(other(FULL).preds["scene/logits"], before.preds["scene/logits"])


def test_a_subgraph_is_copied_and_pickled(model):
    part = model.eval().subgraph(["seg"])
    for other in (copied(part), pickled(part)):
        assert_same(other(PICTURES), part(PICTURES))


@pytest.mark.slow
@pytest.mark.parametrize("tasks", [("seg",), ("det", "scene")], ids="+".join)
def test_a_subgraph_compiles_whole(model, tasks):
    torch.compiler.reset()
    part = model.eval().subgraph(tasks)
    with torch.no_grad():
        found = torch.compile(part, fullgraph=True, backend="eager")(PICTURES)
        torch.testing.assert_close(found, part(PICTURES))


@pytest.mark.slow
def test_a_compiled_subgraph_gives_the_same_gradients(model):
    torch.compiler.reset()
    freeze_norms(model)
    step(model, FULL, ["seg"])
    expected = {n: p.grad for n, p in model.named_parameters() if p.grad is not None}
    model.zero_grad()
    model.compile(fullgraph=True, backend="aot_eager")
    step(model, FULL, ["seg"])
    found = {n: p.grad for n, p in model.named_parameters() if p.grad is not None}
    torch.testing.assert_close(found, expected)


def test_a_compiled_model_compiles_each_part_once(model):
    torch.compiler.reset()
    graphs = []

    def backend(module, _):
        graphs.append(module)
        return module.forward

    model.eval().compile(backend=backend, fullgraph=True)
    with torch.no_grad():
        for _ in range(2):
            model(FULL, ["scene"])
            model(FULL, ["seg"])
    assert len(graphs) == 2


@pytest.mark.slow
@pytest.mark.parametrize("tasks", [("seg",), ("det", "scene")], ids="+".join)
def test_a_subgraph_is_exported(model, tasks):
    part = model.eval().subgraph(tasks)
    program = torch.export.export(part, (PICTURES,))
    with torch.no_grad():
        torch.testing.assert_close(program.module()(PICTURES), part(PICTURES))
    kept = {name.split(".")[0] for name in program.state_dict}
    assert kept == {name for task in tasks for name in NODES_OF[task]}


# --- with fewer tasks


@pytest.mark.parametrize("removed", ["det", ["seg", "scene"], ["det", "seg", "depth"]])
def test_removing_tasks_leaves_the_others_as_they_were(model, removed):
    model.eval()
    before = model(FULL)
    smaller = model.without(removed)
    gone = [removed] if isinstance(removed, str) else removed
    left = [task for task in TASKS if task not in gone]
    found = smaller(FULL)
    for kind in ("losses", "preds"):
        kept = {n: v for n, v in getattr(before, kind).items() if n.split("/")[0] in left}
        assert_same(getattr(found, kind), kept)
    assert smaller.task_names == tuple(left)
    assert set(smaller.node_names) == {name for task in left for name in NODES_OF[task]}
    assert all(getattr(smaller, name) is getattr(model, name) for name in smaller.node_names)


def test_a_smaller_model_keeps_weights_modes_and_what_is_trained():
    model = make_model(task_weights=dict(seg=0.5, det=3.0))
    model.active_tasks = ("seg", "det")
    model.backbone.eval()
    smaller = model.without(["det", "depth"])
    assert smaller.task_weights == dict(seg=0.5)
    assert smaller.active_tasks == ("seg",)
    assert smaller.training
    assert not smaller.backbone.training


def test_a_smaller_model_reads_only_what_it_needs():
    def two_inputs(nodes, img, other):
        return dict(a=nodes.a(img), b=nodes.b(other))

    nodes = dict(a=nn.Conv2d(3, 1, 1), b=nn.Conv2d(3, 1, 1))
    smaller = GraphModel(nodes, two_inputs).without("b").eval()
    assert set(smaller({"img": PICTURES}).preds) == {"a"}


def test_no_model_is_left_without_outputs(model):
    with pytest.raises(ValueError, match="no output would be left"):
        model.without(TASKS)


# --- mistakes


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (dict(tasks=dict(sceen=nn.Identity())), "no such output.*Did you mean 'scene'"),
        (dict(task_weights=dict(sgu=1.0)), "task_weights has 'sgu', but there is no such task"),
        (dict(outputs=dict(a="seg_head")), "returns its outputs: leave out outputs="),
        (dict(nodes={}), "needs nodes"),
        (dict(weights="a", migrate_from="b"), "weights=.* or migrate_from="),
        (dict(nodes=make_nodes() | dict(extra=nn.Identity())), "no output needs 'extra'"),
    ],
)
def test_a_mistake_is_named(arguments, message):
    usual = dict(nodes=make_nodes(), topology=topology, tasks=make_tasks())
    with pytest.raises(ValueError, match=message):
        GraphModel(**usual | arguments)


def test_a_mapping_without_outputs_is_refused():
    with pytest.raises(ValueError, match="a mapping needs outputs"):
        GraphModel(dict(a=nn.Identity()), dict(a="img"))


@pytest.mark.parametrize("name", ["forward", "tasks", "balance", "training", "graph", "a.b", "a b"])
def test_a_name_that_is_taken_is_refused(name):
    with pytest.raises(ValueError, match=f"node cannot be called '{name}'"):
        GraphModel({name: nn.Identity()}, {name: "img"}, outputs=dict(out=name))


@pytest.mark.parametrize("training", [True, False])
def test_a_missing_input_is_named(model, training):
    batch = {key: value for key, value in FULL.items() if key != "img"}
    with pytest.raises(ValueError, match=r"lacks \['img'\], which the graph reads"):
        model.train(training)(batch | {"labelled": {}, "img_id": [0] * 4}, "scene")


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("batch", [FULL, FULL | {"tasks": ("sceen",)}])
def test_an_output_that_is_not_there_is_named(model, training, batch):
    outputs = None if "tasks" in batch else ["sceen"]
    with pytest.raises(ValueError, match=r"'sceen'.*Did you mean 'scene'"):
        model.train(training)(batch, outputs)


def test_a_subgraph_of_nothing_is_refused(model):
    with pytest.raises(ValueError, match="ask for one of det, seg, depth, scene or more"):
        model.subgraph([])


# --- links


def linked(reads="backbone", **nodes):
    usual = dict(backbone=ConvNet([8, 16], depth=1), head=FcnHead(16, NUM_CLASSES))
    task = SegmentationTask(NUM_CLASSES)
    edges = dict(backbone="img", head=reads)
    return GraphModel(usual | nodes, edges, dict(seg=task), outputs=dict(seg="head"))


@pytest.mark.parametrize(
    ("nodes", "reads", "message"),
    [
        (
            dict(head=FcnHead(8, NUM_CLASSES)),
            "backbone",
            r"head.in_channels is 8, but 'backbone' \(ConvNet\) gives 16 channels: set in_chan.*16",
        ),
        (
            dict(head=LinearHead(8, NUM_CLASSES)),
            "backbone[-1]",
            r"head.in_channels is 8, but 'backbone\[-1\]' \(ConvNet\) gives 16 channels: set",
        ),
        (dict(), "backbone[-1]", r"takes a tuple of features.*let it read 'backbone', and choose"),
        (dict(), "backbone[2]", r"'backbone\[2\]' is read, but backbone gives 2 features"),
        (dict(head=FcnHead(16, 5)), "backbone", r"head.num_classes is 5, tasks.seg.num_classes 3"),
    ],
)
def test_nodes_that_do_not_fit_are_named(nodes, reads, message):
    with pytest.raises(ValueError, match=message):
        linked(reads, **nodes)


def test_a_neck_takes_the_last_features():
    nodes = make_nodes() | dict(backbone=ConvNet([8, 12, 20], depth=1))
    message = r"neck.in_channels is \[12, 16\], but 'backbone' \(ConvNet\) gives .* \[8, 12, 20\]"
    with pytest.raises(ValueError, match=message):
        GraphModel(nodes, topology, make_tasks())


@pytest.mark.parametrize(
    ("head", "reads"),
    [
        (FcnHead(8, NUM_CLASSES, in_index=0), "backbone"),
        (FcnHead(16, NUM_CLASSES), "backbone"),
        (LinearHead(8, NUM_CLASSES), "backbone[0]"),
        (nn.Conv2d(16, NUM_CLASSES, 1), "backbone[1]"),
        (nn.Identity(), "backbone"),
    ],
)
def test_nodes_that_fit_are_accepted(head, reads):
    linked(reads, head=head)


def test_features_that_are_put_together_are_compared():
    def picking(nodes, img):
        features = nodes.backbone(img)
        return dict(out=nodes.neck((features[0], features[2])))

    nodes = dict(backbone=ConvNet([8, 12, 16], depth=1), neck=make_nodes()["neck"])
    with pytest.raises(ValueError, match=r"neck.in_channels is \[12, 16\].*\[8, 16\] channels"):
        GraphModel(nodes, picking)


def test_the_sizes_and_keys_of_the_cases_are_those_of_the_tasks(model):
    assert PICTURES.shape[-2:] == SIZE
    assert {name: task.truth_keys for name, task in model.tasks.items()} == KEYS_OF
