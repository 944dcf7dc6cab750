"""What nodes cost, and the picture of it."""

import copy
import re
import xml.etree.ElementTree as ET
from itertools import pairwise

import pytest
import torch
from graph_cases import NODES_OF, TASKS, make_model
from torch import nn

from hat.models import ConvNet, GraphModel, LinearHead, describe_graph, draw_graph
from hat.models.graph.cost import shape_lines, short_number
from hat.models.graph.layout import GAP, Box, lay_out

# By hand: 3x3 convolution 3 -> 8 without bias and its norm; 16x16 pooled to 8x8.
CONV_PARAMS = 3 * 8 * 9 + 2 * 8
HEAD_PARAMS = 8 * 4 + 4


@pytest.fixture
def tiny():
    nodes = dict(backbone=ConvNet([8], depth=1), head=LinearHead(8, 4))
    return GraphModel(
        nodes, dict(backbone="img", head="backbone[-1]"), outputs=dict(scene="head", raw="backbone")
    )


def test_costs_are_those_worked_out_by_hand(tiny):
    backbone, head = describe_graph(tiny, (16, 16)).nodes
    macs_of_a_place = 3 * 8 * 9
    (shape,) = backbone.shapes
    assert (backbone.name, backbone.kind, backbone.reads) == ("backbone", "ConvNet", ("img",))
    assert backbone.num_params == CONV_PARAMS
    assert backbone.num_macs == 16 * 16 * macs_of_a_place
    assert shape == (1, 8, 8, 8)
    assert (head.reads, head.shapes) == (("backbone[-1]",), ((1, 4),))
    assert (head.num_params, head.num_macs) == (HEAD_PARAMS, 8 * 4)
    assert (backbone.outputs, head.outputs) == (("scene", "raw"), ("scene",))


def test_totals_are_those_of_the_needed_nodes(tiny):
    cost = describe_graph(tiny, (16, 16))
    backbone, head = cost.nodes
    both = CONV_PARAMS + HEAD_PARAMS, backbone.num_macs + head.num_macs
    assert cost.totals == dict(scene=both, raw=(CONV_PARAMS, backbone.num_macs))
    assert (cost.num_params, cost.num_macs) == both


def test_multiply_adds_grow_with_the_batch_and_the_size():
    model = make_model()
    one, two = describe_graph(model, (32, 32)), describe_graph(model, (32, 32), 2)
    assert two.num_macs == 2 * one.num_macs
    assert describe_graph(model, (64, 32)).nodes[0].num_macs == 2 * one.nodes[0].num_macs
    assert two.nodes[0].shapes[0][0] == 2


def test_each_node_says_which_outputs_need_it():
    found = {node.name: node.outputs for node in describe_graph(make_model(), (32, 32)).nodes}
    assert found == {
        name: tuple(task for task in TASKS if name in NODES_OF[task]) for name in found
    }


def test_a_node_that_is_called_twice_has_the_cost_of_both_calls_and_one_set_of_parameters():
    def twice(nodes, img, other):
        return dict(a=nodes.conv(img), b=nodes.conv(other))

    model = GraphModel(dict(conv=nn.Conv2d(3, 2, 1)), twice)
    cost = describe_graph(model, (4, 5))
    (node,) = cost.nodes
    assert node.reads == ("img", "other")
    assert node.shapes == ((1, 2, 4, 5),) * 2
    assert (node.num_params, node.num_macs) == (8, 2 * 4 * 5 * 6)
    assert cost.totals == dict(a=(8, 120), b=(8, 120))


def test_a_parameter_of_two_nodes_counts_once_in_a_total():
    one, other = nn.Linear(5, 5, bias=False), nn.Linear(5, 5, bias=False)
    other.weight = one.weight
    model = GraphModel(
        dict(one=one, other=other), dict(one="img", other="one"), outputs=dict(a="other")
    )
    cost = describe_graph(model, (4, 5))
    assert [node.num_params for node in cost.nodes] == [25, 25]
    assert cost.totals["a"][0] == cost.num_params == 25


def test_inputs_that_are_no_pictures_are_given():
    model = GraphModel(
        dict(fc=nn.Linear(7, 2)), dict(fc="points"), outputs=dict(a="fc"), inputs=["points"]
    )
    cost = describe_graph(model, (4, 4), inputs=dict(points=torch.zeros(3, 7)))
    assert cost.nodes[0].shapes == ((3, 2),)


def test_the_model_is_left_as_it_was():
    model = make_model()
    model.neck.eval()
    modes = [module.training for module in model.modules()]
    before = copy.deepcopy(model.state_dict())
    random_state = torch.get_rng_state()
    describe_graph(model, (32, 32))
    assert [module.training for module in model.modules()] == modes
    torch.testing.assert_close(model.state_dict(), before, rtol=0, atol=0)
    assert torch.equal(torch.get_rng_state(), random_state)
    assert all(parameter.grad is None for parameter in model.parameters())


def test_modes_are_set_back_after_an_error(tiny):
    with pytest.raises(RuntimeError):
        describe_graph(tiny, (16, 16), inputs=dict(img=torch.zeros(1, 5, 16, 16)))
    assert tiny.backbone.training


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (dict(size=(0, 16)), r"positive sizes, got size=\(0, 16\)"),
        (dict(size=(16, 16), batch_size=0), "batch_size=0"),
        (dict(size=(16, 16), inputs=dict(pic=torch.zeros(1))), r"no input \['pic'\].*reads img"),
    ],
)
def test_a_mistake_is_named(tiny, arguments, message):
    with pytest.raises(ValueError, match=message):
        describe_graph(tiny, **arguments)


def test_another_model_is_refused():
    with pytest.raises(TypeError, match="expected a GraphModel, got Linear"):
        describe_graph(nn.Linear(2, 2), (4, 4))


def test_the_table_shows_nodes_and_totals(tiny, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "120")
    tiny.print((16, 16))
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["backbone", "ConvNet", "img", "1x8x8x8", "232", "55.3", "k", "scene,", "raw"] in rows
    assert ["head", "LinearHead", "backbone[-1]", "1x4", "36", "32", "scene"] in rows
    assert ["scene", "268", "55.3", "k"] in rows
    assert ["all", "together", "268", "55.3", "k"] in rows


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0, "0"),
        (999, "999"),
        (1000, "1 k"),
        (1234, "1.23 k"),
        (99_950, "100 k"),
        (999_499, "999 k"),
        (999_500, "1 M"),
        (25_557_032, "25.6 M"),
        (4_089_000_000, "4.09 G"),
    ],
)
def test_numbers_are_short(number, text):
    assert short_number(number) == text


def test_many_shapes_are_cut_short():
    assert shape_lines([(1, 2)] * 5) == ["1x2"] * 5
    assert shape_lines([(1, 2)] * 9) == ["1x2"] * 4 + ["5 more"]


# --- the picture


SVG = "{http://www.w3.org/2000/svg}"


def texts_in(path):
    return [element.text for element in ET.parse(path).iter(f"{SVG}text")]


def test_the_picture_has_every_node_with_its_shape_and_costs(tmp_path):
    model = make_model()
    draw_graph(model, tmp_path / "new" / "a.svg", (32, 48))
    texts = texts_in(tmp_path / "new" / "a.svg")
    for node in describe_graph(model, (32, 48)).nodes:
        place = texts.index(node.name)
        box = texts[place : place + 4 + len(shape_lines(node.shapes))]
        assert box == [
            node.name,
            node.kind,
            *shape_lines(node.shapes),
            f"{short_number(node.num_params)} parameters",
            f"{short_number(node.num_macs)} multiply-adds",
        ]
    assert {"img", "[-1]", *TASKS} <= set(texts)


def test_the_picture_needs_nothing_else(tmp_path):
    draw_graph(make_model(), tmp_path / "a.svg", (32, 32))
    text = (tmp_path / "a.svg").read_text()
    assert re.findall(r"href|url\(|<script|<style|<image", text) == []
    assert re.findall(r"http[^\"]*", text) == ["http://www.w3.org/2000/svg"]


def test_each_output_has_a_colour_of_its_own(tmp_path):
    draw_graph(make_model(), tmp_path / "a.svg", (32, 32))
    colours = {}
    for group in ET.parse(tmp_path / "a.svg").iter(f"{SVG}g"):
        name = next(group.iter(f"{SVG}text")).text
        fills = [rect.get("fill") for rect in group.iter(f"{SVG}rect")]
        colours[name] = fills[1:-1]  # between the box and its border
    assert len({tuple(colours[task]) for task in TASKS}) == 4
    assert colours["backbone"] == [colours[task][0] for task in TASKS]
    assert colours["seg_head"] == colours["seg"]


def test_operations_and_second_calls_are_drawn(tmp_path):
    def topology(nodes, img, other):
        both = torch.cat([nodes.conv(img), nodes.conv(other)], dim=1)
        return {"a & b": nodes.head(both)}

    model = GraphModel(dict(conv=nn.Conv2d(3, 2, 1), head=nn.Conv2d(4, 1, 1)), topology)
    draw_graph(model, tmp_path / "a.svg", (8, 8))
    assert {"cat", "conv", "conv again", "img", "other", "a & b"} <= set(
        texts_in(tmp_path / "a.svg")
    )


def test_a_picture_that_cannot_be_drawn_leaves_the_old_one(tmp_path):
    path = tmp_path / "a.svg"
    path.write_text("old")
    with pytest.raises(ValueError, match="positive sizes"):
        draw_graph(make_model(), path, (0, 0))
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_another_kind_of_file_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"name in \.svg, got .*a\.png"):
        draw_graph(make_model(), tmp_path / "a.png", (8, 8))


# --- the layout


def edges_of(*texts):
    return [tuple(text.split("-")) for text in texts]


def laid_out(names, *edges, last=()):
    boxes = {name: Box(40, 30 + 20 * (ord(name) % 3)) for name in names}
    return lay_out(boxes, edges_of(*edges), last)


def test_a_box_stands_right_of_what_it_comes_from():
    layout = laid_out("abcdef", "a-b", "b-c", "a-c", "c-d", "a-e", "e-f", last="df")
    for (source, target), points in layout.lines.items():
        one, other = layout.boxes[source], layout.boxes[target]
        assert one.left + one.width < other.left
        assert points[0] == (one.left + one.width, one.middle)
        assert points[-1] == (other.left, other.middle)


def test_boxes_do_not_overlap():
    layout = laid_out("abcdefgh", *(f"a-{x}" for x in "bcdefg"), *(f"{x}-h" for x in "bcdefg"))
    columns = {}
    for box in layout.boxes.values():
        columns.setdefault(box.column, []).append(box)
    assert len(columns[1]) == 6
    for column in columns.values():
        column.sort(key=lambda box: box.middle)
        for one, other in pairwise(column):
            distance = other.middle - one.middle
            assert distance >= (one.height + other.height) / 2 + GAP - 1e-6


def test_a_line_does_not_go_through_a_box_that_it_passes():
    layout = laid_out("abcd", "a-b", "b-c", "c-d", "a-d")
    assert len(layout.lines["a", "d"]) == 6  # two ends, and both sides of two columns
    for x, y in layout.lines["a", "d"][1:-1]:
        for name in "bc":
            box = layout.boxes[name]
            if box.left <= x <= box.left + box.width:
                assert abs(y - box.middle) > box.height / 2


def test_two_chains_do_not_cross():
    layout = laid_out("abcdef", "a-d", "b-c", "c-e", "d-f")
    above = layout.boxes["a"].middle < layout.boxes["b"].middle
    assert (layout.boxes["d"].middle < layout.boxes["c"].middle) is above
    assert (layout.boxes["f"].middle < layout.boxes["e"].middle) is above


def test_a_layout_starts_at_zero():
    layout = laid_out("abc", "a-b", "a-c")
    assert min(box.left for box in layout.boxes.values()) == 0
    assert min(box.middle - box.height / 2 for box in layout.boxes.values()) == 0
    assert layout.height == max(box.middle + box.height / 2 for box in layout.boxes.values())
