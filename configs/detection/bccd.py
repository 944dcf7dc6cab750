"""Blood cells from 205 pictures, from scratch: a small network that finds boxes as YOLOX does.

    hat train configs/detection/bccd.py data_root=/path/to/bccd_voc

`data_root` holds the folders of Pascal VOC. Pictures are halved to 240 x 320, which leaves red
cells about 50 pixels and platelets 20. A cell has no side that is up, so pictures are
mirrored both ways.
"""

from hat.callbacks import (
    Checkpoint,
    ExponentialMovingAverage,
    LrUpdater,
    ProgressBar,
    StatsMonitor,
    Validation,
)
from hat.data import CachedDataset, DataLoader, ShuffledSampler, VocDataset
from hat.engine import Predictor, Trainer
from hat.engine.processors import BatchProcessor
from hat.metrics import CocoAP, VocAP
from hat.models import OneStageDetector

data_root = "data/bccd_voc"
classes = ["RBC", "WBC", "Platelets"]
size = [240, 320]
batch_size = 8
num_epochs = 50
num_workers = 1
learning_rate = 2e-3
seed = 0

normalize = dict(type="Normalize", mean=[0.66, 0.64, 0.71], std=[0.14, 0.15, 0.09])

model = dict(
    type=OneStageDetector,
    backbone=dict(
        type="TimmBackbone",
        name="resnet18",
        out_indices=[2, 3, 4],
        options=dict(layers=[1, 1, 1, 1], channels=[16, 48, 96, 192]),
    ),
    neck=dict(type="FPN", in_channels=[48, 96, 192], out_channels=64, batch_norm=True),
    head=dict(type="YoloxHead", in_channels=[64, 64, 64], num_classes=len(classes), channels=48),
    task=dict(type="YoloxTask", num_classes=len(classes), strides=[8, 16, 32]),
)


def pictures(image_set: str) -> dict:
    """The pictures of a set, decoded and scaled once."""
    return dict(
        type=VocDataset,
        root=data_root,
        image_set=image_set,
        classes=classes,
        bad_annotations="drop",
        transform=[dict(type="torchvision.transforms.v2.Resize", size=size, antialias=True)],
    )


train_loader = dict(
    type=DataLoader,
    dataset=dict(
        type=CachedDataset,
        dataset=pictures("train"),
        transform=[
            dict(type="torchvision.transforms.v2.RandomHorizontalFlip"),
            dict(type="torchvision.transforms.v2.RandomVerticalFlip"),
            dict(
                type="torchvision.transforms.v2.ScaleJitter",
                target_size=size,
                scale_range=[0.8, 1.25],
            ),
            dict(
                type="torchvision.transforms.v2.RandomCrop",
                size=size,
                pad_if_needed=True,
                fill=114,
            ),
            dict(type="FilterBoxes", min_size=4),
            dict(
                type="torchvision.transforms.v2.ColorJitter",
                brightness=0.2,
                contrast=0.2,
                saturation=0.2,
                hue=0.03,
            ),
        ],
    ),
    sampler=dict(type=ShuffledSampler),
    batch_size=batch_size,
    num_workers=num_workers,
)
val_loader = dict(
    type=DataLoader,
    dataset=dict(type=CachedDataset, dataset=pictures("val")),
    batch_size=8,
)

float_predictor = dict(
    type=Predictor,
    model=model,
    data_loader=val_loader,
    metrics=[dict(type=CocoAP, classes=classes), dict(type=VocAP)],
    normalize=normalize,
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
    callbacks=[
        dict(type=LrUpdater, schedule=dict(type="OneCycleLr", pct_start=0.1)),
        ema,
        dict(type=StatsMonitor),
        dict(type=Validation, predictor=float_predictor, weights=ema, every=5),
        dict(type=ProgressBar),
        dict(type=Checkpoint, best="val/AP50"),
    ],
)
