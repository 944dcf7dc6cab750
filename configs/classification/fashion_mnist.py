"""Fashion-MNIST with a ResNet-18 for small pictures, flips and shifts; meant for one GPU.

    hat train configs/classification/fashion_mnist.py data_root=/path/to/data

`data_root` holds `FashionMNIST/raw/*-ubyte`, as torchvision stores it; nothing is downloaded.
The published accuracy of a ResNet-18 with this augmentation is 0.949.
"""

from torchvision.datasets import FashionMNIST

from hat.callbacks import Checkpoint, LrUpdater, ProgressBar, StatsMonitor, Validation
from hat.data import DataLoader, ShuffledSampler, TorchvisionDataset
from hat.engine import Predictor, Trainer
from hat.engine.processors import BatchProcessor
from hat.metrics import Accuracy
from hat.models import Classifier

data_root = "data"
batch_size = 128
num_epochs = 60
num_workers = 4
learning_rate = 0.1
precision = "fp32"
seed = 0

normalize = dict(type="Normalize", mean=0.286, std=0.353)

model = dict(
    type=Classifier,
    backbone=dict(type="ResNet18", stem="small"),
    head=dict(type="LinearHead", in_channels=512, num_classes=10),
)

train_loader = dict(
    type=DataLoader,
    dataset=dict(
        type=TorchvisionDataset,
        dataset=dict(type=FashionMNIST, root=data_root, train=True),
        transform=[
            dict(type="torchvision.transforms.v2.RandomHorizontalFlip"),
            dict(type="torchvision.transforms.v2.RandomCrop", size=28, padding=4),
        ],
    ),
    sampler=dict(type=ShuffledSampler),
    batch_size=batch_size,
    num_workers=num_workers,
    drop_last=True,
)
val_loader = dict(
    type=DataLoader,
    dataset=dict(
        type=TorchvisionDataset,
        dataset=dict(type=FashionMNIST, root=data_root, train=False),
    ),
    batch_size=500,
    num_workers=num_workers,
)

float_predictor = dict(
    type=Predictor,
    model=model,
    data_loader=val_loader,
    metrics=[dict(type=Accuracy)],
    normalize=normalize,
    precision=precision,
)
float_trainer = dict(
    type=Trainer,
    model=model,
    data_loader=train_loader,
    optimizer=dict(
        type="torch.optim.SGD", lr=learning_rate, momentum=0.9, nesterov=True, weight_decay=5e-4
    ),
    param_groups=[dict(match=["norm", "bias"], weight_decay=0.0)],
    batch_processor=dict(type=BatchProcessor, normalize=normalize, precision=precision),
    channels_last=True,
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
