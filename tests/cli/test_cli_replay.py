"""`hat replay`."""

from pathlib import Path

import pytest
import torch
from PIL import Image as PILImage
from running import DIGITS, POINTS, TASKS, run_hat

from hat.config import Builder, load
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


# --- several loaders in a step: 3 samples of `few` (119 steps), twice 4 of `more` (360 steps)


def step_of_tasks(step):
    """The batches of a step of the run, as training sees them."""
    config = load(TASKS, [])
    loader = Builder(config).build_argument("float_trainer", "data_loader")
    loader.seed = 5
    return next(loader.steps(*divmod(step, 100)))


@pytest.mark.parametrize(
    ("step", "number", "expected"),
    [
        (0, 0, ("few", "0, step 0 of its 119", "0 in", 0, 0)),
        (200, 2, ("few", "1, step 81 of its 119", "245 in", 0, 2)),
        (200, 3, ("more", "1, step 40 of its 360", "160 in", 1, 0)),
        (200, 8, ("more", "1, step 41 of its 360", "165 in", 2, 1)),
    ],
)
def test_a_sample_of_a_step_is_that_of_one_of_its_loaders(step, number, expected):
    name, epoch, position, batch, row = expected
    done = run_hat("replay", TASKS, "--step", step, "--sample", number)
    assert done.code == 0, done.err
    assert done.out.startswith(f"loader    {name}, whose own are:")
    assert value(done.out, "epoch ") == epoch
    assert value(done.out, "position ") == f"{position} the epoch's order, sample {row} of the step"
    loader_epoch, place = int(epoch.split(",")[0]), int(position.split()[0])
    made = replay(TASKS, loader_epoch, place, loader=name).sample
    trained = step_of_tasks(step)[batch]
    assert torch.equal(made["img"], trained["img"][row])
    assert made["img_id"] == trained["img_id"][row]
    assert Path(f"replay_{name}_epoch{loader_epoch}_position{place}.png").is_file()


@pytest.mark.parametrize(
    ("step", "number", "message"),
    [
        (0, 11, "step 0 of an epoch has 11 samples, 0 to 10, got 11"),
        (179, 9, "step 79 of an epoch has 9 samples, 0 to 8, got 9"),  # `more` ends with 2 samples
        (0, -1, "got -1"),
        (300, 0, "the run has 300 steps, 0 to 299, got step 300"),
    ],
)
def test_a_step_of_several_loaders_has_the_samples_of_all(step, number, message):
    done = run_hat("replay", TASKS, "--step", step, "--sample", number)
    assert done.code == 2
    assert message in done.err


@pytest.mark.parametrize("name", [None, "fewer"])
def test_a_replay_in_python_wants_the_name_of_the_loader(name):
    with pytest.raises(ValueError, match=r"has no order of its own: .* one of few, more"):
        replay(TASKS, 0, 0, loader=name)


def test_a_single_loader_has_no_name():
    with pytest.raises(ValueError, match="loader='few' is for a MultiTaskDataLoader"):
        replay(DIGITS, 0, 0, loader="few")
