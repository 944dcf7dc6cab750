"""A run that was interrupted and resumed ends bit for bit like one that was not."""

import functools
import multiprocessing
import random
import time

import pytest
import torch
from helpers import Points, TinyModel, make_trainer
from torch import nn

from hat import store
from hat.callbacks import (
    Callback,
    Checkpoint,
    EarlyStopping,
    ExponentialMovingAverage,
    FreezeModule,
    GradClip,
    LrUpdater,
    MetricUpdater,
    NanGuard,
    StatsMonitor,
    Validation,
    Warmup,
)
from hat.callbacks.schedules import CosineLr
from hat.data import DataLoader
from hat.engine import Predictor
from hat.engine.processors import BatchProcessor
from hat.metrics import Accuracy
from hat.models import ModelOutput

NUM_STEPS = 12  # three epochs of four
#: What a process that is to be killed has imported already, so that it starts at once.
PRELOADED = ["pytest", "torchmetrics", "hat.engine.trainer", "hat.callbacks.metric_updater"]
TIMINGS = ("train/samples_per_s", "train/data_wait", "train/eta_s", "train/memory_mib")


class NormedModel(nn.Module):
    """With dropout and running statistics."""

    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(2, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.3))
        self.head = nn.Linear(8, 2)

    def forward(self, batch):
        logits = self.head(self.body(batch["x"]))
        losses = {"ce": nn.functional.cross_entropy(logits, batch["label"])}
        return ModelOutput(losses, {"logits": logits.detach()})


def sgd():
    return {"optimizer": functools.partial(torch.optim.SGD, lr=0.1, momentum=0.9)}


def adam_accumulating():
    return {"optimizer": functools.partial(torch.optim.Adam, lr=0.01), "batches_per_step": 2}


def bf16():
    return {"batch_processor": BatchProcessor(precision="bf16")}


VARIANTS = {"sgd": sgd, "adam_accumulating": adam_accumulating, "bf16": bf16}


def everything(checkpoints, **kwargs):
    """A trainer with every callback that has a state or changes training."""
    torch.manual_seed(0)
    model = kwargs.pop("model", None) or NormedModel()
    predictor = Predictor(model, DataLoader(Points(), batch_size=8), metrics=[Accuracy()])
    average = ExponentialMovingAverage(0.9)
    callbacks = [
        LrUpdater(CosineLr(), warmup=Warmup(3)),
        GradClip(max_norm=0.5),
        FreezeModule("body.0", num_epochs=1),
        average,
        StatsMonitor(3),
        MetricUpdater([Accuracy()]),
        Validation(predictor, weights=average),
        EarlyStopping("val/loss", patience=50),
        *checkpoints,
    ]
    kwargs.setdefault("num_epochs", 3)
    return make_trainer(model=model, noise=0.1, callbacks=callbacks, **kwargs)


def plain(value):
    """Tensors as lists of numbers, so that == compares every bit."""
    if isinstance(value, torch.Tensor):
        return value.tolist()
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return value


def everything_of(trainer):
    """The whole state of a trainer but what a clock says."""
    state = trainer.state.state_dict()
    state["scores"] = {n: s for n, s in state["scores"].items() if n not in TIMINGS}
    return plain(state)


@pytest.fixture(scope="module", params=VARIANTS)
def uninterrupted(request, tmp_path_factory):
    """A whole run that saved after every step and every epoch, and what it ended with."""
    folder = tmp_path_factory.mktemp(request.param)
    by_step = Checkpoint(by="step", keep_last=99, folder=folder / "steps")
    by_epoch = Checkpoint(keep_last=99, folder=folder / "epochs")
    trainer = everything([by_step, by_epoch], **VARIANTS[request.param]())
    trainer.fit()
    return folder, VARIANTS[request.param], everything_of(trainer)


@pytest.mark.parametrize("step", range(1, NUM_STEPS + 1))
def test_resuming_at_any_step_changes_nothing(uninterrupted, tmp_path, step):
    folder, variant, expected = uninterrupted
    (path,) = (folder / "steps").glob(f"epoch-000{(step - 1) // 4}-step-{step:08d}")
    trainer = everything([Checkpoint(resume=path, folder=tmp_path)], **variant())
    trainer.fit()
    assert everything_of(trainer) == expected


@pytest.mark.parametrize("epoch", [1, 2, 3])
def test_resuming_at_any_epoch_changes_nothing(uninterrupted, tmp_path, epoch):
    folder, variant, expected = uninterrupted
    (path,) = (folder / "epochs").glob(f"epoch-{epoch:04d}-*")
    trainer = everything([Checkpoint(resume=path, folder=tmp_path)], **variant())
    trainer.fit()
    assert everything_of(trainer) == expected


@pytest.mark.parametrize("num_workers", [1, 2])
def test_the_number_of_workers_may_change_at_a_resume(uninterrupted, tmp_path, num_workers):
    folder, variant, expected = uninterrupted
    (path,) = (folder / "steps").glob("*-step-00000006")
    resume = Checkpoint(resume=path, folder=tmp_path)
    trainer = everything([resume], num_workers=num_workers, **variant())
    trainer.fit()
    assert everything_of(trainer) == expected


def test_resuming_puts_the_generators_back(uninterrupted, tmp_path):
    folder, variant, _ = uninterrupted
    (path,) = (folder / "steps").glob("*-step-00000006")
    found = {}

    class Look(Callback):
        def on_loop_begin(self, *, state, **kwargs):
            found.update(plain(state.state_dict()["random"]))

    everything([Checkpoint(resume=path, folder=tmp_path), Look()], **variant()).fit()
    assert found == plain(store.read_checkpoint(path)["random"])


class StopAt(Callback):
    def __init__(self, step):
        self.step = step

    def on_step_end(self, *, progress, **kwargs):
        if progress.num_steps_done == self.step:
            raise KeyboardInterrupt


def test_a_run_that_was_interrupted_again_and_again_ends_the_same(tmp_path):
    whole = everything([Checkpoint(by="step", folder=tmp_path / "whole")])
    whole.fit()
    for step in (2, 3, 7, 12):
        resume = Checkpoint(by="step", resume="auto", folder=tmp_path / "parts")
        with pytest.raises(KeyboardInterrupt):
            everything([resume, StopAt(step)]).fit()
    last = everything([Checkpoint(by="step", resume="auto", folder=tmp_path / "parts")])
    last.fit()
    assert everything_of(last) == everything_of(whole)


def test_work_after_the_last_checkpoint_is_done_again(tmp_path):
    whole = everything([Checkpoint(folder=tmp_path / "whole")])
    whole.fit()
    with pytest.raises(KeyboardInterrupt):
        everything([Checkpoint(folder=tmp_path / "parts"), StopAt(7)]).fit()
    resumed = everything([Checkpoint(resume="auto", folder=tmp_path / "parts")])
    resumed.fit()
    assert everything_of(resumed) == everything_of(whole)


def train_to_the_end(folder):
    everything([Checkpoint(by="step", keep_last=2, resume="auto", folder=folder)]).fit()


@pytest.mark.slow
def test_a_run_that_is_killed_at_any_instant_ends_the_same(tmp_path):
    whole = everything([Checkpoint(folder=tmp_path / "whole")])
    whole.fit()
    processes = multiprocessing.get_context("forkserver")
    processes.set_forkserver_preload(PRELOADED)
    chance = random.Random(0)
    for _ in range(6):
        child = processes.Process(target=train_to_the_end, args=(tmp_path / "killed",))
        child.start()
        _wait_for_a_checkpoint(tmp_path / "killed", child)
        time.sleep(chance.uniform(0.0, 0.1))
        child.kill()
        child.join()
    resumed = everything([Checkpoint(by="step", resume="auto", folder=tmp_path / "killed")])
    resumed.fit()
    assert everything_of(resumed) == everything_of(whole)


def _wait_for_a_checkpoint(folder, child):
    """Until the child has written something new, or is done."""
    before = set(folder.glob("*"))
    while child.is_alive() and set(folder.glob("*")) <= before:
        time.sleep(0.001)


def test_steps_that_overflowed_stay_skipped_when_resuming(tmp_path):
    def trainer(checkpoint):
        result = everything([checkpoint], batch_processor=BatchProcessor(precision="fp16"))
        result.processor.scaler = torch.amp.GradScaler("cpu", init_scale=2.0**22)
        return result

    whole = trainer(Checkpoint(by="step", keep_last=99, folder=tmp_path / "whole"))
    whole.fit()
    first, second, *_ = sorted((tmp_path / "whole").glob("*"))
    resumed = trainer(Checkpoint(resume=second, folder=tmp_path / "rest"))
    resumed.fit()
    assert whole.progress.num_steps_skipped > 0
    assert everything_of(resumed) == everything_of(whole)
    assert first != second


def test_a_finished_run_is_not_trained_further_by_resuming(tmp_path):
    whole = everything([Checkpoint(folder=tmp_path)])
    whole.fit()
    resumed = everything([Checkpoint(folder=tmp_path, resume="auto")])
    resumed.fit()
    assert everything_of(resumed) == everything_of(whole)


def test_a_run_that_stopped_early_is_not_trained_further_by_resuming(tmp_path):
    def trainer(checkpoint):
        # No loss is 100 better than the one before, so the second epoch ends the run.
        stopping = EarlyStopping("train/loss", patience=1, min_delta=100)
        return make_trainer(num_epochs=5, callbacks=[StatsMonitor(), stopping, checkpoint])

    whole = trainer(Checkpoint(folder=tmp_path))
    whole.fit()
    resumed = trainer(Checkpoint(folder=tmp_path, resume="auto"))
    resumed.fit()
    assert whole.progress.num_epochs_done == 2
    assert resumed.progress.num_epochs_done == 2


def test_a_finished_run_can_be_made_longer(tmp_path):
    def trainer(num_epochs, checkpoint):
        return make_trainer(num_epochs=num_epochs, noise=0.1, dropout=0.5, callbacks=[checkpoint])

    whole = trainer(3, Checkpoint(folder=tmp_path / "whole"))
    whole.fit()
    trainer(1, Checkpoint(folder=tmp_path / "parts")).fit()
    longer = trainer(3, Checkpoint(folder=tmp_path / "parts", resume="auto"))
    longer.fit()
    assert everything_of(longer) == everything_of(whole)


def test_a_run_by_steps_that_ended_inside_an_epoch_can_be_made_longer(tmp_path):
    def trainer(num_steps, checkpoint):
        return make_trainer(num_steps=num_steps, noise=0.1, dropout=0.5, callbacks=[checkpoint])

    whole = trainer(10, Checkpoint(folder=tmp_path / "whole"))
    whole.fit()
    trainer(6, Checkpoint(folder=tmp_path / "parts")).fit()
    longer = trainer(10, Checkpoint(folder=tmp_path / "parts", resume="auto"))
    longer.fit()
    assert everything_of(longer) == everything_of(whole)


@pytest.fixture
def saved(tmp_path):
    """A checkpoint after one epoch of a small run, with two callbacks that have a state."""
    callbacks = [StatsMonitor(), MetricUpdater([Accuracy()]), Checkpoint(folder=tmp_path)]
    make_trainer(callbacks=callbacks, num_epochs=1).fit()
    return store.newest_checkpoint(tmp_path).path


def resuming(path, *, before=(), **kwargs):
    callbacks = [StatsMonitor(), MetricUpdater([Accuracy()]), *before]
    checkpoint = Checkpoint(resume=path, folder=path.parent)
    return make_trainer(callbacks=[*callbacks, checkpoint], **kwargs)


def test_resuming_with_the_same_parts_is_accepted(saved):
    trainer = resuming(saved)
    trainer.fit()
    assert trainer.progress.num_epochs_done == 2


def test_resuming_with_another_seed_is_refused(saved):
    with pytest.raises(ValueError, match=r"with seed 0, this one has seed 1: the order of the sam"):
        resuming(saved, seed=1).fit()


def test_resuming_without_a_callback_that_had_state_is_refused(saved):
    trainer = make_trainer(
        callbacks=[StatsMonitor(), Checkpoint(resume=saved, folder=saved.parent)]
    )
    with pytest.raises(ValueError, match=r"2\.MetricUpdater.*this run has"):
        trainer.fit()


def test_resuming_with_callbacks_in_another_order_is_refused(saved):
    callbacks = [MetricUpdater([Accuracy()]), StatsMonitor()]
    checkpoint = Checkpoint(resume=saved, folder=saved.parent)
    with pytest.raises(ValueError, match="resume with the callbacks it was saved with"):
        make_trainer(callbacks=[*callbacks, checkpoint]).fit()


def test_resuming_with_one_more_callback_that_has_state_is_refused(saved):
    # Its state would be that of a beginning: this average, say, of weights never trained.
    with pytest.raises(ValueError, match="ExponentialMovingAverage"):
        resuming(saved, before=[ExponentialMovingAverage()]).fit()


def test_resuming_with_one_more_callback_without_state_is_accepted(saved):
    trainer = resuming(saved, before=[GradClip(max_norm=1.0)])
    trainer.fit()
    assert trainer.progress.num_epochs_done == 2


def test_resuming_with_other_metrics_is_refused(saved):
    checkpoint = Checkpoint(resume=saved, folder=saved.parent)
    callbacks = [StatsMonitor(), MetricUpdater([Accuracy(name="hits")]), checkpoint]
    with pytest.raises(ValueError, match=r"cannot resume from .*: .*metric.*'hits'"):
        make_trainer(callbacks=callbacks).fit()


class WiderModel(TinyModel):
    def __init__(self):
        super().__init__()
        self.head = nn.Linear(8, 3)


class DeeperModel(TinyModel):
    def __init__(self):
        super().__init__()
        self.neck = nn.Linear(8, 8)


@pytest.mark.parametrize(
    ("model", "names"),
    [(WiderModel, "head.weight, head.bias differ"), (DeeperModel, "neck.bias, neck.weight differ")],
)
def test_resuming_with_another_model_is_refused(saved, model, names):
    with pytest.raises(ValueError, match=f"cannot resume from .* another model: {names}"):
        resuming(saved, model=model()).fit()


def test_resuming_with_another_optimizer_is_refused(saved):
    adam = functools.partial(torch.optim.Adam, lr=0.1)
    with pytest.raises(ValueError, match=r"cannot resume from .*(SGD|optimizer)"):
        resuming(saved, optimizer=adam).fit()


def test_a_refused_resume_leaves_the_model_as_it_was(saved):
    trainer = resuming(saved, seed=1)
    before = plain(trainer.model.state_dict())
    with pytest.raises(ValueError, match="seed"):
        trainer.fit()
    assert plain(trainer.model.state_dict()) == before


def test_the_state_of_a_guard_survives(tmp_path):
    guard = NanGuard("skip")
    guard.num_skips = 3
    make_trainer(callbacks=[guard, Checkpoint(folder=tmp_path)], num_epochs=1).fit()
    resumed = NanGuard("skip")
    make_trainer(
        callbacks=[resumed, Checkpoint(folder=tmp_path, resume="auto")], num_epochs=1
    ).fit()
    assert resumed.num_skips == 3
