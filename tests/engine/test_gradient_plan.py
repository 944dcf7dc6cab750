"""Two processes with tasks and data of their own have the gradients of one with all of it."""

import datetime
import functools

import pytest
import torch
import torch.distributed as dist
from multi_task_cases import TASKS, batch_of, reference, samples, three_tasks
from torch import nn

from hat.callbacks import NanGuard
from hat.engine import Trainer
from hat.engine.gradient_plan import GradientPlan
from hat.engine.hooks import HOOK_ARGUMENTS
from hat.engine.processors import MultiTaskBatchProcessor

FIRST, SECOND, THIRD = samples(3), samples(5, seed=2), samples(2, seed=3)
PARTS = samples(4, seed=4, a=[0, 3], b=[1], c=[])
NONE = samples(2, seed=5, a=[], b=[], c=[])

#: What each of two processes holds in one step: batches of (samples, tasks that they are for).
STEPS = {
    "the same tasks": ([(FIRST, TASKS)], [(SECOND, TASKS)]),
    "other tasks": ([(FIRST, ["a"])], [(SECOND, ["b", "c"])]),
    "a task on one process only": ([(FIRST, ["a", "c"])], [(SECOND, ["a"])]),
    "several batches": ([(FIRST, ["a"]), (SECOND, ["c"])], [(THIRD, TASKS), (PARTS, TASKS)]),
    "partial labels": ([(PARTS, TASKS)], [(THIRD, ["c", "a"])]),
    "a task that nobody has": ([(FIRST, ["c"])], [(SECOND, ["c"])]),
    "nothing to learn on one process": ([(NONE, TASKS)], [(SECOND, ["a", "b"])]),
    "nothing to learn": ([(NONE, TASKS)], [(NONE, TASKS)]),
}


class Balance(nn.Module):
    """Weighs each task by a parameter of its own, beside the graph."""

    def __init__(self):
        super().__init__()
        self.weights = nn.ParameterDict({name: torch.ones(()) for name in TASKS})

    def forward(self, losses):
        return {name: loss * self.weights[name[0]] for name, loss in losses.items()}


def make_model(name):
    """The model of a step; those of two are balanced."""
    is_balanced = name in ("other tasks", "a task that nobody has")
    return three_tasks(balance=Balance() if is_balanced else None)


def one_step(name, rank):
    """Gradients and weights after a step of one of two processes, and its losses."""
    model = make_model(name)
    processor = MultiTaskBatchProcessor(bucket_mib=1e-4)
    processor.set_up(torch.device("cpu"))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=0.1)
    batches = [batch_of(some, tasks) for some, tasks in STEPS[name][rank]]
    outcome = processor(batches, model, optimizer, dict.fromkeys(HOOK_ARGUMENTS, ()))
    return {
        "grads": {name: p.grad for name, p in model.named_parameters()},
        "weights": model.state_dict(),
        "loss": outcome.loss,
        "losses": outcome.losses,
        "skip_reason": outcome.skip_reason,
    }


def three_steps_of_half(rank):
    """Weights after a run of which each process has every second batch."""
    model = three_tasks(torch.float32)
    data = [samples(6, seed=s, dtype=torch.float32, a=[0, 2, 3], b=[1]) for s in (1, 2, 3)]
    half = [batch_of(some[:4] if rank == 0 else some[4:]) for some in data]
    train(model, half)
    return model.state_dict()


def train(model, data):
    Trainer(
        model,
        data,
        functools.partial(torch.optim.SGD, lr=0.1, momentum=0.9, weight_decay=0.1),
        num_epochs=1,
        device="cpu",
        batch_processor=MultiTaskBatchProcessor(),
        callbacks=[NanGuard()],
    ).fit()


def frozen_neck():
    model = three_tasks()
    model.neck.requires_grad_(False)
    return model


def plain_sum(rank):
    """A plan of a model without tasks: everything is summed."""
    model = nn.Sequential(nn.Conv2d(1, 2, 2), nn.Conv2d(2, 1, 1), nn.Linear(1, 1).double())
    model = model.to(memory_format=torch.channels_last)
    grads = {name: torch.ones_like(p) * (rank + 1) for name, p in model.named_parameters()}
    for name, parameter in model.named_parameters():
        if rank == 1 or name.startswith("1"):
            parameter.grad = grads[name].clone()
    GradientPlan(model).all_reduce([])
    return {name: parameter.grad for name, parameter in model.named_parameters()}


def with_a_frozen_neck():
    model = frozen_neck()
    model({**batch_of(FIRST), "tasks": ("a",)}).losses["a/abs"].backward()
    GradientPlan(model).all_reduce(["a"])
    return {name: p.grad is None for name, p in model.named_parameters()}


def run_process(rank, folder):
    torch.set_num_threads(1)
    dist.init_process_group(
        "gloo",
        init_method=f"file://{folder}/rendezvous",
        rank=rank,
        world_size=2,
        timeout=datetime.timedelta(seconds=30),
    )
    results = {name: one_step(name, rank) for name in STEPS}
    results["run"] = three_steps_of_half(rank)
    results["plain"] = plain_sum(rank)
    results["frozen"] = with_a_frozen_neck()
    torch.save(results, f"{folder}/{rank}.pt")
    dist.destroy_process_group()


@pytest.fixture(scope="module")
def of_two_processes(tmp_path_factory):
    folder = tmp_path_factory.mktemp("processes")
    context = torch.multiprocessing.spawn(run_process, (str(folder),), nprocs=2, join=False)
    try:
        if not context.join(timeout=120, grace_period=5):
            # False also says that one process has ended and the other not yet.
            assert context.join(timeout=60, grace_period=5)
    finally:
        for process in context.processes:
            process.kill()
    return [torch.load(folder / f"{rank}.pt", weights_only=True) for rank in (0, 1)]


def of_one_process(name):
    batches = [*STEPS[name][0], *STEPS[name][1]]
    return [(sample, tasks) for some, tasks in batches for sample in some]


both_ranks = pytest.mark.parametrize("rank", [0, 1])
pytestmark = pytest.mark.slow
LEARNING = [name for name in STEPS if name != "nothing to learn"]


@both_ranks
@pytest.mark.parametrize("name", LEARNING)
def test_gradients_are_those_of_one_process_with_all_batches(name, rank, of_two_processes):
    found = of_two_processes[rank][name]["grads"]
    _, expected = reference(None, of_one_process(name))
    for key, grad in expected.items():
        if grad is None:
            assert found[key] is None
        else:
            torch.testing.assert_close(found[key], grad, rtol=1e-12, atol=1e-12)


@both_ranks
@pytest.mark.parametrize("name", STEPS)
def test_what_nobody_uses_keeps_its_bits(name, rank, of_two_processes):
    result = of_two_processes[rank][name]
    for key, before in make_model(name).state_dict().items():
        if result["grads"][key] is None:
            assert torch.equal(result["weights"][key], before)


def test_the_head_and_neck_of_others_are_unused(of_two_processes):
    grads = of_two_processes[0]["a task that nobody has"]["grads"]
    unused = {name.split(".")[0] for name, grad in grads.items() if grad is None}
    assert unused == {"neck", "a_head", "b_head", "balance"}
    assert grads["balance.weights.b"] is None
    assert grads["balance.weights.c"] is not None


@pytest.mark.parametrize("name", STEPS)
def test_both_processes_have_the_same_weights(name, of_two_processes):
    first, second = (result[name]["weights"] for result in of_two_processes)
    assert all(torch.equal(first[key], second[key]) for key in first)


@both_ranks
@pytest.mark.parametrize("name", LEARNING)
def test_the_loss_is_that_of_all_processes(name, rank, of_two_processes):
    losses, _ = reference(None, of_one_process(name))
    expected = sum(losses.values()).item()
    assert of_two_processes[rank][name]["loss"].item() == pytest.approx(expected, rel=1e-12)


def test_losses_by_name_are_those_of_the_own_samples(of_two_processes):
    for rank, result in enumerate(of_two_processes):
        some = [(s, tasks) for some, tasks in STEPS["several batches"][rank] for s in some]
        losses, _ = reference(None, some)
        found = result["several batches"]["losses"]
        assert {k: v.item() for k, v in found.items()} == pytest.approx(
            {k: v.item() for k, v in losses.items()}, rel=1e-12
        )


@both_ranks
def test_both_skip_a_step_without_truth(rank, of_two_processes):
    assert "no batch has truth" in of_two_processes[rank]["nothing to learn"]["skip_reason"]


@both_ranks
def test_parameters_beside_the_graph_are_summed_where_someone_uses_them(rank, of_two_processes):
    # d/dw of w * loss is the loss: all three tasks are in the step, each on one process.
    grads = of_two_processes[rank]["other tasks"]["grads"]
    losses, _ = reference(None, of_one_process("other tasks"))
    for task in TASKS:
        expected = losses[f"{task}/square"] + losses[f"{task}/abs"]
        torch.testing.assert_close(grads[f"balance.weights.{task}"], expected)


@both_ranks
def test_a_run_of_two_is_the_run_of_one(rank, of_two_processes):
    model = three_tasks(torch.float32)
    train(
        model,
        [batch_of(samples(6, seed=s, dtype=torch.float32, a=[0, 2, 3], b=[1])) for s in (1, 2, 3)],
    )
    for name, value in model.state_dict().items():
        torch.testing.assert_close(of_two_processes[rank]["run"][name], value, rtol=1e-5, atol=1e-6)


@both_ranks
def test_other_models_sum_everything(rank, of_two_processes):
    # 1 on the first process and 2 on the second; the first has no gradient but of layer 1.
    for name, grad in of_two_processes[rank]["plain"].items():
        assert grad.unique().tolist() == [3.0 if name.startswith("1") else 2.0]


@both_ranks
def test_a_frozen_parameter_gets_no_gradient(rank, of_two_processes):
    has_none = of_two_processes[rank]["frozen"]
    assert {name.split(".")[0] for name, none in has_none.items() if none} == {
        "neck",
        "b_head",
        "c_head",
    }


def test_the_plan_of_a_graph_model_reads_the_graph(one_process):
    model = three_tasks()
    names = {parameter: name for name, parameter in model.named_parameters()}
    found = [names[parameter] for parameter in GradientPlan(model).parameters_of(["c"])]
    assert found == ["trunk.0.weight", "trunk.0.bias", "c_head.weight", "c_head.bias"]


def test_a_bucket_without_size_is_refused():
    with pytest.raises(ValueError, match="bucket_mib must be above 0, got 0"):
        GradientPlan(nn.Linear(1, 1), bucket_mib=0)


@pytest.fixture
def one_process(tmp_path):
    dist.init_process_group(
        "gloo", init_method=f"file://{tmp_path}/rendezvous", rank=0, world_size=1
    )
    yield
    dist.destroy_process_group()


@pytest.mark.parametrize(("bucket_mib", "expected"), [(25, [2]), (16 / 2**20, [1, 1])])
def test_buckets_hold_what_fits(bucket_mib, expected, one_process):
    model = nn.Linear(2, 1)
    plan = GradientPlan(model, bucket_mib=bucket_mib)
    found = list(plan._buckets([torch.zeros(1, 2), torch.zeros(3)]))
    assert [len(bucket) for bucket in found] == expected
