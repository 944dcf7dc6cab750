"""Every exported callback survives a two-step run, a save, a load, and a second run."""

import io

import pytest
import torch
from helpers import Points, TinyModel, make_trainer, tiny_graph

import hat.callbacks
import hat.store
from hat.callbacks import Callback
from hat.data import DataLoader
from hat.engine import Predictor
from hat.engine.hooks import HOOK_ARGUMENTS
from hat.metrics import Accuracy

EXPORTED = {
    name: value
    for name in hat.callbacks.__all__
    if isinstance(value := getattr(hat.callbacks, name), type) and issubclass(value, Callback)
}


def quiet_console():
    from rich.console import Console

    return Console(file=io.StringIO())


def drawing(model, folder):
    """What draws predictions, where it may: in a predictor."""
    pictures = hat.callbacks.PredictionPictures(folder / "predictions.png")
    return Predictor(model, DataLoader(Points(), batch_size=10), callbacks=[pictures])


def makers(model, folder):
    """How each callback is made; a new one needs a line here."""
    callbacks = hat.callbacks
    predictor = Predictor(model, DataLoader(Points(), batch_size=10))
    return {
        "Callback": lambda: callbacks.Callback(),
        "Checkpoint": lambda: callbacks.Checkpoint(folder=folder / "checkpoints", by="step"),
        "CsvLog": lambda: callbacks.CsvLog(folder / "scores.csv"),
        "EarlyStopping": lambda: callbacks.EarlyStopping("train/loss"),
        "ExponentialMovingAverage": lambda: callbacks.ExponentialMovingAverage(),
        "FreezeModule": lambda: callbacks.FreezeModule("body", num_epochs=1),
        "GradClip": lambda: callbacks.GradClip(max_norm=1.0),
        "GradientSurgery": lambda: callbacks.GradientSurgery(),
        "LrUpdater": lambda: callbacks.LrUpdater(callbacks.schedules.CosineLr()),
        "MetricUpdater": lambda: callbacks.MetricUpdater([Accuracy()]),
        "NanGuard": lambda: callbacks.NanGuard("skip"),
        "PredictionPictures": lambda: callbacks.Validation(drawing(model, folder)),
        "PredictionWriter": lambda: callbacks.PredictionWriter(folder / "predictions.json"),
        "ProgressBar": lambda: callbacks.ProgressBar(console=quiet_console()),
        "RunLog": lambda: callbacks.RunLog(folder),
        "ScoreCurves": lambda: callbacks.ScoreCurves(folder / "curves.png"),
        "StatsMonitor": lambda: callbacks.StatsMonitor(1),
        "StopTask": lambda: callbacks.StopTask("side", after_steps=1),
        "TaskGradientMonitor": lambda: callbacks.TaskGradientMonitor(1),
        "TensorBoard": lambda: callbacks.TensorBoard(folder / "tensorboard"),
        "Validation": lambda: callbacks.Validation(predictor),
        "WeightedScore": lambda: callbacks.WeightedScore({"train/loss": -1.0}),
    }


#: What is about tasks, and needs a model that has some.
OF_TASKS = {"GradientSurgery", "StopTask", "TaskGradientMonitor"}


def model_for(name):
    return tiny_graph() if name in OF_TASKS else TinyModel()


def two_steps(callback, model):
    """A trainer of two steps with this callback behind one that writes scores."""
    monitor = hat.callbacks.StatsMonitor(1)
    return make_trainer(
        model=model, callbacks=[monitor, callback], batch_size=10, num_epochs=1, nan_guard=False
    )


def through_a_file(state):
    """A state as a checkpoint brings it back: nothing in it may be executed."""
    buffer = io.BytesIO()
    torch.save(state, buffer)
    buffer.seek(0)
    return torch.load(buffer, weights_only=True)


def plain(value):
    if isinstance(value, torch.Tensor):
        return value.tolist()
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return value


def test_there_is_a_maker_for_every_exported_callback(tmp_path):
    assert set(makers(TinyModel(), tmp_path)) == set(EXPORTED)


@pytest.mark.parametrize("name", EXPORTED)
def test_it_runs_for_two_steps(name, tmp_path):
    model = model_for(name)
    trainer = two_steps(makers(model, tmp_path)[name](), model)
    trainer.fit()
    assert trainer.progress.num_steps_done == 2


@pytest.mark.parametrize("name", EXPORTED)
def test_its_state_comes_back_from_a_file(name, tmp_path):
    model = model_for(name)
    make = makers(model, tmp_path)[name]
    callback, loaded = make(), make()
    two_steps(callback, model).fit()
    loaded.load_state_dict(through_a_file(callback.state_dict()))
    assert plain(loaded.state_dict()) == plain(callback.state_dict())


@pytest.mark.parametrize("name", EXPORTED)
def test_it_runs_on_with_a_loaded_state(name, tmp_path):
    model = model_for(name)
    callback = makers(model, tmp_path / "first")[name]()
    loaded = makers(model, tmp_path / "second")[name]()
    two_steps(callback, model).fit()
    loaded.load_state_dict(through_a_file(callback.state_dict()))
    trainer = two_steps(loaded, model)
    trainer.fit()
    assert trainer.progress.num_steps_done == 2


@pytest.mark.parametrize("name", EXPORTED)
def test_it_can_be_fitted_with_twice(name, tmp_path):
    model = model_for(name)
    trainer = two_steps(makers(model, tmp_path)[name](), model)
    trainer.fit()
    trainer.fit()
    assert trainer.progress.num_steps_done == 2


@pytest.mark.parametrize("name", EXPORTED)
def test_it_survives_a_run_without_a_step(name, tmp_path):
    model = model_for(name)
    callbacks = [hat.callbacks.StatsMonitor(1), makers(model, tmp_path)[name]()]
    trainer = make_trainer(model=model, callbacks=callbacks, num_epochs=0, nan_guard=False)
    trainer.fit()
    assert trainer.progress.num_steps_done == 0


@pytest.mark.parametrize("hook", ["on_setup", "on_loop_begin", "on_step_end"])
@pytest.mark.parametrize("name", EXPORTED)
def test_it_closes_when_another_fails(name, hook, tmp_path):
    def fail(self, **kwargs):
        raise RuntimeError("this is the error to see")

    failing = type("Failing", (Callback,), {hook: fail})()
    model = model_for(name)
    callbacks = [hat.callbacks.StatsMonitor(1), failing, makers(model, tmp_path)[name]()]
    trainer = make_trainer(model=model, callbacks=callbacks, num_epochs=1, nan_guard=False)
    with pytest.raises(RuntimeError, match="this is the error to see"):
        trainer.fit()


@pytest.mark.parametrize("name", EXPORTED)
def test_its_state_holds_only_what_can_be_saved_safely(name, tmp_path):
    model = model_for(name)
    callback = makers(model, tmp_path)[name]()
    two_steps(callback, model).fit()
    hat.store.write_checkpoint(tmp_path / "safe", "a", {"x": callback.state_dict()}, {"step": 0})
    saved = hat.store.read_checkpoint(tmp_path / "safe" / "a")
    assert plain(saved["x"]) == plain(callback.state_dict())


@pytest.mark.parametrize("name", EXPORTED)
def test_each_of_its_hooks_has_one_of_the_names_of_the_table(name):
    hooks = {attribute for attribute in dir(EXPORTED[name]) if attribute.startswith("on_")}
    assert hooks == set(HOOK_ARGUMENTS)


@pytest.mark.parametrize("name", EXPORTED)
def test_it_says_what_it_is_for(name):
    assert EXPORTED[name].__doc__
    assert "\n" not in EXPORTED[name].__doc__.partition(".")[0]
