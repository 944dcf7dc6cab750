from .conv_net import ConvNet as ConvNet
from .resnet import ResNet18 as ResNet18
from .resnet import ResNet34 as ResNet34
from .resnet import ResNet50 as ResNet50
from .resnet import ResNet101 as ResNet101
from .timm_backbone import TimmBackbone as TimmBackbone
