"""Backbone, neck, head and losses in one structure."""

import pytest
import safetensors.torch
import torch
from torch import nn

from hat.models import Classifier, ConvNet, LinearHead, ModelOutput
from hat.store import write_checkpoint

LN3 = 1.0986123


class AsFeature(nn.Module):
    """Hands the picture on as the only feature, so that `img` can hold chosen scores."""

    def forward(self, img):
        return (img,)


class Neck(nn.Module):
    """Adds one feature, ten times the last."""

    out_channels = (8, 5)

    def forward(self, features):
        return (*features, features[-1] * 10)


def bare(**kwargs):
    return Classifier(AsFeature(), nn.Identity(), **kwargs)


def small():
    return Classifier(ConvNet([8]), LinearHead(8, 3))


@pytest.fixture
def batch():
    return {"img": torch.randn(4, 3, 8, 8), "label": torch.tensor([0, 2, 1, 1])}


# Losses


def test_the_loss_is_cross_entropy():
    # softmax(0, ln 3) = (1/4, 3/4); -ln(3/4) = 0.2877
    output = bare()({"img": torch.tensor([[0, LN3]]), "label": torch.tensor([1])})
    assert output.losses.keys() == {"ce"}
    assert output.losses["ce"].item() == pytest.approx(0.28768, abs=1e-5)


def test_labels_are_smoothed():
    # Smoothing 0.2 over two classes: 0.1 and 0.9 of (1/4, 3/4):
    # -(0.1 ln 0.25 + 0.9 ln 0.75) = 0.13863 + 0.25891 = 0.39754
    model = bare(losses={"ce": nn.CrossEntropyLoss(label_smoothing=0.2)})
    output = model({"img": torch.tensor([[0, LN3]]), "label": torch.tensor([1])})
    assert output.losses["ce"].item() == pytest.approx(0.39754, abs=1e-5)


def test_labels_may_be_mixed():
    # -(0.3 ln 0.25 + 0.7 ln 0.75) = 0.41589 + 0.20138 = 0.61727
    output = bare()({"img": torch.tensor([[0, LN3]]), "label": torch.tensor([[0.3, 0.7]])})
    assert output.losses["ce"].item() == pytest.approx(0.61727, abs=1e-5)


def test_the_loss_is_the_mean_over_the_batch():
    # Of ln(4/3) = 0.28768 and ln(4) = 1.38629
    output = bare()({"img": torch.tensor([[0, LN3], [0, LN3]]), "label": torch.tensor([1, 0])})
    assert output.losses["ce"].item() == pytest.approx(0.83699, abs=1e-5)


def test_every_loss_has_its_name(batch):
    losses = {"ce": nn.CrossEntropyLoss(), "margin": nn.MultiMarginLoss()}
    model = Classifier(ConvNet([8]), LinearHead(8, 3), losses=losses)
    assert list(model(batch).losses) == ["ce", "margin"]


def test_a_batch_without_labels_has_no_losses(batch):
    assert small()({"img": batch["img"]}).losses == {}


def test_the_loss_reaches_every_parameter(batch):
    model = small()
    sum(model(batch).losses.values()).backward()
    assert all(parameter.grad.abs().sum() > 0 for parameter in model.head.parameters())
    assert all(parameter.grad is not None for parameter in model.parameters())


def test_losses_are_computed_in_evaluation_too(batch):
    assert small().eval()(batch).losses.keys() == {"ce"}


# Predictions


def test_the_answer_is_a_model_output(batch):
    assert isinstance(small()(batch), ModelOutput)


def test_evaluation_predicts_the_best_class_and_its_probability():
    # softmax(0, ln 3) = (1/4, 3/4)
    logits = torch.tensor([[0, LN3], [LN3, 0]])
    preds = bare().eval()({"img": logits}).preds
    assert torch.equal(preds["logits"], logits)
    assert preds["classes"].tolist() == [1, 0]
    assert preds["scores"].tolist() == pytest.approx([0.75, 0.75])


def test_classes_are_int64(batch):
    assert small().eval()(batch).preds["classes"].dtype == torch.int64


def test_training_predicts_the_scores_alone(batch):
    assert small().train()(batch).preds.keys() == {"logits"}


@pytest.mark.parametrize("mode", [True, False])
def test_predictions_are_cut_from_the_graph(batch, mode):
    preds = small().train(mode)(batch).preds
    assert not any(value.requires_grad for value in preds.values())


def test_one_picture_is_a_batch(batch):
    assert small().eval()({"img": batch["img"][:1]}).preds["classes"].shape == (1,)


# Parts


def test_the_head_takes_the_last_feature(batch):
    model = Classifier(ConvNet([8, 5]), LinearHead(5, 3)).eval()
    expected = model.head(model.backbone(batch["img"])[-1])
    assert torch.equal(model(batch).preds["logits"], expected)


def test_a_neck_stands_between(batch):
    model = Classifier(ConvNet([8, 5]), LinearHead(5, 3), neck=Neck()).eval()
    expected = model.head(model.backbone(batch["img"])[-1] * 10)
    torch.testing.assert_close(model(batch).preds["logits"], expected)


def test_a_head_for_other_channels_is_refused():
    with pytest.raises(
        ValueError,
        match=r"head\.in_channels is 9, but ConvNet gives 8 channels: set in_channels=8",
    ):
        Classifier(ConvNet([4, 8]), LinearHead(9, 3))


def test_a_head_for_other_channels_than_the_neck_gives_is_refused():
    with pytest.raises(ValueError, match="Neck gives 5 channels"):
        Classifier(ConvNet([4, 8]), LinearHead(8, 3), neck=Neck())


def test_parts_that_do_not_name_channels_are_accepted(batch):
    model = Classifier(nn.Sequential(nn.Flatten(), AsFeature()), nn.Linear(192, 3))
    assert model(batch).preds["logits"].shape == (4, 3)


def test_weights_of_a_file_are_loaded(tmp_path, batch):
    saved = small().eval()
    safetensors.torch.save_file(saved.state_dict(), tmp_path / "w.safetensors")
    path = str(tmp_path / "w.safetensors")
    loaded = Classifier(ConvNet([8]), LinearHead(8, 3), weights=path).eval()
    assert torch.equal(loaded(batch).preds["logits"], saved(batch).preds["logits"])


def test_weights_of_a_checkpoint_are_loaded(tmp_path, batch):
    saved = small().eval()
    folder = write_checkpoint(tmp_path, "step-1", {"model": saved.state_dict()}, {"step": 1})
    loaded = Classifier(ConvNet([8]), LinearHead(8, 3), weights=str(folder)).eval()
    assert torch.equal(loaded(batch).preds["logits"], saved(batch).preds["logits"])


def test_weights_for_other_classes_are_refused(tmp_path):
    torch.save(small().state_dict(), tmp_path / "w.pth")
    with pytest.raises(ValueError, match=r"head\.fc\.weight: file \(3, 8\), module \(5, 8\)"):
        Classifier(ConvNet([8]), LinearHead(8, 5), weights=str(tmp_path / "w.pth"))
