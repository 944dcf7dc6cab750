"""The order of hooks, and what each is called with."""

import pytest
import torch
from helpers import Points, Recorder, TinyModel, make_trainer

from hat.callbacks import Callback, Checkpoint, EarlyStopping, StatsMonitor, Validation
from hat.data import DataLoader
from hat.engine import Predictor
from hat.engine.hooks import HOOK_ARGUMENTS

ALWAYS = {"model", "optimizer", "data_loader", "progress", "plan", "scores", "state", "run_dir"}
BATCH = ["on_batch_begin", "on_backward_begin", "on_backward_end", "on_batch_end"]
STEP = ["on_step_begin", *BATCH, "on_optimizer_step_begin", "on_step_end"]


def failing(hook, error=RuntimeError):
    """A recorder that fails in one hook."""

    def fail(self, **kwargs):
        self.seen.append(hook)
        raise error(f"failed in {hook}")

    return type("Failing", (Recorder,), {hook: fail})()


def test_one_step_fires_every_hook_in_the_order_of_the_table():
    recorder = Recorder()
    make_trainer(callbacks=[recorder], batch_size=20, num_epochs=1).fit()
    assert recorder.seen == list(HOOK_ARGUMENTS)


def test_base_class_lists_the_hooks_of_the_table_in_its_order():
    assert [name for name in vars(Callback) if name.startswith("on_")] == list(HOOK_ARGUMENTS)


def test_two_epochs_fire_hooks_in_the_documented_order():
    recorder = Recorder()
    make_trainer(callbacks=[recorder], batch_size=10, num_epochs=2).fit()
    epoch = ["on_epoch_begin", *STEP, *STEP, "on_epoch_end"]
    begin, end = ["on_setup", "on_loop_begin"], ["on_loop_end", "on_close"]
    assert recorder.seen == [*begin, *epoch, *epoch, *end]


def test_accumulation_repeats_the_batch_hooks_inside_a_step():
    recorder = Recorder()
    make_trainer(callbacks=[recorder], batch_size=20, batches_per_step=3, num_epochs=1).fit()
    step = ["on_step_begin", *BATCH, *BATCH, *BATCH, "on_optimizer_step_begin", "on_step_end"]
    begin = ["on_setup", "on_loop_begin", "on_epoch_begin"]
    assert recorder.seen == [*begin, *step, "on_epoch_end", "on_loop_end", "on_close"]


def test_predictor_fires_no_hook_around_backward_or_optimizer():
    recorder = Recorder()
    Predictor(TinyModel(), DataLoader(Points(), batch_size=10), callbacks=[recorder]).fit()
    step = ["on_step_begin", "on_batch_begin", "on_batch_end", "on_step_end"]
    begin = ["on_setup", "on_loop_begin", "on_epoch_begin"]
    assert recorder.seen == [*begin, *step, *step, "on_epoch_end", "on_loop_end", "on_close"]


def test_no_epoch_fires_only_the_hooks_of_the_loop():
    recorder = Recorder()
    make_trainer(callbacks=[recorder], num_epochs=0).fit()
    assert recorder.seen == ["on_setup", "on_loop_begin", "on_loop_end", "on_close"]


def test_callbacks_are_called_in_list_order():
    calls = []

    class Named(Callback):
        def __init__(self, name):
            self.name = name

        def on_step_end(self, **kwargs):
            calls.append(self.name)

    make_trainer(callbacks=[Named("a"), Named("b")], batch_size=20, num_epochs=1).fit()
    assert calls == ["a", "b"]


@pytest.mark.parametrize("hook", [hook for hook in HOOK_ARGUMENTS if hook != "on_close"])
def test_every_callback_is_closed_when_one_fails(hook):
    first, second = Recorder(), Recorder()
    trainer = make_trainer(callbacks=[first, failing(hook), second], num_epochs=1)
    with pytest.raises(RuntimeError, match=f"failed in {hook}"):
        trainer.fit()
    assert [first.seen[-1:], second.seen[-1:]] == [["on_close"], ["on_close"]]


def test_loop_end_does_not_fire_when_training_failed():
    recorder = Recorder()
    trainer = make_trainer(callbacks=[recorder, failing("on_step_end")])
    with pytest.raises(RuntimeError):
        trainer.fit()
    assert "on_loop_end" not in recorder.seen


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, RuntimeError])
def test_callbacks_are_closed_with_the_error_that_ended_the_run(error):
    errors = []

    class Closer(Callback):
        def on_close(self, *, error, **kwargs):
            errors.append(type(error))

    trainer = make_trainer(callbacks=[Closer(), failing("on_batch_begin", error)])
    with pytest.raises(error):
        trainer.fit()
    assert errors == [error]


def test_a_run_that_ends_well_is_closed_without_an_error():
    errors = []

    class Closer(Callback):
        def on_close(self, *, error, **kwargs):
            errors.append(error)

    make_trainer(callbacks=[Closer()], num_epochs=1).fit()
    assert errors == [None]


def test_a_callback_that_cannot_close_does_not_keep_others_from_closing():
    first, last = Recorder(), Recorder()
    trainer = make_trainer(callbacks=[first, failing("on_close"), last], num_epochs=1)
    with pytest.raises(RuntimeError, match="failed in on_close"):
        trainer.fit()
    assert [first.seen[-1], last.seen[-1]] == ["on_close", "on_close"]


def test_the_error_of_training_is_not_hidden_by_one_of_closing():
    trainer = make_trainer(callbacks=[failing("on_close"), failing("on_step_end", ValueError)])
    with pytest.raises(ValueError, match="failed in on_step_end"):
        trainer.fit()


def _checking(hook):
    def check(self, **kwargs):
        self.names[hook] = set(kwargs)

    return check


class NameChecker(Callback):
    def __init__(self):
        self.names = {}


for _hook in HOOK_ARGUMENTS:
    setattr(NameChecker, _hook, _checking(_hook))


def test_each_hook_gets_exactly_the_names_of_the_table():
    checker = NameChecker()
    make_trainer(callbacks=[checker], num_epochs=1).fit()
    assert checker.names == {hook: set(names) for hook, names in HOOK_ARGUMENTS.items()}


def test_hooks_of_a_predictor_get_the_names_of_the_table():
    checker = NameChecker()
    Predictor(TinyModel(), DataLoader(Points(), batch_size=10), callbacks=[checker]).fit()
    assert checker.names == {hook: set(HOOK_ARGUMENTS[hook]) for hook in checker.names}


@pytest.mark.parametrize(
    ("hook", "names"),
    [
        ("on_setup", set()),
        ("on_step_begin", {"data_wait_s"}),
        ("on_batch_begin", {"batch"}),
        ("on_backward_begin", {"batch", "losses", "loss"}),
        ("on_backward_end", {"batch", "losses", "loss"}),
        ("on_batch_end", {"batch", "losses", "loss", "preds"}),
        ("on_optimizer_step_begin", {"batches", "outcome"}),
        ("on_step_end", {"batches", "outcome"}),
        ("on_epoch_end", set()),
        ("on_close", {"error"}),
    ],
)
def test_table_lists_the_common_names_and_those_of_the_hook(hook, names):
    assert set(HOOK_ARGUMENTS[hook]) == ALWAYS | names


def test_gradients_are_there_in_optimizer_step_begin_and_weights_are_old():
    seen = {}

    class Look(Callback):
        def on_optimizer_step_begin(self, *, model, **kwargs):
            seen["weight"] = model.head.weight.detach().clone()
            seen["has_grad"] = model.head.weight.grad is not None

    trainer = make_trainer(callbacks=[Look()], batch_size=20, num_epochs=1)
    before = trainer.model.head.weight.detach().clone()
    trainer.fit()
    assert seen["has_grad"]
    assert torch.equal(seen["weight"], before)


def test_progress_counts_the_step_before_its_end_hook():
    counts = []

    class Look(Callback):
        def on_step_begin(self, *, progress, **kwargs):
            counts.append(progress.num_steps_done)

        def on_step_end(self, *, progress, **kwargs):
            counts.append(progress.num_steps_done)

        def on_epoch_end(self, *, progress, **kwargs):
            counts.append((progress.num_epochs_done, progress.is_between_epochs))

    make_trainer(callbacks=[Look()], batch_size=10, num_epochs=1).fit()
    assert counts == [0, 1, 1, 2, (1, True)]


def test_a_misspelt_hook_is_refused_with_the_nearest_name():
    class Misspelt(Callback):
        def on_step_ended(self, **kwargs):
            pass

    with pytest.raises(TypeError, match=r"Misspelt\.on_step_ended .* Did you mean 'on_step_end'"):
        make_trainer(callbacks=[Misspelt()])


def test_an_unknown_name_is_refused_with_the_nearest_name():
    class Asks(Callback):
        def on_step_end(self, *, progres, **kwargs):
            pass

    with pytest.raises(TypeError, match=r"Asks\.on_step_end asks for 'progres'.*'progress'"):
        make_trainer(callbacks=[Asks()])


def test_a_name_of_another_hook_is_refused():
    class Asks(Callback):
        def on_step_end(self, *, preds, **kwargs):
            pass

    with pytest.raises(TypeError, match="asks for 'preds', which is not passed there"):
        make_trainer(callbacks=[Asks()])


def test_a_hook_without_kwargs_is_refused():
    class Short(Callback):
        def on_step_end(self, *, progress):
            pass

    with pytest.raises(TypeError, match=r"Short\.on_step_end must end with \*\*kwargs"):
        make_trainer(callbacks=[Short()])


def test_a_positional_only_name_is_refused():
    class Positional(Callback):
        def on_step_end(self, progress, /, **kwargs):
            pass

    with pytest.raises(TypeError, match="'progress' must be takeable by name"):
        make_trainer(callbacks=[Positional()])


def test_hooks_may_name_what_they_use_without_a_star():
    class Plain(Callback):
        def on_step_end(self, progress, scores, **kwargs):
            self.num_steps_done = progress.num_steps_done

    plain = Plain()
    make_trainer(callbacks=[plain], num_epochs=1).fit()
    assert plain.num_steps_done == 4


def test_hooks_of_a_base_class_are_called():
    class Child(Recorder):
        pass

    child = Child()
    make_trainer(callbacks=[child], batch_size=20, num_epochs=1).fit()
    assert child.seen == list(HOOK_ARGUMENTS)


def test_an_object_that_is_no_callback_is_refused_by_trainer():
    with pytest.raises(TypeError, match=r"callbacks\[1\] is no Callback"):
        make_trainer(callbacks=[Recorder(), object()])


def test_a_class_in_place_of_a_callback_is_refused_by_trainer():
    with pytest.raises(TypeError, match=r"callbacks\[0\] is no Callback"):
        make_trainer(callbacks=[StatsMonitor])


def test_an_object_that_is_no_callback_is_refused_by_predictor():
    with pytest.raises(TypeError, match="is no Callback"):
        Predictor(TinyModel(), DataLoader(Points(), batch_size=10), callbacks=[object()])


def test_a_score_read_before_it_is_written_is_refused():
    with pytest.raises(ValueError, match="list StatsMonitor before EarlyStopping"):
        make_trainer(callbacks=[EarlyStopping("train/loss"), StatsMonitor()])


def test_a_score_read_after_it_is_written_is_accepted():
    trainer = make_trainer(callbacks=[StatsMonitor(), EarlyStopping("train/loss")])
    assert len(trainer.callbacks) == 3  # with the guard


def test_a_score_that_nobody_writes_is_refused():
    with pytest.raises(ValueError, match=r"callbacks\[0\] Checkpoint reads .*'val/acc'.*no callb"):
        make_trainer(callbacks=[Checkpoint(best="val/acc")])


def test_a_misspelt_score_is_refused_with_the_nearest_name():
    model = TinyModel()
    predictor = Predictor(model, DataLoader(Points(), batch_size=10))
    with pytest.raises(ValueError, match="Did you mean 'val/loss'"):
        make_trainer(model=model, callbacks=[Validation(predictor), EarlyStopping("val/los")])


def test_a_callback_with_state_behind_checkpoint_is_refused(tmp_path):
    with pytest.raises(ValueError, match="list Checkpoint after StatsMonitor"):
        make_trainer(callbacks=[Checkpoint(folder=tmp_path), StatsMonitor()])


def test_a_callback_without_state_behind_checkpoint_is_accepted(tmp_path):
    trainer = make_trainer(callbacks=[Checkpoint(folder=tmp_path), Recorder()], num_epochs=1)
    assert trainer.fit() is trainer.scores
