"""A model of three tasks small enough to differentiate by hand, and batches labelled in part."""

import torch
from torch import nn

from hat.models import GraphModel, TaskModule

TASKS = ("a", "b", "c")


class Fit(TaskModule):
    """A regression to `gt_<name>`, with two losses, in the dtype of its outputs."""

    def __init__(self, name):
        super().__init__()
        self.truth_keys = (f"gt_{name}",)

    def losses(self, outputs, batch):
        error = outputs - batch[self.truth_keys[0]]
        return {"square": error.square().mean(), "abs": error.abs().mean()}

    def predictions(self, outputs, batch):
        return {"value": outputs.detach()}


def topology(nodes, x):
    trunk = nodes.trunk(x)
    # c does not use the neck
    neck = nodes.neck(trunk)
    return {"a": nodes.a_head(neck), "b": nodes.b_head(neck), "c": nodes.c_head(trunk)}


def three_tasks(dtype=torch.float64, seed=0, **kwargs):
    torch.manual_seed(seed)
    nodes = {
        "trunk": nn.Sequential(nn.Linear(4, 6), nn.Tanh()),
        "neck": nn.Sequential(nn.Linear(6, 5), nn.Tanh()),
        "a_head": nn.Linear(5, 2),
        "b_head": nn.Linear(5, 3),
        "c_head": nn.Linear(6, 1),
    }
    return GraphModel(nodes, topology, {name: Fit(name) for name in TASKS}, **kwargs).to(dtype)


SIZES = {"a": 2, "b": 3, "c": 1}


def samples(count, seed=1, dtype=torch.float64, **has):
    """So many samples; `a=[0, 2]` labels only these for task a, `a=[]` none, else all have it."""
    generator = torch.Generator().manual_seed(seed)
    made = []
    for index in range(count):
        sample = {"x": torch.randn(4, generator=generator, dtype=dtype)}
        for name, size in SIZES.items():
            truth = torch.randn(size, generator=generator, dtype=dtype)
            if index in has.get(name, range(count)):
                sample[f"gt_{name}"] = truth
        made.append(sample)
    return made


def batch_of(some, tasks=None):
    """The contract of a partly labelled batch, written out."""
    batch = {"x": torch.stack([sample["x"] for sample in some]), "labelled": {}}
    for name in TASKS:
        key = f"gt_{name}"
        rows = [row for row, sample in enumerate(some) if key in sample]
        if rows:
            batch[key] = torch.stack([some[row][key] for row in rows])
        if rows and len(rows) < len(some):
            batch["labelled"][key] = torch.tensor(rows)
    if not batch["labelled"]:
        del batch["labelled"]
    return batch if tasks is None else batch | {"tasks": tuple(tasks)}


def reference(model, some, tasks=TASKS):
    """Losses and gradients of samples one at a time, by the nodes alone: (losses, grads by name).

    Each sample is given as (sample, tasks that it is for).
    """
    model = three_tasks() if model is None else model
    model.zero_grad()
    sums, counts = {}, dict.fromkeys(TASKS, 0)
    for sample, its_tasks in some:
        trunk = model.trunk(sample["x"])
        neck = model.neck(trunk)
        found = {"a": model.a_head(neck), "b": model.b_head(neck), "c": model.c_head(trunk)}
        for name in its_tasks:
            if f"gt_{name}" in sample:
                error = found[name] - sample[f"gt_{name}"]
                counts[name] += 1
                for key, value in (("square", error.square()), ("abs", error.abs())):
                    key = f"{name}/{key}"
                    sums[key] = sums.get(key, 0) + value.mean()
    losses = {key: value / counts[key[0]] for key, value in sums.items()}
    sum(losses.values()).backward()
    grads = {name: parameter.grad for name, parameter in model.named_parameters()}
    model.zero_grad()
    return {key: value.detach() for key, value in losses.items()}, grads
