"""Running a model over data without training it."""

import pytest
import torch
from helpers import NUM_SAMPLES, Points, TinyModel, make_trainer
from torch import nn

from hat.callbacks import Callback, FreezeModule, Validation
from hat.data import DataLoader
from hat.engine import Predictor
from hat.metrics import Accuracy
from hat.models import Classifier, ConvNet, LinearHead, ModelOutput
from hat.models.modes import evaluating


def modes(model):
    return [module.training for module in model.modules()]


def points_loader(batch_size=7):
    return DataLoader(Points(), batch_size=batch_size)


def test_evaluating_puts_every_module_in_evaluation_mode():
    model = TinyModel(dropout=0.5)
    with evaluating(model):
        assert not any(modes(model))


def test_evaluating_puts_modes_back_module_by_module():
    model = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2), nn.Dropout())
    model[1].eval()  # frozen statistics
    with evaluating(model):
        pass
    assert modes(model) == [True, True, False, True]


def test_evaluating_puts_modes_back_after_an_error():
    model = TinyModel()
    with pytest.raises(RuntimeError), evaluating(model):
        raise RuntimeError
    assert all(modes(model))


def test_prediction_leaves_weights_statistics_and_modes_alone():
    model = Classifier(ConvNet([4], depth=1), LinearHead(4, 2))
    model.backbone.eval()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    before_modes = modes(model)
    batch = {"img": torch.rand(4, 3, 8, 8), "label": torch.tensor([0, 1, 0, 1])}
    Predictor(model, [batch]).fit()
    assert modes(model) == before_modes
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())


def test_no_graph_is_built():
    class Look(Callback):
        def on_batch_end(self, *, loss, **kwargs):
            self.requires_grad = loss.requires_grad

    look = Look()
    Predictor(TinyModel(), points_loader(), callbacks=[look]).fit()
    assert look.requires_grad is False


@pytest.mark.parametrize("batch_size", [1, 7, NUM_SAMPLES, 100])
def test_scores_do_not_depend_on_the_batch_size(batch_size):
    model = TinyModel()
    points = Points()
    labels = torch.tensor([points[n]["label"] for n in range(NUM_SAMPLES)])
    whole = model({"x": points.points, "label": labels})
    scores = Predictor(model, points_loader(batch_size), metrics=[Accuracy()]).fit()
    hits = (whole.preds["logits"].argmax(dim=1) == labels).double().mean()
    assert scores.last("val/loss").value == pytest.approx(whole.losses["ce"].item(), rel=1e-6)
    assert scores.last("val/acc").value == pytest.approx(hits.item(), rel=1e-12)


def test_a_second_fit_starts_anew():
    predictor = Predictor(TinyModel(), points_loader(), metrics=[Accuracy()])
    first = predictor.fit().summary()
    assert predictor.fit().summary() == first
    assert predictor.progress.num_steps_done == 3


def test_where_names_the_scores():
    predictor = Predictor(TinyModel(), points_loader(), metrics=[Accuracy()], where="test")
    assert predictor.score_names == ["test/loss", "test/acc"]
    assert set(predictor.fit()) == {"test/loss", "test/acc"}


def test_data_without_truth_has_no_loss():
    class Blind(TinyModel):
        def forward(self, batch):
            return ModelOutput({}, {"logits": self.head(self.body(batch["x"]))})

    assert list(Predictor(Blind(), points_loader()).fit()) == []


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_precision_is_that_of_the_forward_pass(precision):
    class Look(Callback):
        def on_batch_end(self, *, preds, **kwargs):
            self.dtype = preds["logits"].dtype

    look = Look()
    Predictor(TinyModel(), points_loader(), callbacks=[look], precision=precision).fit()
    assert look.dtype == {"bf16": torch.bfloat16, "fp16": torch.float16}[precision]


def test_an_unknown_precision_is_refused():
    with pytest.raises(ValueError, match="fp32, bf16, fp16, got 'int8'"):
        Predictor(TinyModel(), points_loader(), precision="int8")


def test_two_metrics_of_one_name_are_refused():
    with pytest.raises(ValueError, match=r"different names, got \['acc', 'acc'\]"):
        Predictor(TinyModel(), points_loader(), metrics=[Accuracy(), Accuracy()])


def test_validation_keeps_a_frozen_module_in_evaluation_mode():
    model = Classifier(ConvNet([4], depth=1), LinearHead(4, 2))
    seen = []

    class Look(Callback):
        def on_step_begin(self, **kwargs):
            seen.append((model.backbone.training, model.head.training))

    batch = {"img": torch.rand(4, 3, 8, 8), "label": torch.tensor([0, 1, 0, 1])}
    validation = Validation(Predictor(model, [batch]), every=1, by="step")
    callbacks = [FreezeModule("backbone"), validation, Look()]
    make_trainer(model=model, data_loader=[batch] * 3, callbacks=callbacks, num_epochs=1).fit()
    assert seen == [(False, True)] * 3
