"""What four tasks on one backbone cost, against four models of one task each.

    python benchmarks/multi_task.py

The models of configs/multitask/road_scenes.py: that of all tasks, and one for each task with the
same backbone and, where the task needs it, the same neck. All train on the same pictures, each
with what these are labelled for; one thread, forward, backward and a step of AdamW. They take
turns, step by step; the ratio is the median over rounds.
"""

from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

import torch
from torch import Tensor, nn

from hat.config import Builder, load
from hat.data import DataLoader, PartialCollate, PartialLabels, RoadScenes
from hat.data.transforms import Normalize

CONFIG = Path(__file__).parents[1] / "configs" / "multitask" / "road_scenes.py"
TASKS = ("det", "seg", "depth", "scene")
BATCH_SIZE = 8
NUM_ROUNDS = 20


def batches() -> list[dict[str, Any]]:
    keys = ["gt_bboxes", "gt_seg", "gt_depth"]
    scenes = RoadScenes(length=4 * BATCH_SIZE, keys=keys)
    partly = PartialLabels(scenes, sets=[["gt_bboxes"], ["gt_seg", "gt_depth"], "all"])
    normalize = Normalize(mean=0.3, std=0.19)
    loader = DataLoader(partly, batch_size=BATCH_SIZE, collate=PartialCollate())
    found = []
    for batch in loader:
        img = normalize(batch["img"].as_subclass(Tensor))
        found.append(dict(batch, img=img.contiguous(memory_format=torch.channels_last)))
    return found


def model_of(tasks: tuple[str, ...]) -> nn.Module:
    overrides = [f"tasks={list(tasks)}".replace("'", '"')]
    model: nn.Module = Builder(load(CONFIG, overrides)).build("model")
    return model.to(memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]


def step_of(model: nn.Module) -> Any:
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4)

    def step(batch: dict[str, Any]) -> float:
        begin = perf_counter()
        optimizer.zero_grad()
        losses = model(batch).losses
        if losses:
            sum(losses.values()).backward()
            optimizer.step()
        return perf_counter() - begin

    return step


def main() -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    data = batches()
    models = {"all": model_of(TASKS)} | {task: model_of((task,)) for task in TASKS}
    steps = {name: step_of(model.train()) for name, model in models.items()}
    times: dict[str, list[float]] = {name: [] for name in models}
    for number in range(NUM_ROUNDS + 2):
        for name, step in steps.items():
            seconds = step(data[number % len(data)])
            if number >= 2:
                times[name].append(seconds)
    sizes = {name: sum(p.numel() for p in model.parameters()) for name, model in models.items()}
    for name in models:
        print(f"{name:6s} {1e3 * median(times[name]):8.1f} ms a step  {sizes[name] / 1e3:8.0f} k")
    ratios = [times["all"][n] / sum(times[task][n] for task in TASKS) for n in range(NUM_ROUNDS)]
    size_ratio = sizes["all"] / sum(sizes[task] for task in TASKS)
    print(
        f"all tasks at once, of the sum of four: time {median(ratios):.2f}, size {size_ratio:.2f}"
    )


if __name__ == "__main__":
    main()
