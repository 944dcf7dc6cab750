"""`hat replay`."""

from pathlib import Path

import pytest
from PIL import Image as PILImage
from running import DIGITS, POINTS, run_hat

from hat.data import replay


def replayed(*arguments):
    done = run_hat("replay", DIGITS, *arguments)
    assert done.code == 0, done.err
    return done.out


def value(out, name):
    """What stands behind a name at the start of a line."""
    return next(line.removeprefix(name).strip() for line in out.splitlines() if name in line)


def picture_size(path):
    with PILImage.open(path) as picture:
        picture.load()
        return picture.size


def test_it_says_which_sample_it_was():
    out = replayed("--step", 30, "--sample", 2)  # an epoch has 23 steps of 64
    assert value(out, "epoch ") == "1, step 7 of its 23"
    assert value(out, "position ") == "450 in the epoch's order, sample 2 of the step"
    assert value(out, "sample ") == f"{replay(DIGITS, 1, 450).index} of 1438"


def test_it_says_what_each_transform_drew():
    params = replay(DIGITS, 1, 450).transforms[0].params
    line = value(replayed("--step", 30, "--sample", 2), "RandomAffine:")
    assert f"angle={params['angle']:.6g}" in line


def test_a_step_may_be_counted_within_an_epoch():
    within = replayed("--step", 7, "--sample", 2, "--epoch", 1)
    assert within == replayed("--step", 30, "--sample", 2)


def test_overrides_are_applied():
    assert value(replayed("--step", 0, "--sample", 0, "seed=9"), "seed ") == "9"


def test_a_run_can_be_replayed(digits_run):
    done = run_hat("replay", digits_run, "--step", 30, "--sample", 2)
    assert done.out == replayed("--step", 30, "--sample", 2)


def test_the_picture_is_written():
    out = replayed("--step", 0, "--sample", 1)
    assert value(out, "picture:") == "replay_epoch0_position1.png"
    assert picture_size("replay_epoch0_position1.png") >= (8, 8)


def test_the_picture_goes_where_it_is_told():
    replayed("--step", 0, "--sample", 1, "--out", "a.png")
    assert picture_size("a.png") >= (8, 8)


def test_a_sample_without_a_picture_can_be_replayed():
    done = run_hat("replay", POINTS, "--step", 1, "--sample", 1)
    assert done.code == 0
    assert "transforms: none" in done.out
    assert list(Path().glob("*.png")) == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--step", 460, "--sample", 0], "the run has 460 steps, 0 to 459, got step 460"),
        (["--step", -1, "--sample", 0], "steps are counted from 0, got -1"),
        (["--step", 0, "--sample", 64], "has 64 samples, 0 to 63, got 64"),
        (["--step", 22, "--sample", 30], "has 30 samples, 0 to 29, got 30"),
        (["--step", 0, "--sample", -1], "has 64 samples, 0 to 63, got -1"),
        (["--step", 23, "--sample", 0, "--epoch", 0], "an epoch has 23 steps, 0 to 22, got 23"),
        (["--step", 0, "--sample", 0, "--epoch", 20], "got epoch 20, which begins at step 460"),
        (["--step", 0, "--sample", 0, "--out", "a.jpg"], "expected a name in .png, got a.jpg"),
        (["--step", 0, "--sample", 0, "--out", "no/a.png"], "there is no folder no"),
        (["--step", 0, "--sample", 0, "--stage", "qat"], "needs a top-level 'qat_trainer'"),
        (["--step", 0, "--sample", 0, "batchsize=3"], "Did you mean 'batch_size'?"),
    ],
)
def test_a_mistake_is_named(arguments, message):
    done = run_hat("replay", DIGITS, *arguments)
    assert done.code == 2
    assert message in done.err


def test_a_missing_option_is_named():
    done = run_hat("replay", DIGITS, "--step", 0)
    assert done.code == 2
    assert "--sample" in done.err


def test_a_picture_of_a_sample_without_one_is_refused():
    done = run_hat("replay", POINTS, "--step", 0, "--sample", 0, "--out", "a.png")
    assert done.code == 1
    assert "the sample has no 'img'" in done.err


def test_values_that_are_many_are_told_by_their_shape(write):
    write(
        "rainy.py",
        """
from hat.data import DataLoader, DigitsDataset
transform = [dict(type="Rain", density=[1e6, 1e6]), dict(type="Mosaic", size=8, p=0.0)]
transform = [*transform, dict(type="torchvision.transforms.v2.RandomApply", p=1.0,
    transforms=[dict(type="DefocusBlur")])]
float_trainer = dict(
    type="Trainer", model=dict(type="helpers.TinyModel"), num_epochs=1,
    optimizer=dict(type="torch.optim.SGD", lr=0.1),
    data_loader=dict(type=DataLoader, dataset=dict(type=DigitsDataset, transform=transform),
        batch_size=8),
)
""",
    )
    done = run_hat("replay", "rainy.py", "--step", 0, "--sample", 0)
    assert "streaks=<float32 (64, 3)>" in done.out
    assert "  Mosaic: not applied\n  RandomApply\n    DefocusBlur: radius=" in done.out
