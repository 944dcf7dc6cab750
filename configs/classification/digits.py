"""A small network on 8x8 handwritten digits, which need no download: about a minute on a CPU."""

from hat.callbacks import Checkpoint, LrUpdater, ProgressBar, StatsMonitor, Validation
from hat.data import DataLoader, DigitsDataset, ShuffledSampler
from hat.engine import Predictor, Trainer
from hat.engine.processors import BatchProcessor
from hat.metrics import Accuracy
from hat.models import Classifier

batch_size = 64
num_epochs = 20
num_workers = 0
learning_rate = 0.1
seed = 0

normalize = dict(type="Normalize", mean=0.3, std=0.37)

model = dict(
    type=Classifier,
    backbone=dict(type="ConvNet", channels=[32, 64], depth=2),
    head=dict(type="LinearHead", in_channels=64, num_classes=10, dropout=0.2),
    losses=dict(ce=dict(type="torch.nn.CrossEntropyLoss", label_smoothing=0.1)),
)

train_loader = dict(
    type=DataLoader,
    dataset=dict(
        type=DigitsDataset,
        split="train",
        transform=[
            dict(
                type="torchvision.transforms.v2.RandomAffine",
                degrees=8,
                translate=[0.1, 0.1],
                scale=[0.9, 1.1],
            )
        ],
    ),
    sampler=dict(type=ShuffledSampler),
    batch_size=batch_size,
    num_workers=num_workers,
)
val_loader = dict(
    type=DataLoader,
    dataset=dict(type=DigitsDataset, split="val"),
    batch_size=256,
)

float_predictor = dict(
    type=Predictor,
    model=model,
    data_loader=val_loader,
    metrics=[dict(type=Accuracy)],
    normalize=normalize,
)
float_trainer = dict(
    type=Trainer,
    model=model,
    data_loader=train_loader,
    optimizer=dict(type="torch.optim.SGD", lr=learning_rate, momentum=0.9, weight_decay=5e-4),
    param_groups=[dict(match=["norm", "bias"], weight_decay=0.0)],
    batch_processor=dict(type=BatchProcessor, normalize=normalize),
    num_epochs=num_epochs,
    seed=seed,
    callbacks=[
        dict(type=LrUpdater, schedule=dict(type="CosineLr")),
        dict(type=StatsMonitor),
        dict(type=Validation, predictor=float_predictor),
        dict(type=ProgressBar),
        dict(type=Checkpoint, best="val/acc"),
    ],
)
