"""What a sub-graph of `GraphModel` costs beside the module that one would write by hand.

    python benchmarks/graph.py            # one thread, interleaved, medians

- forward: the sub-graph of some tasks against a module with the same nodes and the same order, for
  a network of the size of configs/multitask/road_scenes.py, and for one of nothing but calls, where
  what the graph adds would show most. HAT and hand-written run in turn, several times; the figure
  is the median of their ratios, between pairs that are measured one behind the other.
- building: making a sub-graph of a model of 200 nodes for the first time, in CPU time of this one
  thread, so that other work on the machine does not count; and asking for it again.
"""

import argparse
import statistics
from collections.abc import Callable, Sequence
from time import perf_counter, process_time
from typing import Any

import torch
from torch import Tensor, nn

from hat.models import FPN, ConvNet, DepthHead, FcnHead, GraphModel, LinearHead, YoloxHead

CHANNELS = (16, 32, 48, 96)


class ByHand(nn.Module):
    """Detection, segmentation and depth as one would write them."""

    def __init__(self, nodes: dict[str, nn.Module]) -> None:
        super().__init__()
        self.backbone = nodes["backbone"]
        self.neck = nodes["neck"]
        self.det_head = nodes["det_head"]
        self.seg_head = nodes["seg_head"]
        self.depth_head = nodes["depth_head"]

    def forward(self, img: Tensor) -> dict[str, Any]:
        levels = self.neck(self.backbone(img))
        return {
            "det": self.det_head(levels),
            "seg": self.seg_head(levels),
            "depth": self.depth_head(levels),
        }


class OneByHand(nn.Module):
    """Segmentation alone."""

    def __init__(self, nodes: dict[str, nn.Module]) -> None:
        super().__init__()
        self.backbone = nodes["backbone"]
        self.neck = nodes["neck"]
        self.seg_head = nodes["seg_head"]

    def forward(self, img: Tensor) -> dict[str, Any]:
        return {"seg": self.seg_head(self.neck(self.backbone(img)))}


class CallsByHand(nn.Module):
    """A chain of three calls that do next to nothing."""

    def __init__(self, nodes: dict[str, nn.Module]) -> None:
        super().__init__()
        self.a = nodes["a"]
        self.b = nodes["b"]
        self.c = nodes["c"]

    def forward(self, img: Tensor) -> dict[str, Tensor]:
        return {"out": self.c(self.b(self.a(img)))}


def topology(nodes: Any, img: Any) -> dict[str, Any]:
    features = nodes.backbone(img)
    levels = nodes.neck(features)
    return dict(
        det=nodes.det_head(levels),
        seg=nodes.seg_head(levels),
        depth=nodes.depth_head(levels),
        scene=nodes.scene_head(features[-1]),
    )


def road_nodes() -> dict[str, nn.Module]:
    return dict(
        backbone=ConvNet(list(CHANNELS), depth=1),
        neck=FPN(list(CHANNELS), 32, batch_norm=True),
        det_head=YoloxHead([32] * 4, 6, channels=32, num_convs=1),
        seg_head=FcnHead(32, 14, in_index=0),
        depth_head=DepthHead(32),
        scene_head=LinearHead(CHANNELS[-1], 4),
    )


def timed(run: Callable[[], object], repeats: int) -> float:
    start = perf_counter()
    for _ in range(repeats):
        run()
    return (perf_counter() - start) / repeats


def compare(
    name: str,
    hat: Callable[[], object],
    hand: Callable[[], object],
    num_rounds: int,
    repeats: int,
) -> None:
    timed(hat, repeats), timed(hand, repeats)  # warm up
    hat_s, hand_s = [], []
    for number in range(num_rounds):
        pair = [(hat_s, hat), (hand_s, hand)]
        for seconds, run in pair if number % 2 else reversed(pair):
            seconds.append(timed(run, repeats))
    ratio = statistics.median(one / other for one, other in zip(hat_s, hand_s, strict=True))
    over = statistics.median(one - other for one, other in zip(hat_s, hand_s, strict=True))
    print(
        f"{name:34} by hand {statistics.median(hand_s) * 1e6:9.1f} us   "
        f"GraphModel {statistics.median(hat_s) * 1e6:9.1f} us   "
        f"ratio {ratio:.4f} ({over * 1e6:+.2f} us)"
    )


def forward(num_rounds: int, size: Sequence[int], batch_size: int) -> None:
    torch.manual_seed(0)
    nodes = road_nodes()
    model = GraphModel(nodes, topology).eval()
    img = torch.randn(batch_size, 3, *size)
    cases: list[tuple[tuple[str, ...], nn.Module]] = [
        (("det", "seg", "depth"), ByHand(nodes)),
        (("seg",), OneByHand(nodes)),
    ]
    with torch.inference_mode():
        for tasks, hand in cases:
            part = model.subgraph(tasks)
            torch.testing.assert_close(part(img), hand.eval()(img), rtol=0, atol=0)
            name = f"{'+'.join(tasks)}, {batch_size}x3x{size[0]}x{size[1]}"
            compare(name, lambda part=part: part(img), lambda hand=hand: hand(img), num_rounds, 3)
        calls: dict[str, nn.Module] = {name: nn.Identity() for name in "abc"}
        chain = GraphModel(calls, dict(a="img", b="a", c="b"), outputs=dict(out="c"))
        part, hand = chain.subgraph("out"), CallsByHand(calls)
        compare("three empty nodes", lambda: part(img), lambda: hand(img), num_rounds, 2000)


def building(num_rounds: int, num_nodes: int) -> None:
    """A trunk of half of the nodes, and heads of five nodes each."""
    names = [f"node{number}" for number in range(num_nodes)]
    half = num_nodes // 2
    edges: dict[str, str] = dict(zip(names[:half], ["img", *names], strict=False))
    outputs = {}
    for start in range(half, num_nodes, 5):
        head = names[start : start + 5]
        edges |= dict(zip(head, [names[half - 1], *head], strict=False))
        outputs[f"out{start}"] = head[-1]
    nodes = {name: nn.Sequential(nn.Conv2d(1, 1, 1), nn.BatchNorm2d(1)) for name in names}
    made = []
    for _ in range(num_rounds):
        start_s = process_time()
        model = GraphModel(nodes, edges, outputs=outputs)
        made.append(process_time() - start_s)
    print(f"\n{num_nodes} nodes: linking the whole model {statistics.median(made) * 1e3:.1f} ms")
    for what, asked in (("all outputs", tuple(outputs)), ("one output", tuple(outputs)[:1])):
        first = []
        for _ in range(num_rounds):
            model = GraphModel(nodes, edges, outputs=outputs)
            start_s = process_time()
            model.subgraph(asked)
            first.append(process_time() - start_s)
        start_s = process_time()
        timed(lambda model=model, asked=asked: model.subgraph(asked), 2000)
        again = (process_time() - start_s) / 2000
        print(
            f"  {what:12} built {statistics.median(first) * 1e3:6.1f} ms "
            f"(best {min(first) * 1e3:.1f}, worst {max(first) * 1e3:.1f})   "
            f"again {again * 1e6:.2f} us"
        )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=31)
    parser.add_argument("--size", type=int, nargs=2, default=[128, 256])
    parser.add_argument("--batch-size", type=int, default=1)
    parser.add_argument("--nodes", type=int, default=200)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    forward(arguments.rounds, arguments.size, arguments.batch_size)
    building(arguments.rounds, arguments.nodes)


if __name__ == "__main__":
    main()
