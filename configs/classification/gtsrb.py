"""German traffic signs at 48x48, from scratch: a plain network of eight convolutions.

    hat train configs/classification/gtsrb.py data_root=/path/to/gtsrb

`data_root` holds `train/<class>/*.jpg` and `val/<class>/*.jpg`. Nothing is mirrored: "turn
left" mirrored is another sign.
"""

from hat.callbacks import (
    Checkpoint,
    ExponentialMovingAverage,
    LrUpdater,
    ProgressBar,
    StatsMonitor,
    Validation,
)
from hat.data import DataLoader, ImageFolder, ShuffledSampler
from hat.engine import Predictor, Trainer
from hat.engine.processors import BatchProcessor
from hat.metrics import Accuracy
from hat.models import Classifier

data_root = "data/gtsrb"
num_classes = 43
size = 48
batch_size = 32
num_epochs = 30
num_workers = 1
learning_rate = 4e-3
seed = 0

normalize = dict(type="Normalize", mean=[0.34, 0.31, 0.32], std=[0.28, 0.27, 0.28])

model = dict(
    type=Classifier,
    backbone=dict(type="ConvNet", channels=[16, 48, 96, 192], depth=2),
    head=dict(type="LinearHead", in_channels=192, num_classes=num_classes, dropout=0.3),
    losses=dict(ce=dict(type="torch.nn.CrossEntropyLoss", label_smoothing=0.1)),
)

resize = dict(type="torchvision.transforms.v2.Resize", size=[size, size], antialias=True)
train_loader = dict(
    type=DataLoader,
    dataset=dict(
        type=ImageFolder,
        root=f"{data_root}/train",
        transform=[
            resize,
            dict(
                type="torchvision.transforms.v2.RandomAffine",
                degrees=12,
                translate=[0.1, 0.1],
                scale=[0.85, 1.15],
                interpolation=2,
            ),
            dict(type="torchvision.transforms.v2.ColorJitter", brightness=0.5, contrast=0.3),
        ],
    ),
    sampler=dict(type=ShuffledSampler),
    batch_size=batch_size,
    num_workers=num_workers,
)
val_loader = dict(
    type=DataLoader,
    dataset=dict(type=ImageFolder, root=f"{data_root}/val", transform=[resize]),
    batch_size=256,
)

float_predictor = dict(
    type=Predictor,
    model=model,
    data_loader=val_loader,
    metrics=[dict(type=Accuracy), dict(type=Accuracy, top_k=5)],
    normalize=normalize,
)
ema = dict(type=ExponentialMovingAverage, decay=0.995)
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
        dict(type=LrUpdater, schedule=dict(type="OneCycleLr", pct_start=0.2)),
        ema,
        dict(type=StatsMonitor),
        dict(type=Validation, predictor=float_predictor, weights=ema),
        dict(type=ProgressBar),
        dict(type=Checkpoint, best="val/acc"),
    ],
)
