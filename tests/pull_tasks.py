"""Tasks whose gradients on a shared vector are known: each pulls it in its own direction."""

import torch
from torch import Tensor, nn

from hat.callbacks import Callback
from hat.engine import Trainer
from hat.models import GraphModel
from hat.models.task_modules.task_module import TaskModule


class Vector(nn.Module):
    """A learned vector, whatever comes in; `offset` is added to what is a vector already."""

    def __init__(self, *values: float) -> None:
        super().__init__()
        self.values = nn.Parameter(torch.tensor(values))

    def forward(self, inputs: Tensor) -> Tensor:
        return self.values


class Scale(nn.Module):
    """A head: the vector times a learned number, 1 at first."""

    def __init__(self) -> None:
        super().__init__()
        self.factor = nn.Parameter(torch.tensor(1.0))

    def forward(self, vector: Tensor) -> Tensor:
        return self.factor * vector


class Pull(TaskModule):
    """The loss d . v, in two parts, times the mean of `size`: its gradient by v is d."""

    truth_keys = ("label",)

    def __init__(self, *direction: float) -> None:
        super().__init__()
        self.direction = direction

    def losses(self, outputs, batch):
        terms = outputs * torch.tensor(self.direction) * batch["size"].mean()
        return {"first": terms[0], "rest": terms[1:].sum()}

    def predictions(self, outputs, batch):
        return {}


class Grads(Callback):
    """The gradients of every step, as the optimizer gets them."""

    def __init__(self) -> None:
        self.seen = []

    def on_optimizer_step_begin(self, *, model, **kwargs):
        self.seen.append(
            {n: p.grad.tolist() for n, p in model.named_parameters() if p.grad is not None}
        )


def pulling(**directions: tuple[float, ...]) -> GraphModel:
    """A `trunk` (3, 5, 0, ...) of all tasks, and a head of each."""
    size = len(next(iter(directions.values())))
    heads = {f"{task}_head": Scale() for task in directions}
    return GraphModel(
        nodes=dict(trunk=Vector(*[3.0, 5.0, *[0.0] * size][:size]), **heads),
        topology=dict(trunk="x", **dict.fromkeys(heads, "trunk")),
        outputs={task: f"{task}_head" for task in directions},
        inputs=["x"],
        tasks={task: Pull(*direction) for task, direction in directions.items()},
    )


def batch(size: float = 1.0, tasks: tuple[str, ...] | None = None, count: int = 2):
    """Samples that are labelled for all tasks, the batch for some or all."""
    made = {
        "x": torch.zeros(count, 1),
        "size": torch.full((count,), size),
        "label": torch.zeros(count, dtype=torch.int64),
    }
    return made if tasks is None else {**made, "tasks": tasks}


def train(model: nn.Module, callbacks, steps, **kwargs) -> Trainer:
    """A trainer that went through steps, a batch or a list of batches each; weights stay."""
    trainer = Trainer(
        model,
        steps,
        torch.optim.SGD(model.parameters(), lr=0.0),
        num_epochs=1,
        callbacks=callbacks,
        **kwargs,
    )
    trainer.fit()
    return trainer
