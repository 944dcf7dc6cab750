"""Picture classification: backbone, neck, head, in that order."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from hat.data.sample import Batch
from hat.models.compiling import compile_parts
from hat.models.output import ModelOutput
from hat.models.weights import load_weights


class Classifier(nn.Module):
    """One class for each picture.

    Args:
        backbone: Pictures (N, 3, H, W) into a tuple of features; the last is used.
        head: The last feature into scores before softmax, (N, num_classes).
        neck: From the tuple of features to another one, in between.
        losses: Named loss modules, each called with scores and labels; by default
            `torch.nn.CrossEntropyLoss()` under the name `ce`.
        weights: A local file, or a checkpoint folder, with weights of this whole model.

    Raises:
        ValueError: If the head expects other channels than the backbone gives, or the
            weights do not fit.

    Example:
        >>> model = Classifier(ConvNet([8]), LinearHead(8, 10)).eval()
        >>> model({"img": torch.zeros(2, 3, 16, 16)}).preds["classes"].shape
        torch.Size([2])
    """

    def __init__(
        self,
        backbone: nn.Module,
        head: nn.Module,
        neck: nn.Module | None = None,
        losses: Mapping[str, nn.Module] | None = None,
        weights: str | None = None,
    ) -> None:
        super().__init__()
        source = backbone if neck is None else neck
        given = getattr(source, "out_channels", None)
        wanted = getattr(head, "in_channels", None)
        if given is not None and wanted is not None and given[-1] != wanted:
            raise ValueError(
                f"head.in_channels is {wanted}, but {type(source).__name__} gives "
                f"{given[-1]} channels: set in_channels={given[-1]}"
            )
        self.backbone = backbone
        self.neck = neck
        self.head = head
        self.losses = nn.ModuleDict(losses if losses is not None else {"ce": nn.CrossEntropyLoss()})
        if weights is not None:
            load_weights(self, weights)

    def network(self, img: Tensor) -> Tensor:
        """Scores before softmax, (N, num_classes): the part that is compiled and exported."""
        features = self.backbone(img)
        if self.neck is not None:
            features = self.neck(features)
        return self.head(features[-1])

    def forward(self, batch: Batch) -> ModelOutput:
        """Losses where the batch has labels; predictions `logits`, `classes`, `scores`.

        Args:
            batch: `img` (N, 3, H, W) float32, normalised; `label` (N,) int64, or
                (N, num_classes) shares that sum to 1, as mixup makes them.

        Returns:
            Predictions in training are the `logits` (N, num_classes) alone; in
            evaluation also the best class, int64 (N,), and its probability, (N,).
        """
        logits = self.network(batch["img"])
        losses = {}
        if "label" in batch:
            losses = {name: loss(logits, batch["label"]) for name, loss in self.losses.items()}
        return ModelOutput(losses, self._preds(logits.detach()))

    def _preds(self, logits: Tensor) -> dict[str, Any]:
        if self.training:
            return {"logits": logits}
        scores, classes = logits.softmax(dim=1).max(dim=1)
        return {"logits": logits, "classes": classes, "scores": scores}

    def compile(self, **options: Any) -> None:
        """Compile the network with `torch.compile`; losses and predictions run as they are."""
        compile_parts(self.backbone, self.neck, self.head, **options)
