"""Whatever HAT exports as a backbone keeps the conventions of one."""

import copy
import io

import pytest
import torch

import hat.models.backbones as backbones

#: What a backbone cannot be built without, and what makes a large one small.
ARGUMENTS = {
    "MixVarGENet": {"alpha": 0.25, "depths": (1, 1, 1, 2, 1)},
    "TimmBackbone": {"name": "test_resnet"},
    "TinyVarGNetV2": {"alpha": 0.25, "depths": (2, 1, 1)},
    "TorchvisionBackbone": {"name": "mobilenet_v3_small"},
    "VarGNetV2": {"alpha": 0.25, "depths": (2, 1, 1)},
}


@pytest.fixture(params=backbones.__all__, scope="module")
def make(request):
    part = getattr(backbones, request.param)
    return lambda: part(**ARGUMENTS.get(request.param, {}))


@pytest.fixture(scope="module")
def built(make):
    return make()


@pytest.fixture
def backbone(built):
    return copy.deepcopy(built)


@pytest.fixture
def pictures():
    return torch.randn(2, 3, 64, 64)


def test_features_are_a_tuple_with_the_channels_that_are_claimed(backbone, pictures):
    features = backbone(pictures)
    assert isinstance(features, tuple)
    assert tuple(feature.shape[1] for feature in features) == backbone.out_channels


def test_channels_are_a_tuple_of_numbers(backbone):
    assert isinstance(backbone.out_channels, tuple)
    assert {type(channels) for channels in backbone.out_channels} == {int}


def test_features_come_finest_first(backbone, pictures):
    sizes = [feature.shape[2:].numel() for feature in backbone(pictures)]
    assert sizes == sorted(sizes, reverse=True)


def test_every_picture_has_its_feature(backbone, pictures):
    assert {len(feature) for feature in backbone(pictures)} == {2}


def test_the_last_feature_trains_every_parameter(backbone, pictures):
    backbone(pictures)[-1].square().sum().backward()
    untrained = [n for n, p in backbone.named_parameters() if p.grad is None]
    assert untrained == []


def test_gradients_are_finite(backbone, pictures):
    backbone(pictures)[-1].square().mean().backward()
    assert all(parameter.grad.isfinite().all() for parameter in backbone.parameters())


def test_evaluation_of_a_picture_does_not_depend_on_the_others(backbone, pictures):
    backbone.eval().double()
    pictures = pictures.double()
    torch.testing.assert_close(backbone(pictures[:1])[-1], backbone(pictures)[-1][:1])


def test_pictures_may_be_wider_than_high(backbone):
    assert len(backbone.eval()(torch.randn(1, 3, 64, 96))[-1]) == 1


def test_sizes_may_be_odd(backbone):
    features = backbone.eval()(torch.randn(1, 3, 65, 97))
    assert tuple(feature.shape[1] for feature in features) == backbone.out_channels


def test_memory_may_be_laid_out_by_channels_last(backbone, pictures):
    backbone.eval().double()
    pictures = pictures.double()
    last = pictures.contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(backbone(last)[-1], backbone(pictures)[-1])


def test_half_precision_gives_finite_features(backbone):
    with torch.autocast("cpu", torch.bfloat16):
        features = backbone.eval()(torch.randn(1, 3, 32, 32))
    assert all(feature.isfinite().all() for feature in features)


@pytest.mark.slow
def test_it_compiles_as_one_graph(backbone, pictures):
    backbone.eval()
    compiled = torch.compile(backbone, fullgraph=True, backend="eager")
    assert torch.equal(compiled(pictures)[-1], backbone(pictures)[-1])


@pytest.mark.slow
def test_it_is_exported(backbone, pictures):
    exported = torch.export.export(backbone.eval(), (pictures,)).module()
    torch.testing.assert_close(exported(pictures)[-1], backbone(pictures)[-1])


def test_copies_are_the_same_and_apart(backbone, pictures):
    backbone.eval()
    before = backbone(pictures)[-1].detach()
    other = copy.deepcopy(backbone)
    assert torch.equal(other(pictures)[-1], before)
    for parameter in other.parameters():
        torch.nn.init.zeros_(parameter)
    assert torch.equal(backbone(pictures)[-1], before)


def test_pictures_are_left_as_they_were(backbone, pictures):
    before = pictures.clone()
    backbone(pictures)
    assert torch.equal(pictures, before)


def test_weights_survive_a_file(make, pictures):
    first, second = make().eval(), make().eval()
    file = io.BytesIO()
    torch.save(first.state_dict(), file)
    file.seek(0)
    second.load_state_dict(torch.load(file, weights_only=True))
    assert torch.equal(first(pictures)[-1], second(pictures)[-1])


def test_one_seed_makes_one_model(make):
    torch.manual_seed(3)
    first = make().state_dict()
    torch.manual_seed(3)
    second = make().state_dict()
    assert all(torch.equal(value, second[name]) for name, value in first.items())
