"""CamVid at 480x360, from scratch: a thin ResNet with a ladder decoder, in real time on a CPU.

    hat train configs/segmentation/camvid.py data_root=/path/to/camvid

`data_root` is SegNet's edition of CamVid, with `train.txt`, `val.txt` and `classes.txt`: 11
classes, and 11 for void, which is not counted. Training sees scaled crops,
validation whole pictures.
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
from hat.data import DataLoader, PadCollate, SegmentationList, ShuffledSampler
from hat.engine import Predictor, Trainer
from hat.engine.processors import BatchProcessor
from hat.metrics import MeanIoU
from hat.models import Segmentor

data_root = "data/camvid"
classes = [
    "Sky", "Building", "Pole", "Road", "Pavement", "Tree", "SignSymbol", "Fence", "Car",
    "Pedestrian", "Bicyclist",
]  # fmt: skip
num_classes = 11
crop = [256, 320]
batch_size = 4
num_epochs = 75
num_workers = 1
learning_rate = 2e-3
seed = 0

# Share of each class in the labelled pixels of the training pictures.
frequency = [0.176, 0.243, 0.010, 0.330, 0.047, 0.101, 0.012, 0.011, 0.061, 0.006, 0.003]
# As in ENet (Paszke et al. 2016, section 5.2).
class_weight = [1 / math.log(1.02 + share) for share in frequency]

normalize = dict(type="Normalize", mean=[0.41, 0.42, 0.43], std=[0.30, 0.31, 0.30])

model = dict(
    type=Segmentor,
    backbone=dict(
        type="TimmBackbone",
        name="resnet18",
        out_indices=[1, 2, 3, 4],
        options=dict(
            channels=[32, 64, 96, 128], layers=[1, 2, 2, 2], stem_type="deep", stem_width=8
        ),
    ),
    neck=dict(type="LadderDecoder", in_channels=[32, 64, 96, 128], channels=64),
    head=dict(type="FcnHead", in_channels=64, num_classes=num_classes, num_convs=0),
    task=dict(
        type="SegmentationTask",
        num_classes=num_classes,
        losses=dict(ce=dict(type="CrossEntropyLoss", class_weight=class_weight)),
    ),
)

train_loader = dict(
    type=DataLoader,
    dataset=dict(
        type=SegmentationList,
        list_file=f"{data_root}/train.txt",
        classes=f"{data_root}/classes.txt",
        ignore_label=11,
        transform=[
            dict(type="torchvision.transforms.v2.RandomResize", min_size=270, max_size=540),
            dict(type="ClassAwareCrop", size=crop),
            dict(type="torchvision.transforms.v2.RandomHorizontalFlip"),
        ],
    ),
    sampler=dict(type=ShuffledSampler),
    batch_size=batch_size,
    num_workers=num_workers,
)
val_loader = dict(
    type=DataLoader,
    dataset=dict(
        type=SegmentationList,
        list_file=f"{data_root}/val.txt",
        classes=f"{data_root}/classes.txt",
        ignore_label=11,
    ),
    # Features of all strides then fit together as they do in training.
    collate=dict(type=PadCollate, size_divisor=32, fill=107),
    batch_size=4,
)

float_predictor = dict(
    type=Predictor,
    model=model,
    data_loader=val_loader,
    metrics=[dict(type=MeanIoU, num_classes=num_classes, classes=classes)],
    normalize=normalize,
    channels_last=True,
)
ema = dict(type=ExponentialMovingAverage, decay=0.995)
float_trainer = dict(
    type=Trainer,
    model=model,
    data_loader=train_loader,
    optimizer=dict(type="torch.optim.AdamW", lr=learning_rate, weight_decay=0.02),
    param_groups=[dict(match=["norm", "bias"], weight_decay=0.0)],
    batch_processor=dict(
        type=BatchProcessor,
        normalize=normalize,
        batch_transforms=[
            dict(
                type="BatchColorJitter",
                brightness=0.4,
                contrast=0.3,
                saturation=0.3,
                normalize=normalize,
            )
        ],
    ),
    num_epochs=num_epochs,
    seed=seed,
    channels_last=True,
    callbacks=[
        dict(type=LrUpdater, schedule=dict(type="OneCycleLr", pct_start=0.1)),
        ema,
        dict(type=StatsMonitor),
        dict(type=Validation, predictor=float_predictor, weights=ema, every=15),
        dict(type=ProgressBar),
        dict(type=Checkpoint, best="val/mIoU"),
    ],
)
