"""A task that is stopped stays as it is while the others are trained on."""

import functools
import logging

import pytest
import torch
from helpers import Points, TinyModel, make_trainer, tiny_graph

from hat.callbacks import Callback, Checkpoint, StopTask, Validation
from hat.data import DataLoader
from hat.engine import Predictor
from hat.engine.processors import MultiTaskBatchProcessor
from hat.models import UncertaintyWeighting

DECAYING = functools.partial(torch.optim.AdamW, lr=0.01, weight_decay=0.1)


class After(Callback):
    """The state of the model after each step, and which tasks are active then."""

    def __init__(self):
        self.states = []
        self.active = []

    def on_step_end(self, *, model, **kwargs):
        self.states.append({name: value.tolist() for name, value in model.state_dict().items()})
        self.active.append(model.active_tasks)

    def moved(self, first, last):
        """The parts of the model in which something differs between two steps."""
        one, other = self.states[first - 1], self.states[last - 1]
        return {name.split(".")[0] for name in one if one[name] != other[name]}


class Written(Callback):
    """Writes the values of a score, one each epoch."""

    def __init__(self, *values, name="val/side/acc"):
        self.values = values
        self.name = name

    def writes(self):
        return [self.name]

    def on_epoch_end(self, *, progress, scores, **kwargs):
        value = self.values[progress.num_epochs_done - 1]
        scores.write(self.name, value, progress.num_steps_done, higher_is_better=True)


def run(*callbacks, model=None, **kwargs):
    """What `After` saw in a run of steps, four to an epoch."""
    torch.manual_seed(0)
    after = After()
    kwargs.setdefault("num_steps", 24)
    trainer = make_trainer(
        model=model or tiny_graph(), callbacks=[*callbacks, after], optimizer=DECAYING, **kwargs
    )
    trainer.fit()
    return after, trainer


def test_its_parameters_statistics_and_momentum_stay_for_twenty_steps():
    after, trainer = run(StopTask("side", after_steps=4))
    assert after.moved(1, 4) == {"body", "side_head", "other_head"}
    assert after.moved(4, 24) == {"body", "other_head"}
    state = trainer.optimizer.state[trainer.model.side_head[1].weight]
    assert state["step"] == 4
    assert state["exp_avg"].abs().sum() > 0


@pytest.mark.parametrize(
    ("when", "step"),
    [(dict(after_steps=6), 6), (dict(after_epochs=2), 8), (dict(after_steps=0), 0)],
)
def test_it_stops_when_it_is_time(when, step):
    after, _ = run(StopTask("side", **when), num_steps=12)
    # At the end of an epoch it stops after the hook in which `After` looks.
    last = step + ("after_epochs" in when)
    assert all("side" in active for active in after.active[: max(last - 1, 0)])
    assert after.active[last:] == [("other",)] * (12 - last)


def test_it_stops_when_its_score_gets_no_better():
    # 2 is best; 1 and 1 are no improvement: after epoch 3, step 12.
    stop = StopTask("side", score="val/side/acc", patience=2)
    after, trainer = run(Written(1, 2, 1, 1, 9), stop, num_epochs=5, num_steps=None)
    assert after.active[15] == ("side", "other")
    assert after.active[16] == ("other",)
    assert trainer.progress.num_epochs_done == 5


def test_it_says_why(caplog):
    with caplog.at_level(logging.INFO, "hat"):
        run(StopTask("side", after_steps=6), num_steps=8)
    assert "task 'side' is trained no more after step 6: 6 steps are done" in caplog.text


def test_validation_still_scores_it():
    model = tiny_graph()
    seen = []

    class Losses(Callback):
        def on_batch_end(self, *, losses, **kwargs):
            seen.append(set(losses))

    predictor = Predictor(model, DataLoader(Points(), batch_size=20), callbacks=[Losses()])
    run(StopTask("side", after_steps=1), Validation(predictor), model=model, num_steps=8)
    assert seen == [{"side/ce", "other/ce"}] * 2
    assert model.active_tasks == ("other",)


def test_its_learned_weight_stays_too():
    model = tiny_graph(balance=UncertaintyWeighting(["side", "other"]))
    after, _ = run(StopTask("side", after_steps=4), model=model)
    first, last = after.states[3], after.states[-1]
    name = "balance.log_variances."
    assert first[f"{name}side"] == last[f"{name}side"]
    assert first[f"{name}other"] != last[f"{name}other"]


def test_several_tasks_stop_one_after_the_other():
    stops = [StopTask("a", after_steps=2), StopTask("c", after_steps=4)]
    after, _ = run(*stops, model=tiny_graph(("a", "b", "c")), num_steps=6)
    assert after.active[1:4] == [("b", "c"), ("b", "c"), ("b",)]


def test_the_run_ends_with_its_last_task():
    stops = [StopTask("side", after_steps=2), StopTask("other", after_steps=5)]
    _, trainer = run(*stops)
    assert trainer.progress.num_steps_done == 5
    assert trainer.progress.stop_reason == "all tasks are stopped"


def test_batches_of_a_stopped_task_alone_are_left_out():
    batch = {"x": torch.rand(4, 2), "label": torch.tensor([0, 1, 1, 0])}
    step = [{**batch, "tasks": (task,)} for task in ("side", "other")]
    _, trainer = run(
        StopTask("side", after_steps=1),
        data_loader=[step],
        batch_processor=MultiTaskBatchProcessor(),
        num_steps=3,
    )
    assert trainer.progress.num_steps_done == 3


def stops_of(kind):
    if kind == "steps":
        return [StopTask("side", after_steps=6)]
    return [Written(1, 2, 1, 1, 1, 1), StopTask("side", score="val/side/acc", patience=2)]


@pytest.mark.parametrize("kind", ["steps", "score"])
@pytest.mark.parametrize("step", [4, 8, 14, 16, 20])
def test_a_resumed_run_stops_as_the_whole_one(tmp_path, kind, step):
    save = Checkpoint(folder=tmp_path, keep_last=99, by="step", every=2)
    whole, _ = run(*stops_of(kind), save)
    (path,) = tmp_path.glob(f"*-step-{step:08d}")
    again = Checkpoint(folder=tmp_path / "rest", resume=path)
    rest, trainer = run(*stops_of(kind), again)
    assert rest.states == whole.states[step:]
    assert rest.active == whole.active[step:]
    assert trainer.model.active_tasks == ("other",)


def test_a_run_that_ended_with_its_last_task_is_not_trained_on(tmp_path):
    def stops():
        return [StopTask("side", after_steps=2), StopTask("other", after_steps=5)]

    run(*stops(), Checkpoint(folder=tmp_path))
    after, trainer = run(*stops(), Checkpoint(folder=tmp_path, resume="auto"))
    assert after.states == []
    assert trainer.progress.num_steps_done == 5


def test_an_unknown_task_is_refused_with_the_nearest_name():
    with pytest.raises(ValueError, match=r"no task 'sid'; it has side, other. Did you mean 'side'"):
        run(StopTask("sid", after_steps=1))


def test_a_model_without_tasks_is_refused():
    with pytest.raises(ValueError, match="the model is a TinyModel"):
        make_trainer(model=TinyModel(), callbacks=[StopTask("side", after_steps=1)])


def test_a_score_that_is_written_behind_it_is_refused():
    with pytest.raises(ValueError, match="list Written before StopTask"):
        run(StopTask("side", score="val/side/acc"), Written(1))


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({}, "one of after_steps, after_epochs and score, got after_steps=None"),
        ({"after_steps": 1, "after_epochs": 1}, "after_steps=1, after_epochs=1"),
        ({"after_steps": -1}, "0 or more, got -1"),
        ({"score": "a", "patience": 0}, "patience >= 1"),
        ({"score": "a", "mode": "high"}, "got 'high'"),
    ],
)
def test_senseless_settings_are_refused(kwargs, message):
    with pytest.raises(ValueError, match=message):
        StopTask("side", **kwargs)
