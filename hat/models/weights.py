"""Weights from a local file into a module: safe formats, nothing left out in silence."""

import re
from collections.abc import Callable, Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn

from hat.registry import did_you_mean


def _halved(match: re.Match[str]) -> str:
    # Convolutions and ReLUs in turn became blocks of both.
    return f"{match[1]}.{int(match[2]) // 2}.0.{match[3]}"


def _from_zero(match: re.Match[str]) -> str:
    # Convolutions that were counted from 1 became blocks of one and a ReLU.
    return f"{match[1]}.{int(match[2]) - 1}.0.{match[3]}"


_WRAPPERS = ("state_dict", "model", "model_state_dict")

#: How published files name what HAT names otherwise: a pattern, and what to put in its place.
_RENAMINGS: tuple[tuple[str, str | Callable[[re.Match[str]], str]], ...] = (
    # DenseNets of torchvision, from when a name could have a dot.
    (r"\b(denselayer\d+\.(?:norm|conv))\.([12])\.", r"\1\2."),
    # Detectors of torchvision.
    (r"^backbone\.body\.", "backbone."),
    (r"^backbone\.fpn\.", "neck."),
    # Those from before torchvision 0.14, whose convolutions had no norm beside them.
    (r"\b((?:inner|layer)_blocks\.\d+)\.(weight|bias)$", r"\1.0.\2"),
    (r"\b((?:classification|regression)_head\.conv)\.(\d+)\.(weight|bias)$", _halved),
    (r"^(rpn\.head\.conv)\.(weight|bias)$", r"\1.0.0.\2"),
    (r"^(roi_heads\.mask_head)\.mask_fcn(\d+)\.(weight|bias)$", _from_zero),
)


def read_weights(path: str | Path) -> dict[str, Tensor]:
    """The named tensors of a weights file, on the CPU.

    Args:
        path: A `.safetensors` file; a file of `torch.save` that holds nothing but
            tensors and plain values (it is read with `weights_only=True` and never
            executed); or a checkpoint folder of HAT, whose evaluated weights are read:
            the averaged ones where there are such.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is not a file of weights.
    """
    path = Path(path)
    if path.is_dir():
        path = path / (
            "ema.safetensors" if (path / "ema.safetensors").exists() else "model.safetensors"
        )
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file of weights")
    if path.suffix == ".safetensors":
        try:
            return safetensors.torch.load_file(path)
        except safetensors.SafetensorError as error:
            raise ValueError(f"{path}: not a whole safetensors file: {error}") from error
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch.load raises many kinds for what is not its own
        raise ValueError(
            f"{path}: not a file of weights that is safe to load ({type(error).__name__}). "
            "Save a state_dict, or better a .safetensors file"
        ) from error
    return _unwrapped(content, path)


def load_weights(
    module: nn.Module, path: str | Path, *, prefix: str = "", ignore: Sequence[str] = ()
) -> None:
    """Copy the weights of a file into a module, all of them or none.

    Names of torchvision's published detectors (`backbone.body.*`, `backbone.fpn.*`) are taken
    for those of HAT's structures (`backbone.*`, `neck.*`).

    Args:
        module: Changed in place.
        path: See `read_weights`.
        prefix: Take only names that start with this, without it: `backbone.` takes the
            backbone out of a classifier's weights.
        ignore: Patterns of names to leave as they are, whatever the file holds: `head.*`.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If names or shapes of the two sides differ; the message lists them.

    Example:
        >>> load_weights(ResNet18(), "resnet18.pth", ignore=["fc.*"])  # doctest: +SKIP
    """
    everything = read_weights(path)
    weights = {n.removeprefix(prefix): w for n, w in everything.items() if n.startswith(prefix)}
    if everything and not weights:
        some = ", ".join(list(everything)[:3])
        raise ValueError(f"{path}: no name starts with '{prefix}' ({some}, ...)")
    own = module.state_dict()
    weights = _renamed(weights, own)
    weights = {n: w for n, w in weights.items() if not _matches(n, ignore)}
    # Files from before PyTorch 0.4.1, many of torchvision's, do not count batches.
    optional = (*ignore, "*num_batches_tracked")
    missing = [n for n in own if n not in weights and not _matches(n, optional)]
    unknown = [n for n in weights if n not in own]
    misfits = [
        f"{name}: file {tuple(value.shape)}, module {tuple(own[name].shape)}"
        for name, value in weights.items()
        if name in own and own[name].shape != value.shape
    ]
    if missing or unknown or misfits:
        hint = did_you_mean(missing[0], weights) if missing and weights else ""
        problems = [
            _listed("the file lacks", missing) + hint,
            _listed("the module has no", unknown),
            _listed("shapes differ:", misfits),
        ]
        text = "; ".join(problem for problem in problems if problem)
        raise ValueError(f"{path} does not fit {type(module).__name__}: {text}")
    module.load_state_dict(weights, strict=False)


def _unwrapped(content: Any, path: Path) -> dict[str, Tensor]:
    for key in _WRAPPERS:
        if isinstance(content, Mapping) and isinstance(content.get(key), Mapping):
            content = content[key]
    if not isinstance(content, Mapping) or not all(
        isinstance(value, Tensor) for value in content.values()
    ):
        raise ValueError(f"{path}: expected named tensors, got {type(content).__name__}")
    return dict(content)


def _renamed(weights: dict[str, Tensor], own: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Weights with published names changed to those of the module, where it has them."""
    renamed = {}
    for name, value in weights.items():
        changed = name
        for pattern, replacement in _RENAMINGS:
            if changed not in own:
                changed = re.sub(pattern, replacement, changed)
        is_free = changed in own and changed not in weights
        renamed[changed if is_free else name] = value
    return renamed


def _matches(name: str, patterns: Sequence[str]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def _listed(what: str, names: list[str]) -> str:
    if not names:
        return ""
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return f"{what} {', '.join(names[:5])}{more}"
