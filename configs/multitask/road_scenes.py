"""Four tasks on one small backbone: objects, classes of pixels, depth and the kind of scene.

    hat train configs/multitask/road_scenes.py                              # about 5 minutes
    hat train configs/multitask/road_scenes.py num_scenes=3000 num_epochs=8 # half an hour

Nothing is read from disk: scenes are drawn once, in the first epoch, and kept in memory. A third
of them has boxes only, a third maps of classes and depth only, the rest everything.

One task by itself, on the same pictures: tasks=[seg].
"""

import math

from hat.callbacks import (
    Checkpoint,
    ExponentialMovingAverage,
    LrUpdater,
    PredictionPictures,
    ProgressBar,
    ScoreCurves,
    StatsMonitor,
    Validation,
    WeightedScore,
)
from hat.data import (
    CachedDataset,
    DataLoader,
    PartialCollate,
    PartialLabels,
    RoadScenes,
    ShuffledSampler,
)
from hat.engine import Predictor, Trainer
from hat.engine.processors import MultiTaskBatchProcessor
from hat.metrics import Accuracy, CocoAP, DepthErrors, MeanIoU
from hat.models import GraphModel

num_scenes = 1400
num_val_scenes = 100
size = [128, 256]
batch_size = 4
num_epochs = 3
num_workers = 0  # each scene is drawn once, in 7 ms
learning_rate = 3e-3
channels = 24
max_depth = 80.0  # metres, as is usual on KITTI
seed = 0
tasks = ["det", "seg", "depth", "scene"]

# Shares of the classes among the pixels of the training split, in the order of `RoadScenes`.
frequency = [
    0.2045, 0.2888, 0.0094, 0.0451, 0.1155, 0.1205, 0.0814, 0.0040,
    0.0733, 0.0517, 0.0017, 0.0004, 0.0025, 0.0011,
]  # fmt: skip
# As in ENet (Paszke et al. 2016, section 5.2): without, small things are not found in so few steps.
class_weight = [1 / math.log(1.1 + share) for share in frequency]

normalize = dict(type="Normalize", mean=[0.32, 0.31, 0.31], std=[0.19, 0.18, 0.21])

backbone = dict(
    type="TimmBackbone",
    name="resnet18",
    out_indices=[0, 1, 2, 3, 4],
    options=dict(layers=[1, 1, 1, 1], channels=[32, 48, 96, 192], stem_type="deep", stem_width=8),
)
neck = dict(type="FPN", in_channels=[16, 32, 48, 96, 192], out_channels=channels, batch_norm=True)
heads = dict(
    det=dict(
        type="YoloxHead", in_channels=[channels] * 4, num_classes=6, channels=channels, num_convs=1
    ),
    seg=dict(type="FcnHead", in_channels=channels, num_classes=14, num_convs=0, in_index=0),
    depth=dict(type="DepthHead", in_channels=channels, in_index=1),
    scene=dict(type="LinearHead", in_channels=192, num_classes=4),
)
sources = dict(det="neck[1:]", seg="neck", depth="neck", scene="backbone[-1]")
all_tasks = dict(
    det=dict(type="YoloxTask", num_classes=6, strides=[4, 8, 16, 32]),
    seg=dict(
        type="SegmentationTask",
        num_classes=14,
        losses=dict(ce=dict(type="CrossEntropyLoss", class_weight=class_weight)),
    ),
    depth=dict(type="DepthTask", max_depth=max_depth),
    scene=dict(type="ClassificationTask", num_classes=4),
)
task_weights = dict(det=0.5, seg=1.0, depth=2.0, scene=0.2)
metrics = dict(
    det=[dict(type=CocoAP, classes=RoadScenes.classes)],
    seg=[dict(type=MeanIoU, num_classes=14, classes=RoadScenes.seg_classes)],
    depth=[dict(type=DepthErrors, max_depth=max_depth)],
    scene=[dict(type=Accuracy)],
)
main_scores = {
    "val/det/AP": 1.0,
    "val/seg/mIoU": 1.0,
    "val/depth/abs_rel": -1.0,
    "val/scene/acc": 1.0,
}

needs_neck = set(tasks) != {"scene"}
model = dict(
    type=GraphModel,
    nodes=dict(backbone=backbone)
    | (dict(neck=neck) if needs_neck else {})
    | {f"{task}_head": heads[task] for task in tasks},
    topology=dict(backbone="img")
    | (dict(neck="backbone") if needs_neck else {})
    | {f"{task}_head": sources[task] for task in tasks},
    outputs={task: f"{task}_head" for task in tasks},
    tasks={task: all_tasks[task] for task in tasks},
    task_weights={task: task_weights[task] for task in tasks},
)


def scenes(length: int, split: str, **options: object) -> dict:
    """Scenes of a split, drawn once."""
    keys = ["gt_bboxes", "gt_seg", "gt_depth"]
    drawn = dict(type=RoadScenes, length=length, size=size, split=split, keys=keys)
    return dict(type=CachedDataset, dataset=drawn, **options)


train_loader = dict(
    type=DataLoader,
    dataset=dict(
        type=PartialLabels,
        dataset=scenes(
            num_scenes,
            "train",
            transform=[dict(type="torchvision.transforms.v2.RandomHorizontalFlip")],
        ),
        sets=[["gt_bboxes"], ["gt_seg", "gt_depth"], "all"],
    ),
    sampler=dict(type=ShuffledSampler),
    batch_size=batch_size,
    collate=dict(type=PartialCollate),
    num_workers=num_workers,
)
val_loader = dict(type=DataLoader, dataset=scenes(num_val_scenes, "val"), batch_size=batch_size)

float_predictor = dict(
    type=Predictor,
    model=model,
    data_loader=val_loader,
    metrics={task: metrics[task] for task in tasks},
    callbacks=[dict(type=PredictionPictures)],
    normalize=normalize,
    channels_last=True,
)
ema = dict(type=ExponentialMovingAverage, decay=0.995)
float_trainer = dict(
    type=Trainer,
    model=model,
    data_loader=train_loader,
    optimizer=dict(type="torch.optim.AdamW", lr=learning_rate, weight_decay=0.02, fused=True),
    param_groups=[dict(match=["norm", "bias"], weight_decay=0.0)],
    batch_processor=dict(type=MultiTaskBatchProcessor, normalize=normalize),
    num_epochs=num_epochs,
    seed=seed,
    channels_last=True,
    callbacks=[
        dict(type=LrUpdater, schedule=dict(type="OneCycleLr", pct_start=0.1)),
        ema,
        dict(type=StatsMonitor),
        dict(type=Validation, predictor=float_predictor, weights=ema, every=num_epochs),
        dict(
            type=WeightedScore,
            weights={n: w for n, w in main_scores.items() if n.split("/")[1] in tasks},
        ),
        dict(type=ScoreCurves, names=["train/*", "*loss", "val/sum", *main_scores]),
        dict(type=ProgressBar),
        dict(type=Checkpoint, best="val/sum"),
    ],
)
