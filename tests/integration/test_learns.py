"""A classifier must be able to learn a handful of pictures by heart."""

import functools

import pytest
import torch

from hat.callbacks import LrUpdater, MetricUpdater, StatsMonitor, Validation
from hat.callbacks.schedules import CosineLr
from hat.data import DataLoader, DigitsDataset, Normalize, ShuffledSampler
from hat.engine import Predictor, Trainer
from hat.engine.processors import BatchProcessor
from hat.metrics import Accuracy
from hat.models import Classifier, ConvNet, LinearHead

NUM_PICTURES = 16


@pytest.fixture(scope="module")
def learnt():
    """Scores of a run on sixteen digits, and the loss at its beginning."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    digits = torch.utils.data.Subset(DigitsDataset("train"), range(NUM_PICTURES))
    normalize = Normalize(mean=0.3, std=0.37)
    model = Classifier(ConvNet([16, 32], depth=1), LinearHead(32, 10))
    predictor = Predictor(
        model, DataLoader(digits, batch_size=8), metrics=[Accuracy()], normalize=normalize
    )
    before = predictor.fit().last("val/loss").value
    trainer = Trainer(
        model,
        DataLoader(digits, batch_size=8, sampler=ShuffledSampler()),
        functools.partial(torch.optim.SGD, lr=0.1, momentum=0.9),
        num_epochs=60,
        batch_processor=BatchProcessor(normalize),
        callbacks=[
            LrUpdater(CosineLr()),
            StatsMonitor(),
            MetricUpdater([Accuracy()]),
            Validation(predictor, every=60),
        ],
        device="cpu",
    )
    return before, trainer.fit()


def test_the_loss_falls_tenfold(learnt):
    before, scores = learnt
    assert scores.last("val/loss").value < before / 10


def test_the_loss_of_training_falls_tenfold(learnt):
    before, scores = learnt
    assert scores.last("train/loss").value < before / 10


def test_the_pictures_are_known(learnt):
    _, scores = learnt
    assert scores.last("val/acc").value > 0.95


def test_the_pictures_are_known_in_training_mode(learnt):
    _, scores = learnt
    assert scores.last("train/acc").value > 0.95
