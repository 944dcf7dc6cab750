"""Six kinds of objects in drawn road scenes, from scratch: a small network, boxes as in YOLOX.

    hat train configs/detection/road_scenes.py

Nothing is read from disk: scenes are drawn once, in the first epoch, and kept in memory. Half
of the objects are less than 15 pixels wide or high, so the finest level has a stride of 4.
"""

from hat.callbacks import (
    Checkpoint,
    ExponentialMovingAverage,
    LrUpdater,
    ProgressBar,
    StatsMonitor,
    Validation,
)
from hat.data import CachedDataset, DataLoader, RoadScenes, ShuffledSampler
from hat.engine import Predictor, Trainer
from hat.engine.processors import BatchProcessor
from hat.metrics import CocoAP
from hat.models import OneStageDetector

num_scenes = 3000
num_val_scenes = 300
size = [128, 256]
batch_size = 16
num_epochs = 11
num_workers = 1
learning_rate = 3e-3
seed = 0

normalize = dict(type="Normalize", mean=[0.32, 0.31, 0.31], std=[0.19, 0.18, 0.21])

model = dict(
    type=OneStageDetector,
    backbone=dict(
        type="TimmBackbone",
        name="resnet18d",
        out_indices=[1, 2, 3, 4],
        options=dict(layers=[1, 1, 1, 1], channels=[32, 48, 96, 192], stem_width=8),
    ),
    neck=dict(type="FPN", in_channels=[32, 48, 96, 192], out_channels=32, batch_norm=True),
    head=dict(type="YoloxHead", in_channels=[32] * 4, num_classes=6, channels=32, num_convs=1),
    task=dict(type="YoloxTask", num_classes=6, strides=[4, 8, 16, 32]),
)


def scenes(length: int, split: str, transform: list) -> dict:
    """Scenes of a split, drawn once."""
    drawn = dict(type=RoadScenes, length=length, size=size, split=split, keys=["gt_bboxes"])
    return dict(type=CachedDataset, dataset=drawn, transform=transform)


train_loader = dict(
    type=DataLoader,
    dataset=scenes(
        num_scenes, "train", [dict(type="torchvision.transforms.v2.RandomHorizontalFlip")]
    ),
    sampler=dict(type=ShuffledSampler),
    batch_size=batch_size,
    num_workers=num_workers,
)
val_loader = dict(type=DataLoader, dataset=scenes(num_val_scenes, "val", []), batch_size=batch_size)

float_predictor = dict(
    type=Predictor,
    model=model,
    data_loader=val_loader,
    metrics=[dict(type=CocoAP, classes=RoadScenes.classes)],
    normalize=normalize,
    channels_last=True,
)
ema = dict(type=ExponentialMovingAverage, decay=0.998)
float_trainer = dict(
    type=Trainer,
    model=model,
    data_loader=train_loader,
    optimizer=dict(type="torch.optim.AdamW", lr=learning_rate, weight_decay=0.05),
    param_groups=[dict(match=["norm", "bias"], weight_decay=0.0)],
    batch_processor=dict(type=BatchProcessor, normalize=normalize),
    num_epochs=num_epochs,
    seed=seed,
    channels_last=True,
    callbacks=[
        dict(type=LrUpdater, schedule=dict(type="OneCycleLr", pct_start=0.1)),
        ema,
        dict(type=StatsMonitor),
        dict(type=Validation, predictor=float_predictor, weights=ema, every=num_epochs),
        dict(type=ProgressBar),
        dict(type=Checkpoint, best="val/AP"),
    ],
)
