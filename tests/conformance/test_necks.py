"""Whatever HAT exports as a neck keeps the conventions of one."""

import copy
import io
import pickle

import pytest
import torch

import hat.models.necks as necks

#: How each neck over three features of these channels is built.
CHANNELS = (8, 12, 16)
MAKERS = {
    "ASPP": lambda: necks.ASPP(CHANNELS[-1:], 8, rates=(1, 2)),
    "BiFPN": lambda: necks.BiFPN(CHANNELS, 8, num_layers=1),
    "DeconvDecoder": lambda: necks.DeconvDecoder(CHANNELS[-1:], [8, 6]),
    "FPN": lambda: necks.FPN(CHANNELS, 8, extra="p6p7"),
    "PAFPN": lambda: necks.PAFPN(CHANNELS, 8, batch_norm=True, activation="silu"),
    "LadderDecoder": lambda: necks.LadderDecoder(CHANNELS, 8),
    "UNetDecoder": lambda: necks.UNetDecoder(CHANNELS, [6, 8]),
}
#: Sizes of the three features: a picture of 65x97 at strides 4, 8, 16 by a backbone that
#: rounds up, by one that rounds down, and a picture whose sizes need no rounding.
SIZES = {
    "rounded up": ((17, 25), (9, 13), (5, 7)),
    "rounded down": ((16, 24), (8, 12), (4, 6)),
    "odd and rounded down": ((17, 25), (8, 12), (4, 6)),
    "one pixel": ((4, 3), (2, 2), (1, 1)),
}


def make_features(sizes, batch_size=2, channels=CHANNELS):
    generator = torch.Generator().manual_seed(0)
    return tuple(
        torch.randn(batch_size, width, *size, generator=generator)
        for width, size in zip(channels, sizes, strict=True)
    )


@pytest.fixture(params=MAKERS)
def make(request):
    return MAKERS[request.param]


@pytest.fixture
def neck(make):
    torch.manual_seed(0)
    return make()


@pytest.fixture
def features():
    return make_features(SIZES["rounded up"])


def test_there_is_a_maker_for_every_exported_neck():
    assert set(MAKERS) == set(necks.__all__)


def test_channels_are_tuples_of_numbers(neck):
    for channels in (neck.in_channels, neck.out_channels):
        assert isinstance(channels, tuple)
        assert {type(width) for width in channels} == {int}


def test_channels_that_it_takes_are_those_it_was_built_for(neck):
    assert neck.in_channels == CHANNELS[-len(neck.in_channels) :]


@pytest.mark.parametrize("sizes", SIZES.values(), ids=SIZES)
def test_levels_are_a_tuple_with_the_channels_that_are_claimed(neck, sizes):
    levels = neck.eval()(make_features(sizes))
    assert isinstance(levels, tuple)
    assert tuple(level.shape[1] for level in levels) == neck.out_channels


@pytest.mark.parametrize("sizes", SIZES.values(), ids=SIZES)
def test_levels_come_finest_first(neck, sizes):
    areas = [level.shape[2:].numel() for level in neck.eval()(make_features(sizes))]
    assert areas == sorted(areas, reverse=True)


def test_the_last_features_of_more_are_used(neck, features):
    finer = torch.randn(2, 4, 33, 49)
    neck.eval()
    for level, same in zip(neck((finer, *features)), neck(features), strict=True):
        assert torch.equal(level, same)


def test_too_few_features_are_refused(neck, features):
    with pytest.raises(ValueError, match="in_channels"):
        neck(features[: len(neck.in_channels) - 1])


def test_features_of_other_channels_are_refused(neck):
    with pytest.raises(ValueError, match="in_channels"):
        neck(make_features(SIZES["rounded up"], channels=(9, 13, 17)))


def test_levels_train_every_parameter_with_finite_gradients(neck, features):
    sum(level.square().mean() for level in neck(features)).backward()
    assert [n for n, p in neck.named_parameters() if p.grad is None] == []
    assert all(parameter.grad.isfinite().all() for parameter in neck.parameters())


def test_features_are_left_as_they_were(neck, features):
    before = [feature.clone() for feature in features]
    neck(features)
    assert all(torch.equal(*pair) for pair in zip(features, before, strict=True))


def test_a_picture_does_not_depend_on_the_others(neck, features):
    neck.eval().double()
    features = tuple(feature.double() for feature in features)
    alone = neck(tuple(feature[:1] for feature in features))
    for one, both in zip(alone, neck(features), strict=True):
        torch.testing.assert_close(one, both[:1])


def test_memory_may_be_laid_out_by_channels_last(neck, features):
    neck.eval().double()
    features = tuple(feature.double() for feature in features)
    last = tuple(feature.contiguous(memory_format=torch.channels_last) for feature in features)
    for level, same in zip(neck(features), neck(last), strict=True):
        torch.testing.assert_close(level, same)


def test_half_precision_is_near_full_precision(neck, features):
    neck.eval()
    with torch.autocast("cpu", torch.bfloat16):
        levels = neck(features)
    for level, exact in zip(levels, neck(features), strict=True):
        torch.testing.assert_close(level.float(), exact, rtol=0.1, atol=0.1)


def test_it_compiles_as_one_graph(neck, features):
    neck.eval()
    compiled = torch.compile(neck, fullgraph=True, backend="eager")
    for level, same in zip(compiled(features), neck(features), strict=True):
        assert torch.equal(level, same)


def test_it_is_exported(neck, features):
    neck.eval()
    exported = torch.export.export(neck, (features,)).module()
    for level, same in zip(exported(features), neck(features), strict=True):
        torch.testing.assert_close(level, same)


def test_weights_survive_a_file(make, neck, features):
    file = io.BytesIO()
    torch.save(neck.state_dict(), file)
    file.seek(0)
    other = make().eval()
    other.load_state_dict(torch.load(file, weights_only=True))
    for level, same in zip(other(features), neck.eval()(features), strict=True):
        assert torch.equal(level, same)


def test_copies_are_the_same_and_apart(neck, features):
    neck.eval()
    before = [level.detach() for level in neck(features)]
    for other in (copy.deepcopy(neck), pickle.loads(pickle.dumps(neck))):
        assert all(torch.equal(*pair) for pair in zip(other(features), before, strict=True))
        torch.nn.init.zeros_(next(other.parameters()))
    assert all(torch.equal(*pair) for pair in zip(neck(features), before, strict=True))


def test_one_seed_makes_one_neck(make):
    torch.manual_seed(3)
    first = make().state_dict()
    torch.manual_seed(3)
    second = make().state_dict()
    assert all(torch.equal(value, second[name]) for name, value in first.items())
