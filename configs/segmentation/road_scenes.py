"""Road scenes that are drawn, from scratch: a thin ResNet with a U-Net decoder, in ten minutes.

    hat train configs/segmentation/road_scenes.py

Nothing has to be on disk. No scene is seen twice in training; those of validation are others.
"""

import math

from hat.callbacks import (
    Checkpoint,
    ExponentialMovingAverage,
    LrUpdater,
    ProgressBar,
    StatsMonitor,
    Validation,
)
from hat.data import DataLoader, RoadScenes, ShuffledSampler
from hat.engine import Predictor, Trainer
from hat.engine.processors import BatchProcessor
from hat.metrics import MeanIoU
from hat.models import Segmentor

num_classes = 14
size = (128, 256)
num_scenes = 12_000
num_val_scenes = 200
batch_size = 4
num_epochs = 1
num_workers = 1
learning_rate = 4e-3
seed = 0

# Share of each class in the pixels of 300 training scenes.
frequency = [
    0.222, 0.308, 0.019, 0.040, 0.062, 0.123, 0.074,
    0.014, 0.058, 0.064, 0.006, 0.003, 0.006, 0.003,
]  # fmt: skip
# As in ENet (Paszke et al. 2016, section 5.2): without, small things are not found in so few steps.
class_weight = [1 / math.log(1.1 + share) for share in frequency]

normalize = dict(type="Normalize", mean=0.3, std=0.19)

model = dict(
    type=Segmentor,
    backbone=dict(
        type="TimmBackbone",
        name="resnet18",
        out_indices=[0, 1, 2, 3, 4],
        options=dict(
            channels=[32, 48, 96, 128], layers=[1, 1, 1, 1], stem_type="deep", stem_width=8
        ),
    ),
    neck=dict(type="LadderDecoder", in_channels=[16, 32, 48, 96, 128], channels=24),
    head=dict(type="FcnHead", in_channels=24, num_classes=num_classes, num_convs=0),
    task=dict(
        type="SegmentationTask",
        num_classes=num_classes,
        losses=dict(ce=dict(type="CrossEntropyLoss", class_weight=class_weight)),
    ),
)

train_loader = dict(
    type=DataLoader,
    dataset=dict(type=RoadScenes, length=num_scenes, size=size, keys=["gt_seg"]),
    sampler=dict(type=ShuffledSampler),
    batch_size=batch_size,
    num_workers=num_workers,
)
val_loader = dict(
    type=DataLoader,
    dataset=dict(type=RoadScenes, length=num_val_scenes, size=size, split="val", keys=["gt_seg"]),
    batch_size=20,
)

float_predictor = dict(
    type=Predictor,
    model=model,
    data_loader=val_loader,
    metrics=[dict(type=MeanIoU, num_classes=num_classes, classes=RoadScenes.seg_classes)],
    normalize=normalize,
    channels_last=True,
)
ema = dict(type=ExponentialMovingAverage, decay=0.99)
float_trainer = dict(
    type=Trainer,
    model=model,
    data_loader=train_loader,
    optimizer=dict(type="torch.optim.AdamW", lr=learning_rate, weight_decay=0.01),
    param_groups=[dict(match=["norm", "bias"], weight_decay=0.0)],
    batch_processor=dict(type=BatchProcessor, normalize=normalize),
    num_epochs=num_epochs,
    seed=seed,
    channels_last=True,
    callbacks=[
        dict(type=LrUpdater, schedule=dict(type="OneCycleLr", pct_start=0.1)),
        ema,
        dict(type=StatsMonitor),
        dict(type=Validation, predictor=float_predictor, weights=ema, every=250, by="step"),
        dict(type=ProgressBar),
        dict(type=Checkpoint, best="val/mIoU"),
    ],
)
