"""Models of timm as backbones."""

import sys

import pytest
import safetensors.torch
import timm
import torch

from hat.models import TimmBackbone


# The small models of timm's own tests: two convolutional ones and a transformer.
@pytest.fixture(params=["test_resnet", "test_efficientnet", "test_vit"])
def name(request):
    return request.param


@pytest.fixture
def theirs(name):
    model = timm.create_model(name).eval()
    for buffer_name, buffer in model.named_buffers():
        if buffer_name.endswith("running_var"):
            buffer.uniform_(0.5, 2)
    return model


@pytest.fixture
def pictures(theirs):
    return torch.randn(2, *theirs.default_cfg["input_size"])


@pytest.fixture(params=["safetensors", "pth"])
def file(request, theirs, tmp_path):
    path = tmp_path / f"weights.{request.param}"
    save = safetensors.torch.save_file if request.param == "safetensors" else torch.save
    save(theirs.state_dict(), path)
    return path


def test_the_feature_is_what_the_classifier_of_timm_would_see(name, theirs, pictures):
    backbone = TimmBackbone(name).eval()
    backbone.model.load_state_dict(theirs.state_dict(), strict=False)
    expected = theirs.forward_head(theirs.forward_features(pictures), pre_logits=True)
    (feature,) = backbone(pictures)
    torch.testing.assert_close(feature, expected)


def test_a_feature_may_go_through_layers_of_its_own_before_the_classifier():
    backbone = TimmBackbone("mobilenetv3_small_050").eval()
    assert backbone.out_channels == (1024,)
    assert backbone(torch.zeros(1, 3, 32, 32))[0].shape == (1, 1024)


def test_weights_of_a_file_are_loaded_without_the_classifier(name, theirs, pictures, file):
    (feature,) = TimmBackbone(name, weights=str(file)).eval()(pictures)
    expected = theirs.forward_head(theirs.forward_features(pictures), pre_logits=True)
    torch.testing.assert_close(feature, expected)


@pytest.mark.parametrize("out_indices", [[0, 1], [1, 2], (2,), [-1]])
def test_feature_maps_have_the_channels_they_claim(name, pictures, out_indices):
    backbone = TimmBackbone(name, out_indices=out_indices)
    features = backbone(pictures)
    assert tuple(feature.shape[1] for feature in features) == backbone.out_channels
    assert {feature.ndim for feature in features} == {4}


def test_feature_maps_are_those_of_timm_with_the_weights_of_a_file(name, theirs, pictures, file):
    features = TimmBackbone(name, out_indices=[0, 1], weights=str(file)).eval()(pictures)
    expected = theirs.forward_intermediates(pictures, indices=[0, 1], intermediates_only=True)
    torch.testing.assert_close(list(features), expected)


@pytest.mark.parametrize(
    ("name", "channels"),
    [
        ("swin_tiny_patch4_window7_224", (384, 768)),
        ("mambaout_femto", (192, 288)),
        ("vit_tiny_patch16_224", (192, 192)),
        ("convnext_atto", (160, 320)),
    ],
)
def test_channels_come_second_however_the_model_keeps_them(name, channels):
    with torch.device("meta"):
        backbone = TimmBackbone(name, out_indices=(-2, -1)).eval()
        features = backbone(torch.zeros(1, 3, 224, 224))
    assert tuple(feature.shape[1] for feature in features) == channels == backbone.out_channels


def test_a_size_for_a_model_of_one_size_is_an_option():
    options = {"img_size": (64, 96)}
    backbone = TimmBackbone("test_vit", out_indices=[-1], options=options)
    assert backbone(torch.zeros(1, 3, 64, 96))[0].shape[2:] == (4, 6)


@pytest.mark.parametrize(("name", "out_indices"), [("test_resnet", [9]), ("test_vit", [0, 20])])
def test_a_stage_that_the_model_has_not_is_refused(name, out_indices):
    with pytest.raises(
        ValueError, match=rf"timm's {name} has no such stages: out_indices=.*\(.+\)"
    ):
        TimmBackbone(name, out_indices=out_indices)


def test_a_file_that_does_not_fit_is_refused(tmp_path):
    weights = timm.create_model("test_resnet").state_dict()
    del weights["bn1.weight"]
    torch.save(weights, tmp_path / "weights.pth")
    with pytest.raises(ValueError, match=r"the file lacks bn1\.weight"):
        TimmBackbone("test_resnet", weights=str(tmp_path / "weights.pth"))


def test_options_reach_timm():
    backbone = TimmBackbone("test_resnet", options={"in_chans": 1})
    assert backbone(torch.zeros(1, 1, 64, 64))[0].shape[0] == 1


def test_options_are_left_as_they_were():
    options = {"in_chans": 1}
    TimmBackbone("test_resnet", out_indices=[0], options=options)
    assert options == {"in_chans": 1}


def test_an_unknown_name_is_refused_with_the_nearest():
    with pytest.raises(
        ValueError, match=r"timm has no model 'mobilnetv3_small'\. Did you mean 'mobilenetv3_small"
    ):
        TimmBackbone("mobilnetv3_small")


def test_without_timm_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(ImportError, match=r"pip install 'hat-framework\[timm\]'"):
        TimmBackbone("test_resnet")
