"""When validation runs, with which weights, and what it writes."""

import logging

import pytest
import torch
from helpers import Points, TinyModel, make_trainer

from hat.callbacks import Callback, Checkpoint, ExponentialMovingAverage, Validation
from hat.data import DataLoader
from hat.engine import Predictor
from hat.engine.scores import Scores
from hat.metrics import Accuracy


class Evaluator:
    """Counts its runs, and notes the weights it ran with."""

    score_names = ("val/n",)

    def __init__(self, model):
        self.model = model
        self.weights = []

    def fit(self):
        self.weights.append(self.model.head.weight.tolist())
        scores = Scores()
        scores.write("val/n", len(self.weights), step=0, higher_is_better=True)
        return scores


class Steps(Callback):
    """The steps at which a score was written."""

    def __init__(self, name="val/n"):
        self.name = name
        self.values = []

    def _look(self, scores):
        if self.name in scores and scores.last(self.name).step not in self.values[-1:]:
            self.values.append(scores.last(self.name).step)

    def on_step_end(self, *, scores, **kwargs):
        self._look(scores)

    def on_epoch_end(self, *, scores, **kwargs):
        self._look(scores)

    def on_loop_end(self, *, scores, **kwargs):
        self._look(scores)


class SkipSteps(Callback):
    def __init__(self, *tried):
        self.tried = tried

    def on_optimizer_step_begin(self, *, progress, outcome, **kwargs):
        if progress.num_steps_tried in self.tried:
            outcome.skip("because")


def validated_at(*callbacks, num_epochs=3, num_steps=None, **kwargs):
    """The steps after which a run of four steps an epoch was validated."""
    model = TinyModel()
    steps = Steps()
    length = {"num_steps": num_steps} if num_steps else {"num_epochs": num_epochs}
    validation = Validation(Evaluator(model), **kwargs)
    make_trainer(model=model, callbacks=[*callbacks, validation, steps], **length).fit()
    return steps.values


def test_every_epoch_is_validated():
    assert validated_at() == [4, 8, 12]


def test_every_other_epoch_and_the_end_are_validated():
    assert validated_at(every=2) == [8, 12]


def test_an_end_that_was_validated_is_not_validated_again():
    model = TinyModel()
    evaluator = Evaluator(model)
    make_trainer(model=model, callbacks=[Validation(evaluator)], num_epochs=3).fit()
    assert len(evaluator.weights) == 3


def test_every_few_steps_and_the_end_are_validated():
    assert validated_at(every=3, by="step", num_steps=7) == [3, 6, 7]


def test_a_run_that_ends_inside_an_epoch_is_validated_at_its_end():
    assert validated_at(num_steps=6) == [4, 6]


def test_a_skipped_step_does_not_validate_again():
    # Steps tried 0..4; the third is skipped, and 2 steps stay done.
    model = TinyModel()
    evaluator = Evaluator(model)
    validation = Validation(evaluator, every=2, by="step")
    make_trainer(model=model, callbacks=[SkipSteps(2), validation], num_steps=4).fit()
    assert len(evaluator.weights) == 2


def test_a_run_that_was_stopped_is_not_validated_at_its_end():
    class Stop(Callback):
        def on_step_end(self, *, progress, **kwargs):
            progress.stop("enough")

    assert validated_at(Stop()) == []


def test_scores_belong_to_the_step_of_training():
    model = TinyModel()
    predictor = Predictor(model, DataLoader(Points(), batch_size=7), metrics=[Accuracy()])
    scores = make_trainer(model=model, callbacks=[Validation(predictor)]).fit()
    assert scores.last("val/acc").step == scores.last("val/loss").step == 8
    assert scores.higher_is_better("val/acc") is True
    assert scores.higher_is_better("val/loss") is False


def test_scores_are_those_of_the_predictor_alone():
    model = TinyModel()
    predictor = Predictor(model, DataLoader(Points(), batch_size=7), metrics=[Accuracy()])
    scores = make_trainer(model=model, callbacks=[Validation(predictor)]).fit()
    alone = Predictor(model, DataLoader(Points(), batch_size=20), metrics=[Accuracy()]).fit()
    assert scores.last("val/loss").value == pytest.approx(alone.last("val/loss").value, rel=1e-6)
    assert scores.last("val/acc").value == alone.last("val/acc").value


def test_averaged_weights_are_used_and_then_taken_away():
    model = TinyModel()
    evaluator, average = Evaluator(model), ExponentialMovingAverage(0.5)
    trainer = make_trainer(
        model=model, callbacks=[average, Validation(evaluator, weights=average)], num_epochs=1
    )
    trainer.fit()
    assert evaluator.weights == [average.averaged_weights()["head.weight"].tolist()]
    assert model.head.weight.tolist() != evaluator.weights[0]


def test_an_average_listed_behind_validation_is_refused():
    # It would be one step old.
    model = TinyModel()
    average = ExponentialMovingAverage(0.5)
    callbacks = [Validation(Evaluator(model), weights=average), average]
    with pytest.raises(ValueError, match="list ExponentialMovingAverage before Validation"):
        make_trainer(model=model, callbacks=callbacks)


def test_training_goes_on_in_training_mode():
    model = TinyModel(dropout=0.5)
    modes = []

    class Look(Callback):
        def on_step_begin(self, *, model, **kwargs):
            modes.append(model.training)

    predictor = Predictor(model, DataLoader(Points(), batch_size=7))
    callbacks = [Validation(predictor, by="step"), Look()]
    make_trainer(model=model, callbacks=callbacks, num_epochs=1).fit()
    assert modes == [True] * 4


def test_another_model_is_refused():
    with pytest.raises(ValueError, match="the predictor has another model than the trainer"):
        make_trainer(callbacks=[Validation(Evaluator(TinyModel()))])


def test_a_resumed_run_is_validated_at_the_same_steps(tmp_path):
    def run(checkpoint, num_epochs=3):
        torch.manual_seed(0)
        model = TinyModel()
        predictor = Predictor(model, DataLoader(Points(), batch_size=7))
        validation = Validation(predictor, every=2)
        trainer = make_trainer(
            model=model, callbacks=[validation, checkpoint], num_epochs=num_epochs
        )
        return trainer.fit().summary()

    whole = run(Checkpoint(keep_last=9, folder=tmp_path))
    (path,) = tmp_path.glob("epoch-0002-*")
    assert run(Checkpoint(resume=path, folder=tmp_path / "rest")) == whole


def test_a_failing_validation_ends_the_run_and_puts_the_model_back(caplog):
    model = TinyModel()
    average = ExponentialMovingAverage(0.5)

    class Failing(Evaluator):
        def fit(self):
            raise RuntimeError("no data")

    validation = Validation(Failing(model), weights=average)
    trainer = make_trainer(model=model, callbacks=[average, validation], num_epochs=1)
    with caplog.at_level(logging.ERROR), pytest.raises(RuntimeError, match="no data"):
        trainer.fit()
    averaged = average.averaged_weights()["head.weight"]
    assert not torch.equal(model.head.weight, averaged)


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [({"every": 0}, "at least 1, got 0"), ({"by": "batch"}, "'step' or 'epoch', got 'batch'")],
)
def test_senseless_settings_are_refused(kwargs, message):
    with pytest.raises(ValueError, match=message.replace("'step' or 'epoch'", ".*")):
        Validation(Evaluator(TinyModel()), **kwargs)
