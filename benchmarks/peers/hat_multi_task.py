# ruff: noqa: F403, F405
"""What configs/multitask/road_scenes.py lacks of the programs beside it, as a config of HAT.

    hat train benchmarks/peers/hat_multi_task.py

Two loaders in one step, and a task that is frozen.
"""

# section: several loaders
from hat.callbacks import FreezeModule
from hat.data import MultiTaskDataLoader

from ...configs.multitask.road_scenes import *


def loader(labels: object, batch_size: int) -> dict:
    dataset = dict(train_loader["dataset"], sets=[labels])
    return dict(train_loader, dataset=dataset, batch_size=batch_size)


float_trainer["data_loader"] = dict(
    type=MultiTaskDataLoader,
    loaders=dict(boxes=loader(["gt_bboxes"], 2), all=loader("all", 3)),
    tasks=dict(boxes=["det"], all=tasks),
)

# section: freezing by task
float_trainer["callbacks"].append(dict(type=FreezeModule, tasks=["det"]))
