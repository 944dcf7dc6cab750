"""Weights of tasks that are learned along with them."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from hat.registry import did_you_mean


class UncertaintyWeighting(nn.Module):
    """Weighs each task by a learned variance of its own, so that no scale is set by hand.

    For each task t there is one number s_t, the logarithm of a variance, and what is
    minimised is the sum over tasks of `exp(-s_t) * L_t + s_t`: a task whose loss stays large
    gets a small weight, and the term `s_t` keeps the weights from going to 0. For a fixed
    L_t > 0 the best s_t is log(L_t), where the task adds 1 + log(L_t).

    It is the `balance` of a `GraphModel`: called with named losses, `det/cls`, it gives them
    back weighted, by the same names, and adds `det/log_variance` for each task that is among
    them. A task that is not there adds nothing, and its s_t gets no gradient.

    Its parameters are `balance.log_variances.det`. Weight decay would pull the weights towards
    1: take them out with `param_groups=[dict(match="balance.*", weight_decay=0.0)]`.

    Args:
        tasks: The names of all tasks that losses can come from.
        initial: The first s_t of every task; with 0 all weights start at 1.

    Raises:
        ValueError: If there are no tasks, or one is named twice; when called, if a loss is of
            no known task.

    Example:
        >>> balance = UncertaintyWeighting(["det", "seg"])
        >>> balance({"det/cls": torch.tensor(2.0), "det/box": torch.tensor(1.0)})
        {'det/cls': tensor(2., grad_fn=...), 'det/box': tensor(1., ...), 'det/log_variance': ...}

    Reference:
        Kendall, Gal, Cipolla, Multi-Task Learning Using Uncertainty to Weigh Losses for Scene
        Geometry and Semantics, CVPR 2018. With s = log(sigma^2) a regression adds
        (exp(-s) * L + s) / 2 (eq. 7) and a classification exp(-s) * L + s / 2 (eq. 10). Ours
        is twice the first, for every kind of loss: a factor 2 of the whole is one of the
        learning rate, and a factor 2 of one L_t only moves its s_t by log(2).
    """

    def __init__(self, tasks: Sequence[str], initial: float = 0.0) -> None:
        super().__init__()
        if isinstance(tasks, str) or not tasks or len(set(tasks)) < len(tasks):
            raise ValueError(f"tasks must be a list of different names, got {tasks!r}")
        self.log_variances = nn.ParameterDict(
            {task: nn.Parameter(torch.tensor(float(initial))) for task in tasks}
        )

    def forward(self, losses: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Named scalars, `<task>/<name>`, whose plain sum is minimised."""
        weighted: dict[str, Tensor] = {}
        for task, names in self._by_task(losses).items():
            log_variance = self.log_variances[task]
            weight = torch.exp(-log_variance)
            weighted |= {name: weight * losses[name] for name in names}
            # A view would be the parameter itself, which logs keep and the optimizer changes.
            weighted[f"{task}/log_variance"] = log_variance.clone()
        return weighted

    def _by_task(self, losses: Mapping[str, Tensor]) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        for name in losses:
            task = name.partition("/")[0]
            if task not in self.log_variances:
                raise ValueError(
                    f"UncertaintyWeighting has the tasks {', '.join(self.log_variances)}, the "
                    f"loss '{name}' is of '{task}'.{did_you_mean(task, self.log_variances)}"
                )
            found.setdefault(task, []).append(name)
        return found
