"""The FCN head scores every place of one feature."""

import pytest
import torch
from torchvision.models.segmentation.fcn import FCNHead

from hat.models import ConvNet, FcnHead, SegmentationTask, Segmentor

FEATURES = (torch.randn(2, 8, 12, 16), torch.randn(2, 16, 6, 8))


def test_the_last_feature_is_scored_by_default():
    assert FcnHead(16, 3)(FEATURES).shape == (2, 3, 6, 8)


def test_another_feature_can_be_chosen():
    assert FcnHead(8, 3, in_index=0)(FEATURES).shape == (2, 3, 12, 16)


def test_it_gives_what_torchvision_gives_with_its_weights():
    theirs = FCNHead(16, 3).eval()
    ours = FcnHead(16, 3).eval()
    conv, norm, _, _, classifier = theirs
    ours.convs[0].load_state_dict(conv.state_dict())
    ours.convs[1].load_state_dict(norm.state_dict())
    ours.classifier.load_state_dict(classifier.state_dict())
    torch.testing.assert_close(ours(FEATURES), theirs(FEATURES[1]))


def test_without_convolutions_it_is_one_matrix():
    head = FcnHead(16, 3, num_convs=0)
    weight, bias = head.classifier.weight[:, :, 0, 0], head.classifier.bias
    expected = torch.einsum("kc,nchw->nkhw", weight, FEATURES[1]) + bias[:, None, None]
    torch.testing.assert_close(head(FEATURES), expected)


def test_each_convolution_sees_one_place_further():
    head = FcnHead(1, 1, channels=2, num_convs=2).eval()
    spot = torch.zeros(1, 1, 9, 9)
    spot[0, 0, 4, 4] = 1
    torch.nn.init.constant_(head.convs[0].weight, 1.0)
    torch.nn.init.constant_(head.convs[3].weight, 1.0)
    torch.nn.init.constant_(head.classifier.weight, 1.0)
    changed = (head((spot,)) - head((torch.zeros(1, 1, 9, 9),)))[0, 0] != 0
    assert changed.nonzero().aminmax(dim=0).min.tolist() == [2, 2]
    assert changed.sum() == 25


def test_scores_can_be_finer_than_the_feature():
    # With identity weights channel 4 * class + 2 * y + x is the score at (y, x) of each place.
    head = FcnHead(8, 2, num_convs=0, upscale=2)
    torch.nn.init.dirac_(head.classifier.weight)
    torch.nn.init.zeros_(head.classifier.bias)
    scores = head((torch.arange(8.0)[None, :, None, None],))
    assert scores.tolist() == [[[[0, 1], [2, 3]], [[4, 5], [6, 7]]]]


def test_dropout_works_in_training_alone():
    head = FcnHead(16, 3, num_convs=0, dropout=0.5)
    assert not torch.equal(head(FEATURES), head(FEATURES))
    head.eval()
    assert torch.equal(head(FEATURES), head(FEATURES))


def test_channels_that_do_not_fit_are_refused_when_linked():
    with pytest.raises(ValueError, match=r"head\.in_channels is 16.*in_channels=8"):
        Segmentor(ConvNet([4, 8]), FcnHead(16, 3), SegmentationTask(3))


@pytest.mark.parametrize(
    "arguments",
    [{"num_convs": -1}, {"channels": 0}, {"upscale": 0}, {"dropout": 1.0}, {"dropout": -0.1}],
    ids=lambda value: "-".join(map(str, *value.items())),
)
def test_arguments_out_of_range_are_refused(arguments):
    with pytest.raises(ValueError, match="must be"):
        FcnHead(8, 3, **arguments)
