"""How far predicted depth is from the true one."""

import math
from typing import Any

import torch
import torchmetrics
from torch import Tensor

from hat.data.sample import Batch

#: Every score, and whether more of it is better.
_IS_BETTER_HIGH = {
    "abs_rel": False,
    "sq_rel": False,
    "rmse": False,
    "rmse_log": False,
    "silog": False,
    "delta1": True,
    "delta2": True,
    "delta3": True,
}


def depth_errors(
    depth: Tensor, preds: Tensor, *, min_depth: float = 1e-3, max_depth: float = math.inf
) -> dict[str, Tensor]:
    """Give the usual errors of each picture's depth.

    With d the predicted and t the true depth of a pixel, and e = log d - log t:

    - `abs_rel`: mean of abs(d - t) / t
    - `sq_rel`: mean of (d - t)^2 / t, metres
    - `rmse`: root of the mean of (d - t)^2, metres
    - `rmse_log`: root of the mean of e^2
    - `silog`: 100 times the standard deviation of e, which a wrong scale does not change
    - `delta1`, `delta2`, `delta3`: share of pixels with max(d / t, t / d) below 1.25, 1.25^2
      and 1.25^3

    Args:
        depth: True depth, metres, shape (N, H, W); 0 where it is not known.
        preds: Predicted depth, metres, shape (N, H, W).
        min_depth: Pixels whose true depth is not above it do not count; what is predicted is
            raised to it. Metres, above 0.
        max_depth: Pixels whose true depth is not below it do not count; what is predicted is
            lowered to it. Metres.

    Returns:
        float64 (N,) of each; NaN for a picture without a pixel that counts.

    Raises:
        ValueError: If the shapes differ or are not (N, H, W).

    Example:
        >>> errors = depth_errors(torch.tensor([[[2.0, 0.0]]]), torch.tensor([[[3.0, 9.0]]]))
        >>> errors["abs_rel"], errors["delta1"], errors["delta2"]  # 3 / 2 is below 1.25^2
        (tensor([0.5000], dtype=torch.float64), tensor([0.], dtype=torch.float64),
         tensor([1.], dtype=torch.float64))

    Reference:
        Eigen et al., Depth Map Prediction from a Single Image using a Multi-Scale Deep
        Network, NIPS 2014, table 1; `silog` as in the depth benchmark of KITTI (Uhrig et al.,
        Sparsity Invariant CNNs, 3DV 2017).
    """
    if depth.ndim != 3 or depth.shape != preds.shape:
        raise ValueError(
            f"true and predicted depth must both be (N, H, W), got {tuple(depth.shape)} and "
            f"{tuple(preds.shape)}: resize the prediction to the picture"
        )
    counts = _is_known(depth, min_depth, max_depth)
    num_pixels = counts.sum(dim=(1, 2))
    # 1 where nothing counts: neither a division nor a logarithm can then go wrong.
    true = depth.where(counts, 1).double()
    found = preds.detach().clamp(min_depth, max_depth).where(counts, 1).double()

    def mean(values: Tensor) -> Tensor:
        return values.where(counts, 0).sum(dim=(1, 2)) / num_pixels

    error, log_error = found - true, found.log() - true.log()
    ratio = torch.maximum(found / true, true / found)
    square, log_square = mean(error**2), mean(log_error**2)
    variance = (log_square - mean(log_error) ** 2).clamp(min=0)  # rounding may give -1e-17
    return {
        "abs_rel": mean(error.abs() / true),
        "sq_rel": mean(error**2 / true),
        "rmse": square.sqrt(),
        "rmse_log": log_square.sqrt(),
        "silog": 100 * variance.sqrt(),
        **{f"delta{power}": mean((ratio < 1.25**power).double()) for power in (1, 2, 3)},
    }


def _is_known(depth: Tensor, min_depth: float, max_depth: float) -> Tensor:
    return (depth > min_depth) & (depth < max_depth)


class DepthErrors(torchmetrics.Metric):
    """Errors of `depth_errors`, each the mean over the pictures of a data set.

    Every picture counts the same, however many of its pixels are known, as in the benchmark
    of KITTI and in the usual evaluation on NYU Depth: `rmse` is the mean of the pictures' roots,
    not the root over all pixels. Pictures in which nothing is known are left out. Nothing is
    scaled to the truth's median.

    Args:
        min_depth: Pixels whose true depth is not above it do not count; what is predicted is
            raised to it. Metres, above 0.
        max_depth: Pixels whose true depth is not below it do not count; what is predicted is
            lowered to it. Metres; 80 is usual on KITTI, 10 on NYU Depth.
        prefix: Stands before the name of each score, as `depth/` does with several tasks.

    Raises:
        ValueError: If the range of depth is empty or not above 0. On update, if the shapes
            of prediction and truth differ.

    Example:
        >>> metric = DepthErrors(max_depth=80)
        >>> batch = {"gt_depth": torch.tensor([[[2.0, 0.0]]])}
        >>> metric.update(batch, {"depth": torch.tensor([[[3.0, 9.0]]])})
        >>> metric.compute()["rmse"]
        tensor(1., dtype=torch.float64)

    Reference:
        Eigen et al., Depth Map Prediction from a Single Image using a Multi-Scale Deep
        Network, NIPS 2014, table 1.
    """

    full_state_update = False
    sums: Tensor
    num_pictures: Tensor

    def __init__(
        self, min_depth: float = 1e-3, max_depth: float = math.inf, *, prefix: str = ""
    ) -> None:
        super().__init__()
        if not 0 < min_depth < max_depth:
            raise ValueError(
                f"needs 0 < min_depth < max_depth, got {min_depth} and {max_depth}: logarithms "
                "are taken of depth"
            )
        self.min_depth = min_depth
        self.max_depth = max_depth
        self.score_names = [prefix + each for each in _IS_BETTER_HIGH]
        self.name = self.score_names[0]
        self.add_state(
            "sums", torch.zeros(len(_IS_BETTER_HIGH), dtype=torch.float64), dist_reduce_fx="sum"
        )
        self.add_state("num_pictures", torch.tensor(0), dist_reduce_fx="sum")

    @property
    def higher_is_better(self) -> dict[str, bool]:  # type: ignore[override]
        """Of each score: errors are better low, shares of good pixels high."""
        return dict(zip(self.score_names, _IS_BETTER_HIGH.values(), strict=True))

    def update(self, batch: Batch, preds: dict[str, Any]) -> None:
        """Count a batch: `gt_depth` and `depth`, both (N, H, W)."""
        errors = depth_errors(
            batch["gt_depth"], preds["depth"], min_depth=self.min_depth, max_depth=self.max_depth
        )
        each = torch.stack([errors[name] for name in _IS_BETTER_HIGH])  # (8, N)
        is_known = _is_known(batch["gt_depth"], self.min_depth, self.max_depth)
        has_truth = is_known.flatten(1).any(dim=1)
        self.sums += each.where(has_truth, 0).sum(dim=1)
        self.num_pictures += has_truth.sum()

    def compute(self) -> dict[str, Tensor]:
        """The mean of each error over pictures, float64 scalars by name."""
        means = self.sums / self.num_pictures
        return dict(zip(self.score_names, means, strict=True))
