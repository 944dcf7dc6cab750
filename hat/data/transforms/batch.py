"""Transforms of whole batches, on the device that trains, with draws for each sample."""

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from hat.data.sample import Batch
from hat.data.transforms.canvas import require_range
from hat.data.transforms.normalize import Normalize

#: The weights of red, green and blue in grey, of BT.601, as torchvision has them.
_GREY = (0.2989, 0.587, 0.114)


class BatchTransform(ABC):
    """A transform of a whole batch, which gets all its keys.

    It stands in `batch_transforms` of a batch processor, beside transforms of torchvision
    over batches such as `MixUp`, which get `img` and `label` alone. `img` is normalised
    and on the device; lists hold a tensor for each sample.

    Attributes:
        takes_partial: Whether it minds `labelled`: of a key in it, the n-th entry is of
            sample `labelled[key][n]`. Without that, batches of which some samples lack keys
            are refused.
    """

    takes_partial = False

    @abstractmethod
    def __call__(self, batch: Batch) -> Batch:
        """The changed batch; the given one is not changed."""


class BatchHorizontalFlip(BatchTransform):
    """Mirrors some pictures of a batch, with all that has a place in them.

    What a camera matrix maps to pixels follows, so that points in space, which stay as they
    are, are found where they are seen.

    Args:
        p: The probability of each picture.

    Raises:
        ValueError: If `p` is not within 0 to 1.
        ValueError: When called, if the batch has pictures of several cameras, or pictures
            that were padded to one width, whose margins must stay at the right.

    Example:
        >>> BatchHorizontalFlip(p=1)({"img": torch.tensor([[[[1.0, 2.0]]]])})["img"].tolist()
        [[[[2.0, 1.0]]]]
    """

    takes_partial = True

    def __init__(self, p: float = 0.5) -> None:
        if not 0 <= p <= 1:
            raise ValueError(f"p must be within 0 to 1, got {p}")
        self.p = p

    def __call__(self, batch: Batch) -> Batch:
        if "imgs" in batch:
            raise ValueError("pictures of several cameras cannot be mirrored one by one")
        img = batch["img"]
        widths = {int(shape[1]) for shape in batch.get("img_shape", ())}
        if widths - {img.shape[-1]}:
            raise ValueError(
                f"pictures of widths {sorted(widths)} were padded to {img.shape[-1]}: mirror them "
                "before, with v2.RandomHorizontalFlip"
            )
        is_mirrored = torch.rand(len(img)) < self.p
        width = img.shape[-1]
        mirrored: Batch = dict(batch)
        labelled = batch.get("labelled", {})
        # The draws of those samples that have a key: all, or the rows that `labelled` lists.
        on_host = {key: is_mirrored[rows.cpu()] for key, rows in labelled.items()}
        on_device = {
            key: draws.to(img.device, non_blocking=True)
            for key, draws in (*on_host.items(), ("img", is_mirrored))
        }
        for key in ("img", "gt_seg", "gt_depth"):
            if key in batch:
                value = batch[key]
                draws = on_device.get(key, on_device["img"])
                choice = draws.reshape(-1, *[1] * (value.ndim - 1))
                mirrored[key] = torch.where(choice, value.flip(-1), value)
        for key in ("camera_matrix", "projection"):
            if key in batch:
                draws = on_device.get(key, on_device["img"])
                mirrored[key] = _mirrored_cameras(batch[key], draws, width)
        for key, mirror in _MIRRORS.items():
            if key in batch:
                pairs = zip(batch[key], on_host.get(key, is_mirrored).tolist(), strict=True)
                mirrored[key] = [mirror(v, width) if is_one else v for v, is_one in pairs]
        return mirrored


def _mirrored_cameras(matrices: Tensor, is_mirrored: Tensor, width: int) -> Tensor:
    """U becomes W - u: the first row becomes W times the third, less itself."""
    first = width * matrices[:, 2] - matrices[:, 0]
    rows = torch.where(is_mirrored[:, None], first, matrices[:, 0])
    return torch.cat([rows[:, None], matrices[:, 1:]], dim=1)


def _mirrored_boxes(boxes: Tensor, width: int) -> Tensor:
    left, top, right, bottom = boxes.unbind(dim=1)
    return torch.stack([width - right, top, width - left, bottom], dim=1)


def _mirrored_points(points: Tensor, width: int) -> Tensor:
    return torch.stack([width - points[..., 0], points[..., 1]], dim=-1)


def _mirrored_masks(masks: Tensor, width: int) -> Tensor:
    return masks.flip(-1)


_MIRRORS: dict[str, Any] = {
    "gt_bboxes": _mirrored_boxes,
    "gt_ignore_bboxes": _mirrored_boxes,
    "gt_keypoints": _mirrored_points,
    "gt_lanes": _mirrored_points,
    "gt_masks": _mirrored_masks,
}


class BatchColorJitter(BatchTransform):
    """Changes brightness, contrast, saturation and hue of each picture of a batch.

    All four are one 3 x 3 matrix and an offset for each picture, which is applied at once to
    the normalised batch: brightness first, then contrast around the picture's mean grey,
    saturation, and hue as a rotation of the chroma plane of YIQ, which keeps luma (that of
    `v2.ColorJitter` turns HSV). What leaves black to white is cut once, at the end.

    Args:
        brightness: A factor is drawn from 1 - x to 1 + x.
        contrast: Likewise.
        saturation: Likewise.
        hue: A share of a full turn is drawn from -x to x, at most 0.5.
        normalize: What the batch was normalised with; by default that of a batch
            processor without one, which scales to 0..1.

    Raises:
        ValueError: If a number is negative, or `hue` above 0.5.

    Example:
        >>> jitter = BatchColorJitter(brightness=0.5)
        >>> jitter({"img": torch.full((2, 3, 4, 4), 0.5)})["img"].shape
        torch.Size([2, 3, 4, 4])
    """

    takes_partial = True

    def __init__(
        self,
        brightness: float = 0.0,
        contrast: float = 0.0,
        saturation: float = 0.0,
        hue: float = 0.0,
        *,
        normalize: Normalize | None = None,
    ) -> None:
        for name, value in (
            ("brightness", brightness),
            ("contrast", contrast),
            ("saturation", saturation),
        ):
            require_range(name, (0, value), 0, math.inf)
        require_range("hue", (0, hue), 0, 0.5)
        self.brightness = brightness
        self.contrast = contrast
        self.saturation = saturation
        self.hue = hue
        normalize = Normalize() if normalize is None else normalize
        self.mean = normalize.mean.cpu().flatten().expand(3) / 255
        self.std = normalize.std.cpu().flatten().expand(3) / 255

    def __call__(self, batch: Batch) -> Batch:
        img = batch["img"]
        count = len(img)
        brightness, contrast, saturation = (
            _factors(count, span) for span in (self.brightness, self.contrast, self.saturation)
        )
        turns = torch.empty(count).uniform_(-self.hue, self.hue)
        colors = color_matrices(saturation, turns) * (brightness * contrast)[:, None, None]
        grey_share = brightness * (1 - contrast)
        return dict(batch, img=self._applied(img, colors, grey_share))

    def _applied(self, img: Tensor, colors: Tensor, grey_share: Tensor) -> Tensor:
        """Each picture by its matrix, plus its mean grey times a factor."""
        # Small, and made on the CPU: one copy each to the device.
        matrices = colors * self.std / self.std[:, None]
        offsets = (colors @ self.mean - self.mean) / self.std
        black, white = -self.mean / self.std, (1 - self.mean) / self.std

        def moved(values: Tensor) -> Tensor:
            return values.to(img.device, img.dtype, non_blocking=True)

        pixels = img.flatten(2)
        grey_weights = torch.tensor(_GREY)
        mean_grey = pixels.mean(dim=2) @ moved(self.std * grey_weights)
        mean_grey = mean_grey + float(self.mean @ grey_weights)
        added = mean_grey[:, None] * moved(grey_share[:, None] / self.std)
        changed = torch.baddbmm((moved(offsets) + added)[:, :, None], moved(matrices), pixels)
        low, high = moved(black[:, None]), moved(white[:, None])
        return changed.clamp_(low, high).reshape(img.shape)


def _factors(count: int, span: float) -> Tensor:
    return torch.empty(count).uniform_(max(0.0, 1 - span), 1 + span)


def color_matrices(saturation: Tensor, turns: Tensor) -> Tensor:
    """Matrices that change saturation, then hue, and keep grey as it is.

    Args:
        saturation: Factors, shape (N,); 0 gives grey.
        turns: By how much hue turns, in full turns, shape (N,).

    Returns:
        float32, shape (N, 3, 3), from RGB to RGB.
    """
    to_yiq = torch.tensor(
        [[*_GREY], [0.5959, -0.2746, -0.3213], [0.2115, -0.5227, 0.3112]], dtype=torch.float64
    )
    # Grey has no chroma, to the last digit: or every turn would tint it.
    to_yiq[0] /= to_yiq[0].sum()
    to_yiq[1:] -= to_yiq[1:].mean(dim=1, keepdim=True)
    angles = 2 * math.pi * turns.double()
    cosine, sine = saturation * angles.cos(), saturation * angles.sin()
    one, zero = torch.ones_like(cosine), torch.zeros_like(cosine)
    rows: Sequence[Sequence[Tensor]] = (
        (one, zero, zero),
        (zero, cosine, sine),
        (zero, -sine, cosine),
    )
    in_yiq = torch.stack([torch.stack(list(row), dim=1) for row in rows], dim=1)
    return (to_yiq.inverse() @ in_yiq @ to_yiq).float()
