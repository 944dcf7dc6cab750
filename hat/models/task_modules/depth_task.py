"""Logarithms of depth into losses and the depth of every pixel."""

from collections.abc import Mapping

from torch import Tensor, nn
from torch.nn import functional as F

from hat.data.sample import Batch
from hat.models.losses.scale_invariant_log_loss import ScaleInvariantLogLoss
from hat.models.task_modules.task_module import TaskModule


class DepthTask(TaskModule):
    """Losses and predictions of depth, at full resolution.

    Logarithms come at any resolution and are brought to that of the picture by bilinear
    interpolation (pixel centres aligned, not corners).

    Args:
        losses: By name, each called with depth and true depth, both (N, H, W) in metres, and
            to leave out the pixels whose true depth is 0, which is not known. By default
            `silog`, a `ScaleInvariantLogLoss`.
        max_depth: What is farther is not learnt, and predictions are cut off there, metres; 80
            is usual on KITTI, 10 on NYU Depth. By default there is no limit.

    Raises:
        ValueError: If an argument is out of range; when called, if the shapes do not fit.

    Example:
        >>> task = DepthTask()
        >>> batch = {"img": torch.zeros(1, 3, 4, 4), "gt_depth": torch.full((1, 4, 4), 2.0)}
        >>> log_depth = torch.zeros(1, 1, 2, 2)  # 1 m everywhere
        >>> task.losses(log_depth, batch)  # (1 - 1/2) * log(2)^2
        {'silog': tensor(0.2402)}
        >>> task.predictions(log_depth, batch)["depth"].shape
        torch.Size([1, 4, 4])

    Reference:
        Eigen et al., Depth Map Prediction from a Single Image using a Multi-Scale Deep
        Network, NeurIPS 2014, section 3.2.
    """

    truth_keys = ("gt_depth",)

    def __init__(
        self, losses: Mapping[str, nn.Module] | None = None, max_depth: float | None = None
    ) -> None:
        super().__init__()
        if losses is not None and not losses:
            raise ValueError("DepthTask needs at least one loss, got losses={}")
        if max_depth is not None and max_depth <= 0:
            raise ValueError(f"max_depth of DepthTask must be above 0 metres, got {max_depth}")
        self.max_depth = max_depth
        self.terms = nn.ModuleDict(losses or {"silog": ScaleInvariantLogLoss()})

    def losses(self, outputs: Tensor, batch: Batch) -> dict[str, Tensor]:
        """Named scalars; none where the batch has no `gt_depth`.

        Args:
            outputs: Natural logarithm of depth in metres, (N, 1, h, w).
            batch: `gt_depth`, float32 (N, H, W), 0 where it is not known.
        """
        if "gt_depth" not in batch:
            return {}
        truth = batch["gt_depth"].as_subclass(Tensor)
        if truth.ndim != 3 or len(truth) != len(outputs):
            raise ValueError(
                f"gt_depth must be (N, H, W) with N = {len(outputs)}, got {tuple(truth.shape)}"
            )
        if self.max_depth is not None:
            truth = truth * (truth <= self.max_depth)
        depth = _depth(outputs, truth.shape[-2:])
        return {name: loss(depth, truth) for name, loss in self.terms.items()}

    def predictions(self, outputs: Tensor, batch: Batch) -> dict[str, Tensor]:
        """The `depth` of every pixel of `img`, metres, float32 (N, H, W)."""
        depth = _depth(outputs.detach(), batch["img"].shape[-2:])
        return {"depth": depth if self.max_depth is None else depth.clamp(max=self.max_depth)}


def _depth(log_depth: Tensor, size: tuple[int, ...]) -> Tensor:
    if log_depth.ndim != 4 or log_depth.shape[1] != 1:
        raise ValueError(
            f"DepthTask takes log depth of shape (N, 1, h, w), got {tuple(log_depth.shape)}"
        )
    full = F.interpolate(log_depth.float(), size=size, mode="bilinear", align_corners=False)
    return full[:, 0].exp()
