"""Four tasks on one small network, and a few drawn scenes of which most lack some labels."""

import functools

import torch

from hat.callbacks import LrUpdater, StatsMonitor, Validation
from hat.callbacks.schedules import OneCycleLr
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
from hat.metrics import Accuracy, CocoAP, DepthErrors, PixelAccuracy
from hat.models import (
    FPN,
    ClassificationTask,
    ConvNet,
    DepthHead,
    DepthTask,
    FcnHead,
    GraphModel,
    LinearHead,
    SegmentationTask,
    YoloxHead,
    YoloxTask,
)

SIZE = (48, 64)
NUM_CLASSES = len(RoadScenes.classes)
NUM_SEG_CLASSES = len(RoadScenes.seg_classes)
#: What a scene may be labelled with.
SETS = [["gt_bboxes"], ["gt_seg", "label"], ["gt_depth", "gt_bboxes"], "all"]


def topology(nodes, img):
    features = nodes.backbone(img)
    levels = nodes.neck(features)
    return dict(
        det=nodes.det_head(levels[1:]),
        seg=nodes.seg_head(levels),
        depth=nodes.depth_head(levels),
        scene=nodes.scene_head(features[-1]),
    )


def make_model():
    nodes = dict(
        backbone=ConvNet([16, 32, 48], depth=1),
        neck=FPN([16, 32, 48], 24, batch_norm=True),
        det_head=YoloxHead([24, 24], NUM_CLASSES, channels=24, num_convs=1),
        seg_head=FcnHead(24, NUM_SEG_CLASSES, num_convs=0, in_index=0),
        depth_head=DepthHead(24),
        scene_head=LinearHead(48, len(RoadScenes.scenes)),
    )
    tasks = dict(
        det=YoloxTask(NUM_CLASSES, strides=[4, 8]),
        seg=SegmentationTask(NUM_SEG_CLASSES),
        depth=DepthTask(),
        scene=ClassificationTask(len(RoadScenes.scenes)),
    )
    return GraphModel(nodes, topology, tasks)


def make_loader(length, *, is_training, batch_size=4, batches_per_step=1):
    """Scenes that are drawn once; the same, in order and once, where nothing is trained."""
    keys = ["gt_bboxes", "gt_seg", "gt_depth"]
    scenes = PartialLabels(CachedDataset(RoadScenes(length, SIZE, keys=keys)), SETS, seed=1)
    if not is_training:
        return DataLoader(scenes, batch_size, collate=PartialCollate())
    return DataLoader(
        scenes,
        batch_size,
        sampler=ShuffledSampler(),
        collate=PartialCollate(),
        batches_per_step=batches_per_step,
    )


def make_predictor(model, length):
    metrics = dict(
        det=[CocoAP(classes=RoadScenes.classes)],
        seg=[PixelAccuracy(NUM_SEG_CLASSES)],
        depth=[DepthErrors()],
        scene=[Accuracy()],
    )
    return Predictor(model, make_loader(length, is_training=False), metrics, device="cpu")


def make_trainer(model, loader, callbacks=(), *, lr=1e-2, **kwargs):
    """With a schedule, means of losses, and a validation by task every few epochs."""
    num_epochs = kwargs["num_epochs"]
    return Trainer(
        model,
        loader,
        functools.partial(torch.optim.AdamW, lr=lr),
        batch_processor=MultiTaskBatchProcessor(),
        callbacks=[
            LrUpdater(OneCycleLr()),
            StatsMonitor(4),
            Validation(make_predictor(model, len(loader.dataset)), every=num_epochs),
            *callbacks,
        ],
        device="cpu",
        **kwargs,
    )
