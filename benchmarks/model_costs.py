"""What backbones cost: parameters and multiply-adds, beside published numbers.

    python benchmarks/model_costs.py

Parameters in millions and multiply-adds in billions for one picture of 224x224 (the size of its
weights for others), by PyTorch's own counter of FLOPs, two for each multiply-add. Nothing is
computed: models and pictures are on the meta device. Published are the numbers of torchvision's
weights. HAT's backbones have no classifier; those of torchvision that end in one are put behind a
linear layer of 1,000 classes to be compared. The VarGNets have no published column: the cost
tables of their papers were not at hand (tests/models/test_vargnet.py compares VarGFaceNet).
"""

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode
from torchvision.models import get_model_weights

from hat.models import (
    MixVarGENet,
    ResNet18,
    ResNet34,
    ResNet50,
    ResNet101,
    TinyVarGNetV2,
    TorchvisionBackbone,
    VarGNetV2,
)

RESNETS = {
    "resnet18": ResNet18,
    "resnet34": ResNet34,
    "resnet50": ResNet50,
    "resnet101": ResNet101,
}
#: Models of torchvision whose classifier is one linear layer behind the last feature map.
LINEAR = ("densenet121", "regnet_y_400mf", "shufflenet_v2_x0_5", "mobilenet_v2", "mnasnet0_5")
#: Width multipliers.
ALPHAS = (0.25, 0.5, 0.75, 1.0, 1.25, 1.5)


class WithClassifier(nn.Module):
    """A backbone, pooling and a linear layer."""

    def __init__(self, backbone: nn.Module, num_classes: int = 1000) -> None:
        super().__init__()
        self.backbone = backbone
        channels: tuple[int, ...] = backbone.out_channels  # type: ignore[assignment]
        self.fc = nn.Linear(channels[-1], num_classes)

    def forward(self, img: Tensor) -> Tensor:
        return self.fc(self.backbone(img)[-1].mean(dim=(2, 3)))


def cost(model: nn.Module, height: int = 224, width: int = 224) -> tuple[int, float]:
    """Parameters and multiply-adds of a model for one picture."""
    model = model.to("meta").eval()
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model(torch.empty(1, 3, height, width, device="meta"))
    return sum(p.numel() for p in model.parameters()), counter.get_total_flops() / 2


def published(name: str) -> tuple[int, float]:
    """Parameters and multiply-adds that torchvision lists with its weights of a model."""
    meta = next(iter(get_model_weights(name))).meta
    return meta["num_params"], meta["_ops"] * 1e9


def compared() -> dict[str, tuple[nn.Module, tuple[int, float]]]:
    """Models with a classifier, and what torchvision publishes of them."""
    rows: dict[str, tuple[nn.Module, tuple[int, float]]] = {}
    for name, make in RESNETS.items():
        with torch.device("meta"):
            rows[make.__name__] = WithClassifier(make()), published(name)
    for name in LINEAR:
        backbone = TorchvisionBackbone(name, strides=[32])
        rows[f"TorchvisionBackbone {name}"] = WithClassifier(backbone), published(name)
    return rows


def main() -> None:
    print(
        f"{'with a classifier':40} {'params M':>9} {'published':>9} {'GMACs':>8} {'published':>9}"
    )
    for name, (model, (params, macs)) in compared().items():
        ours = cost(model)
        print(
            f"{name:40} {ours[0] / 1e6:9.2f} {params / 1e6:9.2f} {ours[1] / 1e9:9.3f} "
            f"{macs / 1e9:9.3f}"
        )
    print(f"\n{'as a backbone':40} {'params M':>9} {'':9} {'GMACs':>9}")
    for kind in (VarGNetV2, TinyVarGNetV2, MixVarGENet):
        for alpha in ALPHAS:
            params, macs = cost(kind(alpha))
            print(f"{kind.__name__ + f' {alpha}x':40} {params / 1e6:9.2f} {'':9} {macs / 1e9:9.3f}")


if __name__ == "__main__":
    main()
