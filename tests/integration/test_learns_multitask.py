"""Four tasks on one network must be able to learn a handful of scenes by heart, each its part."""

import pytest
import torch
from road_tasks import make_loader, make_model, make_predictor, make_trainer

from hat.callbacks import Callback, Checkpoint

pytestmark = pytest.mark.slow
TASKS = ("det", "seg", "depth", "scene")


@pytest.fixture(scope="module")
def run():
    """Scores before and after training on four scenes, of which few have all labels."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    model = make_model()
    before = make_predictor(model, 4).fit().summary()
    trainer = make_trainer(model, make_loader(4, is_training=True), num_epochs=150)
    return before, trainer.fit().summary()


def last(scores, name):
    return scores[name]["last"]["value"]


@pytest.mark.parametrize("task", TASKS)
def test_the_loss_of_each_task_falls_fivefold(task, run):
    before, after = run
    assert last(after, f"val/{task}/loss") < last(before, f"val/{task}/loss") / 5


@pytest.mark.parametrize("name", ["det/bbox", "det/obj", "seg/ce", "depth/silog", "scene/ce"])
def test_each_loss_of_training_is_written(name, run):
    _, after = run
    assert f"train/{name}" in after


def test_each_task_is_known_by_heart(run):
    _, after = run
    assert last(after, "val/det/AP50") > 0.9
    assert last(after, "val/seg/pixel_acc") > 0.9
    assert last(after, "val/scene/acc") == 1
    assert last(after, "val/depth/abs_rel") < 0.3


class Losses(Callback):
    def __init__(self):
        self.values = []

    def on_step_end(self, *, outcome, **kwargs):
        self.values.append({name: loss.item() for name, loss in outcome.losses.items()})


def short_run(folder, resume=None):
    """Six scenes, two batches of two in a step and one in the last: losses, weights, scores."""
    torch.manual_seed(0)
    model, losses = make_model(), Losses()
    loader = make_loader(6, is_training=True, batch_size=2, batches_per_step=2)
    checkpoint = Checkpoint(folder=folder, by="step", keep_last=99, resume=resume)
    scores = make_trainer(model, loader, [losses, checkpoint], num_epochs=3).fit()
    kept = {
        name: value
        for name, value in scores.summary().items()
        if name.startswith("val/") or "/" in name.removeprefix("train/")
    }
    return losses.values, model.state_dict(), kept


def plain(scores):
    """Values that are not numbers are equal to each other here."""
    return {name: str(value) for name, value in scores.items()}


def test_a_run_resumed_at_any_step_is_the_whole_run_bit_for_bit(tmp_path):
    losses, weights, scores = short_run(tmp_path / "whole")
    for step in (1, 4):
        (path,) = (tmp_path / "whole").glob(f"*-step-{step:08d}")
        rest_losses, rest, rest_scores = short_run(tmp_path / f"rest{step}", resume=path)
        assert rest_losses == losses[step:]
        assert all(torch.equal(rest[name], value) for name, value in weights.items())
        assert plain(rest_scores) == plain(scores)


def test_the_same_seed_gives_the_same_losses(tmp_path):
    first, second = short_run(tmp_path / "first"), short_run(tmp_path / "second")
    assert first[0] == second[0]
