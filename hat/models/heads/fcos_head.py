"""FCOS's head: classes, distances to the sides and centerness of every place."""

from torch import Tensor, nn

from hat.models.heads.towers import Norm, init_convs, init_prior, norm_layer


class FcosHead(nn.Module):
    """Two towers of convolutions, shared by all levels: classes, and boxes with centerness.

    The names of its weights are those of torchvision's `FCOS` below `head`.

    Args:
        in_channels: Of every feature.
        num_classes: Scores of each place.
        num_convs: 3x3 convolutions of each tower.
        norm: What follows each of them: `group` for GroupNorm with 32 groups (fewer below
            64 channels), `batch` for BatchNorm, which inference can fold away, or `none`.

    Raises:
        ValueError: If the norm is not one of the three.

    Example:
        >>> outputs = FcosHead(64, 3)((torch.zeros(1, 64, 8, 8), torch.zeros(1, 64, 4, 4)))
        >>> [output.shape[1:] for output in outputs["cls"]]
        [torch.Size([3, 8, 8]), torch.Size([3, 4, 4])]

    Reference:
        Tian et al., FCOS, ICCV 2019, figure 2; as in the extended version (TPAMI 2022),
        centerness comes from the tower of boxes, and distances are ReLU(x) in strides
        where the first had exp(x) with a scale for each level.
    """

    def __init__(
        self, in_channels: int, num_classes: int, num_convs: int = 4, *, norm: Norm = "group"
    ) -> None:
        super().__init__()
        self.in_channels = in_channels
        self.num_classes = num_classes
        self.classification_head = nn.ModuleDict(
            {
                "conv": _tower(in_channels, num_convs, norm),
                "cls_logits": nn.Conv2d(in_channels, num_classes, 3, padding=1),
            }
        )
        self.regression_head = nn.ModuleDict(
            {
                "conv": _tower(in_channels, num_convs, norm),
                "bbox_reg": nn.Conv2d(in_channels, 4, 3, padding=1),
                "bbox_ctrness": nn.Conv2d(in_channels, 1, 3, padding=1),
            }
        )
        init_convs(self)
        init_prior(self.classification_head["cls_logits"])

    def forward(self, features: tuple[Tensor, ...]) -> dict[str, tuple[Tensor, ...]]:
        """Raw maps of each level.

        Args:
            features: (N, in_channels, h, w) each.

        Returns:
            For each level `cls` (N, num_classes, h, w), before sigmoid; `bbox`
            (N, 4, h, w), left, top, right, bottom in strides, at least 0; `centerness`
            (N, 1, h, w), before sigmoid.
        """
        cls, bbox, centerness = [], [], []
        for feature in features:
            of_class = self.classification_head["conv"](feature)
            of_box = self.regression_head["conv"](feature)
            cls.append(self.classification_head["cls_logits"](of_class))
            bbox.append(self.regression_head["bbox_reg"](of_box).relu())
            centerness.append(self.regression_head["bbox_ctrness"](of_box))
        return {"cls": tuple(cls), "bbox": tuple(bbox), "centerness": tuple(centerness)}


def _tower(channels: int, num_convs: int, norm: Norm) -> nn.Sequential:
    make_norm = norm_layer(norm)
    layers: list[nn.Module] = []
    for _ in range(num_convs):
        layers.append(nn.Conv2d(channels, channels, 3, padding=1))
        if make_norm is not None:
            layers.append(make_norm(channels))
        layers.append(nn.ReLU(inplace=True))
    return nn.Sequential(*layers)
