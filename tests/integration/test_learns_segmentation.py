"""A segmentor must be able to learn a handful of pictures by heart."""

import functools

import pytest
import torch

from hat.callbacks import ExponentialMovingAverage, LrUpdater, StatsMonitor, Validation
from hat.callbacks.schedules import OneCycleLr
from hat.data import DataLoader, Normalize, RoadScenes, ShuffledSampler
from hat.engine import Predictor, Trainer
from hat.engine.processors import BatchProcessor
from hat.metrics import PixelAccuracy
from hat.models import ConvNet, DDRNet, FcnHead, SegmentationTask, Segmentor, UNetDecoder

pytestmark = pytest.mark.slow
NUM_PICTURES = 4
NUM_CLASSES = len(RoadScenes.seg_classes)


def unet():
    return Segmentor(
        ConvNet([16, 32, 64], depth=1),
        FcnHead(16, NUM_CLASSES, num_convs=0, in_index=0),
        SegmentationTask(NUM_CLASSES),
        neck=UNetDecoder([16, 32, 64], channels=[16, 32]),
    )


def ddrnet():
    return Segmentor(
        DDRNet(channels=16, pool_channels=16),
        FcnHead(64, NUM_CLASSES, 32),
        SegmentationTask(NUM_CLASSES),
        aux_heads=[FcnHead(32, NUM_CLASSES, 16, in_index=0)],
    )


def learn(model, num_epochs):
    """Scores of a run on four scenes, and the loss at its beginning."""
    torch.set_num_threads(1)
    scenes = RoadScenes(length=NUM_PICTURES, size=(48, 64), keys=["gt_seg"])
    normalize = Normalize(mean=0.3, std=0.19)
    metric = PixelAccuracy(NUM_CLASSES)
    predictor = Predictor(
        model, DataLoader(scenes, batch_size=3), metrics=[metric], normalize=normalize
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
        device="cpu",
    )
    return before, trainer.fit()


@pytest.fixture(scope="module")
def unet_run():
    torch.manual_seed(0)
    return learn(unet(), num_epochs=200)


@pytest.fixture(scope="module")
def ddrnet_run():
    torch.manual_seed(0)
    return learn(ddrnet(), num_epochs=200)


def test_the_loss_falls_tenfold(unet_run):
    before, scores = unet_run
    assert scores.last("val/loss").value < before / 10


def test_the_pixels_are_known(unet_run):
    _, scores = unet_run
    assert scores.last("val/pixel_acc").value > 0.95


def test_the_loss_of_ddrnet_falls_fivefold(ddrnet_run):
    before, scores = ddrnet_run
    assert scores.last("val/loss").value < before / 5
