"""One value or several for each pixel: encoder, decoder, head, in that order."""

from typing import Any

from torch import Tensor, nn

from hat.data.sample import Batch
from hat.models.compiling import compile_parts
from hat.models.links import check_links
from hat.models.output import ModelOutput
from hat.models.task_modules.task_module import TaskModule
from hat.models.weights import load_weights


class EncoderDecoder(nn.Module):
    """Maps over the picture: depth, heatmaps of keypoints, whatever its task reads from them.

    Args:
        encoder: Pictures (N, 3, H, W) into a tuple of features, finest first.
        decoder: From the tuple of features to another one, finer; a neck.
        head: Features into raw outputs of every place.
        task: Raw outputs into losses and predictions, such as `DepthTask`.
        weights: A local file, or a checkpoint folder, with weights of this whole model.

    Raises:
        ValueError: If the parts have different channels, or the weights do not fit.

    Example:
        >>> model = EncoderDecoder(
        ...     ConvNet([8, 16]), UNetDecoder([8, 16], [8]), DepthHead(8), DepthTask()
        ... ).eval()
        >>> model({"img": torch.zeros(2, 3, 32, 32)}).preds["depth"].shape
        torch.Size([2, 32, 32])
    """

    def __init__(
        self,
        encoder: nn.Module,
        decoder: nn.Module,
        head: nn.Module,
        task: TaskModule,
        weights: str | None = None,
    ) -> None:
        super().__init__()
        check_links(backbone=encoder, neck=decoder, head=head, task=task)
        self.encoder = encoder
        self.decoder = decoder
        self.head = head
        self.task = task
        if weights is not None:
            load_weights(self, weights)

    def network(self, img: Tensor) -> Any:
        """The raw outputs of the head: the part that is compiled and exported."""
        return self.head(self.decoder(self.encoder(img)))

    def forward(self, batch: Batch) -> ModelOutput:
        """Losses where the batch has truth; maps in evaluation.

        Args:
            batch: `img` (N, 3, H, W) float32, normalised; what the task learns from.

        Returns:
            Predictions are empty in training.
        """
        outputs = self.network(batch["img"])
        losses = self.task.losses(outputs, batch)
        preds = {} if self.training else self.task.predictions(outputs, batch)
        return ModelOutput(losses, preds)

    def compile(self, **options: Any) -> None:
        """Compile the network with `torch.compile`; losses and predictions run as they are."""
        compile_parts(self.encoder, self.decoder, self.head, **options)
