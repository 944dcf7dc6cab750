"""Coarse features, enlarged and joined to finer ones."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from hat.models import ConvNet, FcnHead, SegmentationTask, Segmentor, UNetDecoder

SIZES = [(25, 17), (13, 9), (7, 5)]


@pytest.fixture
def features():
    widths = (4, 5, 6)
    return tuple(torch.randn(2, c, *size) for c, size in zip(widths, SIZES, strict=True))


@pytest.fixture
def neck():
    return UNetDecoder([4, 5, 6], channels=[7, 8])


def test_outputs_have_the_sizes_and_channels_that_are_claimed(neck, features):
    shapes = [tuple(feature.shape[1:]) for feature in neck(features)]
    assert shapes == [(7, 25, 17), (8, 13, 9)]
    assert neck.out_channels == (7, 8)


def test_the_steps_are_those_of_the_paper(neck, features):
    # Ronneberger et al., figure 1: upsampling, concatenation with the skip, two 3x3
    # convolutions with ReLU.
    neck.eval()
    fine, middle, coarse = features
    larger = F.interpolate(coarse, size=(13, 9), mode="bilinear")
    second = neck.steps[1](torch.cat([middle, larger], dim=1))
    larger = F.interpolate(second, size=(25, 17), mode="bilinear")
    first = neck.steps[0](torch.cat([fine, larger], dim=1))
    decoded = neck(features)
    assert torch.equal(decoded[0], first)
    assert torch.equal(decoded[1], second)


def test_a_step_is_two_convolutions_worked_by_hand():
    # A skip of 1, a coarse feature of 2 enlarged to 2; all weights 1: the inner pixel of the
    # first convolution sees 9 * (1 + 2) = 27. BatchNorm at its start divides by
    # sqrt(1 + 1e-5). The second sees, at the middle of 3x3, the four corners of 4 * 3 = 12,
    # the four edges of 6 * 3 = 18 and the 27: 147.
    neck = UNetDecoder([1, 1], [1]).eval()
    nn.init.ones_(neck.steps[0][0][0].weight)
    nn.init.ones_(neck.steps[0][1][0].weight)
    (out,) = neck((torch.ones(1, 1, 3, 3), torch.full((1, 1, 1, 1), 2.0)))
    assert out[0, 0, 1, 1].item() == pytest.approx(147 / (1 + 1e-5))


def test_only_the_last_features_are_used(neck, features):
    neck.eval()
    wider = neck((torch.zeros(2, 3, 50, 34), *features))
    assert torch.equal(wider[0], neck(features)[0])


def test_the_coarsest_feature_reaches_the_finest_output(neck, features):
    neck.eval()
    *finer, coarse = features
    changed = neck((*finer, coarse + 1))
    assert not torch.equal(changed[0], neck(features)[0])


def test_the_finest_output_trains_every_parameter(neck, features):
    neck(features)[0].square().mean().backward()
    assert all(parameter.grad.isfinite().all() for parameter in neck.parameters())
    assert [name for name, p in neck.named_parameters() if not p.grad.any()] == []


def test_features_are_left_as_they_were(neck, features):
    before = [feature.clone() for feature in features]
    neck(features)
    assert all(torch.equal(a, b) for a, b in zip(features, before, strict=True))


def test_a_batch_of_one_trains(neck, features):
    neck(tuple(feature[:1] for feature in features))[0].sum().backward()
    assert all(parameter.grad.isfinite().all() for parameter in neck.parameters())


def test_the_layout_in_memory_does_not_matter(neck, features):
    neck.double().eval()
    features = tuple(feature.double() for feature in features)
    last = tuple(f.to(memory_format=torch.channels_last) for f in features)
    torch.testing.assert_close(neck(last), neck(features))


@pytest.mark.slow
def test_it_is_exported_as_one_graph(neck, features):
    program = torch.export.export(neck.eval(), (features,))
    torch.testing.assert_close(program.module()(features), neck(features))


def test_a_segmentor_of_it_takes_odd_pictures():
    model = Segmentor(
        backbone=ConvNet([4, 8, 8], depth=1),
        neck=UNetDecoder([4, 8, 8], channels=[4, 8]),
        head=FcnHead(4, num_classes=3, in_index=0),
        task=SegmentationTask(3),
    )
    batch = {"img": torch.randn(1, 3, 65, 97), "gt_seg": torch.zeros(1, 65, 97).long()}
    model(batch).losses["ce"].backward()
    assert all(parameter.grad.isfinite().all() for parameter in model.parameters())
    assert model.eval()(batch).preds["seg"].shape == (1, 65, 97)


@pytest.mark.parametrize("arguments", [([4], []), ([4, 5], []), ([4, 5], [6, 7]), ([], [])])
def test_a_wrong_number_of_steps_is_refused(arguments):
    with pytest.raises(ValueError, match="channels of one fewer, got"):
        UNetDecoder(*arguments)


def test_features_of_other_channels_are_refused(neck, features):
    with pytest.raises(ValueError, match=r"UNetDecoder was built for in_channels=\(4, 5, 6\)"):
        neck(features[:2])
