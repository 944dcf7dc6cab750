"""Detectors must be able to learn a handful of pictures by heart."""

import functools

import pytest
import torch

from hat.callbacks import ExponentialMovingAverage, LrUpdater, StatsMonitor, Validation
from hat.callbacks.schedules import OneCycleLr
from hat.data import DataLoader, Normalize, RoadScenes, ShuffledSampler
from hat.engine import Predictor, Trainer
from hat.engine.processors import BatchProcessor
from hat.metrics import CocoAP
from hat.models import (
    FPN,
    CenterNetHead,
    CenterNetTask,
    ConvNet,
    OneStageDetector,
    YoloxHead,
    YoloxTask,
)

pytestmark = pytest.mark.slow
NUM_CLASSES = len(RoadScenes.classes)
CHANNELS = [8, 24, 48]


def yolox():
    return OneStageDetector(
        ConvNet(CHANNELS, depth=1),
        YoloxHead([32, 32], NUM_CLASSES, channels=32, num_convs=1),
        YoloxTask(NUM_CLASSES, strides=[4, 8]),
        FPN([24, 48], 32, batch_norm=True),
    )


def centernet():
    return OneStageDetector(
        ConvNet(CHANNELS, depth=1),
        CenterNetHead(32, NUM_CLASSES),
        CenterNetTask(NUM_CLASSES),
        FPN([24, 48], 32, batch_norm=True),
    )


def learn(model, num_epochs):
    """Scores of a run on four scenes, and the loss at its beginning."""
    torch.set_num_threads(1)
    scenes = RoadScenes(length=4, size=(64, 96), keys=["gt_bboxes"], min_pixels=40)
    normalize = Normalize(mean=0.3, std=0.19)
    predictor = Predictor(
        model, DataLoader(scenes, batch_size=3), metrics=[CocoAP()], normalize=normalize
    )
    before = predictor.fit().last("val/loss").value
    average = ExponentialMovingAverage(decay=0.9)
    trainer = Trainer(
        model,
        DataLoader(scenes, batch_size=4, sampler=ShuffledSampler()),
        functools.partial(torch.optim.AdamW, lr=1e-2),
        num_epochs=num_epochs,
        batch_processor=BatchProcessor(normalize),
        callbacks=[
            LrUpdater(OneCycleLr()),
            average,
            StatsMonitor(),
            Validation(predictor, every=num_epochs, weights=average),
        ],
    )
    return trainer.fit(), before


def test_yolox_learns_pictures_by_heart():
    torch.manual_seed(0)
    scores, before = learn(yolox(), num_epochs=120)
    assert scores.last("train/loss").value < before / 10
    assert scores.last("val/AP50").value > 0.95


def test_centernet_learns_pictures_by_heart():
    torch.manual_seed(0)
    scores, before = learn(centernet(), num_epochs=120)
    assert scores.last("train/loss").value < before / 10
    assert scores.last("val/AP50").value > 0.95
