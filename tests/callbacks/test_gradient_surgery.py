"""PCGrad on what tasks share, worked out by hand."""

import copy
import functools

import pytest
import torch
from helpers import TinyModel, make_trainer, tiny_graph
from pull_tasks import Grads, batch, pulling, train

from hat.callbacks import Checkpoint, FreezeModule, GradientSurgery, StopTask
from hat.callbacks.gradient_surgery import projection
from hat.engine.processors import BatchProcessor, MultiTaskBatchProcessor
from hat.models import UncertaintyWeighting


def grads(model, steps, *callbacks, **kwargs):
    """The gradients of the first step."""
    seen = Grads()
    train(model, [*callbacks, seen], steps, **kwargs)
    return seen.seen[0]


def everything(**tasks):
    """Gradients of tasks that all share one group of parameters."""
    users = frozenset(tasks)
    return {task: {users: torch.tensor(vector)} for task, vector in tasks.items()}


def changed(tasks, **orders):
    """The sum of the gradients after the projection, all tasks on one group."""
    (users,) = next(iter(tasks.values()))
    total = sum(gradient[users] for gradient in tasks.values())
    return (total + projection(tasks, orders)[users]).tolist()


# --- two tasks: det = (1, 0) and seg = (-1, 1), whose inner product is -1
# det: (1, 0) - (-1 / 2) (-1, 1) = (0.5, 0.5); seg: (-1, 1) - (-1 / 1) (1, 0) = (0, 1).
# Their sum is (0.5, 1.5), without surgery (0, 1).

CONFLICT = dict(det=(1.0, 0.0), seg=(-1.0, 1.0))


def test_two_tasks_that_conflict_are_projected_on_what_they_share():
    assert grads(pulling(**CONFLICT), [batch()])["trunk.values"] == [0, 1]
    assert grads(pulling(**CONFLICT), [batch()], GradientSurgery())["trunk.values"] == [0.5, 1.5]


def test_gradients_of_heads_stay_as_they_are():
    plain = grads(pulling(**CONFLICT), [batch()])
    projected = grads(pulling(**CONFLICT), [batch()], GradientSurgery())
    assert {n: v for n, v in projected.items() if n != "trunk.values"} == {
        n: v for n, v in plain.items() if n != "trunk.values"
    }
    assert plain["det_head.factor"] == 3  # (1, 0) . (3, 5)


def test_tasks_conflict_also_where_each_has_a_batch_of_its_own():
    step = [batch(tasks=("det",)), batch(tasks=("seg",))]
    processor = MultiTaskBatchProcessor()
    found = grads(pulling(**CONFLICT), [step], GradientSurgery(), batch_processor=processor)
    assert found["trunk.values"] == [0.5, 1.5]


def test_what_is_compared_is_a_task_over_all_batches_of_a_step():
    # det in 2 of 6 samples with size 6, in 4 with size -1.5: 6/3 - 1 = 1, the case above. In
    # the second batch alone det is against its own whole, and would not conflict with seg.
    step = [batch(6.0, ("det",), 2), batch(1.0, ("seg",), 3), batch(-1.5, ("det",), 4)]
    processor = MultiTaskBatchProcessor()
    found = grads(pulling(**CONFLICT), [step], GradientSurgery(), batch_processor=processor)
    assert found["trunk.values"] == pytest.approx([0.5, 1.5])


def test_batches_count_by_their_share_of_samples():
    # Both tasks: 3 of 4 samples with size 2, 1 with size -2: each gradient as it is.
    step = [batch(2.0, count=3), batch(-2.0, count=1)]
    found = grads(pulling(**CONFLICT), [step], GradientSurgery())
    assert found["trunk.values"] == pytest.approx([0.5, 1.5])


def test_each_step_begins_anew():
    seen = Grads()
    train(pulling(**CONFLICT), [GradientSurgery(), seen], [batch(), batch(), batch()])
    assert [step["trunk.values"] for step in seen.seen] == [[0.5, 1.5]] * 3


@pytest.mark.parametrize("seg", [(0.0, 2.0), (1.0, 1.0), (0.0, 0.0)])
def test_without_a_conflict_gradients_are_the_plain_ones(seg):
    model = pulling(det=(1.0, 0.0), seg=seg)
    assert grads(model, [batch(0.1)], GradientSurgery()) == grads(model, [batch(0.1)])


def weights_of_run(*callbacks, tasks=("side", "other"), same_heads=False, **kwargs):
    torch.manual_seed(3)
    model = tiny_graph(tasks)
    if same_heads:
        for task in tasks[1:]:
            model.get_submodule(f"{task}_head").load_state_dict(
                model.get_submodule(f"{tasks[0]}_head").state_dict()
            )
    trainer = make_trainer(model=model, callbacks=list(callbacks), **kwargs)
    trainer.fit()
    return {name: value.tolist() for name, value in model.state_dict().items()}


def test_a_run_of_tasks_that_agree_is_bit_for_bit_the_plain_one():
    plain = weights_of_run(same_heads=True)
    assert weights_of_run(GradientSurgery(), same_heads=True) == plain


def test_a_run_of_tasks_that_conflict_is_another():
    assert weights_of_run(GradientSurgery()) != weights_of_run()


def test_opposite_gradients_cancel():
    found = grads(pulling(det=(2.0, 1.0), seg=(-2.0, -1.0)), [batch()], GradientSurgery())
    assert found["trunk.values"] == pytest.approx([0, 0])


# --- three tasks: a = (1, 0), b = (-1, 1), c = (0, -2); a.b = -1, a.c = 0, b.c = -2
# a against b: (0.5, 0.5); then c, inner product -1: (0.5, 0.5) + (0, -2) / 4 = (0.5, 0).
# b against a: (0, 1); then c, inner product -2: (0, 1) + (0, -2) / 2 = (0, 0).
# c against b: (0, -2) + (-1, 1) = (-1, -1); then a, inner product -1: (0, -1).

THREE = dict(a=[1.0, 0.0], b=[-1.0, 1.0], c=[0.0, -2.0])


def test_three_tasks_are_projected_one_after_the_other():
    # (0.5, 0) + (0, 0) + (0, -1)
    assert changed(everything(**THREE), a=["b", "c"], b=["a", "c"], c=["b", "a"]) == [0.5, -1]


def test_the_order_of_the_others_matters():
    # a against c, no conflict, then b: (0.5, 0.5). c against a, none, then b: (-1, -1).
    # b against c: (-1, 1) + (0, -2) / 2 = (-1, 0); then a: (0, 0).
    assert changed(everything(**THREE), a=["c", "b"], b=["c", "a"], c=["a", "b"]) == [-0.5, -0.5]


def test_the_order_is_drawn_by_seed_and_step():
    directions = {name: tuple(vector) for name, vector in THREE.items()}

    def seen(seed):
        found = Grads()
        train(pulling(**directions), [GradientSurgery(), found], [batch()] * 12, seed=seed)
        return [tuple(step["trunk.values"]) for step in found.seen]

    assert seen(1) == seen(1)
    assert seen(1) != seen(2)
    # a is (0.5, 0) or (0.5, 0.5), b (0, 0), c (0, -1) or (-1, -1).
    assert set(seen(1)) == {(0.5, -1), (-0.5, -1), (0.5, -0.5), (-0.5, -0.5)}


def test_two_tasks_are_compared_on_what_both_use():
    # `trunk` is of all, `neck` of det and seg. scene against det on the trunk alone:
    # (-1) - (-2 / 4) (2) = (0); det against scene: (2) - (-2 / 1) (-1) = (0), its neck stays,
    # although det as a whole is (2, 3). seg conflicts with nothing.
    trunk, neck = frozenset(["det", "seg", "scene"]), frozenset(["det", "seg"])
    tasks = {
        "det": {trunk: torch.tensor([2.0]), neck: torch.tensor([3.0])},
        "seg": {trunk: torch.tensor([0.0]), neck: torch.tensor([1.0])},
        "scene": {trunk: torch.tensor([-1.0])},
    }
    orders = {"det": ["seg", "scene"], "seg": ["det", "scene"], "scene": ["det", "seg"]}
    change = projection(tasks, orders)
    assert {users: vector.tolist() for users, vector in change.items()} == {trunk: [-1], neck: [0]}


def pcgrad(gradients, orders):
    """Algorithm 1 of the paper, line by line, on rows of a matrix."""
    projected = gradients.clone()
    for i, order in enumerate(orders):
        for j in order:
            product = float(projected[i] @ gradients[j])
            if product < 0:
                projected[i] -= product / float(gradients[j] @ gradients[j]) * gradients[j]
    return projected.sum(0)


@pytest.mark.parametrize("seed", range(5))
def test_it_is_the_algorithm_of_the_paper(seed):
    generator = torch.Generator().manual_seed(seed)
    rows = torch.randn(4, 6, generator=generator, dtype=torch.float64)
    order = [
        [n for n in torch.randperm(4, generator=generator).tolist() if n != i] for i in range(4)
    ]
    users = frozenset("abcd")
    tasks = {name: {users: row} for name, row in zip("abcd", rows, strict=True)}
    change = projection(
        tasks, {name: ["abcd"[n] for n in order[i]] for i, name in enumerate("abcd")}
    )
    torch.testing.assert_close(rows.sum(0) + change[users], pcgrad(rows, order))


# --- with the rest


def test_a_resumed_run_draws_the_orders_of_the_whole_one(tmp_path):
    tasks = ("a", "b", "c")
    save = Checkpoint(folder=tmp_path, keep_last=9, by="step")
    whole = weights_of_run(GradientSurgery(), save, tasks=tasks)
    (path,) = tmp_path.glob("*-step-00000003")
    resumed = Checkpoint(folder=tmp_path / "rest", resume=path)
    assert weights_of_run(GradientSurgery(), resumed, tasks=tasks) == whole


def test_learned_weights_of_tasks_weigh_the_conflict():
    # exp(-log 2) = 1/2: seg becomes (-0.5, 0.5), which changes det to (0.5, 0.5) as before, and
    # itself to (0, 0.5).
    model = pulling(**CONFLICT)
    model.balance = UncertaintyWeighting(["det", "seg"])
    torch.nn.init.constant_(model.balance.log_variances["seg"], torch.tensor(2.0).log().item())
    found = grads(model, [batch()], GradientSurgery())
    assert found["trunk.values"] == pytest.approx([0.5, 1.0])
    # 1 - exp(-s) L, with L = (-1, 1) . (3, 5) = 2
    assert found["balance.log_variances.seg"] == pytest.approx(0)


def test_a_stopped_task_takes_no_part():
    seen = Grads()
    callbacks = [StopTask("seg", after_steps=1), GradientSurgery(), seen]
    train(pulling(**CONFLICT), callbacks, [batch(), batch()])
    assert [step["trunk.values"] for step in seen.seen] == [[0.5, 1.5], [1, 0]]


def test_what_is_frozen_is_left_out():
    found = grads(pulling(**CONFLICT), [batch()], FreezeModule(shared=True), GradientSurgery())
    assert found == {"det_head.factor": 3, "seg_head.factor": 2}


def test_bfloat16_is_projected_in_float32():
    torch.manual_seed(0)
    model = tiny_graph()
    processor = BatchProcessor(precision="bf16")
    make_trainer(model=model, callbacks=[GradientSurgery()], batch_processor=processor).fit()
    assert all(p.grad.dtype == torch.float32 for p in model.parameters())


def test_scaled_losses_are_refused_by_name():
    processor = BatchProcessor(precision="fp16")
    with pytest.raises(ValueError, match=r"GradientSurgery .* train with precision='bf16'"):
        make_trainer(model=tiny_graph(), callbacks=[GradientSurgery()], batch_processor=processor)


def test_a_model_without_tasks_is_refused():
    with pytest.raises(ValueError, match="tasks are those of a GraphModel, the model is a Tiny"):
        make_trainer(model=TinyModel(), callbacks=[GradientSurgery()])


def test_a_model_of_one_task_is_refused():
    with pytest.raises(ValueError, match="no two tasks of the model share parameters: side"):
        make_trainer(model=tiny_graph(("side",)), callbacks=[GradientSurgery()])


def test_weights_that_two_heads_share_are_shared():
    model = pulling(**CONFLICT)
    model.seg_head = copy.copy(model.det_head)
    model.seg_head._parameters = model.det_head._parameters
    # By the factor: det 1 * 3 = 3, seg -3 + 5 = 2: they agree; by the trunk as before.
    found = grads(model, [batch()], GradientSurgery())
    assert found["det_head.factor"] == pytest.approx(5)


def test_adam_takes_what_is_left():
    optimizer = functools.partial(torch.optim.AdamW, lr=0.01)
    found = weights_of_run(GradientSurgery(), optimizer=optimizer)
    assert found != weights_of_run(optimizer=optimizer)
