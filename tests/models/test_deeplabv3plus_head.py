"""Scores from a coarse feature at several scales and a fine one."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from hat.models import ConvNet, DeepLabV3PlusHead, SegmentationTask, Segmentor


@pytest.fixture
def features():
    return torch.randn(2, 4, 17, 13), torch.randn(2, 5, 9, 7), torch.randn(2, 6, 5, 4)


@pytest.fixture
def head():
    return DeepLabV3PlusHead([4, 5, 6], num_classes=3, channels=8, low_channels=2, rates=[1, 2])


def num_parameters(module):
    return sum(parameter.numel() for parameter in module.parameters())


def test_scores_have_the_size_of_the_fine_feature(head, features):
    assert head(features).shape == (2, 3, 17, 13)


def test_the_features_between_are_not_used(head, features):
    head.eval()
    others = (features[0], torch.zeros_like(features[1]), features[2])
    assert torch.equal(head(features), head(others))


def test_only_the_last_features_are_used(head, features):
    head.eval()
    assert torch.equal(head((torch.zeros(2, 3, 34, 26), *features)), head(features))


def test_fine_and_coarse_features_change_the_scores(head, features):
    head.eval()
    low, middle, deep = features
    assert not torch.equal(head((low + 1, middle, deep)), head(features))
    assert not torch.equal(head((low, middle, deep + 1)), head(features))


def test_the_order_of_the_parts_is_that_of_the_paper(head, features):
    # Chen et al. 2018, figure 2: pyramid, upsampling, concatenation with the reduced fine
    # feature, 3x3 convolutions, scores.
    head.eval()
    low, _, deep = features
    larger = F.interpolate(head.aspp((deep,))[0], size=(17, 13), mode="bilinear")
    joined = torch.cat([larger, head.reduce(low)], dim=1)
    assert torch.equal(head(features), head.classifier(head.decoder(joined)))


def test_there_are_the_parameters_of_the_paper():
    # On ResNet: stride-4 feature of 256 channels, last one of 2048. A convolution with
    # BatchNorm of i to o channels and kernel k has i * o * k^2 + 2 * o parameters.
    pyramid = (2048 * 256 + 512) * 2 + 3 * (2048 * 256 * 9 + 512) + (5 * 256 * 256 + 512)
    decoder = (256 * 48 + 96) + (304 * 256 * 9 + 512) + (256 * 256 * 9 + 512)
    with torch.device("meta"):
        head = DeepLabV3PlusHead([256, 2048], num_classes=21)
    assert num_parameters(head) == pyramid + decoder + 256 * 21 + 21


def test_there_are_the_parameters_of_separable_convolutions():
    def separable(before, after):
        return before * 9 + 2 * before + before * after + 2 * after

    pyramid = (2048 * 256 + 512) * 2 + 3 * separable(2048, 256) + (5 * 256 * 256 + 512)
    decoder = (256 * 48 + 96) + separable(304, 256) + separable(256, 256)
    with torch.device("meta"):
        head = DeepLabV3PlusHead([256, 2048], num_classes=21, separable=True)
    assert num_parameters(head) == pyramid + decoder + 256 * 21 + 21


@pytest.mark.parametrize("separable", [False, True])
def test_every_parameter_learns(features, separable):
    head = DeepLabV3PlusHead([4, 5, 6], 3, 8, rates=[1, 2], separable=separable)
    head(features).square().mean().backward()
    assert all(parameter.grad.isfinite().all() for parameter in head.parameters())
    untrained = [name for name, p in head.named_parameters() if not p.grad.any()]
    assert untrained == []


def test_a_batch_of_one_trains(head, features):
    head(tuple(feature[:1] for feature in features)).sum().backward()
    assert all(parameter.grad.isfinite().all() for parameter in head.parameters())


def test_the_layout_in_memory_does_not_matter(head, features):
    head.double().eval()
    features = tuple(feature.double() for feature in features)
    last = tuple(f.to(memory_format=torch.channels_last) for f in features)
    torch.testing.assert_close(head(last), head(features))


@pytest.mark.slow
def test_it_is_exported_as_one_graph(head, features):
    program = torch.export.export(head.eval(), (features,))
    torch.testing.assert_close(program.module()(features), head(features))


@pytest.mark.slow
def test_a_segmentor_learns_with_it():
    torch.manual_seed(0)
    model = Segmentor(
        backbone=ConvNet([8, 16, 16], depth=1),
        head=DeepLabV3PlusHead([8, 16, 16], 3, 16, low_channels=8, rates=[1, 2], dropout=0),
        task=SegmentationTask(3),
    )
    seg = torch.zeros(2, 24, 32, dtype=torch.long)
    seg[0, :12, 8:], seg[1, 6:, :20] = 1, 2
    img = F.one_hot(seg, 3).movedim(-1, 1).float() + 0.1 * torch.randn(2, 3, 24, 32)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    history = []
    for _ in range(60):
        loss = model({"img": img, "gt_seg": seg}).losses["ce"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        history.append(loss.item())
    assert history[-1] < history[0] / 10
    assert (model.eval()({"img": img}).preds["seg"] == seg).float().mean() > 0.95


@pytest.mark.parametrize("arguments", [([6], 3, 8), ([4, 0], 3, 8), ([4, 6], 0, 8), ([4, 6], 3, 0)])
def test_impossible_numbers_are_refused(arguments):
    with pytest.raises(ValueError, match="DeepLabV3PlusHead needs in_channels of two features"):
        DeepLabV3PlusHead(*arguments)


def test_a_backbone_of_other_channels_is_refused():
    head = DeepLabV3PlusHead([8, 16], num_classes=3)
    with pytest.raises(ValueError, match=r"head\.in_channels is \[8, 16\], but ConvNet gives"):
        Segmentor(ConvNet([8, 32]), head, nn.Identity())
