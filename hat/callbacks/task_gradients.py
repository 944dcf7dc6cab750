"""The gradients of each task alone, on the parameters that tasks share."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from hat.models.graph.ownership import as_graph

#: Which tasks use some parameters: those with the same users are one vector.
Users = frozenset[str]
#: A gradient as flat vectors, one for each group of parameters.
Gradient = dict[Users, Tensor]


def task_gradients(
    losses: Mapping[str, Tensor], parameters: Mapping[str, Sequence[nn.Parameter]]
) -> dict[str, list[Tensor]]:
    """The gradient of the sum of each task's losses, before the backward pass of all.

    The graph is kept, and no `grad` is touched.

    Args:
        losses: Named scalars, `<task>/<name>`.
        parameters: Of each task, those to differentiate by.

    Returns:
        By task, a gradient for each of its parameters, zeros where it has none; no task
        without a loss that depends on anything, or without parameters.

    Example:
        >>> w = nn.Parameter(torch.tensor([1.0, 2.0]))
        >>> losses = {"det/cls": w.sum(), "det/box": w[0] ** 2, "seg/ce": -w[1]}
        >>> task_gradients(losses, {"det": [w], "seg": [w]})
        {'det': [tensor([3., 1.])], 'seg': [tensor([ 0., -1.])]}
    """
    found = {}
    for task, wanted in parameters.items():
        parts = [losses[name] for name in _names_of(task, losses)]
        if parts and wanted:
            found[task] = list(
                torch.autograd.grad(
                    parts,
                    wanted,
                    [torch.ones_like(part) for part in parts],
                    retain_graph=True,
                    allow_unused=True,
                    materialize_grads=True,
                )
            )
    return found


class StepGradients:
    """What each task adds to the gradient of a step on shared parameters, over its batches.

    Whatever a batch processor multiplies the losses of a task by before it differentiates
    them, such as the share of a batch in its step, is part of it: the gradients of all tasks
    add up to that of the step.

    Args:
        model: A `GraphModel` of which two tasks or more share parameters.

    Attributes:
        tasks: By task, its gradient so far in this step.

    Raises:
        ValueError: If it is no `GraphModel`, or no two tasks share parameters.
    """

    def __init__(self, model: nn.Module) -> None:
        graph = as_graph(model)
        users: dict[nn.Parameter, set[str]] = {}
        for task in graph.task_names:
            for node in graph.nodes_of(task):
                for parameter in graph.get_submodule(node).parameters():
                    users.setdefault(parameter, set()).add(task)
        self._groups: dict[Users, list[nn.Parameter]] = {}
        for parameter, names in users.items():
            if len(names) > 1:
                self._groups.setdefault(frozenset(names), []).append(parameter)
        if not self._groups:
            raise ValueError(
                f"no two tasks of the model share parameters: {', '.join(graph.task_names)}"
            )
        self._task_names = graph.task_names
        self._batch: dict[str, list[Tensor]] = {}
        self._factors: dict[str, Tensor] = {}
        self.parameters: dict[Users, list[nn.Parameter]] = {}
        self.tasks: dict[str, Gradient] = {}

    def begin_step(self) -> None:
        """Forget the step before; what is frozen is left out of this one."""
        self.tasks = {}
        self.parameters = {
            users: trained
            for users, group in self._groups.items()
            if (trained := [p for p in group if p.requires_grad])
        }

    def begin_backward(self, losses: Mapping[str, Tensor]) -> None:
        """Differentiate the losses of each task of a batch."""
        self._batch = task_gradients(losses, {t: self._parameters_of(t) for t in self._task_names})
        self._factors = {}
        for task in self._batch:
            # After its own gradient was taken: a hook is called whenever a gradient passes, and
            # the last to pass is that of the backward pass itself.
            first = losses[_names_of(task, losses)[0]]
            first.register_hook(lambda factor, task=task: self._note(task, factor))

    def end_backward(self) -> None:
        """Add the batch to its step."""
        for task, grads in self._batch.items():
            if task not in self._factors:  # its losses were left out of what was differentiated
                continue
            own = self.tasks.setdefault(task, {})
            left = iter(grads)
            for users, group in self.parameters.items():
                if task in users:
                    vector = torch.cat([next(left).flatten() for _ in group])
                    vector *= self._factors[task]
                    own[users] = own[users] + vector if users in own else vector
        self._batch, self._factors = {}, {}

    def add_to_grad(self, change: Gradient) -> None:
        """Add vectors to the gradients of the parameters that they are of."""
        for users, vector in change.items():
            group = self.parameters[users]
            parts = vector.split([parameter.numel() for parameter in group])
            for parameter, part in zip(group, parts, strict=True):
                if parameter.grad is not None:
                    parameter.grad += part.view(parameter.shape)

    def _parameters_of(self, task: str) -> list[nn.Parameter]:
        return [p for users, group in self.parameters.items() if task in users for p in group]

    def _note(self, task: str, factor: Tensor) -> None:
        self._factors[task] = factor


def dot(one: Gradient, other: Gradient) -> Tensor:
    """The inner product over the parameters that both have, a scalar; they must have some."""
    common = [users for users in one if users in other]
    return torch.stack([torch.dot(one[users], other[users]) for users in common]).sum()


def pairs(tasks: Mapping[str, Gradient]) -> list[tuple[str, str]]:
    """The pairs of tasks, in order, that have parameters in common."""
    names = list(tasks)
    return [
        (one, other)
        for number, one in enumerate(names)
        for other in names[number + 1 :]
        if tasks[one].keys() & tasks[other].keys()
    ]


def on_common(one: Gradient, other: Gradient) -> Gradient:
    """The part of a gradient on the parameters that another has too."""
    return {users: vector for users, vector in one.items() if users in other}


def _names_of(task: str, losses: Mapping[str, Tensor]) -> list[str]:
    return [
        name
        for name, loss in losses.items()
        if name.partition("/")[0] == task and loss.requires_grad
    ]
