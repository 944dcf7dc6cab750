"""A step of several batches, each for some tasks and labelled in part, is one large batch."""

import functools

import pytest
import torch
from helpers import TinyModel
from multi_task_cases import TASKS, batch_of, reference, samples, three_tasks
from torch import nn

from hat.callbacks import Callback, NanGuard
from hat.engine import Trainer
from hat.engine.hooks import HOOK_ARGUMENTS
from hat.engine.processors import BatchProcessor, MultiTaskBatchProcessor
from hat.models import ModelOutput

NO_HOOKS = dict.fromkeys(HOOK_ARGUMENTS, ())


class Nothing(torch.optim.SGD):
    """An optimizer that leaves weights, and so gradients, as they are."""

    def step(self, closure=None):
        pass


def step(model, batches, processor=None, hooks=NO_HOOKS):
    """The outcome of one step, and the gradients that it left."""
    processor = MultiTaskBatchProcessor() if processor is None else processor
    processor.set_up(torch.device("cpu"))
    if processor.scaler is not None:
        processor.scaler = torch.amp.GradScaler("cpu", init_scale=2.0**8)
    outcome = processor(batches, model, Nothing(model.parameters(), lr=0.0), hooks)
    return outcome, {name: p.grad for name, p in model.named_parameters()}


def same(found, expected):
    assert set(found) == set(expected)
    for name, value in expected.items():
        if value is None:
            assert found[name] is None, name
        else:
            torch.testing.assert_close(found[name], value, rtol=1e-12, atol=1e-12)
    return True


PARTS = samples(7, a=[0, 1, 4], b=[1, 2, 3, 5], c=[6])


@pytest.mark.parametrize("cuts", [(7,), (3, 4), (1, 1, 5), (2, 2, 3)])
def test_a_step_of_parts_has_the_gradient_of_the_whole(cuts):
    parts = iter(PARTS)
    batches = [batch_of([next(parts) for _ in range(cut)]) for cut in cuts]
    outcome, grads = step(three_tasks(), batches)
    losses, expected = reference(None, [(sample, TASKS) for sample in PARTS])
    assert same(grads, expected)
    assert same(outcome.losses, losses)


def test_the_loss_of_a_step_is_the_sum_of_its_means():
    outcome, _ = step(three_tasks(), [batch_of(PARTS[:3]), batch_of(PARTS[3:])])
    losses, _ = reference(None, [(sample, TASKS) for sample in PARTS])
    torch.testing.assert_close(outcome.loss, sum(losses.values()), rtol=1e-12, atol=0)


def test_batches_for_tasks_of_their_own_count_by_what_is_labelled_for_these():
    first, second, third = samples(4, b=[0]), samples(2, seed=2), samples(3, seed=3)
    batches = [batch_of(first, ["a", "b"]), batch_of(second, ["b"]), batch_of(third, ["c", "a"])]
    outcome, grads = step(three_tasks(), batches)
    some = [(sample, ["a", "b"]) for sample in first]
    some += [(sample, ["b"]) for sample in second] + [(sample, ["a", "c"]) for sample in third]
    losses, expected = reference(None, some)
    assert same(grads, expected)
    assert same(outcome.losses, losses)


def test_what_no_task_of_the_step_uses_has_no_gradient():
    _, grads = step(three_tasks(), [batch_of(samples(3), ["c"]), batch_of(samples(2), ["c"])])
    assert {name.split(".")[0] for name, grad in grads.items() if grad is not None} == {
        "trunk",
        "c_head",
    }


def test_a_single_batch_is_what_it_is_to_the_batch_processor():
    batch = batch_of(PARTS)
    outcome, grads = step(three_tasks(), [batch])
    plain, plain_grads = step(three_tasks(), [batch], BatchProcessor())
    assert all(torch.equal(grads[name], grad) for name, grad in plain_grads.items())
    assert outcome == plain


def test_task_weights_stay():
    model = three_tasks(task_weights={"a": 3})
    outcome, _ = step(model, [batch_of(PARTS[:3]), batch_of(PARTS[3:])])
    losses, _ = reference(None, [(sample, TASKS) for sample in PARTS])
    assert outcome.losses["a/square"].item() == pytest.approx(3 * losses["a/square"].item())


class Penalty(nn.Module):
    """A loss that is of no task: the number of samples for which the first task is found."""

    def forward(self, losses):
        return losses | {"penalty": losses["c/square"].detach() * 0 + len(losses)}


def test_a_loss_of_no_task_counts_by_the_share_of_samples():
    # Batches of 1 and 3 samples, with 2 losses (of c) and 6: 2 / 4 + 6 * 3 / 4 = 5.
    model = three_tasks(balance=Penalty())
    batches = [batch_of(samples(1), ["c"]), batch_of(samples(3))]
    outcome, _ = step(model, batches)
    assert outcome.losses["penalty"].item() == pytest.approx(5)


def test_a_batch_that_no_task_learns_from_is_left_out():
    batches = [batch_of(samples(4, a=[], b=[], c=[])), batch_of(PARTS)]
    seen = []
    hooks = NO_HOOKS | {"on_batch_begin": (lambda batch: seen.append(len(batch["x"])),)}
    outcome, grads = step(three_tasks(), batches, hooks=hooks)
    _, expected = reference(None, [(sample, TASKS) for sample in PARTS])
    assert same(grads, expected)
    assert seen == [7]
    assert outcome.is_committed


def test_tasks_that_are_not_active_do_not_count():
    model = three_tasks()
    model.active_tasks = ("b",)
    outcome, grads = step(model, [batch_of(PARTS[:3]), batch_of(PARTS[3:])])
    losses, expected = reference(None, [(sample, ["b"]) for sample in PARTS])
    assert same(grads, expected)
    assert same(outcome.losses, losses)


def unlabelled():
    return batch_of(samples(2, a=[], b=[], c=[]))


class Outcomes(Callback):
    def __init__(self):
        self.values = []

    def on_step_end(self, *, outcome, **kwargs):
        self.values.append(outcome)


def trained(model, data, **kwargs):
    outcomes = Outcomes()
    trainer = Trainer(
        model,
        data,
        functools.partial(torch.optim.SGD, lr=0.1, momentum=0.9, weight_decay=0.1),
        num_epochs=1,
        device="cpu",
        batch_processor=MultiTaskBatchProcessor(**kwargs),
        callbacks=[NanGuard(), outcomes],
    )
    trainer.fit()
    return outcomes.values, trainer


def test_a_step_without_truth_is_skipped(caplog):
    data = [batch_of(PARTS), unlabelled(), batch_of(PARTS)]
    outcomes, trainer = trained(three_tasks(), data)
    assert [outcome.is_committed for outcome in outcomes] == [True, False, True]
    assert outcomes[1].skip_reason == "no batch has truth for an active task, a, b, c"
    assert (trainer.progress.num_steps_done, trainer.progress.num_steps_skipped) == (2, 1)
    assert "left a step out: no batch has truth" in caplog.text


def test_a_skipped_step_moves_no_weight():
    model, other = three_tasks(), three_tasks()
    trained(model, [batch_of(PARTS), unlabelled()])
    trained(other, [batch_of(PARTS)])
    assert all(map(torch.equal, model.parameters(), other.parameters()))


def test_data_without_any_truth_ends_the_run():
    match = "in 100 steps in succession: give the data set the keys .*gt_a, gt_b, gt_c"
    with pytest.raises(ValueError, match=match):
        trained(three_tasks(), [unlabelled()] * 100)


def test_steps_without_truth_that_are_not_in_succession_end_nothing():
    data = [*[unlabelled()] * 99, batch_of(PARTS), *[unlabelled()] * 99]
    outcomes, _ = trained(three_tasks(), data)
    assert sum(outcome.is_committed for outcome in outcomes) == 1


def test_weights_that_the_tasks_of_a_run_do_not_use_stay():
    model = three_tasks()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    trained(model, [[batch_of(PARTS[:3], ["c"]), batch_of(PARTS[3:], ["c"])]] * 5)
    moved = {n for n, value in model.state_dict().items() if not torch.equal(value, before[n])}
    assert {name.split(".")[0] for name in moved} == {"trunk", "c_head"}


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_with_less_precision_about_the_same_comes_out(precision):
    batches = [
        batch_of(samples(3, dtype=torch.float32, a=[0])),
        batch_of(samples(4, seed=2, dtype=torch.float32, b=[1, 2])),
    ]
    outcome, grads = step(
        three_tasks(torch.float32), batches, MultiTaskBatchProcessor(precision=precision)
    )
    plain, plain_grads = step(three_tasks(torch.float32), batches)
    assert outcome.loss.item() == pytest.approx(plain.loss.item(), rel=0.02)
    for name, grad in plain_grads.items():
        torch.testing.assert_close(grads[name], grad, rtol=0.1, atol=0.02)


def test_an_overflow_of_float16_skips_the_step():
    model = three_tasks(torch.float32)
    processor = MultiTaskBatchProcessor(precision="fp16")
    processor.set_up(torch.device("cpu"))
    processor.scaler = torch.amp.GradScaler("cpu", init_scale=2.0**40)
    some = samples(3, dtype=torch.float32)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    outcome = processor([batch_of(some[:1]), batch_of(some[1:])], model, optimizer, NO_HOOKS)
    assert "overflowed" in outcome.skip_reason


def test_a_model_without_tasks_is_refused():
    class Other(TinyModel):
        def forward(self, batch):
            return ModelOutput({}, {})

    with pytest.raises(TypeError, match="got Other: give the trainer a BatchProcessor"):
        step(Other(), [batch_of(PARTS)])
