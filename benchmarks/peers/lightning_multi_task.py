"""The four tasks of configs/multitask/road_scenes.py, trained by Lightning.

    pip install lightning torchdata     # this program needs them, HAT does not
    python benchmarks/peers/lightning_multi_task.py --epochs 1 --scenes 24 --size 64 128

To compare what a user writes: the layers, the losses of each task, the pictures and the metrics
are HAT's; how they are put together, trained, validated and resumed is Lightning's, or written
here where Lightning has no part for it. Pictures and curves are not drawn. The comments
`section:` tell benchmarks/peers/count_lines.py what the lines below them do.
"""

# section: settings
import argparse
import math
from typing import Any

import lightning as L
import torch
import torch.distributed as dist
from lightning.pytorch.callbacks import BaseFinetuning, EMAWeightAveraging, ModelCheckpoint
from lightning.pytorch.loggers import CSVLogger
from lightning.pytorch.utilities import CombinedLoader
from torch import Tensor, nn
from torchdata.stateful_dataloader import StatefulDataLoader
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


# section: topology and running in part
class RoadNet(nn.Module):
    def __init__(self, tasks: tuple[str, ...]) -> None:
        super().__init__()
        self.backbone = make_backbone()
        self.neck = make_neck() if set(tasks) != {"scene"} else None
        heads = make_heads()
        self.heads = nn.ModuleDict({name: heads[name] for name in tasks})

    def forward(self, img: Tensor, tasks: tuple[str, ...]) -> dict[str, Any]:
        features = self.backbone(img)
        inputs = {"scene": features[-1]}
        if self.neck is not None and set(tasks) - {"scene"}:
            pyramid = self.neck(features)
            inputs |= dict(det=pyramid[1:], seg=pyramid, depth=pyramid)
        return {name: self.heads[name](inputs[name]) for name in tasks}


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
class RoadModule(L.LightningModule):
    def __init__(self, tasks: tuple[str, ...], lr: float, num_steps: int) -> None:
        super().__init__()
        self.net = RoadNet(tasks).to(memory_format=torch.channels_last)
        modules = make_tasks()
        self.tasks = nn.ModuleDict({name: modules[name] for name in tasks})
        self.active = tasks
        self.lr, self.num_steps = lr, num_steps
        self.metrics = make_metrics(tasks)
        self.register_buffer("mean", 255 * torch.tensor([0.32, 0.31, 0.31]).view(3, 1, 1))
        self.register_buffer("std", 255 * torch.tensor([0.19, 0.18, 0.21]).view(3, 1, 1))

    def prepare(self, img: Tensor) -> Tensor:
        img = (img.as_subclass(Tensor).float() - self.mean) / self.std
        return img.contiguous(memory_format=torch.channels_last)

    # section: partial losses
    def training_step(self, data: dict[str, Any], batch_idx: int) -> Tensor | None:
        batches = [data] if "img" in data else list(data.values())
        losses: dict[str, Tensor] = {}
        for batch, shares in zip(batches, step_shares(batches, self.active), strict=True):
            wanted = tuple(task for task in self.active if num_labelled(batch, task))
            if not wanted:
                continue
            batch["img"] = self.prepare(batch["img"])
            raw = self.net(batch["img"], wanted)
            for task in wanted:
                part = take_rows(raw[task], batch["rows"][TRUTH[task]])
                share = shares[self.active.index(task)].item() * TASK_WEIGHTS[task]
                for name, loss in self.tasks[task].losses(part, batch).items():
                    key = f"{task}/{name}"
                    losses[key] = losses.get(key, 0) + share * loss
        self.log_dict({f"loss/{name}": loss.detach() for name, loss in losses.items()})
        return sum(losses.values()) if losses else None

    # section: metrics by task
    def validation_step(self, batch: dict[str, Any], batch_idx: int) -> None:
        batch["img"] = self.prepare(batch["img"])
        raw = self.net(batch["img"], tuple(self.tasks))
        for task, metric in self.metrics.items():
            metric.update(batch, self.tasks[task].predictions(raw[task], batch))

    def on_validation_epoch_end(self) -> None:
        scores = {}
        for task, metric in self.metrics.items():
            found = metric.compute()
            found = found if isinstance(found, dict) else {metric.name: found}
            scores |= {f"{task}/{name}": float(value) for name, value in found.items()}
            metric.reset()
        self.log_dict({f"val/{name}": value for name, value in scores.items()})
        parts = [weight * scores[name] for name, weight in MAIN_SCORES.items() if name in scores]
        self.log("val/sum", sum(0.0 if math.isnan(part) else part for part in parts))

    # section: optimizer and schedule
    def configure_optimizers(self) -> Any:
        parameters = list(self.net.parameters())
        groups = [
            dict(params=[p for p in parameters if p.ndim > 1], weight_decay=0.02),
            dict(params=[p for p in parameters if p.ndim <= 1], weight_decay=0.0),
        ]
        optimizer = torch.optim.AdamW(groups, lr=self.lr)
        # Asking the trainer for its estimated_stepping_batches would lose where loaders stood when
        # a run is resumed: https://github.com/Lightning-AI/pytorch-lightning/issues/20550
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            optimizer, self.lr, total_steps=self.num_steps, pct_start=0.1
        )
        return [optimizer], [dict(scheduler=schedule, interval="step")]


# section: metrics by task
def make_metrics(tasks: tuple[str, ...]) -> nn.ModuleDict:
    metrics = dict(
        det=CocoAP(classes=RoadScenes.classes),
        seg=MeanIoU(14, classes=RoadScenes.seg_classes),
        depth=DepthErrors(),
        scene=Accuracy(),
    )
    return nn.ModuleDict({task: metrics[task] for task in tasks})


# section: freezing by task
class FreezeTasks(BaseFinetuning):
    def __init__(self, tasks: list[str]) -> None:
        super().__init__()
        self.frozen = tasks

    def freeze_before_training(self, pl_module: L.LightningModule) -> None:
        self.freeze([pl_module.net.heads[task] for task in self.frozen], train_bn=False)

    def finetune_function(self, *args: Any) -> None:
        """They stay frozen."""


# section: data
def scenes(length: int, split: str, size: tuple[int, int], transform: Any = None) -> Any:
    keys = ["gt_bboxes", "gt_seg", "gt_depth"]
    drawn = RoadScenes(length, size, split=split, keys=keys)
    return CachedDataset(drawn, transform=transform)


def make_loader(dataset: Any, batch_size: int, seed: int) -> StatefulDataLoader:
    generator = torch.Generator().manual_seed(seed)
    return StatefulDataLoader(
        dataset,
        batch_size=batch_size,
        shuffle=True,
        drop_last=True,
        generator=generator,
        collate_fn=partial_collate,
    )


def train_loaders(args: argparse.Namespace) -> Any:
    full = scenes(args.scenes, "train", tuple(args.size), [RandomHorizontalFlip()])
    sets = [["gt_bboxes"], ["gt_seg", "gt_depth"], "all"]
    # section: several loaders
    if args.several:
        return CombinedLoader(
            {
                "boxes": make_loader(PartialLabels(full, [["gt_bboxes"]]), 2, seed=0),
                "all": make_loader(PartialLabels(full, ["all"]), 3, seed=1),
            },
            mode="max_size_cycle",
        )
    # section: data
    return make_loader(PartialLabels(full, sets), args.batch_size, seed=0)


def val_loader(args: argparse.Namespace) -> Any:
    return torch.utils.data.DataLoader(
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
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--tasks", nargs="+", default=TASKS)
    parser.add_argument("--freeze", nargs="*", default=[])
    parser.add_argument("--several", action="store_true")
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--run-dir", default="runs/lightning")
    parser.add_argument("--resume")
    return parser.parse_args(words)


def make_trainer(args: argparse.Namespace, *others: Any, **options: Any) -> L.Trainer:
    L.seed_everything(0)
    callbacks: list[Any] = [
        EMAWeightAveraging(decay=0.995),
        ModelCheckpoint(args.run_dir, filename="best", monitor="val/sum", mode="max"),
        ModelCheckpoint(args.run_dir, save_last=True, every_n_train_steps=1),
        *others,
    ]
    if args.freeze:
        callbacks.append(FreezeTasks(args.freeze))
    defaults = dict(
        accelerator="cpu",
        devices=args.processes,
        # A task may be labelled on one process alone.
        strategy="ddp_find_unused_parameters_true" if args.processes > 1 else "auto",
        max_epochs=args.epochs,
        check_val_every_n_epoch=args.epochs,
        num_sanity_val_steps=0,
        log_every_n_steps=1,
        logger=CSVLogger(args.run_dir),
    )
    return L.Trainer(callbacks=callbacks, **(defaults | options))


def main() -> None:
    args = parse()
    trainer = make_trainer(args)
    loaders = train_loaders(args)
    num_steps = args.epochs * max(map(len, CombinedLoader(loaders).flattened))
    module = RoadModule(tuple(args.tasks), lr=3e-3, num_steps=num_steps)
    trainer.fit(module, loaders, val_loader(args), ckpt_path=args.resume)
    print({name: round(float(value), 4) for name, value in trainer.logged_metrics.items()})


if __name__ == "__main__":
    main()
