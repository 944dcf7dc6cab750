"""`hat graph`."""

import os
from pathlib import Path

import pytest
from running import DIGITS, run_hat

GRAPH = Path(__file__).with_name("graph_config.py")


def rows(done):
    assert done.code == 0, done.err
    return [line.split() for line in done.out.splitlines()]


def test_nodes_and_totals_are_printed():
    found = rows(run_hat("graph", GRAPH, "--size", "32,64"))
    # By hand: 32 x 64 places of 3 x 8 x 9, then 16 x 32 of 8 x 16 x 9, in thousands.
    macs = (32 * 64 * 216 + 16 * 32 * 1152) / 1e6
    backbone = next(row for row in found if row[0] == "backbone")
    assert backbone[:4] == ["backbone", "ConvNet", "img", "1x8x16x32"]
    assert backbone[6:] == [f"{macs:.3g}", "M", "seg,", "scene"]
    assert ["scene_head", "LinearHead", "backbone[-1]", "1x4", "68", "64", "scene"] in found
    assert [row[0] for row in found if row[0] in ("seg", "scene", "all")] == ["seg", "scene", "all"]


def test_the_picture_is_written():
    done = run_hat("graph", GRAPH)
    assert done.out.splitlines()[-1] == "picture: graph.svg"
    assert Path("graph.svg").read_text().startswith("<svg ")


def test_the_picture_goes_where_it_is_told():
    run_hat("graph", GRAPH, "--out", "pictures/a.svg")
    assert os.listdir("pictures") == ["a.svg"]


def test_overrides_are_applied():
    done = run_hat("graph", GRAPH, "model.nodes.backbone.channels=[4, 16]", "--size", "32,32")
    assert any("1x4x16x16" in row for row in rows(done))


def test_a_model_may_stand_elsewhere():
    assert any(
        "backbone[1]" in row for row in rows(run_hat("graph", GRAPH, "--model", "parts.teacher"))
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([GRAPH, "--size", "32"], "expected height and width, such as 256,512, got '32'"),
        ([GRAPH, "--size", "0,32"], "expected height and width, such as 256,512, got '0,32'"),
        ([GRAPH, "--out", "a.png"], "expected a name in .svg, got a.png"),
        ([GRAPH, "--model", "modell"], "the config has no 'modell'. Did you mean 'model'?"),
        ([GRAPH, "--model", "num_classes"], "expected a model, dict(type=...), got int 3"),
        ([GRAPH, "model.topology.seg_head=backbon"], "node 'seg_head' reads 'backbon'"),
        (
            [GRAPH, "num_classes=4", "model.tasks.seg.num_classes=5"],
            "seg_head.num_classes is 4, tasks.seg.num_classes 5",
        ),
        ([DIGITS], "expected a GraphModel, got a Classifier"),
        (["nothing.py"], "cannot read the config"),
    ],
)
def test_a_mistake_is_named(arguments, message):
    done = run_hat("graph", *arguments)
    assert done.code == 2
    assert message in done.err
    assert os.listdir() == []
