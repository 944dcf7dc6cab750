"""Functions and mappings become graphs; what cannot run is refused by name."""

import pickle
import re

import pytest
import torch

from hat.models.graph.topology import link, spelled, trace

NODES = ("backbone", "neck", "seg_head", "scene_head")
EDGES = {
    "seg_head": "neck",
    "scene_head": "backbone[-1]",
    "neck": ["backbone", "img"],
    "backbone": "img",
}
OUTPUTS = {"seg": "seg_head", "scene": "scene_head"}


def function(nodes, img):
    features = nodes.backbone(img)
    return dict(seg=nodes.seg_head(nodes.neck(features, img)), scene=nodes.scene_head(features[-1]))


def written(topology):
    return {name: spelled(topology.value_of(name)) for name in topology.outputs}


def sources(topology):
    """Of each node, what it is called with."""
    return {c.target: spelled(c.args) for c in topology.graph.find_nodes(op="call_module")}


@pytest.fixture(params=["function", "mapping"])
def topology(request):
    return trace(function, NODES) if request.param == "function" else link(EDGES, OUTPUTS, NODES)


def test_both_forms_give_the_same_graph(topology):
    assert topology.inputs == ("img",)
    assert topology.outputs == ("seg", "scene")
    assert sources(topology) == {
        "backbone": "(img)",
        "neck": "(backbone, img)",
        "seg_head": "(neck)",
        "scene_head": "(backbone[-1])",
    }


@pytest.mark.parametrize(
    ("outputs", "nodes"),
    [
        (["seg"], ("backbone", "neck", "seg_head")),
        (["scene"], ("backbone", "scene_head")),
        (["scene", "seg"], ("backbone", "neck", "scene_head", "seg_head")),
    ],
)
def test_an_output_needs_its_own_nodes(topology, outputs, nodes):
    assert sorted(topology.nodes_of(outputs)) == sorted(nodes)


def test_nodes_are_in_the_order_in_which_they_run(topology):
    names = topology.nodes_of(["seg"])
    assert names.index("backbone") < names.index("neck") < names.index("seg_head")


def test_a_cut_has_the_needed_calls_and_no_others(topology):
    calls = [str(n.target) for n in topology.cut(["scene"]).find_nodes(op="call_module")]
    assert calls == ["backbone", "scene_head"]


def test_a_cut_leaves_out_inputs_that_are_not_needed():
    def two_inputs(nodes, img, other):
        return dict(a=nodes.a(img), b=nodes.b(img, other))

    cut = trace(two_inputs, ["a", "b"]).cut(["a"])
    assert [n.target for n in cut.find_nodes(op="placeholder")] == ["img"]


def test_a_graph_is_pickled_without_its_function(topology):
    copy = pickle.loads(pickle.dumps(topology))
    assert sources(copy) == sources(topology)
    assert copy.nodes_of(["scene"]) == ("backbone", "scene_head")


def test_a_long_chain_is_pickled():
    names = [f"node{n}" for n in range(2000)]
    edges = dict(zip(names, ["img", *names], strict=False))
    topology = link(edges, {"end": names[-1]}, names)
    assert pickle.loads(pickle.dumps(topology)).nodes_of(["end"]) == tuple(names)


def test_what_a_function_combines_is_pickled():
    def combining(nodes, img):
        left, right = nodes.backbone(img)
        parts = nodes.head(torch.cat([left, right[1:]], dim=1) * 2, scale={"a": right.mean()})
        return dict(sum={"seg": parts, "aux": (left,)})

    topology = trace(combining, ["backbone", "head"])
    copy = pickle.loads(pickle.dumps(topology))
    assert str(copy.graph) == str(topology.graph)


def test_a_function_may_combine_what_nodes_return():
    def combining(nodes, img):
        left, right = nodes.backbone(img)
        return dict(sum=nodes.head(torch.cat([left, right], dim=1) * 2, scale=right.mean()))

    topology = trace(combining, ["backbone", "head"])
    assert written(topology) == {"sum": "head"}
    assert topology.nodes_of(["sum"]) == ("backbone", "head")


def test_an_output_may_hold_several_values():
    def with_aux(nodes, img):
        features = nodes.backbone(img)
        return dict(seg={"seg": nodes.head(features), "aux": (nodes.aux(features),)})

    topology = trace(with_aux, ["backbone", "head", "aux"])
    assert written(topology) == {"seg": "{seg: head, aux: (aux)}"}
    assert topology.nodes_of(["seg"]) == ("backbone", "head", "aux")


def test_nodes_can_be_named_by_their_keys():
    topology = trace(lambda nodes, img: dict(a=nodes["class"](img)), ["class"])
    assert topology.nodes_of(["a"]) == ("class",)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (lambda nodes, img: nodes.a(img)[1:], "a[1:]"),
        (lambda nodes, img: nodes.a(img)[:-1], "a[:-1]"),
        (lambda nodes, img: nodes.a(img)[::2], "a[::2]"),
        (lambda nodes, img: nodes.a(img)["seg"][0], "a['seg'][0]"),
        (lambda nodes, img: torch.cat([nodes.a(img), img], dim=1), "cat((a, img), dim=1)"),
        (lambda nodes, img: nodes.a(img).flatten(1), "flatten(a, 1)"),
    ],
)
def test_values_are_spelled_as_one_would_write_them(value, text):
    topology = trace(lambda nodes, img: dict(out=value(nodes, img)), ["a"])
    assert written(topology)["out"] == text


# --- mistakes of functions


def decides(nodes, img):
    features = nodes.backbone(img)
    return dict(out=features if features.sum() > 0 else img)


def loops(nodes, img):
    return dict(out=list(nodes.backbone(img)))


def counts(nodes, img):
    features = nodes.backbone(img)
    return dict(out=features[len(features) - 1])


@pytest.mark.parametrize("topology", [decides, loops, counts])
def test_a_function_that_cannot_be_traced_is_refused(topology):
    with pytest.raises(ValueError, match=r"cannot be traced.*put that into a node"):
        trace(topology, ["backbone"])


@pytest.mark.parametrize(
    ("topology", "message"),
    [
        (lambda nodes, img: dict(a=nodes.bakbone(img)), "calls 'bakbone'.*Did you mean 'backbone'"),
        (lambda nodes, img: nodes.backbone(img), "must return a dict of named outputs"),
        (lambda nodes, img: {}, "must return a dict of named outputs"),
        (lambda nodes, img: dict(a=nodes.backbone(img), b=3), "output 'b' .* from a node: 3"),
        (lambda nodes, img: dict(a=nodes.backbone(img), b=img), "output 'b' .* from a node"),
        (lambda nodes, img, rest: dict(a=nodes.backbone(img)), "no node reads the input 'rest'"),
        (
            lambda nodes, img: dict(a=nodes.backbone(img, torch.zeros(2, 3))),
            r"brings a tensor of shape \(2, 3\): make it a buffer of a node",
        ),
        (lambda nodes: dict(a=nodes.backbone()), "needs an input"),
        (lambda nodes, *imgs: dict(a=nodes.backbone(*imgs)), r"has a parameter '\*imgs'"),
    ],
)
def test_a_mistake_of_a_function_is_named(topology, message):
    with pytest.raises(ValueError, match=message):
        trace(topology, ["backbone"])


def test_nodes_that_a_function_does_not_use_are_named():
    with pytest.raises(ValueError, match="no output needs 'neck', 'head': link these nodes"):
        trace(lambda nodes, img: dict(a=nodes.backbone(img)), ["backbone", "neck", "head"])


def test_a_node_whose_result_no_output_holds_is_named():
    def forgetful(nodes, img):
        nodes.neck(img)
        return dict(a=nodes.backbone(img))

    with pytest.raises(ValueError, match="no output needs 'neck'"):
        trace(forgetful, ["backbone", "neck"])


# --- mistakes of mappings


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"nek": "img"}, "links 'nek', which is no node. Did you mean 'neck'?"),
        ({"neck": "bakbone"}, "'neck' reads 'bakbone'.*Did you mean 'backbone'?"),
        ({"neck": "picture"}, "'neck' reads 'picture', which is neither a node nor one of the"),
        ({"neck": []}, "node 'neck' reads nothing"),
        ({"neck": "backbone[a]"}, r"'neck' reads 'backbone\[a\]'; expected a name"),
        ({"neck": ["backbone", 3]}, "'neck' reads 3; expected a name"),
        ({"backbone": "neck"}, "cycle: .*(neck reads backbone|backbone reads neck)"),
        ({"neck": ["backbone", "neck"]}, "cycle: neck reads neck"),
    ],
)
def test_a_mistake_of_a_mapping_is_named(changes, message):
    with pytest.raises(ValueError, match=message):
        link(EDGES | changes, OUTPUTS, NODES)


@pytest.mark.parametrize(
    ("outputs", "message"),
    [
        ({"seg": "seg_hed", "scene": "scene_head"}, "'seg' is 'seg_hed'.*mean 'seg_head'"),
        ({"seg": "seg_head"}, "no output needs 'scene_head'"),
        (OUTPUTS | {"raw": "img"}, "output 'raw' .* does not come from a node"),
    ],
)
def test_a_mistake_of_the_outputs_is_named(outputs, message):
    with pytest.raises(ValueError, match=message):
        link(EDGES, outputs, NODES)


def test_a_node_that_is_not_linked_is_named():
    edges = {name: read for name, read in EDGES.items() if name != "neck"}
    with pytest.raises(ValueError, match="'neck' is read, but the topology does not say what it"):
        link(edges, OUTPUTS, NODES)


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        (["img", "lidar"], "no node reads the input 'lidar'"),
        (["img", "backbone"], "input 'backbone' is a node too"),
        (["img", "a b"], "input 'a b' cannot be an argument"),
    ],
)
def test_a_mistake_of_the_inputs_is_named(inputs, message):
    with pytest.raises(ValueError, match=message):
        link(EDGES, OUTPUTS, NODES, inputs)


@pytest.mark.parametrize("ask", ["nodes_of", "cut", "needed_by"])
def test_an_output_that_is_not_there_is_named(topology, ask):
    message = re.escape("no output 'sceen'; it has seg, scene. Did you mean 'scene'?")
    with pytest.raises(ValueError, match=message):
        getattr(topology, ask)(["seg", "sceen"])
