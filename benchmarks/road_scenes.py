"""How many road scenes a core draws, and where the time goes.

    python benchmarks/road_scenes.py

All labels, and the picture alone, at two sizes: the median of rounds over the same scenes in
one thread. The stages are timed one by one on the same scenes.
"""

import gc
import os

os.environ["OMP_NUM_THREADS"] = "1"

import statistics
from collections.abc import Callable
from time import perf_counter
from typing import Any

import cv2
import numpy as np
import torch

from hat.data import RoadScenes
from hat.data.road_scenes.drawing import draw_faces
from hat.data.road_scenes.labels import find_objects, lane_lines
from hat.data.road_scenes.shading import paint

SIZES = (128, 256), (256, 512)
NUM_SCENES = 60
NUM_ROUNDS = 5


def milliseconds(call: Callable[[int], Any]) -> float:
    """The time of one call, by the median round over all scenes."""
    call(0)  # shapes and tiles of noise are made once
    rounds = []
    for _ in range(NUM_ROUNDS):
        start = perf_counter()
        for index in range(NUM_SCENES):
            call(index)
        rounds.append((perf_counter() - start) / NUM_SCENES * 1e3)
    return statistics.median(rounds)


def stages(scenes: RoadScenes) -> dict[str, Callable[[int], Any]]:
    """Each stage of drawing as a call with the index of a scene."""
    layouts = [scenes.layout(index) for index in range(NUM_SCENES)]
    drawings = [draw_faces(layout) for layout in layouts]
    depths = [drawing.depth() for drawing in drawings]
    return {
        "layout": scenes.layout,
        "faces": lambda n: draw_faces(layouts[n]),
        "depth": lambda n: drawings[n].depth(),
        "colours": lambda n: paint(layouts[n], drawings[n], depths[n]),
        "objects, boxes, masks": lambda n: (
            find_objects(layouts[n], drawings[n], min_pixels=16, min_visible=0.25).masks
        ),
        "classes of pixels": lambda n: np.take(drawings[n].faces.kinds, drawings[n].ids),
        "lane lines": lambda n: lane_lines(layouts[n], 32),
    }


def main() -> None:
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    gc.freeze()  # as a worker of a loader does
    for height, width in SIZES:
        scenes = RoadScenes(NUM_SCENES, (height, width))
        bare = RoadScenes(NUM_SCENES, (height, width), keys=())
        print(f"{width} x {height}")
        for name, call in (
            ("all labels", scenes.load),
            ("the picture and its scene alone", bare.load),
            ("annotation", scenes.annotation),
        ):
            time = milliseconds(call)
            print(f"  {name:32} {time:6.2f} ms {1e3 / time:6.0f} a second")
        for name, call in stages(scenes).items():
            print(f"    {name:30} {milliseconds(call):6.2f} ms")


if __name__ == "__main__":
    main()
