"""The four tasks of configs/multitask/road_scenes.py, trained by MMEngine.

    pip install mmengine     # this program needs it, HAT does not
    python benchmarks/peers/mmengine_multi_task.py --steps 4 --scenes 24 --size 64 128

To compare what a user writes: the layers, the losses of each task, the pictures and the metrics
are HAT's; how they are put together, trained, validated and resumed is MMEngine's, or written
here where MMEngine has no part for it. Pictures and curves are not drawn. The comments
`section:` tell benchmarks/peers/count_lines.py what the lines below them do.
"""

# section: settings
import argparse
import math
from collections.abc import Iterator
from typing import Any

import torch
import torch.distributed as dist
from mmengine.dataset import InfiniteSampler
from mmengine.evaluator import BaseMetric
from mmengine.hooks import Hook
from mmengine.model import BaseDataPreprocessor, BaseModel
from mmengine.runner import Runner, set_random_seed
from torch import Tensor, nn
from torch.utils.data import DataLoader
from torchvision.transforms.v2 import RandomHorizontalFlip

from hat.data import CachedDataset, PartialLabels, RoadScenes
from hat.metrics import Accuracy, CocoAP, DepthErrors, MeanIoU
from hat.models import (
    FPN,
    ClassificationTask,
    CrossEntropyLoss,
    DepthHead,
    DepthTask,
    FcnHead,
    LinearHead,
    SegmentationTask,
    TimmBackbone,
    YoloxHead,
    YoloxTask,
)

TASKS = ("det", "seg", "depth", "scene")
TASK_WEIGHTS = dict(det=0.5, seg=1.0, depth=1.0, scene=0.2)
MAIN_SCORES = {"det/AP": 1.0, "seg/mIoU": 1.0, "depth/abs_rel": -1.0, "scene/acc": 1.0}
CHANNELS = 32
FREQUENCY = [
    0.2045, 0.2888, 0.0094, 0.0451, 0.1155, 0.1205, 0.0814, 0.0040,
    0.0733, 0.0517, 0.0017, 0.0004, 0.0025, 0.0011,
]  # fmt: skip
CLASS_WEIGHT = [1 / math.log(1.1 + share) for share in FREQUENCY]


# section: nodes
def make_backbone() -> nn.Module:
    options = dict(layers=[1, 1, 1, 1], channels=[32, 48, 96, 192], stem_type="deep", stem_width=8)
    return TimmBackbone(name="resnet18", out_indices=[0, 1, 2, 3, 4], options=options)


def make_neck() -> nn.Module:
    return FPN(in_channels=[16, 32, 48, 96, 192], out_channels=CHANNELS, batch_norm=True)


def make_heads() -> dict[str, nn.Module]:
    return dict(
        det=YoloxHead([CHANNELS] * 4, num_classes=6, channels=32, num_convs=1),
        seg=FcnHead(CHANNELS, num_classes=14, num_convs=0, in_index=0),
        depth=DepthHead(CHANNELS, in_index=1),
        scene=LinearHead(192, num_classes=4),
    )


def make_tasks() -> dict[str, nn.Module]:
    return dict(
        det=YoloxTask(num_classes=6, strides=[4, 8, 16, 32]),
        seg=SegmentationTask(14, losses={"ce": CrossEntropyLoss(class_weight=CLASS_WEIGHT)}),
        depth=DepthTask(),
        scene=ClassificationTask(4),
    )


# section: partial collate
RAGGED = ("gt_bboxes", "gt_classes", "gt_ignore_bboxes")


def partial_collate(samples: list[dict[str, Any]]) -> dict[str, Any]:
    batch: dict[str, Any] = {"img": torch.stack([sample["img"] for sample in samples])}
    batch["rows"] = {}
    for key in (*RAGGED, "gt_seg", "gt_depth", "label"):
        rows = [row for row, sample in enumerate(samples) if key in sample]
        if not rows:
            continue
        values = [torch.as_tensor(samples[row][key]) for row in rows]
        batch[key] = values if key in RAGGED else torch.stack(values).as_subclass(Tensor)
        batch["rows"][key] = torch.tensor(rows)
    if "gt_seg" in batch:
        batch["gt_seg"] = batch["gt_seg"].long()
    return batch


# section: partial losses
TRUTH = dict(det="gt_bboxes", seg="gt_seg", depth="gt_depth", scene="label")


def take_rows(raw: Any, rows: Tensor) -> Any:
    if isinstance(raw, dict):
        return {key: take_rows(value, rows) for key, value in raw.items()}
    if isinstance(raw, (list, tuple)):
        return [take_rows(value, rows) for value in raw]
    return raw[rows]


def num_labelled(batch: dict[str, Any], task: str) -> int:
    return len(batch["rows"].get(TRUTH[task], ()))


def step_shares(batches: list[dict[str, Any]], tasks: tuple[str, ...]) -> list[Tensor]:
    """What the loss of each task counts in each batch of a step, over all processes."""
    own = torch.tensor([[num_labelled(batch, task) for task in tasks] for batch in batches])
    total, num_processes = own.sum(0), 1
    if dist.is_available() and dist.is_initialized():
        num_processes = dist.get_world_size()  # DDP takes the mean of gradients, not the sum
        total = total.to(batches[0]["img"].device)
        dist.all_reduce(total)
        total = total.cpu()
    return list(own * num_processes / total.clamp(min=1))


# section: module
class Preprocessor(BaseDataPreprocessor):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", 255 * torch.tensor([0.32, 0.31, 0.31]).view(3, 1, 1))
        self.register_buffer("std", 255 * torch.tensor([0.19, 0.18, 0.21]).view(3, 1, 1))

    def forward(self, data: Any, training: bool = False) -> dict[str, Any]:
        batches = []
        for batch in data if isinstance(data, list) else [data]:
            moved = self.cast_data(batch)
            img = (moved["img"].as_subclass(Tensor).float() - self.mean) / self.std
            batches.append(moved | {"img": img.contiguous(memory_format=torch.channels_last)})
        return {"batches": batches}


class RoadModel(BaseModel):
    def __init__(self, tasks: tuple[str, ...]) -> None:
        super().__init__(data_preprocessor=Preprocessor())
        self.backbone = make_backbone()
        self.neck = make_neck() if set(tasks) != {"scene"} else None
        heads, modules = make_heads(), make_tasks()
        self.heads = nn.ModuleDict({name: heads[name] for name in tasks})
        self.tasks = nn.ModuleDict({name: modules[name] for name in tasks})
        self.active = tasks
        self.to(memory_format=torch.channels_last)

    # section: topology and running in part
    def raw(self, img: Tensor, tasks: tuple[str, ...]) -> dict[str, Any]:
        features = self.backbone(img)
        inputs = {"scene": features[-1]}
        if self.neck is not None and set(tasks) - {"scene"}:
            pyramid = self.neck(features)
            inputs |= dict(det=pyramid[1:], seg=pyramid, depth=pyramid)
        return {name: self.heads[name](inputs[name]) for name in tasks}

    # section: module
    def forward(self, batches: list[dict[str, Any]], mode: str = "tensor") -> Any:
        if mode == "loss":
            return self.losses(batches)
        (batch,) = batches
        raw = self.raw(batch["img"], tuple(self.tasks))
        if mode == "tensor":
            return raw
        return [{name: task.predictions(raw[name], batch) for name, task in self.tasks.items()}]

    # section: partial losses
    def losses(self, batches: list[dict[str, Any]]) -> dict[str, Tensor]:
        losses: dict[str, Tensor] = {}
        for batch, shares in zip(batches, step_shares(batches, self.active), strict=True):
            wanted = tuple(task for task in self.active if num_labelled(batch, task))
            if not wanted:
                continue
            raw = self.raw(batch["img"], wanted)
            for task in wanted:
                part = take_rows(raw[task], batch["rows"][TRUTH[task]])
                share = shares[self.active.index(task)].item() * TASK_WEIGHTS[task]
                for name, loss in self.tasks[task].losses(part, batch).items():
                    key = f"loss/{task}/{name}"
                    losses[key] = losses.get(key, 0) + share * loss
        return losses


# section: metrics by task
class TaskMetrics(BaseMetric):
    """The metrics of all tasks, and a weighted sum of scores for the best checkpoint."""

    def __init__(self, tasks: tuple[str, ...]) -> None:
        super().__init__(prefix="all")
        metrics = dict(
            det=CocoAP(classes=RoadScenes.classes),
            seg=MeanIoU(14, classes=RoadScenes.seg_classes),
            depth=DepthErrors(),
            scene=Accuracy(),
        )
        self.metrics: dict[str, Any] = {task: metrics[task] for task in tasks}

    def process(self, data_batch: Any, data_samples: Any) -> None:
        for task, metric in self.metrics.items():
            metric.update(data_batch, data_samples[0][task])

    def compute_metrics(self, results: list[Any]) -> dict[str, float]:
        scores = {}
        for task, metric in self.metrics.items():
            found = metric.compute()
            found = found if isinstance(found, dict) else {metric.name: found}
            scores |= {f"{task}/{name}": float(value) for name, value in found.items()}
            metric.reset()
        parts = [weight * scores[name] for name, weight in MAIN_SCORES.items() if name in scores]
        return scores | {"sum": sum(0.0 if math.isnan(part) else part for part in parts)}

    def evaluate(self, size: int) -> dict[str, float]:
        return self.compute_metrics([])  # these metrics sum over processes themselves


# section: freezing by task
class FreezeTasks(Hook):
    def __init__(self, tasks: list[str]) -> None:
        self.frozen = tasks

    def before_train_iter(self, runner: Runner, *args: Any, **kwargs: Any) -> None:
        for task in self.frozen:  # the loop sets the whole model to training in each step
            getattr(runner.model, "module", runner.model).heads[task].eval().requires_grad_(False)


# section: data
def scenes(length: int, split: str, size: tuple[int, int], transform: Any = None) -> Any:
    keys = ["gt_bboxes", "gt_seg", "gt_depth"]
    drawn = RoadScenes(length, size, split=split, keys=keys)
    return CachedDataset(drawn, transform=transform)


def make_loader(dataset: Any, batch_size: int, seed: int) -> DataLoader:
    return DataLoader(
        dataset,
        batch_size=batch_size,
        sampler=InfiniteSampler(dataset, shuffle=True, seed=seed),
        collate_fn=partial_collate,
    )


# section: several loaders
class StepLoader:
    """A list of batches for each step, one of each loader, without end."""

    def __init__(self, loaders: list[DataLoader]) -> None:
        self.loaders = loaders
        self.dataset = loaders[0].dataset  # the runner looks there for names of classes

    def __len__(self) -> int:
        return max(map(len, self.loaders))

    def __iter__(self) -> Iterator[list[dict[str, Any]]]:
        for batches in zip(*self.loaders, strict=True):
            yield list(batches)


# section: data
def train_loader(args: argparse.Namespace) -> Any:
    full = scenes(args.scenes, "train", tuple(args.size), [RandomHorizontalFlip()])
    sets = [["gt_bboxes"], ["gt_seg", "gt_depth"], "all"]
    # section: several loaders
    if args.several:
        boxes = make_loader(PartialLabels(full, [["gt_bboxes"]]), 2, seed=0)
        return StepLoader([boxes, make_loader(PartialLabels(full, ["all"]), 3, seed=1)])
    # section: data
    return make_loader(PartialLabels(full, sets), args.batch_size, seed=0)


def val_loader(args: argparse.Namespace) -> Any:
    return DataLoader(
        scenes(args.val_scenes, "val", tuple(args.size)),
        batch_size=args.batch_size,
        collate_fn=partial_collate,
    )


# section: run
def parse(words: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("--scenes", type=int, default=3000)
    parser.add_argument("--val-scenes", type=int, default=200)
    parser.add_argument("--size", type=int, nargs=2, default=[128, 256])
    parser.add_argument("--batch-size", type=int, default=4)
    parser.add_argument("--steps", type=int, default=3000)
    parser.add_argument("--tasks", nargs="+", default=TASKS)
    parser.add_argument("--freeze", nargs="*", default=[])
    parser.add_argument("--several", action="store_true")
    parser.add_argument("--launcher", default="none")
    parser.add_argument("--run-dir", default="runs/mmengine")
    parser.add_argument("--resume", action="store_true")
    return parser.parse_args(words)


# section: optimizer and schedule
def optimizer_and_schedule(num_steps: int, lr: float) -> tuple[dict[str, Any], dict[str, Any]]:
    optim_wrapper = dict(
        optimizer=dict(type="AdamW", lr=lr, weight_decay=0.02),
        paramwise_cfg=dict(norm_decay_mult=0.0, bias_decay_mult=0.0),
    )
    schedule = dict(
        type="OneCycleLR", eta_max=lr, total_steps=num_steps, pct_start=0.1, by_epoch=False
    )
    return optim_wrapper, schedule


# section: run
def make_runner(args: argparse.Namespace, *hooks: Any, **options: Any) -> Runner:
    set_random_seed(0)  # the model is built here, before the runner seeds
    optim_wrapper, schedule = optimizer_and_schedule(args.steps, lr=3e-3)
    checkpoint = dict(
        type="CheckpointHook", by_epoch=False, interval=1, save_best="sum", rule="greater"
    )
    ema = dict(type="EMAHook", ema_type="ExponentialMovingAverage", momentum=0.005)
    defaults = dict(
        model=RoadModel(tuple(args.tasks)),
        work_dir=args.run_dir,
        train_dataloader=train_loader(args),
        train_cfg=dict(by_epoch=False, max_iters=args.steps, val_interval=args.steps),
        val_dataloader=val_loader(args),
        val_evaluator=[TaskMetrics(tuple(args.tasks))],
        val_cfg=dict(),
        optim_wrapper=optim_wrapper,
        param_scheduler=schedule,
        default_hooks=dict(checkpoint=checkpoint, logger=dict(type="LoggerHook", interval=1)),
        custom_hooks=[ema, *([FreezeTasks(args.freeze)] if args.freeze else []), *hooks],
        cfg=dict(find_unused_parameters=True),  # a task may be labelled on one process alone
        randomness=dict(seed=0),
        log_processor=dict(by_epoch=False),
        resume=args.resume,
        launcher=args.launcher,
    )
    return Runner(**(defaults | options))


def main() -> None:
    make_runner(parse()).train()


if __name__ == "__main__":
    main()
