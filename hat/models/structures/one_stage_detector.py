"""Detection in one stage: backbone, neck, head, in that order."""

from typing import Any

from torch import Tensor, nn

from hat.data.sample import Batch
from hat.models.compiling import compile_parts
from hat.models.links import check_links
from hat.models.output import ModelOutput
from hat.models.task_modules.task_module import TaskModule
from hat.models.weights import load_weights


class OneStageDetector(nn.Module):
    """Boxes straight from feature maps, as FCOS, RetinaNet, YOLOX and CenterNet find them.

    Args:
        backbone: Pictures (N, 3, H, W) into a tuple of features, finest first.
        head: Features into raw outputs of every place.
        task: Raw outputs into losses and predictions, such as `FcosTask`.
        neck: From the tuple of features to another one, in between.
        weights: A local file, or a checkpoint folder, with weights of this whole model.

    Raises:
        ValueError: If the parts have different channels or classes, or the weights do not
            fit.

    Example:
        >>> model = OneStageDetector(
        ...     ConvNet([8, 8, 8]), FcosHead(8, 3), FcosTask(3, strides=[8]), FPN([8], 8)
        ... ).eval()
        >>> len(model({"img": torch.zeros(2, 3, 64, 64)}).preds["bboxes"])
        2
    """

    def __init__(
        self,
        backbone: nn.Module,
        head: nn.Module,
        task: TaskModule,
        neck: nn.Module | None = None,
        weights: str | None = None,
    ) -> None:
        super().__init__()
        check_links(backbone=backbone, neck=neck, head=head, task=task)
        self.backbone = backbone
        self.neck = neck
        self.head = head
        self.task = task
        if weights is not None:
            load_weights(self, weights)

    def network(self, img: Tensor) -> Any:
        """The raw outputs of the head: the part that is compiled and exported."""
        features = self.backbone(img)
        if self.neck is not None:
            features = self.neck(features)
        return self.head(features)

    def forward(self, batch: Batch) -> ModelOutput:
        """Losses where the batch has truth; boxes in evaluation.

        Args:
            batch: `img` (N, 3, H, W) float32, normalised; `gt_bboxes` and `gt_classes`, or
                whatever the task learns from.

        Returns:
            Predictions are empty in training; in evaluation `bboxes` (M, 4), `classes`
            (M,) and `scores` (M,) of each picture, best first.
        """
        outputs = self.network(batch["img"])
        losses = self.task.losses(outputs, batch)
        preds = {} if self.training else self.task.predictions(outputs, batch)
        return ModelOutput(losses, preds)

    def compile(self, **options: Any) -> None:
        """Compile the network with `torch.compile`; losses and predictions run as they are."""
        compile_parts(self.backbone, self.neck, self.head, **options)
