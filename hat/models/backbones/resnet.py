"""torchvision's ResNets as backbones, with a stem for small pictures."""

from typing import ClassVar, Literal

from torch import Tensor, nn
from torchvision.models import resnet

from hat.models.weights import load_weights


class ResNet(resnet.ResNet):
    """A ResNet without its classifier; the names of its weights are torchvision's.

    Args:
        stem: `imagenet` starts with a 7x7 convolution and pooling, both of stride 2;
            `small` with a 3x3 convolution of stride 1, as usual for pictures of 28 to
            64 pixels.
        weights: A local file of torchvision's, timm's or HAT's ResNet of this depth.
        output_stride: Of the last feature, with the `imagenet` stem (a quarter of it with
            `small`). With 16 the last stage keeps its size and dilates its convolutions
            instead, with 8 the last two do, as segmentation needs it; the weights are the
            same. 18 and 34 layers have 32 only.

    Attributes:
        out_channels: Channels of each feature map that `forward` returns.

    Raises:
        ValueError: If the weights do not fit (see `hat.models.load_weights`), or the stride
            is not one of those named.

    Reference:
        He et al., Deep Residual Learning for Image Recognition, CVPR 2016, table 1; the
        stride is in the 3x3 convolution, as torchvision has it. The small stem is that
        of section 4.2 (CIFAR-10). Dilation: Chen et al., Rethinking Atrous Convolution for
        Semantic Image Segmentation, 2017, section 3.1.
    """

    block: ClassVar[type[resnet.BasicBlock | resnet.Bottleneck]]
    depths: ClassVar[tuple[int, int, int, int]]

    def __init__(
        self,
        stem: Literal["imagenet", "small"] = "imagenet",
        weights: str | None = None,
        *,
        output_stride: Literal[8, 16, 32] = 32,
    ) -> None:
        dilated = self._dilated_stages(output_stride)
        super().__init__(self.block, list(self.depths), replace_stride_with_dilation=dilated)
        self.fc = nn.Identity()
        if stem == "small":
            self.conv1 = nn.Conv2d(3, 64, 3, padding=1, bias=False)
            nn.init.kaiming_normal_(self.conv1.weight, mode="fan_out", nonlinearity="relu")
            self.maxpool = nn.Identity()
        elif stem != "imagenet":
            raise ValueError(f"stem must be 'imagenet' or 'small', got {stem!r}")
        self.out_channels = tuple(width * self.block.expansion for width in (64, 128, 256, 512))
        if weights is not None:
            load_weights(self, weights, ignore=["fc.*"])

    def _dilated_stages(self, output_stride: int) -> list[bool]:
        """Of the last three stages, which keep their size."""
        if output_stride not in (8, 16, 32):
            raise ValueError(f"output_stride must be 8, 16 or 32, got {output_stride}")
        if output_stride != 32 and self.block is resnet.BasicBlock:
            raise ValueError(
                f"{type(self).__name__} has no dilated form, its output_stride must be 32, got "
                f"{output_stride}: take ResNet50 or ResNet101"
            )
        return [False, output_stride < 16, output_stride < 32]

    def forward(self, img: Tensor) -> tuple[Tensor, ...]:
        """Feature maps of the four stages, finest first.

        Strides are 4, 8, 16, 32, none of them over `output_stride`; a quarter with `small`.
        """
        feature = self.maxpool(self.relu(self.bn1(self.conv1(img))))
        features = []
        for layer in (self.layer1, self.layer2, self.layer3, self.layer4):
            feature = layer(feature)
            features.append(feature)
        return tuple(features)


class ResNet18(ResNet):
    """ResNet of 18 layers: 11.2 million parameters, features of 64 to 512 channels."""

    block = resnet.BasicBlock
    depths = (2, 2, 2, 2)


class ResNet34(ResNet):
    """ResNet of 34 layers: 21.3 million parameters, features of 64 to 512 channels."""

    block = resnet.BasicBlock
    depths = (3, 4, 6, 3)


class ResNet50(ResNet):
    """ResNet of 50 layers: 23.5 million parameters, features of 256 to 2048 channels."""

    block = resnet.Bottleneck
    depths = (3, 4, 6, 3)


class ResNet101(ResNet):
    """ResNet of 101 layers: 42.5 million parameters, features of 256 to 2048 channels."""

    block = resnet.Bottleneck
    depths = (3, 4, 23, 3)
