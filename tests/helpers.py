"""Small things that many tests build on."""

import functools
from typing import Any

import torch
from torch import nn

from hat.callbacks import Callback
from hat.data import DataLoader, ShuffledSampler
from hat.engine import Trainer
from hat.engine.hooks import HOOK_ARGUMENTS
from hat.models import ClassificationTask, GraphModel, ModelOutput

NUM_SAMPLES = 20


class Points(torch.utils.data.Dataset):
    """Points in the plane, class 1 above the diagonal; a little noise drawn for each sample."""

    classes = ("below", "above")

    def __init__(self, length: int = NUM_SAMPLES, noise: float = 0.0) -> None:
        self.points = torch.rand(length, 2, generator=torch.Generator().manual_seed(1))
        self.noise = noise

    def __len__(self) -> int:
        return len(self.points)

    def __getitem__(self, index: int) -> dict[str, Any]:
        point = self.points[index]
        label = int(point[1] > point[0])
        return {"x": point + self.noise * torch.randn(2), "label": label, "img_id": index}


class TinyModel(nn.Module):
    """A perceptron on `Points` that speaks the language of structures."""

    def __init__(self, dropout: float = 0.0) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(2, 8), nn.ReLU(), nn.Dropout(dropout))
        self.head = nn.Linear(8, 2)

    def forward(self, batch: dict[str, Any]) -> ModelOutput:
        logits = self.head(self.body(batch["x"]))
        losses = {"ce": nn.functional.cross_entropy(logits, batch["label"])}
        return ModelOutput(losses, {"logits": logits.detach()})


def tiny_graph(tasks: tuple[str, ...] = ("side", "other"), **kwargs: Any) -> GraphModel:
    """Tasks on `Points` with one trunk, `body`, and a head `<task>_head` each, with BatchNorm."""
    heads = {f"{task}_head": nn.Sequential(nn.BatchNorm1d(8), nn.Linear(8, 2)) for task in tasks}
    return GraphModel(
        nodes=dict(body=nn.Sequential(nn.Linear(2, 8), nn.BatchNorm1d(8), nn.ReLU()), **heads),
        topology=dict(body="x", **dict.fromkeys(heads, "body")),
        outputs={task: f"{task}_head" for task in tasks},
        inputs=["x"],
        tasks={task: ClassificationTask(2) for task in tasks},
        **kwargs,
    )


class Recorder(Callback):
    """Notes the hooks that fire, in order."""

    def __init__(self) -> None:
        self.seen: list[str] = []


def _noting(hook: str) -> Any:
    def note(self: Recorder, **kwargs: Any) -> None:
        self.seen.append(hook)

    return note


for _hook in HOOK_ARGUMENTS:
    setattr(Recorder, _hook, _noting(_hook))


def make_trainer(*, batch_size: int = 5, noise: float = 0.0, dropout: float = 0.0, **kwargs: Any):
    """A `Trainer` of `TinyModel` on `Points`, four steps an epoch; the same every time."""
    torch.manual_seed(0)
    loader = kwargs.pop("data_loader", None) or DataLoader(
        Points(noise=noise),
        batch_size=batch_size,
        sampler=ShuffledSampler(),
        num_workers=kwargs.pop("num_workers", 0),
        batches_per_step=kwargs.pop("batches_per_step", 1),
    )
    model = kwargs.pop("model", None) or TinyModel(dropout)
    optimizer = kwargs.pop("optimizer", None) or functools.partial(
        torch.optim.SGD, lr=0.1, momentum=0.9
    )
    if "num_steps" not in kwargs:
        kwargs.setdefault("num_epochs", 2)
    return Trainer(model, loader, optimizer, **kwargs)
