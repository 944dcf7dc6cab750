"""When a run ends, and what it can iterate over."""

import logging

import pytest
import torch
from helpers import Points, Recorder, TinyModel, make_trainer

from hat.callbacks import Callback, Checkpoint
from hat.engine import Predictor


class StopAfter(Callback):
    def __init__(self, num_steps):
        self.num_steps = num_steps

    def on_step_end(self, *, progress, **kwargs):
        if progress.num_steps_done == self.num_steps:
            progress.stop("enough")


class EndlessRun(Callback):
    """Turns a run that would never end into an error."""

    def __init__(self, max_epochs=20):
        self.max_epochs = max_epochs

    def on_epoch_begin(self, *, progress, **kwargs):
        assert progress.num_epochs_done < self.max_epochs, "this run would not end"


class Losses(Callback):
    def __init__(self):
        self.values = []

    def on_step_end(self, *, outcome, **kwargs):
        self.values.append(outcome.loss.item())


def list_of_batches(batch_size=5):
    points = Points()
    return [
        {
            "x": points.points[start : start + batch_size],
            "label": torch.tensor([points[n]["label"] for n in range(start, start + batch_size)]),
        }
        for start in range(0, len(points), batch_size)
    ]


class Stream:
    """The same batches as a list of them, without a length."""

    def __iter__(self):
        return iter(list_of_batches())


def standing(trainer):
    progress = trainer.progress
    return progress.num_epochs_done, progress.num_steps_done, progress.num_epoch_steps_done


def test_a_run_by_epochs_ends_after_them():
    trainer = make_trainer(num_epochs=3)
    trainer.fit()
    assert standing(trainer) == (3, 12, 0)


def test_a_run_by_steps_ends_in_the_middle_of_an_epoch():
    trainer = make_trainer(num_steps=6)
    trainer.fit()
    assert standing(trainer) == (1, 6, 2)


def test_a_run_by_steps_that_ends_with_an_epoch_counts_the_epoch():
    trainer = make_trainer(num_steps=8)
    trainer.fit()
    assert standing(trainer) == (2, 8, 0)


def test_stop_by_step_ignores_the_number_of_epochs():
    trainer = make_trainer(num_epochs=1, num_steps=6, stop_by="step")
    trainer.fit()
    assert standing(trainer) == (1, 6, 2)


def test_stop_by_epoch_ignores_the_number_of_steps():
    trainer = make_trainer(num_epochs=2, num_steps=3, stop_by="epoch")
    trainer.fit()
    assert standing(trainer) == (2, 8, 0)


@pytest.mark.parametrize("length", [{"num_epochs": 0}, {"num_steps": 0}])
def test_a_run_of_length_zero_does_nothing(length):
    trainer = make_trainer(**length)
    before = trainer.model.head.weight.detach().clone()
    trainer.fit()
    assert standing(trainer) == (0, 0, 0)
    assert torch.equal(trainer.model.head.weight, before)


def test_a_callback_stops_the_run_after_the_step_at_hand():
    trainer = make_trainer(callbacks=[StopAfter(2)])
    trainer.fit()
    assert standing(trainer) == (0, 2, 2)
    assert trainer.progress.stop_reason == "enough"


def test_a_run_stopped_at_the_last_step_of_an_epoch_counts_the_epoch():
    trainer = make_trainer(callbacks=[StopAfter(4)])
    trainer.fit()
    assert standing(trainer) == (1, 4, 0)


def test_a_run_stopped_in_the_middle_of_an_epoch_still_ends_epoch_and_loop():
    recorder = Recorder()
    make_trainer(callbacks=[StopAfter(2), recorder]).fit()
    assert recorder.seen[-4:] == ["on_step_end", "on_epoch_end", "on_loop_end", "on_close"]


def test_fit_goes_on_where_the_last_fit_was_stopped():
    stopper, whole = Losses(), Losses()
    trainer = make_trainer(callbacks=[StopAfter(3), stopper], dropout=0.5, noise=0.1)
    trainer.fit()
    trainer.fit()
    make_trainer(callbacks=[whole], dropout=0.5, noise=0.1).fit()
    assert stopper.values == whole.values


def test_fit_of_a_finished_run_takes_no_step():
    trainer = make_trainer(num_epochs=1)
    trainer.fit()
    trainer.fit()
    assert standing(trainer) == (1, 4, 0)


def test_a_list_of_batches_is_data():
    trainer = make_trainer(data_loader=list_of_batches())
    trainer.fit()
    assert standing(trainer) == (2, 8, 0)


def test_a_list_of_lists_of_batches_accumulates():
    recorder = Recorder()
    first, second, *_ = list_of_batches()
    make_trainer(data_loader=[[first, second]], callbacks=[recorder], num_epochs=1).fit()
    assert recorder.seen.count("on_batch_begin") == 2
    assert recorder.seen.count("on_step_begin") == 1


def test_data_without_a_length_runs_by_epochs():
    trainer = make_trainer(data_loader=Stream())
    trainer.fit()
    assert standing(trainer) == (2, 8, 0)


def test_data_without_a_length_runs_by_steps():
    trainer = make_trainer(data_loader=Stream(), num_steps=6)
    trainer.fit()
    assert standing(trainer) == (1, 6, 2)


@pytest.mark.parametrize("length", [{"num_epochs": 3}, {"num_steps": 6}])
def test_data_that_is_used_up_after_one_epoch_is_refused(length):
    trainer = make_trainer(data_loader=iter(list_of_batches()), callbacks=[EndlessRun()], **length)
    with pytest.raises(ValueError, match="no step"):
        trainer.fit()


@pytest.mark.parametrize("length", [{"num_epochs": 2}, {"num_steps": 6}])
def test_data_without_a_single_batch_is_refused(length):
    trainer = make_trainer(data_loader=iter([]), callbacks=[EndlessRun()], **length)
    with pytest.raises(ValueError, match="no step"):
        trainer.fit()


def torch_loader(num_workers=0):
    return torch.utils.data.DataLoader(
        Points(), batch_size=5, shuffle=True, num_workers=num_workers
    )


def test_a_torch_data_loader_is_data():
    trainer = make_trainer(data_loader=torch_loader())
    trainer.fit()
    assert standing(trainer) == (2, 8, 0)


def test_a_torch_data_loader_shuffles_each_epoch_in_its_own_way_by_the_seed():
    class Ids(Callback):
        def __init__(self):
            self.ids = []

        def on_batch_begin(self, *, batch, **kwargs):
            self.ids += batch["img_id"].tolist()

    first, again, other = Ids(), Ids(), Ids()
    make_trainer(data_loader=torch_loader(), callbacks=[first]).fit()
    make_trainer(data_loader=torch_loader(), callbacks=[again]).fit()
    make_trainer(data_loader=torch_loader(), callbacks=[other], seed=1).fit()
    assert first.ids == again.ids
    assert first.ids != other.ids
    assert first.ids[:20] != first.ids[20:]
    assert sorted(first.ids[20:]) == list(range(20))


@pytest.mark.parametrize("step", [1, 2, 3, 4, 5, 7])
def test_a_torch_data_loader_resumes_inside_an_epoch(tmp_path, step):
    whole, rest = Losses(), Losses()
    checkpoint = Checkpoint(by="step", keep_last=20, folder=tmp_path)
    make_trainer(data_loader=torch_loader(), dropout=0.5, callbacks=[whole, checkpoint]).fit()
    (path,) = tmp_path.glob(f"epoch-000{(step - 1) // 4}-step-0000000{step}")
    resume = Checkpoint(resume=path, folder=tmp_path / "rest")
    make_trainer(data_loader=torch_loader(), dropout=0.5, callbacks=[rest, resume]).fit()
    assert rest.values == whole.values[step:]


def test_a_list_of_batches_resumes_inside_an_epoch_and_says_that_it_cannot_seek(tmp_path, caplog):
    whole, rest = Losses(), Losses()
    batches = list_of_batches()
    make_trainer(data_loader=batches, callbacks=[whole]).fit()
    stop = [StopAfter(2), Checkpoint(folder=tmp_path)]
    make_trainer(data_loader=batches, callbacks=stop).fit()
    resume = [rest, Checkpoint(folder=tmp_path, resume="auto")]
    with caplog.at_level(logging.INFO, "hat"):
        make_trainer(data_loader=batches, callbacks=resume).fit()
    assert rest.values == whole.values[2:]
    assert "going through 2 seen steps again" in caplog.text


def test_a_predictor_sees_every_batch_of_a_list_once():
    recorder = Recorder()
    Predictor(TinyModel(), list_of_batches(), callbacks=[recorder]).fit()
    assert recorder.seen.count("on_batch_begin") == 4
