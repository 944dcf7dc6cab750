"""Which gradients processes sum after a step, known from the graph and not found by search."""

from collections.abc import Collection, Iterator, Sequence

import torch
import torch.distributed as dist
from torch import Tensor, nn

from hat.models.structures.graph_model import GraphModel


class GradientPlan:
    """Sums the gradients of the parameters that a step uses over all processes.

    Each process may have trained other tasks, on data of its own. A parameter that the step
    uses, but this process did not, counts as zeros here; a parameter that no process uses
    keeps no gradient on any, so that no optimizer moves it. What a set of tasks uses is read
    off a `GraphModel` once. Of parameters beside the graph, those of its `balance`, the
    processes tell each other who has a gradient. Every other model uses all its parameters.

    It sums: who divides is who weighs the losses, as `MultiTaskBatchProcessor` does. It
    flattens what it sums into a few buckets, one after the other when `all_reduce` is called:
    nothing overlaps with the backward pass, and nothing but gradients is made equal, so that
    all processes must begin with the same weights and buffers. Gradients are dense.

    Args:
        model: Of the same kind on all processes.
        group: The processes; by default all.
        bucket_mib: How much one bucket holds at most; a parameter above it has one of its own.

    Attributes:
        control_group: The processes, for small tensors of the CPU.

    Raises:
        ValueError: If the bucket is not above 0.

    Example:
        >>> plan = GradientPlan(model)  # doctest: +SKIP
        >>> loss.backward()  # doctest: +SKIP
        >>> plan.all_reduce(["det", "seg"])  # of any process; the same on all  # doctest: +SKIP
    """

    def __init__(
        self, model: nn.Module, group: dist.ProcessGroup | None = None, bucket_mib: float = 25
    ) -> None:
        if bucket_mib <= 0:
            raise ValueError(f"bucket_mib must be above 0, got {bucket_mib}")
        self.model = model
        self.group = group
        self.bucket_mib = bucket_mib
        self.control_group = cpu_group(group)
        self._beside: list[nn.Parameter] = []
        if isinstance(model, GraphModel):
            of_graph = set(model.named_parameters_of(model.topology.outputs).values())
            self._beside = [p for p in model.parameters() if p not in of_graph]
        self._used: dict[frozenset[str], list[nn.Parameter]] = {}

    def parameters_of(self, tasks: Collection[str]) -> list[nn.Parameter]:
        """The parameters that some tasks use, by the graph alone, in the order of the model."""
        key = frozenset(tasks)
        if key not in self._used:
            every = list(self.model.parameters())
            if isinstance(self.model, GraphModel):
                used = set(self.model.named_parameters_of(key).values())
                every = [parameter for parameter in every if parameter in used]
            self._used[key] = every
        return self._used[key]

    def all_reduce(self, tasks: Collection[str]) -> None:
        """Sum the gradients of what some tasks use over the processes, in place.

        Args:
            tasks: Those that any process has trained in this step; the same on all processes.
        """
        parameters = [p for p in self.parameters_of(tasks) if p.requires_grad]
        parameters += self._beside_with_gradient()
        grads = []
        for parameter in parameters:
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
            grads.append(parameter.grad)
        for bucket in self._buckets(grads):
            flat = torch.cat([grad.reshape(-1) for grad in bucket])
            dist.all_reduce(flat, group=self.group)
            parts = flat.split([grad.numel() for grad in bucket])
            sums = [part.view(grad.shape) for part, grad in zip(parts, bucket, strict=True)]
            torch._foreach_copy_(bucket, sums)

    def _beside_with_gradient(self) -> list[nn.Parameter]:
        if not self._beside:
            return []
        has_gradient = torch.tensor([p.grad is not None for p in self._beside], dtype=torch.int32)
        dist.all_reduce(has_gradient, group=self.control_group)
        return [p for p, has in zip(self._beside, has_gradient.tolist(), strict=True) if has]

    def _buckets(self, grads: Sequence[Tensor]) -> Iterator[list[Tensor]]:
        """Gradients of one kind, in order, as many as fit."""
        by_kind: dict[tuple[torch.dtype, torch.device], list[Tensor]] = {}
        for grad in grads:
            by_kind.setdefault((grad.dtype, grad.device), []).append(grad)
        for same in by_kind.values():
            bucket: list[Tensor] = []
            num_bytes = 0
            for grad in same:
                if bucket and num_bytes + grad.nbytes > self.bucket_mib * 2**20:
                    yield bucket
                    bucket, num_bytes = [], 0
                bucket.append(grad)
                num_bytes += grad.nbytes
            yield bucket


def cpu_group(group: dist.ProcessGroup | None = None) -> dist.ProcessGroup | None:
    """A group of the same processes that moves small tensors of the CPU.

    Numbers that Python decides by then need no wait for a GPU. All processes must call it.
    """
    if "gloo" in dist.get_backend(group):
        return group
    beside = dist.new_group(dist.get_process_group_ranks(group), backend="gloo")
    assert not isinstance(beside, int)  # which it is to a process outside
    return beside
