"""RetinaNet's head: classes and box shifts of every anchor."""

from torch import Tensor, nn
from torchvision.ops import Conv2dNormActivation

from hat.models.heads.towers import Norm, init_convs, init_prior, norm_layer


class RetinaNetHead(nn.Module):
    """Two towers of convolutions, shared by all levels: classes, and boxes.

    The names of its weights are those of torchvision's `RetinaNet` below `head`.

    Args:
        in_channels: Of every feature.
        num_classes: Scores of each anchor.
        num_anchors: Anchors of each place; `RetinaNetTask.num_anchors` says how many.
        num_convs: 3x3 convolutions of each tower.
        norm: What follows each of them: `none`, as in the paper; `group` for GroupNorm with
            32 groups (fewer below 64 channels), as in torchvision's
            `retinanet_resnet50_fpn_v2`; or `batch` for BatchNorm.

    Raises:
        ValueError: If the norm is not one of the three.

    Example:
        >>> outputs = RetinaNetHead(64, 3)((torch.zeros(1, 64, 8, 8),))
        >>> outputs["cls"][0].shape, outputs["bbox"][0].shape
        (torch.Size([1, 27, 8, 8]), torch.Size([1, 36, 8, 8]))

    Reference:
        Lin et al., Focal Loss for Dense Object Detection, ICCV 2017, section 4 and figure 3.
    """

    def __init__(
        self,
        in_channels: int,
        num_classes: int,
        num_anchors: int = 9,
        *,
        num_convs: int = 4,
        norm: Norm = "none",
    ) -> None:
        super().__init__()
        self.in_channels = in_channels
        self.num_classes = num_classes
        self.num_anchors = num_anchors
        self.classification_head = nn.ModuleDict(
            {
                "conv": _tower(in_channels, num_convs, norm),
                "cls_logits": nn.Conv2d(in_channels, num_anchors * num_classes, 3, padding=1),
            }
        )
        self.regression_head = nn.ModuleDict(
            {
                "conv": _tower(in_channels, num_convs, norm),
                "bbox_reg": nn.Conv2d(in_channels, num_anchors * 4, 3, padding=1),
            }
        )
        init_convs(self)
        init_prior(self.classification_head["cls_logits"])

    def forward(self, features: tuple[Tensor, ...]) -> dict[str, tuple[Tensor, ...]]:
        """Raw maps of each level.

        Args:
            features: (N, in_channels, h, w) each.

        Returns:
            For each level `cls` (N, A * num_classes, h, w), before sigmoid, and `bbox`
            (N, A * 4, h, w), the deltas of `decode_boxes`; the channels of one anchor stand
            together.
        """
        cls, bbox = [], []
        for feature in features:
            of_class = self.classification_head["conv"](feature)
            of_box = self.regression_head["conv"](feature)
            cls.append(self.classification_head["cls_logits"](of_class))
            bbox.append(self.regression_head["bbox_reg"](of_box))
        return {"cls": tuple(cls), "bbox": tuple(bbox)}


def _tower(channels: int, num_convs: int, norm: Norm) -> nn.Sequential:
    make_norm = norm_layer(norm)
    return nn.Sequential(
        *(Conv2dNormActivation(channels, channels, norm_layer=make_norm) for _ in range(num_convs))
    )
