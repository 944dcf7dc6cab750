"""Frozen modules stay as they are."""

import functools

import pytest
import torch
from helpers import Points, TinyModel, make_trainer, tiny_graph
from torch import nn

from hat.callbacks import Callback, Checkpoint, FreezeModule, Validation
from hat.data import DataLoader
from hat.engine import Predictor


class NormedModel(TinyModel):
    def __init__(self):
        super().__init__()
        torch.manual_seed(1)
        self.body = nn.Sequential(nn.Linear(2, 8), nn.BatchNorm1d(8), nn.ReLU())
        self.neck = nn.Linear(8, 8)

    def forward(self, batch):
        return super().forward({**batch, "x": batch["x"]})


class AfterEpochs(Callback):
    """The weights and buffers of a module after each epoch."""

    def __init__(self, name="body"):
        self.name = name
        self.states = []
        self.modes = []

    def on_epoch_begin(self, *, model, **kwargs):
        module = model.get_submodule(self.name)
        self.modes.append([m.training for m in module.modules()])
        if not self.states:
            self._note(module)

    def on_epoch_end(self, *, model, **kwargs):
        self._note(model.get_submodule(self.name))

    def _note(self, module):
        self.states.append({name: value.tolist() for name, value in module.state_dict().items()})


DECAYING = functools.partial(torch.optim.SGD, lr=0.1, momentum=0.9, weight_decay=0.1)


def run(*callbacks, **kwargs):
    """The states of `body` at the beginning and after each epoch."""
    after = AfterEpochs()
    kwargs.setdefault("num_epochs", 3)
    trainer = make_trainer(
        model=NormedModel(), callbacks=[*callbacks, after], optimizer=DECAYING, **kwargs
    )
    trainer.fit()
    return after


def test_weights_and_running_statistics_stay_also_under_weight_decay():
    states = run(FreezeModule("body")).states
    assert states[1:] == states[:1] * 3


def test_what_is_not_frozen_is_trained():
    trainer = make_trainer(model=NormedModel(), callbacks=[FreezeModule("body")])
    before = trainer.model.head.weight.tolist()
    trainer.fit()
    assert trainer.model.head.weight.tolist() != before


def test_a_frozen_module_is_in_evaluation_mode():
    assert run(FreezeModule("body")).modes == [[False] * 4] * 3


def test_a_module_is_trained_again_after_its_epochs():
    after = run(FreezeModule("body", num_epochs=2))
    assert after.states[0] == after.states[1] == after.states[2]
    assert after.states[2] != after.states[3]
    assert after.modes == [[False] * 4, [False] * 4, [True] * 4]


def test_unfreezing_moves_weights_and_statistics():
    after = run(FreezeModule("body", num_epochs=2))
    changed = {name for name in after.states[0] if after.states[2][name] != after.states[3][name]}
    assert changed == set(after.states[0])


def test_patterns_freeze_what_they_match():
    trainer = make_trainer(model=NormedModel(), callbacks=[FreezeModule(["body.0", "he*"])])
    trainer.fit()
    frozen = {n for n, p in trainer.model.named_parameters() if not p.requires_grad}
    assert frozen == {"body.0.weight", "body.0.bias", "head.weight", "head.bias"}


def test_a_pattern_that_matches_nothing_is_refused_with_the_nearest_name():
    with pytest.raises(ValueError, match=r"'boddy' matches none .* Did you mean 'body'"):
        make_trainer(callbacks=[FreezeModule("boddy")])


def test_freezing_survives_validation():
    torch.manual_seed(0)
    model = NormedModel()
    predictor = Predictor(model, DataLoader(Points(), batch_size=10))
    after = AfterEpochs()
    callbacks = [FreezeModule("body"), Validation(predictor, by="step"), after]
    make_trainer(model=model, callbacks=callbacks, optimizer=DECAYING).fit()
    assert after.states[1:] == after.states[:1] * 2
    assert after.modes == [[False] * 4] * 2


@pytest.mark.parametrize("epoch", [1, 2])
def test_a_resumed_run_freezes_and_unfreezes_as_the_whole_one(tmp_path, epoch):
    whole = run(FreezeModule("body", 2), Checkpoint(folder=tmp_path, keep_last=9))
    (path,) = tmp_path.glob(f"epoch-000{epoch}-*")
    rest = run(FreezeModule("body", 2), Checkpoint(resume=path, folder=tmp_path / "rest"))
    assert rest.states == whole.states[epoch:]
    assert rest.modes == whole.modes[epoch:]


def test_a_parameter_that_was_frozen_by_hand_stays_frozen():
    model = NormedModel()
    model.body[0].bias.requires_grad_(False)
    trainer = make_trainer(model=model, callbacks=[FreezeModule("body", 1)], num_epochs=2)
    trainer.fit()
    assert not model.body[0].bias.requires_grad
    assert model.body[0].weight.requires_grad


def test_a_parameter_that_was_frozen_by_hand_stays_frozen_over_two_fits():
    class StopAfterEpoch(Callback):
        def on_epoch_end(self, *, progress, **kwargs):
            progress.stop("one epoch at a time")

    model = NormedModel()
    model.body[0].bias.requires_grad_(False)
    callbacks = [FreezeModule("body", 2), StopAfterEpoch()]
    trainer = make_trainer(model=model, callbacks=callbacks, num_epochs=3)
    trainer.fit()
    trainer.fit()
    trainer.fit()
    assert not model.body[0].bias.requires_grad
    assert model.body[0].weight.requires_grad


@pytest.mark.parametrize("order", [1, -1])
def test_of_two_that_freeze_one_module_the_longer_counts(order):
    # Gradual unfreezing: everything for one epoch, the first layers for good.
    freezers = [FreezeModule("body", num_epochs=1), FreezeModule("body.1")][::order]
    after = run(*freezers)
    norm = [[s for n, s in state.items() if n.startswith("1.")] for state in after.states]
    assert norm[1:] == norm[:1] * 3


def test_freezing_for_no_epoch_freezes_nothing():
    after = run(FreezeModule("body", num_epochs=0), num_epochs=1)
    assert after.states[1] != after.states[0]


def test_freezing_for_less_than_no_epoch_is_refused():
    with pytest.raises(ValueError, match="num_epochs"):
        FreezeModule("body", num_epochs=-1)


# --- tasks on shared nodes


def frozen_for_twenty_steps(callback):
    """The parts of a model of two tasks that move, with the momentum of a run before."""
    torch.manual_seed(0)
    model = tiny_graph()
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01, weight_decay=0.1)
    make_trainer(model=model, optimizer=optimizer).fit()
    assert all(optimizer.state[p]["exp_avg"].abs().sum() > 0 for p in model.parameters())
    before = {name: value.tolist() for name, value in model.state_dict().items()}
    make_trainer(model=model, optimizer=optimizer, callbacks=[callback], num_steps=20).fit()
    after = {name: value.tolist() for name, value in model.state_dict().items()}
    return {name.split(".")[0] for name in before if before[name] != after[name]}


@pytest.mark.parametrize(
    ("what", "moved"),
    [
        (dict(tasks="side"), {"body", "other_head"}),
        (dict(tasks=["other"]), {"body", "side_head"}),
        (dict(shared=True), {"side_head", "other_head"}),
        (dict(modules="body"), {"side_head", "other_head"}),
        (dict(shared=True, tasks="side"), {"other_head"}),
        (dict(modules="other*", tasks="side"), {"body"}),
    ],
)
def test_a_frozen_task_and_trunk_stay_for_twenty_steps_with_momentum(what, moved):
    assert frozen_for_twenty_steps(FreezeModule(**what)) == moved


def test_what_a_task_shares_is_frozen_with_all_that_share_it():
    torch.manual_seed(0)
    model = tiny_graph()
    make_trainer(model=model, callbacks=[FreezeModule(tasks="side")]).fit()
    assert model.body[0].weight.requires_grad
    freeze = FreezeModule(tasks=["side", "other"])
    freeze.check(model=model)
    freeze._set_frozen(True)
    assert not any(parameter.requires_grad for parameter in model.parameters())


def test_a_task_is_trained_again_after_its_epochs():
    model = tiny_graph()
    after = AfterEpochs("side_head")
    callbacks = [FreezeModule(tasks="side", num_epochs=1), after]
    make_trainer(model=model, callbacks=callbacks, optimizer=DECAYING).fit()
    assert after.states[0] == after.states[1]
    assert set(after.states[1]) == {
        n for n in after.states[1] if after.states[1] != after.states[2]
    }
    assert after.modes == [[False] * 3, [True] * 3]


def test_an_unknown_task_is_refused_with_the_nearest_name():
    with pytest.raises(ValueError, match=r"no task 'sidee'.* Did you mean 'side'"):
        make_trainer(model=tiny_graph(), callbacks=[FreezeModule(tasks="sidee")])


@pytest.mark.parametrize("what", [dict(tasks="side"), dict(shared=True)])
def test_a_model_without_a_graph_has_no_tasks(what):
    with pytest.raises(ValueError, match="the model is a NormedModel"):
        make_trainer(model=NormedModel(), callbacks=[FreezeModule(**what)])


def test_a_model_that_shares_nothing_is_refused():
    with pytest.raises(ValueError, match="no two outputs of the model share a node"):
        make_trainer(model=tiny_graph(("side",)), callbacks=[FreezeModule(shared=True)])


def test_freezing_nothing_is_refused():
    with pytest.raises(ValueError, match="FreezeModule freezes nothing"):
        FreezeModule()
