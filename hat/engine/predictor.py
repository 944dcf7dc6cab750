"""Runs a model over data without training it: validation and prediction."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from hat.callbacks.base import Callback
from hat.callbacks.loss_average import LossAverage
from hat.callbacks.metric_updater import Metrics, MetricUpdater
from hat.data.loaders.device_prefetcher import DevicePrefetcher
from hat.data.loaders.multi_task_loader import MultiTaskDataLoader
from hat.engine.loop import Loop
from hat.engine.processors.batch_processor import Precision
from hat.engine.processors.inference import InferenceProcessor
from hat.engine.processors.inputs import InputPreparation
from hat.engine.progress import Plan, Progress
from hat.engine.scores import Scores
from hat.engine.trainer import default_device
from hat.models.modes import evaluating
from hat.models.structures.graph_model import GraphModel


class Predictor(Loop):
    """Runs a model over a data loader once, in evaluation mode and without gradients.

    Args:
        model: A structure, as for `Trainer`; its modes are put back afterwards.
        data_loader: Yields batches; each sample is seen once.
        metrics: Updated with every batch and its predictions. With a `GraphModel` a dict from
            its tasks to lists of metrics; see `MetricUpdater`.
        callbacks: Called as in training; hooks around the backward pass never fire.
        normalize: Turns a uint8 `img` into floats on the device; give the one that
            training uses.
        precision: `fp32`, `bf16` or `fp16`.
        device: By default the GPU if there is one, else the CPU.
        channels_last: Store weights and pictures with channels innermost.
        where: The first part of the names of the scores.
        run_dir: Where callbacks write. In `Validation`, by default the trainer's.

    Raises:
        TypeError: If the loader is a `MultiTaskDataLoader`.

    Example:
        >>> predictor = Predictor(model, loader, metrics=[Accuracy()])  # doctest: +SKIP
        >>> predictor.fit().last("val/acc").value  # doctest: +SKIP
    """

    def __init__(
        self,
        model: nn.Module,
        data_loader: Any,
        metrics: Metrics = (),
        *,
        callbacks: Sequence[Callback] = (),
        normalize: Callable[[Tensor], Tensor] | None = None,
        precision: Precision = "fp32",
        device: str | torch.device | None = None,
        channels_last: bool = False,
        where: str = "val",
        run_dir: str | Path | None = None,
    ) -> None:
        if isinstance(data_loader, MultiTaskDataLoader):
            raise TypeError(
                "a Predictor sees every sample once, and a MultiTaskDataLoader gives some again: "
                "give it a DataLoader, with PartialCollate where samples lack labels"
            )
        device = default_device() if device is None else torch.device(device)
        model.to(device, memory_format=torch.channels_last if channels_last else None)  # type: ignore[call-overload]
        inputs = InputPreparation(normalize, device=device, channels_last=channels_last)
        if run_dir is not None and hasattr(data_loader, "run_dir"):
            data_loader.run_dir = Path(run_dir)
        updater = MetricUpdater(metrics, where=where)
        updater.move_to(device)
        self.where = where
        self.device = device
        self._has_own_run_dir = run_dir is not None
        losses = LossAverage(where, model.task_names if isinstance(model, GraphModel) else ())
        self.score_names = [*losses.writes(), *updater.writes()]
        super().__init__(
            model,
            data_loader,
            InferenceProcessor(inputs, precision),
            Plan("epoch", 1, None, None),
            callbacks=[losses, updater, *callbacks],
            run_dir=None if run_dir is None else Path(run_dir),
            device=device,
        )

    def lend_run_dir(self, run_dir: Path | None) -> None:
        """Let callbacks write to the folder of a training run, if this has none of its own."""
        if not self._has_own_run_dir:
            self._use_run_dir(run_dir)

    def fit(self) -> Scores:
        """Go through the data once.

        Returns:
            The scores: `<where>/loss` where the data has truth, of a `GraphModel` also
            `<where>/<task>/loss`, and each metric.
        """
        self.progress.load_state_dict(Progress().state_dict())
        self.scores.load_state_dict({})
        with evaluating(self.model), torch.inference_mode():
            return super().fit()

    def _open_epoch(self) -> Iterator[Any]:
        return iter(DevicePrefetcher(super()._open_epoch(), self.device))
