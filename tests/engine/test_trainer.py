"""What a trainer sets up before the loop."""

import functools
import gc
import logging
import weakref

import pytest
import torch
from helpers import Recorder, TinyModel, make_trainer
from torch import nn

from hat.callbacks import Checkpoint, NanGuard, RunLog, StatsMonitor
from hat.engine import Trainer
from hat.models import Classifier, ConvNet, LinearHead


def picture_batch():
    generator = torch.Generator().manual_seed(3)
    img = torch.rand(4, 3, 8, 8, generator=generator)
    return {"img": img, "label": torch.tensor([0, 1, 0, 1])}


def picture_trainer(**kwargs):
    torch.manual_seed(0)
    model = Classifier(ConvNet([4], depth=1), LinearHead(4, 2))
    return make_trainer(model=model, data_loader=[picture_batch()] * 3, **kwargs)


def types(trainer):
    return [type(callback) for callback in trainer.callbacks]


def test_a_guard_is_put_in_front():
    assert types(make_trainer(callbacks=[StatsMonitor()])) == [NanGuard, StatsMonitor]


def test_a_guard_that_is_listed_is_not_doubled():
    trainer = make_trainer(callbacks=[StatsMonitor(), NanGuard()])
    assert types(trainer) == [StatsMonitor, NanGuard]


def test_no_guard_is_added_where_none_is_wanted():
    assert types(make_trainer(nan_guard=False)) == []


def test_a_log_is_put_before_the_first_checkpoint_of_a_run_with_a_folder(tmp_path):
    trainer = make_trainer(callbacks=[StatsMonitor(), Checkpoint()], run_dir=tmp_path)
    assert types(trainer) == [NanGuard, StatsMonitor, RunLog, Checkpoint]


def test_a_log_comes_last_without_a_checkpoint(tmp_path):
    trainer = make_trainer(callbacks=[StatsMonitor()], run_dir=tmp_path)
    assert types(trainer) == [NanGuard, StatsMonitor, RunLog]


def test_the_given_list_of_callbacks_is_not_changed(tmp_path):
    callbacks = [StatsMonitor()]
    make_trainer(callbacks=callbacks, run_dir=tmp_path)
    assert types(make_trainer(callbacks=callbacks, nan_guard=False)) == [StatsMonitor]


def test_the_order_of_callbacks_is_logged(caplog):
    trainer = make_trainer(callbacks=[StatsMonitor()], num_epochs=0)
    with caplog.at_level(logging.INFO, "hat"):
        trainer.fit()
    assert "callbacks, in order: NanGuard, StatsMonitor" in caplog.text


def test_an_optimizer_that_is_built_already_is_used():
    model = TinyModel()
    optimizer = torch.optim.Adam(model.parameters())
    assert make_trainer(model=model, optimizer=optimizer).optimizer is optimizer


def test_param_groups_for_an_optimizer_that_is_built_already_are_refused():
    model = TinyModel()
    optimizer = torch.optim.Adam(model.parameters())
    with pytest.raises(ValueError, match="no effect on an optimizer that is already built"):
        make_trainer(model=model, optimizer=optimizer, param_groups=[dict(match="bias", lr=1)])


def test_param_groups_reach_the_optimizer():
    trainer = make_trainer(param_groups=[dict(match="bias", weight_decay=0.0, lr=0.5)])
    assert [group["lr"] for group in trainer.optimizer.param_groups] == [0.1, 0.5]


def test_fit_puts_the_model_in_training_mode():
    model = TinyModel().eval()
    make_trainer(model=model, num_epochs=1).fit()
    assert model.training


def test_fit_returns_the_scores_of_the_run():
    scores = make_trainer(callbacks=[StatsMonitor(2)], num_epochs=1).fit()
    assert scores.last("train/loss").step == 4


def test_a_trainer_needs_no_callbacks():
    trainer = make_trainer(nan_guard=False, num_epochs=1)
    assert list(trainer.fit()) == []
    assert trainer.progress.num_steps_done == 4


def test_the_seed_reaches_the_data():
    assert make_trainer(seed=5).data_loader.seed == 5


def test_channels_last_changes_layouts_and_not_the_result():
    plain, changed = picture_trainer(), picture_trainer(channels_last=True)
    plain.fit()
    changed.fit()
    weight = changed.model.backbone.stages[0][0].weight
    assert weight.is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(weight, plain.model.backbone.stages[0][0].weight)


def test_a_compiled_model_learns_what_an_eager_one_does(monkeypatch):
    # Traced and differentiated as always; only the kernels are not written by a C++ compiler.
    compile_quickly = functools.partialmethod(nn.Module.compile, backend="aot_eager")
    monkeypatch.setattr(nn.Module, "compile", compile_quickly)
    plain, compiled = make_trainer(), make_trainer(compile=True)
    plain.fit()
    compiled.fit()
    assert compiled.model._compiled_call_impl is not None
    for expected, weight in zip(plain.model.parameters(), compiled.model.parameters(), strict=True):
        torch.testing.assert_close(weight, expected)


def test_compiling_keeps_the_names_of_the_weights():
    trainer = make_trainer(compile=True, num_epochs=0)
    assert trainer.model.state_dict().keys() == TinyModel().state_dict().keys()


def test_every_class_works_without_a_config():
    model = nn.Sequential()
    batches = [{"x": torch.ones(1)}]
    optimizer = functools.partial(torch.optim.SGD, lr=0.1)
    with pytest.raises(ValueError, match="empty parameter list"):
        Trainer(model, batches, optimizer, num_epochs=1)


def test_two_trainers_do_not_share_their_progress():
    first, second = make_trainer(num_epochs=1), make_trainer(num_epochs=1)
    first.fit()
    assert second.progress.num_steps_done == 0


def test_recorders_may_stand_anywhere():
    recorder = Recorder()
    make_trainer(callbacks=[recorder, StatsMonitor()], num_epochs=1).fit()
    assert recorder.seen[-1] == "on_close"


def test_a_trainer_and_its_loader_are_freed_without_the_garbage_collector():
    # Torch waits five seconds for each worker of a loader that is freed as part of a cycle.
    trainer = make_trainer(num_epochs=1)
    trainer.fit()
    loader = weakref.ref(trainer.data_loader)
    gc.disable()
    del trainer
    is_freed = loader() is None
    gc.enable()
    assert is_freed
