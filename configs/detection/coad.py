"""Boxes and masks of street scenes from 123 pictures, from scratch: a small Mask R-CNN.

    hat train configs/detection/coad.py data_root=/path/to/coad_coco

`data_root` holds `train` and `valid`, each with its pictures and `_annotations.coco.json`, as
Roboflow exports COCO. A listed picture that does not exist is left out and counted in the
log; `missing_images=raise` makes it an error. The category `Adas` is the parent of the others
and has no objects. Pictures are scaled from 416 x 416 to 256 x 256, and AP is counted there.
"""

from hat.callbacks import Checkpoint, LrUpdater, ProgressBar, StatsMonitor, Validation
from hat.data import CocoDataset, DataLoader, PadCollate, ShuffledSampler
from hat.engine import Predictor, Trainer
from hat.engine.processors import BatchProcessor
from hat.metrics import CocoAP
from hat.models import TwoStageDetector

data_root = "data/coad_coco"
classes = ["Moto", "Obstaculo", "Peaton", "Pista", "Vehiculo"]
missing_images = "skip"
size = [256, 256]
batch_size = 8
num_epochs = 30
num_workers = 1
learning_rate = 1e-3
seed = 0

normalize = dict(type="Normalize", mean=[0.45, 0.44, 0.42], std=[0.22, 0.22, 0.22])

channels = 64
model = dict(
    type=TwoStageDetector,
    backbone=dict(
        type="TimmBackbone",
        name="resnet18",
        out_indices=[1, 2, 3, 4],
        options=dict(layers=[1, 1, 1, 1], channels=[32, 64, 128, 256]),
    ),
    neck=dict(type="FPN", in_channels=[32, 64, 128, 256], out_channels=channels, extra="pool"),
    rpn=dict(
        type="RegionProposalNetwork",
        in_channels=channels,
        anchor_sizes=[16, 32, 64, 128, 256],
        num_candidates=[500, 250],
        num_proposals=[500, 250],
    ),
    roi_heads=dict(
        type="RoIHeads",
        in_channels=channels,
        num_classes=len(classes),
        hidden_channels=256,
        num_samples=128,
        with_masks=True,
        mask_channels=channels,
    ),
)

resize = dict(type="torchvision.transforms.v2.Resize", size=size, antialias=True)
filter_boxes = dict(type="FilterBoxes", min_size=1, min_mask_area=1)


def pictures(folder: str, transform: list) -> dict:
    """The pictures and objects of a folder."""
    return dict(
        type=CocoDataset,
        annotation_file=f"{data_root}/{folder}/_annotations.coco.json",
        image_root=f"{data_root}/{folder}",
        classes=classes,
        with_masks=True,
        missing_images=missing_images,
        transform=transform,
    )


train_loader = dict(
    type=DataLoader,
    dataset=pictures(
        "train",
        [
            resize,
            dict(type="torchvision.transforms.v2.RandomHorizontalFlip"),
            filter_boxes,
            dict(
                type="torchvision.transforms.v2.ColorJitter",
                brightness=0.3,
                contrast=0.3,
                saturation=0.3,
            ),
        ],
    ),
    sampler=dict(type=ShuffledSampler),
    collate=dict(type=PadCollate, size_divisor=32),
    batch_size=batch_size,
    num_workers=num_workers,
)
val_loader = dict(
    type=DataLoader,
    dataset=pictures("valid", [resize]),
    collate=dict(type=PadCollate, size_divisor=32),
    batch_size=8,
)

float_predictor = dict(
    type=Predictor,
    model=model,
    data_loader=val_loader,
    metrics=[
        dict(type=CocoAP, classes=classes),
        dict(type=CocoAP, kind="segm", classes=classes),
    ],
    normalize=normalize,
)
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
        dict(type=StatsMonitor),
        dict(type=Validation, predictor=float_predictor, every=5),
        dict(type=ProgressBar),
        dict(type=Checkpoint, best="val/AP50"),
    ],
)
