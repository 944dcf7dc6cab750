"""HAT's ResNets are torchvision's without the classifier."""

import pytest
import timm
import torch
import torchvision
from torch.utils.flop_counter import FlopCounterMode

from hat.models import ResNet18, ResNet34, ResNet50, ResNet101

PAIRS = [
    (ResNet18, torchvision.models.resnet18),
    (ResNet34, torchvision.models.resnet34),
    (ResNet50, torchvision.models.resnet50),
    (ResNet101, torchvision.models.resnet101),
]


@pytest.fixture(scope="module")
def reference():
    torch.manual_seed(0)
    model = torchvision.models.resnet18()
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):  # statistics that are not 0 and 1
            torch.nn.init.normal_(module.running_mean)
            torch.nn.init.uniform_(module.running_var, 0.5, 2)
    return model.eval()


@pytest.fixture
def pictures():
    return torch.randn(2, 3, 64, 64)


def shapes(module):
    return {name: tuple(value.shape) for name, value in module.state_dict().items()}


@pytest.mark.parametrize(("ours", "theirs"), PAIRS)
def test_weights_have_the_names_and_shapes_of_torchvision(ours, theirs):
    with torch.device("meta"):
        expected = shapes(theirs())
        del expected["fc.weight"], expected["fc.bias"]
        assert shapes(ours()) == expected


@pytest.mark.parametrize(
    ("ours", "millions"), [(ResNet18, 11.2), (ResNet34, 21.3), (ResNet50, 23.5), (ResNet101, 42.5)]
)
def test_there_are_as_many_parameters_as_the_docstring_says(ours, millions):
    with torch.device("meta"):
        count = sum(parameter.numel() for parameter in ours().parameters())
    assert count / 1e6 == pytest.approx(millions, abs=0.05)
    assert f"{millions} million" in ours.__doc__


@pytest.mark.parametrize(
    ("make", "giga"), [(ResNet18, 1.814), (ResNet34, 3.664), (ResNet50, 4.089), (ResNet101, 7.801)]
)
def test_multiply_adds_are_those_that_torchvision_publishes(make, giga):
    with torch.device("meta"), FlopCounterMode(display=False) as counter:
        features = make().eval()(torch.zeros(1, 3, 224, 224))
    # Published with the classifier: one multiply-add for each channel and class.
    total = counter.get_total_flops() / 2 + features[-1].shape[1] * 1000
    assert total / 1e9 == pytest.approx(giga, abs=0.001)


def test_outputs_are_those_of_torchvision(reference, pictures):
    ours = ResNet18().eval()
    ours.load_state_dict(reference.state_dict(), strict=False)
    pooled = ours(pictures)[-1].mean(dim=(2, 3))
    torch.testing.assert_close(reference.fc(pooled), reference(pictures))


@pytest.mark.parametrize(
    ("stem", "sizes"), [("imagenet", [16, 8, 4, 2]), ("small", [64, 32, 16, 8])]
)
def test_strides_are_as_documented(stem, sizes, pictures):
    assert [feature.shape[-1] for feature in ResNet18(stem=stem)(pictures)] == sizes


@pytest.mark.parametrize(
    ("output_stride", "sizes"), [(32, [16, 8, 4, 2]), (16, [16, 8, 4, 4]), (8, [16, 8, 8, 8])]
)
def test_the_last_stages_keep_their_size_to_hold_the_output_stride(output_stride, sizes):
    with torch.device("meta"):
        features = ResNet50(output_stride=output_stride)(torch.zeros(2, 3, 64, 64))
    assert [feature.shape[-1] for feature in features] == sizes


def test_a_dilated_network_is_that_of_the_segmentation_models_of_torchvision(pictures):
    theirs = torchvision.models.segmentation.fcn_resnet50(weights=None, weights_backbone=None)
    ours = ResNet50(output_stride=8).eval()
    ours.load_state_dict(theirs.backbone.state_dict())
    torch.testing.assert_close(ours(pictures)[-1], theirs.eval().backbone(pictures)["out"])


def test_weights_are_the_same_with_any_output_stride():
    with torch.device("meta"):
        assert shapes(ResNet50(output_stride=8)) == shapes(ResNet50())


def test_a_network_of_basic_blocks_is_not_dilated():
    with pytest.raises(ValueError, match=r"ResNet18 .* must be 32, got 16: take ResNet50"):
        ResNet18(output_stride=16)


def test_another_output_stride_is_refused():
    with pytest.raises(ValueError, match="output_stride must be 8, 16 or 32, got 4"):
        ResNet50(output_stride=4)


@pytest.mark.parametrize("stem", ["imagenet", "small"])
def test_the_first_convolution_starts_as_all_others_do(stem):
    torch.manual_seed(0)
    weight = ResNet18(stem=stem).conv1.weight
    # He et al.: deviation sqrt(2 / fan_out), fan_out = 64 channels * k * k.
    expected = (2 / (64 * weight.shape[-1] ** 2)) ** 0.5
    assert weight.std().item() == pytest.approx(expected, rel=0.05)


def test_another_stem_is_refused():
    with pytest.raises(ValueError, match="stem must be 'imagenet' or 'small', got 'tiny'"):
        ResNet18(stem="tiny")


def test_a_file_of_torchvision_is_loaded(reference, pictures, tmp_path):
    torch.save(reference.state_dict(), tmp_path / "resnet18.pth")
    ours = ResNet18(weights=tmp_path / "resnet18.pth").eval()
    pooled = ours(pictures)[-1].mean(dim=(2, 3))
    torch.testing.assert_close(reference.fc(pooled), reference(pictures))


def test_an_old_file_of_torchvision_is_loaded(reference, pictures, tmp_path):
    # Files from before PyTorch 0.4.1, torchvision's own among them, do not count batches.
    weights = {k: v for k, v in reference.state_dict().items() if "num_batches" not in k}
    torch.save(weights, tmp_path / "resnet18.pth")
    ours = ResNet18(weights=tmp_path / "resnet18.pth").eval()
    pooled = ours(pictures)[-1].mean(dim=(2, 3))
    torch.testing.assert_close(reference.fc(pooled), reference(pictures))


def test_a_file_of_timm_is_loaded(pictures, tmp_path):
    theirs = timm.create_model("resnet18").eval()
    torch.save(theirs.state_dict(), tmp_path / "resnet18.pth")
    ours = ResNet18(weights=tmp_path / "resnet18.pth").eval()
    torch.testing.assert_close(ours(pictures)[-1], theirs.forward_features(pictures))


def test_a_file_of_ours_is_loaded(pictures, tmp_path):
    saved = ResNet18(stem="small").eval()
    torch.save(saved.state_dict(), tmp_path / "resnet18.pth")
    loaded = ResNet18(stem="small", weights=tmp_path / "resnet18.pth").eval()
    assert torch.equal(loaded(pictures)[-1], saved(pictures)[-1])


def test_a_file_for_the_other_stem_is_refused_with_the_shapes(reference, tmp_path):
    torch.save(reference.state_dict(), tmp_path / "resnet18.pth")
    with pytest.raises(
        ValueError, match=r"conv1\.weight: file \(64, 3, 7, 7\), module \(64, 3, 3, 3\)"
    ):
        ResNet18(stem="small", weights=tmp_path / "resnet18.pth")


def test_a_file_of_another_depth_is_refused(reference, tmp_path):
    torch.save(reference.state_dict(), tmp_path / "resnet18.pth")
    with pytest.raises(ValueError, match=r"does not fit ResNet34: the file lacks layer1\.2\.conv1"):
        ResNet34(weights=tmp_path / "resnet18.pth")
