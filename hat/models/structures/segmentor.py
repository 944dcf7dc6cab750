"""Semantic segmentation: backbone, neck, head, in that order."""

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from hat.data.sample import Batch
from hat.models.compiling import compile_parts
from hat.models.links import check_links
from hat.models.output import ModelOutput
from hat.models.task_modules.task_module import TaskModule
from hat.models.weights import load_weights


class Segmentor(nn.Module):
    """One class for each pixel.

    Args:
        backbone: Pictures (N, 3, H, W) into a tuple of features, finest first.
        head: Features into scores before softmax, (N, num_classes, h, w).
        task: Scores into losses and predictions, such as `SegmentationTask`.
        neck: From the tuple of features to another one, in between.
        aux_heads: Heads on features of the backbone that are there in training alone, to
            make it learn faster; their losses are the task's `aux` losses.
        weights: A local file, or a checkpoint folder, with weights of this whole model.

    Raises:
        ValueError: If the parts have different channels or classes, or the weights do not
            fit.

    Example:
        >>> model = Segmentor(ConvNet([8, 8]), FcnHead(8, 5), SegmentationTask(5)).eval()
        >>> model({"img": torch.zeros(2, 3, 30, 41)}).preds["seg"].shape
        torch.Size([2, 30, 41])
    """

    def __init__(
        self,
        backbone: nn.Module,
        head: nn.Module,
        task: TaskModule,
        neck: nn.Module | None = None,
        aux_heads: Sequence[nn.Module] = (),
        weights: str | None = None,
    ) -> None:
        super().__init__()
        check_links(backbone=backbone, neck=neck, head=head, task=task)
        for index, aux_head in enumerate(aux_heads):
            check_links(
                backbone=backbone, head=aux_head, task=task, head_name=f"aux_heads[{index}]"
            )
        self.backbone = backbone
        self.neck = neck
        self.head = head
        self.aux_heads = nn.ModuleList(aux_heads)
        self.task = task
        if weights is not None:
            load_weights(self, weights)

    def network(self, img: Tensor) -> dict[str, Any]:
        """Scores `seg`, and in training `aux`, a tuple of those of the auxiliary heads."""
        features = self.backbone(img)
        outputs = {}
        if self.training and len(self.aux_heads):
            outputs["aux"] = tuple(aux_head(features) for aux_head in self.aux_heads)
        if self.neck is not None:
            features = self.neck(features)
        outputs["seg"] = self.head(features)  # (N, num_classes, h, w)
        return outputs

    def forward(self, batch: Batch) -> ModelOutput:
        """Losses where the batch has `gt_seg`; classes of pixels in evaluation.

        Args:
            batch: `img` (N, 3, H, W) float32, normalised; `gt_seg` (N, H, W) int64, 255
                where not labelled.

        Returns:
            Predictions are empty in training; in evaluation `seg`, int64 (N, H, W).
        """
        outputs = self.network(batch["img"])
        losses = self.task.losses(outputs, batch)
        preds = {} if self.training else self.task.predictions(outputs, batch)
        return ModelOutput(losses, preds)

    def compile(self, **options: Any) -> None:
        """Compile the network with `torch.compile`; losses and predictions run as they are."""
        compile_parts(self.backbone, self.neck, self.head, *self.aux_heads, **options)
