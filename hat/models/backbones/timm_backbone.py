"""Any model of timm as a backbone, by its name."""

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from hat.models.weights import load_weights
from hat.registry import did_you_mean


class TimmBackbone(nn.Module):
    """A timm model without its classifier.

    Args:
        name: As in `timm.list_models()`: `resnet18`, `mobilenetv3_small_100`.
        out_indices: Which stages to return as feature maps, finest first. By default
            there is one feature: what timm's own classifier would see, pooled as that
            model pools it. They count from 0 for the finest, or from -1 for the coarsest.
        weights: A local file of timm's weights for this model; the classifier's are
            left out. Nothing is ever downloaded.
        options: Further arguments of `timm.create_model`, such as `drop_path_rate`. Many
            transformers take pictures of one size only and need it told if it is not the one
            they were made for: `dict(img_size=(384, 640))`.

    Attributes:
        out_channels: Channels of each feature that `forward` returns.

    Raises:
        ImportError: If timm is not installed.
        ValueError: If timm has no such model, the model no such stage, or the weights do not
            fit.

    Example:
        >>> backbone = TimmBackbone("mobilenetv3_small_050")
        >>> backbone.out_channels
        (1024,)
    """

    def __init__(
        self,
        name: str,
        out_indices: Sequence[int] | None = None,
        weights: str | None = None,
        options: dict[str, Any] | None = None,
    ) -> None:
        super().__init__()
        self.model: Any
        self.out_channels: tuple[int, ...]
        try:
            import timm
        except ImportError as error:
            raise ImportError(
                "TimmBackbone needs one more package: pip install 'hat-framework[timm]'"
            ) from error
        if not timm.is_model(name):
            raise ValueError(f"timm has no model '{name}'.{did_you_mean(name, timm.list_models())}")
        options = dict(options or {})
        self.out_indices = out_indices
        self.is_channels_last = False
        if out_indices is None:
            self.model = timm.create_model(name, num_classes=0, **options)
            self.out_channels = (self.model.head_hidden_size,)
            if weights is not None:
                _load(self.model, name, weights)
            return
        features: dict[str, Any] = dict(features_only=True, out_indices=tuple(out_indices))
        if weights is not None:
            # timm renames and prunes for features; it knows how to take over a whole model.
            whole = timm.create_model(name, num_classes=0, **options)
            _load(whole, name, weights)
            overlay = dict(state_dict=whole.state_dict())
            features |= dict(pretrained=True, pretrained_cfg_overlay=overlay)
        try:
            self.model = timm.create_model(name, **options, **features)
        except (IndexError, AssertionError) as error:
            raise ValueError(
                f"timm's {name} has no such stages: out_indices={list(out_indices)} ({error}). "
                "They count from 0 for the finest, or from -1 for the coarsest"
            ) from error
        # Swin and some others keep channels last inside.
        self.is_channels_last = getattr(self.model, "output_fmt", None) == "NHWC"
        self.out_channels = tuple(self.model.feature_info.channels())

    def forward(self, img: Tensor) -> tuple[Tensor, ...]:
        """Features of the asked-for stages, (N, C, H, W) each; or one, pooled, (N, C)."""
        if self.out_indices is None:
            return (self.model(img),)
        features = self.model(img)
        if self.is_channels_last:
            features = (feature.permute(0, 3, 1, 2) for feature in features)
        return tuple(features)


def _load(model: nn.Module, name: str, weights: str) -> None:
    import timm

    classifier = timm.get_pretrained_cfg_value(name, "classifier") or "fc"
    prefixes = [classifier] if isinstance(classifier, str) else classifier
    load_weights(model, weights, ignore=[f"{prefix}.*" for prefix in prefixes])
