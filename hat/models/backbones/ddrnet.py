"""DDRNet: a fine and a coarse branch that exchange what they see, for real-time segmentation."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class DDRNet(nn.Module):
    """Deep dual-resolution network of 23 layers, without its segmentation heads.

    One branch keeps 1/8 of the picture's size, another goes down to 1/64 and pools context
    there; they are added to each other twice on the way and once at the end. The published
    model is this with an `FcnHead` on the last feature and, in training, another one on the
    first: `Segmentor(DDRNet(), FcnHead(128, 19, 64), task, aux_heads=[FcnHead(64, 19, 64,
    in_index=0)])` is DDRNet-23-slim for 19 classes.

    Args:
        channels: Of the stem, on which all other channels depend: 32 is DDRNet-23-slim, 64
            is DDRNet-23.
        pool_channels: Of each scale of pooled context.

    Attributes:
        out_channels: Of the fine branch after the first exchange, for an auxiliary head, and
            of the two branches together; both have stride 8.

    Raises:
        ValueError: If a number of channels is below 1.

    Example:
        >>> features = DDRNet(channels=8, pool_channels=8)(torch.zeros(2, 3, 128, 192))
        >>> [tuple(f.shape[1:]) for f in features]
        [(16, 16, 24), (32, 16, 24)]

    Reference:
        Hong et al., Deep Dual-resolution Networks for Real-time and Accurate Semantic
        Segmentation of Road Scenes, 2021, arXiv:2101.06085, table 1 and figures 3 to 5. The
        auxiliary feature passes ReLU but not the BatchNorm that the paper's head begins with.
    """

    def __init__(self, channels: int = 32, pool_channels: int = 128) -> None:
        super().__init__()
        if min(channels, pool_channels) < 1:
            raise ValueError(
                f"channels and pool_channels must be at least 1, got {channels} and {pool_channels}"
            )
        c = channels
        self.stem = nn.Sequential(
            _conv(3, c, stride=2), nn.ReLU(inplace=True), _conv(c, c, stride=2), nn.ReLU()
        )
        self.layer1 = _stage(c, c)
        self.layer2 = _stage(c, 2 * c, stride=2)
        self.coarse3 = _stage(2 * c, 4 * c, stride=2)
        self.coarse4 = _stage(4 * c, 8 * c, stride=2)
        self.coarse5 = _Bottleneck(8 * c, 8 * c, 16 * c, stride=2)
        self.fine3 = _stage(2 * c, 2 * c)
        self.fine4 = _stage(2 * c, 2 * c)
        self.fine5 = _Bottleneck(2 * c, 2 * c, 4 * c)
        self.down3 = _conv(2 * c, 4 * c, stride=2)
        self.down4 = nn.Sequential(
            _conv(2 * c, 4 * c, stride=2), nn.ReLU(inplace=True), _conv(4 * c, 8 * c, stride=2)
        )
        self.up3 = _conv(4 * c, 2 * c, kernel=1)
        self.up4 = _conv(8 * c, 2 * c, kernel=1)
        self.context = _PyramidPooling(16 * c, pool_channels, 4 * c)
        self.fused_norm = nn.BatchNorm2d(4 * c)
        self.out_channels = (2 * c, 4 * c)
        _initialise(self)

    def forward(self, img: Tensor) -> tuple[Tensor, Tensor]:
        """The auxiliary and the fused feature, both (N, C, H/8, W/8), rounded up."""
        shared = F.relu(self.layer2(F.relu(self.layer1(self.stem(img)))))  # stride 8
        coarse = self.coarse3(shared)  # stride 16
        fine = self.fine3(shared)
        coarse, fine = _exchanged(coarse, fine, self.down3, self.up3)
        auxiliary = F.relu(fine)
        coarse = self.coarse4(F.relu(coarse))  # stride 32
        fine = self.fine4(auxiliary)
        coarse, fine = _exchanged(coarse, fine, self.down4, self.up4)
        fine = self.fine5(F.relu(fine))
        coarse = self.context(self.coarse5(F.relu(coarse)))  # stride 64
        fused = self.fused_norm(fine + _resized(coarse, fine))
        return auxiliary, F.relu(fused)


def _exchanged(
    coarse: Tensor, fine: Tensor, down: nn.Module, up: nn.Module
) -> tuple[Tensor, Tensor]:
    """Bilateral fusion: each branch with what the other had, before either is activated."""
    from_fine = down(F.relu(fine))
    from_coarse = _resized(up(F.relu(coarse)), fine)
    return coarse + from_fine, fine + from_coarse


class _BasicBlock(nn.Module):
    """Two 3x3 convolutions beside a shortcut; the sum is not activated."""

    def __init__(self, in_channels: int, out_channels: int, stride: int = 1) -> None:
        super().__init__()
        self.conv1 = _conv(in_channels, out_channels, stride=stride)
        self.conv2 = _conv(out_channels, out_channels)
        self.shortcut = _shortcut(in_channels, out_channels, stride)

    def forward(self, feature: Tensor) -> Tensor:
        out: Tensor = self.conv2(F.relu(self.conv1(feature)))
        return out + self.shortcut(feature)


class _Bottleneck(nn.Module):
    """Convolutions of 1x1, 3x3 and 1x1 beside a shortcut; the sum is not activated."""

    def __init__(
        self, in_channels: int, channels: int, out_channels: int, *, stride: int = 1
    ) -> None:
        super().__init__()
        self.conv1 = _conv(in_channels, channels, kernel=1)
        self.conv2 = _conv(channels, channels, stride=stride)
        self.conv3 = _conv(channels, out_channels, kernel=1)
        self.shortcut = _shortcut(in_channels, out_channels, stride)

    def forward(self, feature: Tensor) -> Tensor:
        out: Tensor = self.conv3(F.relu(self.conv2(F.relu(self.conv1(feature)))))
        return out + self.shortcut(feature)


class _PyramidPooling(nn.Module):
    """DAPPM: context pooled over ever larger windows, each scale added to the one before."""

    def __init__(self, in_channels: int, channels: int, out_channels: int) -> None:
        super().__init__()
        pools: Sequence[nn.Module] = (
            *(nn.AvgPool2d(2 * s + 1, stride=s, padding=s) for s in (2, 4, 8)),
            nn.AdaptiveAvgPool2d(1),
        )
        self.scale0 = _pre_activated(in_channels, channels)
        self.scales = nn.ModuleList(
            nn.Sequential(pool, _pre_activated(in_channels, channels)) for pool in pools
        )
        self.processes = nn.ModuleList(
            _pre_activated(channels, channels, kernel=3) for _ in self.scales
        )
        self.compression = _pre_activated(5 * channels, out_channels)
        self.shortcut = _pre_activated(in_channels, out_channels)

    def forward(self, feature: Tensor) -> Tensor:
        found = [self.scale0(feature)]
        for scale, process in zip(self.scales, self.processes, strict=True):
            found.append(process(_resized(scale(feature), feature) + found[-1]))
        out: Tensor = self.compression(torch.cat(found, dim=1))
        return out + self.shortcut(feature)


class _PooledNorm(nn.BatchNorm2d):
    """BatchNorm that trusts its running statistics where a channel has a single value.

    A batch of one, pooled to one place, has no variance of its own.
    """

    def forward(self, feature: Tensor) -> Tensor:
        has_variance = feature.numel() > feature.shape[1]
        return F.batch_norm(
            feature,
            self.running_mean,
            self.running_var,
            self.weight,
            self.bias,
            training=self.training and has_variance,
            momentum=0.1,
            eps=self.eps,
        )


def _conv(in_channels: int, out_channels: int, *, kernel: int = 3, stride: int = 1) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(in_channels, out_channels, kernel, stride, kernel // 2, bias=False),
        nn.BatchNorm2d(out_channels),
    )


def _pre_activated(in_channels: int, out_channels: int, kernel: int = 1) -> nn.Module:
    return nn.Sequential(
        _PooledNorm(in_channels),
        nn.ReLU(inplace=True),
        nn.Conv2d(in_channels, out_channels, kernel, padding=kernel // 2, bias=False),
    )


def _stage(in_channels: int, out_channels: int, *, stride: int = 1) -> nn.Module:
    return nn.Sequential(
        _BasicBlock(in_channels, out_channels, stride),
        nn.ReLU(inplace=True),
        _BasicBlock(out_channels, out_channels),
    )


def _shortcut(in_channels: int, out_channels: int, stride: int) -> nn.Module:
    if stride == 1 and in_channels == out_channels:
        return nn.Identity()
    return _conv(in_channels, out_channels, kernel=1, stride=stride)


def _resized(feature: Tensor, like: Tensor) -> Tensor:
    return F.interpolate(feature, size=like.shape[-2:], mode="bilinear", align_corners=False)


def _initialise(module: nn.Module) -> None:
    for part in module.modules():
        if isinstance(part, nn.Conv2d):
            nn.init.kaiming_normal_(part.weight, mode="fan_out", nonlinearity="relu")
