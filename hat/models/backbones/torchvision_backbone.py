"""Any classification model of torchvision as a backbone, by its name."""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import torch
import torchvision
from torch import Tensor, nn
from torch.func import functional_call
from torch.fx import GraphModule, Tracer
from torchvision.models import get_model, list_models

from hat.models.weights import load_weights
from hat.registry import did_you_mean


class TorchvisionBackbone(nn.Module):
    """The feature maps of a torchvision classifier, the last one at each stride.

    Which layers give them is found when the backbone is built, by sending shapes through the
    model; what comes after the last one is cut off. That works for convnext, densenet,
    efficientnet, googlenet, maxvit, mnasnet, mobilenet, regnet, resnet, resnext, shufflenet,
    swin, vgg and wide_resnet models. It does not for those whose maps are no whole fraction
    of the picture (alexnet, inception, squeezenet) or that have tokens (vit); these are
    refused.

    Args:
        name: As in `torchvision.models.list_models()`: `resnet50`, `mobilenet_v3_small`.
        strides: Of the feature maps to return, some of 2, 4, 8, 16, 32, finest first. Swin
            and ConvNeXt have none at 2.
        weights: A local file of torchvision's weights for this model; those of layers that
            are cut off are left out. Nothing is ever downloaded.
        options: Further arguments of `torchvision.models.get_model`, such as
            `dict(stochastic_depth_prob=0.2)`. Models of one fixed size need theirs:
            `dict(input_size=(256, 256))` for maxvit_t.

    Attributes:
        out_channels: Channels of each feature map that `forward` returns.

    Raises:
        ValueError: If torchvision has no such model or the model no map at such a stride, or
            the weights do not fit.

    Example:
        >>> backbone = TorchvisionBackbone("mobilenet_v3_small", strides=[8, 16])
        >>> [tuple(feature.shape[1:]) for feature in backbone(torch.zeros(2, 3, 65, 97))]
        [(24, 9, 13), (48, 5, 7)]
    """

    def __init__(
        self,
        name: str,
        strides: Sequence[int] = (4, 8, 16, 32),
        weights: str | None = None,
        options: dict[str, Any] | None = None,
    ) -> None:
        super().__init__()
        names = list_models(module=torchvision.models)
        if name not in names:
            raise ValueError(f"torchvision has no classifier '{name}'.{did_you_mean(name, names)}")
        if not strides or list(strides) != sorted(set(strides)):
            raise ValueError(f"strides must be some of 2, 4, 8, 16, 32 in order, got {strides}")
        options = dict(options or {})
        whole = get_model(name, weights=None, **options)
        maps = _maps_by_stride(whole, name, options.get("input_size", (224, 224)))
        if not set(strides) <= set(maps):
            raise ValueError(
                f"{name} has feature maps at strides {', '.join(map(str, sorted(maps)))}, but "
                f"strides={list(strides)} were asked for"
            )
        found = [maps[stride] for stride in strides]
        self.out_channels = tuple(each.channels for each in found)
        self.channels_last = tuple(each.is_channels_last for each in found)
        self.model = _cut(whole, [each.layer for each in found])
        if weights is not None:
            cut_off = set(whole.state_dict()) - set(self.model.state_dict())
            # Into the whole model, whose layers the cut one shares: it knows all the names.
            load_weights(whole, weights, ignore=sorted(cut_off))

    def forward(self, img: Tensor) -> tuple[Tensor, ...]:
        """Feature maps of the asked-for strides, (N, C, H, W) each, finest first."""
        features = zip(self.model(img), self.channels_last, strict=True)
        return tuple(
            feature.permute(0, 3, 1, 2) if is_last else feature for feature, is_last in features
        )


class _Map(NamedTuple):
    layer: str
    channels: int
    is_channels_last: bool


def _maps_by_stride(model: nn.Module, name: str, size: tuple[int, int]) -> dict[int, _Map]:
    """The last feature map of each stride, by the shapes that layers return."""
    shapes = _output_shapes(model, size)
    if any(len(shape) == 3 for shape in shapes.values()):
        raise ValueError(
            f"{name} gives tokens instead of feature maps; timm arranges those of its models: "
            "TimmBackbone('vit_base_patch16_224', out_indices=[-1])"
        )
    maps = {}
    for layer, shape in shapes.items():
        for stride in (2, 4, 8, 16, 32):
            height, width = size[0] // stride, size[1] // stride
            if len(shape) == 4 and shape[2:] == (height, width):
                maps[stride] = _Map(layer, shape[1], is_channels_last=False)
            elif len(shape) == 4 and shape[1:3] == (height, width):
                maps[stride] = _Map(layer, shape[3], is_channels_last=True)
    if not maps:
        raise ValueError(
            f"{name} has no feature map that is a half, fourth, ... of the picture; take "
            "another model, such as resnet18 or mobilenet_v3_small"
        )
    return maps


def _output_shapes(model: nn.Module, size: tuple[int, int]) -> dict[str, tuple[int, ...]]:
    """What each layer returns for a picture of a size, in the order of computation."""
    shapes = {}

    def remember(layer: str) -> Any:
        def hook(module: nn.Module, inputs: Any, output: Any) -> None:
            if isinstance(output, Tensor):
                shapes[layer] = tuple(output.shape)

        return hook

    hooks = [unit.register_forward_hook(remember(layer)) for layer, unit in _units(model)]
    was_training = model.training
    state = {**dict(model.named_parameters()), **dict(model.named_buffers())}
    shadows = {key: value.to("meta") for key, value in state.items()}
    try:
        functional_call(model.eval(), shadows, (torch.empty(1, 3, *size, device="meta"),))
    finally:
        model.train(was_training)
        for handle in hooks:
            handle.remove()
    return shapes


def _cut(model: nn.Module, layers: list[str]) -> GraphModule:
    """The model up to the last of some layers, returning what each of them returns."""
    # In evaluation, where there are no auxiliary classifiers. Layers are not looked into, so
    # that they still tell training from evaluation.
    graph = _UnitTracer().trace(model.eval())
    model.train()
    nodes = {node.target: node for node in graph.nodes if node.op == "call_module"}
    graph.output_node().args = (tuple(nodes[layer] for layer in layers),)
    cut = GraphModule(model, graph)
    cut.graph.eliminate_dead_code()
    cut.recompile()
    cut.delete_all_unused_submodules()
    return cut


class _UnitTracer(Tracer):
    """Follows the model's own `forward` and takes what `_units` names as it is."""

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return type(m) not in (nn.Sequential, nn.ModuleList)


def _units(module: nn.Module, prefix: str = "") -> Iterator[tuple[str, nn.Module]]:
    """Layers and blocks, with what merely lists others opened up.

    What a block has inside may have its stride, but is not what the next block sees.
    """
    for name, child in module.named_children():
        if type(child) in (nn.Sequential, nn.ModuleList):
            yield from _units(child, f"{prefix}{name}.")
        elif not isinstance(child, nn.AdaptiveAvgPool2d):  # of one size for all pictures
            yield f"{prefix}{name}", child
