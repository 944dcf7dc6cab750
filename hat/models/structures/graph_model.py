"""Many tasks on shared nodes: a static graph that runs in part."""

from collections.abc import Callable, Collection, Mapping, Sequence
from itertools import chain
from typing import Any

from torch import Tensor, fx, nn

from hat.data.labelled import cut_batch, labelled_rows, num_labelled, take_rows
from hat.data.sample import Batch, num_samples
from hat.models.graph.migrate import migrate_weights
from hat.models.graph.node_links import check_node_links
from hat.models.graph.topology import Topology, TopologyFunction, TopologyMapping, link, trace
from hat.models.output import ModelOutput
from hat.models.task_modules.task_module import TaskModule
from hat.models.weights import load_weights
from hat.registry import did_you_mean

#: What `GraphModel` calls its own attributes; nodes are attributes too.
_TAKEN = ("tasks", "task_weights", "balance", "active_tasks", "node_names", "topology")


class GraphModel(nn.Module):
    """Named nodes, linked once into a graph; asking for some outputs runs what they need.

    Args:
        nodes: Modules by name: backbone, neck, heads. They become modules of this one, so
            that a parameter is called `backbone.conv1.weight`.
        topology: How they are linked: a function `topology(nodes, img)` that calls the nodes
            and returns a dict of named outputs, traced once; its other parameters name keys
            of a batch. Or a mapping from each node to the name of what it reads, an input or
            a node, or a list of such names; `neck[-1]` is one item of a tuple, `neck[1:]` some.
        tasks: By the names of outputs, what makes losses and predictions of them. An output
            without a task is a prediction as it is.
        outputs: With a mapping, what each output is: a node, or `node[index]`.
        inputs: With a mapping, the keys of a batch that nodes read.
        task_weights: Factors on the losses of tasks; by default 1.
        balance: Changes the losses, all that a step has in one dict, before they are summed,
            such as `UncertaintyWeighting`.
        weights: A local file, or a checkpoint folder, with weights of this whole model.
        migrate_from: One of a model with other heads: what fits by name is copied, and the
            log says what is kept, new, dropped or reshaped; see `migrate_weights`.

    Attributes:
        topology: The graph.
        active_tasks: What is trained; all tasks, unless a callback stops some.

    Raises:
        ValueError: If the topology names what is not there, leaves a node unused or has a
            cycle; if nodes do not fit together, or a task is for no output.

    Example:
        >>> def topology(nodes, img):
        ...     features = nodes.backbone(img)
        ...     return dict(seg=nodes.seg_head(features), scene=nodes.scene_head(features[-1]))
        >>> model = GraphModel(
        ...     dict(backbone=ConvNet([8]), seg_head=FcnHead(8, 5), scene_head=LinearHead(8, 4)),
        ...     topology,
        ...     dict(seg=SegmentationTask(5), scene=ClassificationTask(4)),
        ... ).eval()
        >>> list(model({"img": torch.zeros(2, 3, 16, 16)}, outputs=["scene"]).preds)
        ['scene/logits', 'scene/classes', 'scene/scores']
    """

    def __init__(
        self,
        nodes: Mapping[str, nn.Module],
        topology: TopologyFunction | TopologyMapping | Topology,
        tasks: Mapping[str, TaskModule] | None = None,
        *,
        outputs: Mapping[str, str] | None = None,
        inputs: Sequence[str] = ("img",),
        task_weights: Mapping[str, float] | None = None,
        balance: nn.Module | None = None,
        weights: str | None = None,
        migrate_from: str | None = None,
    ) -> None:
        super().__init__()
        self.topology = _traced(nodes, topology, outputs, inputs)
        tasks = {} if tasks is None else tasks
        for name in tasks:
            _check_known(name, self.topology.outputs, "tasks", "output")
        for name in task_weights or {}:
            _check_known(name, tasks, "task_weights", "task")
        if weights is not None and migrate_from is not None:
            raise ValueError("give weights=, for the same model, or migrate_from=, not both")
        check_node_links(self.topology, nodes, tasks)
        self.node_names = tuple(nodes)
        for name, node in nodes.items():
            if name in _TAKEN or hasattr(self, name) or hasattr(fx.GraphModule, name):
                raise ValueError(f"a node cannot be called '{name}': give it another name")
            self.add_module(name, node)
        self.tasks: Mapping[str, TaskModule] = nn.ModuleDict(tasks)  # type: ignore[assignment]
        self.task_weights = dict(task_weights or {})
        self.balance: Callable[..., dict[str, Tensor]] | None = balance
        self.active_tasks = self.task_names
        self._subgraphs: dict[tuple[str, ...], fx.GraphModule] = {}
        self._linked: tuple[nn.Module | None, ...] = ()  # the modules that are in sub-graphs
        self._compile_options: dict[str, Any] | None = None
        if weights is not None:
            load_weights(self, weights)
        if migrate_from is not None:
            migrate_weights(self, migrate_from)

    @property
    def task_names(self) -> tuple[str, ...]:
        """All tasks, in the order in which they were given."""
        return tuple(self.tasks)

    def network(self, img: Tensor) -> dict[str, Any]:
        """The raw outputs of the whole graph, which reads pictures alone."""
        raw: dict[str, Any] = self.subgraph(self.topology.outputs)(img)
        return raw

    def forward(self, batch: Batch, outputs: str | Sequence[str] | None = None) -> ModelOutput:
        """Losses of the tasks that the batch has truth for; predictions in evaluation.

        Each task sees the samples that are labelled for it and no others, and its losses are
        means over these.

        Args:
            batch: The graph's inputs, such as `img` (N, 3, H, W) float32; what the tasks
                learn from; `labelled`, if not all samples have it all, see `PartialCollate`.
            outputs: What to compute, a name or several; by default what the batch is for, its
                `tasks`, or else everything. In training, tasks that are not active or have no
                truth are not computed, nor, by default, outputs without a task.

        Returns:
            Losses and predictions, by their task's name and their own: `det/cls`.

        Raises:
            ValueError: If there is no such output, or an input is missing.
        """
        names = self._wanted(batch, outputs)
        raw = self._run(names, batch)
        losses: dict[str, Tensor] = {}
        preds: dict[str, Any] = {}
        for name in names:
            if name not in self.tasks:
                preds[name] = raw[name]
                continue
            losses |= self._losses(name, raw[name], batch)
            if not self.training:
                found = self.tasks[name].predictions(raw[name], batch)
                preds |= {f"{name}/{key}": value for key, value in found.items()}
        if self.balance is not None and losses:
            losses = self.balance(losses)
        return ModelOutput(losses, preds)

    def subgraph(self, outputs: str | Sequence[str]) -> fx.GraphModule:
        """The part of the graph that some outputs need, as a module of its own.

        It is called with the inputs that it needs, by position in the order of
        `topology.inputs` or by name, and returns a dict of raw outputs. Its modules are those
        of this model, so their mode and device are too. The second call with the same outputs
        gives the same module.

        Raises:
            ValueError: If there is no such output, or none is asked for.
        """
        key = (outputs,) if isinstance(outputs, str) else tuple(outputs)
        modules = tuple(self._modules.values())
        if modules != self._linked:
            # One was put in the place of another: by SyncBatchNorm, quantization, you.
            self._subgraphs, self._linked = {}, modules
        part = self._subgraphs.get(key)
        if part is None:
            if not key:
                raise ValueError(f"ask for one of {', '.join(self.topology.outputs)} or more")
            graph = self.topology.cut(key)
            names = dict.fromkeys(str(n.target) for n in graph.find_nodes(op="call_module"))
            part = fx.GraphModule({name: getattr(self, name) for name in names}, graph)
            if self._compile_options is not None:
                part.compile(**self._compile_options)
            self._subgraphs[key] = part
        if part.training != self.training:
            part.training = self.training
        return part

    def without(self, outputs: str | Collection[str]) -> "GraphModel":
        """A model without some outputs, their tasks, and the nodes that only these need.

        It shares its modules with this one: copy it (`copy.deepcopy`) to train both apart.

        Raises:
            ValueError: If there is no such output, or none would be left.

        Example:
            >>> nodes = dict(backbone=ConvNet([8]), a=FcnHead(8, 5), b=FcnHead(8, 2))
            >>> edges = dict(backbone="img", a="backbone", b="backbone")
            >>> model = GraphModel(nodes, edges, outputs=dict(a="a", b="b"))
            >>> model.without("a").node_names
            ('backbone', 'b')
        """
        removed = [outputs] if isinstance(outputs, str) else list(outputs)
        for name in removed:
            _check_known(name, self.topology.outputs, "outputs", "output")
        left = [name for name in self.topology.outputs if name not in removed]
        if not left:
            raise ValueError(f"without {', '.join(removed)} no output would be left")
        used = self.nodes_of(left)
        tasks = {name: task for name, task in self.tasks.items() if name in left}
        model = GraphModel(
            {name: getattr(self, name) for name in self.node_names if name in used},
            Topology(self.topology.cut(left)),
            tasks,
            task_weights={n: w for n, w in self.task_weights.items() if n in tasks},
            balance=self.balance,  # type: ignore[arg-type]
        )
        model.active_tasks = tuple(name for name in self.active_tasks if name in tasks)
        model.training = model.tasks.training = self.training  # type: ignore[attr-defined]
        model._compile_options = self._compile_options
        return model

    def nodes_of(self, outputs: str | Collection[str]) -> tuple[str, ...]:
        """The names of the nodes that some outputs need, in the order in which they run."""
        return self.topology.nodes_of([outputs] if isinstance(outputs, str) else outputs)

    def shared_nodes(self) -> tuple[str, ...]:
        """The names of the nodes that two outputs or more need."""
        uses = list(chain.from_iterable(map(self.nodes_of, self.topology.outputs)))
        return tuple(name for name in self.node_names if uses.count(name) > 1)

    def named_modules_of(self, tasks: str | Collection[str]) -> dict[str, nn.Module]:
        """The nodes that some tasks need, and the tasks' own modules, by name."""
        chosen = [tasks] if isinstance(tasks, str) else list(tasks)
        found: dict[str, nn.Module] = {name: getattr(self, name) for name in self.nodes_of(chosen)}
        return found | {f"tasks.{name}": self.tasks[name] for name in chosen if name in self.tasks}

    def named_parameters_of(self, tasks: str | Collection[str]) -> dict[str, nn.Parameter]:
        """The parameters that some tasks use, by their names in this model."""
        return {
            f"{module_name}.{name}": parameter
            for module_name, module in self.named_modules_of(tasks).items()
            for name, parameter in module.named_parameters()
        }

    def named_buffers_of(self, tasks: str | Collection[str]) -> dict[str, Tensor]:
        """The buffers that some tasks use, by their names in this model."""
        return {
            f"{module_name}.{name}": buffer
            for module_name, module in self.named_modules_of(tasks).items()
            for name, buffer in module.named_buffers()
        }

    def print(self, size: tuple[int, int], batch_size: int = 1) -> None:
        """Print what each node reads, returns and costs, and which outputs need it.

        Args:
            size: Height and width of the pictures of which costs are counted.
            batch_size: How many pictures.
        """
        # Nobody who trains needs these.
        from rich.console import Console

        from hat.models.graph.cost import describe_graph

        Console(highlight=False).print(describe_graph(self, size, batch_size).table())

    def num_labelled(self, batch: Batch) -> dict[str, int]:
        """How many samples of a batch each task would learn from; tasks without any are 0."""
        return {
            name: num_labelled(batch, self.tasks[name].truth_keys)
            for name in batch.get("tasks", self.task_names)
            if name in self.active_tasks
        }

    def compile(self, **options: Any) -> None:
        """Compile each sub-graph when it is first called; the tasks run as they are."""
        self._compile_options = options
        self._subgraphs = {}

    def _wanted(self, batch: Batch, outputs: str | Sequence[str] | None) -> tuple[str, ...]:
        if outputs is None:
            everything = self.task_names if self.training and self.tasks else self.topology.outputs
            outputs = batch.get("tasks", everything)
        names = (outputs,) if isinstance(outputs, str) else tuple(outputs)
        if not self.training:
            return names
        for name in names:
            _check_known(name, self.topology.outputs, "outputs", "output")
        counts = self.num_labelled(batch | {"tasks": [n for n in names if n in self.tasks]})
        return tuple(name for name in names if name not in self.tasks or counts.get(name))

    def _run(self, names: tuple[str, ...], batch: Batch) -> dict[str, Any]:
        if not names:
            return {}
        part = self.subgraph(names)
        inputs = [str(n.target) for n in part.graph.find_nodes(op="placeholder")]
        missing = [key for key in inputs if key not in batch]
        if missing:
            raise ValueError(f"the batch lacks {missing}, which the graph reads: {sorted(batch)}")
        raw: dict[str, Any] = part(*(batch[key] for key in inputs))
        return raw

    def _losses(self, name: str, raw: Any, batch: Batch) -> dict[str, Tensor]:
        task = self.tasks[name]
        rows = labelled_rows(batch, task.truth_keys)
        if rows is not None and len(rows) < num_samples(batch):
            if len(rows) == 0:
                return {}
            raw, batch = take_rows(raw, rows), cut_batch(batch, rows)
        weight = self.task_weights.get(name, 1)
        return {
            f"{name}/{key}": loss if weight == 1 else loss * weight
            for key, loss in task.losses(raw, batch).items()
        }

    def __getstate__(self) -> dict[str, Any]:
        # Sub-graphs are made again where they are needed: copies and files do without.
        return self.__dict__ | {"_subgraphs": {}, "_linked": ()}


def _traced(
    nodes: Mapping[str, nn.Module],
    topology: TopologyFunction | TopologyMapping | Topology,
    outputs: Mapping[str, str] | None,
    inputs: Sequence[str],
) -> Topology:
    if not nodes:
        raise ValueError("GraphModel needs nodes, got none")
    for name in nodes:
        if not name.isidentifier():
            raise ValueError(f"a node cannot be called '{name}': a name has letters, digits and _")
    if isinstance(topology, Mapping):
        if not outputs:
            raise ValueError(
                "a topology that is a mapping needs outputs, such as outputs=dict(seg='seg_head')"
            )
        return link(topology, outputs, tuple(nodes), inputs)
    if outputs is not None:
        raise ValueError("a topology function returns its outputs: leave out outputs=")
    if isinstance(topology, Topology):
        return topology
    return trace(topology, tuple(nodes))


def _check_known(name: str, known: Collection[str], argument: str, what: str) -> None:
    if name not in known:
        raise ValueError(
            f"{argument} has '{name}', but there is no such {what}; there are "
            f"{', '.join(known)}.{did_you_mean(name, known)}"
        )
