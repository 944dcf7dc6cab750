"""Heatmaps of keypoints into a loss and into positions."""

from typing import Any

import torch
from torch import Tensor

from hat.data.sample import Batch
from hat.models.boxes.points import check_levels
from hat.models.task_modules.task_module import TaskModule


class KeypointTask(TaskModule):
    """The keypoints of the one object that a picture shows, as top-down methods find them.

    A detector finds the objects, and each is cut out into a picture of its own: `gt_keypoints`
    then has one row, or none if nothing is known of it. A heatmap learns a Gaussian around
    its keypoint; of what is predicted the highest place counts, a quarter of a place moved
    towards its higher neighbour.

    Args:
        num_keypoints: Heatmaps, and keypoints of an object.
        stride: Pixels of the picture between two places of a heatmap.
        sigma: Standard deviation of the Gaussians, in places of the heatmap.

    Raises:
        ValueError: If an argument is out of range; when called, if a picture has several
            objects, or shapes do not fit.

    Example:
        >>> task = KeypointTask(num_keypoints=1, stride=4)
        >>> heatmaps = torch.zeros(1, 1, 8, 8)
        >>> heatmaps[0, 0, 2, 5] = 1
        >>> task.predictions(heatmaps, {"img": torch.zeros(1, 3, 32, 32)})["keypoints"]
        [tensor([[[22., 10.]]])]

    Reference:
        Xiao et al., Simple Baselines for Human Pose Estimation and Tracking, ECCV 2018,
        sections 2 and 4.1. Gaussians stand at the true position, not at the nearest place.
    """

    truth_keys = ("gt_keypoints",)

    def __init__(self, num_keypoints: int, stride: int = 4, sigma: float = 2.0) -> None:
        super().__init__()
        if num_keypoints < 1 or stride < 1 or sigma <= 0:
            raise ValueError(
                "KeypointTask needs num_keypoints and stride of 1 or more and sigma above 0, got "
                f"{num_keypoints}, {stride} and {sigma}"
            )
        self.num_keypoints = num_keypoints
        self.stride = stride
        self.sigma = sigma

    def losses(self, outputs: Tensor, batch: Batch) -> dict[str, Tensor]:
        """`heatmap`, the mean squared error; nothing where the batch has no `gt_keypoints`.

        Args:
            outputs: Heatmaps (N, K, h, w).
            batch: `gt_keypoints`, one (M, K, 2) for each picture, M being 0 or 1, and
                `gt_visibility` (M, K): those that are 0 are not learnt, hidden ones (1) are;
                without it all are. What lies outside the picture is not learnt.
        """
        if "gt_keypoints" not in batch:
            return {}
        heatmaps = self._checked(outputs, batch)
        points, is_known = self._truth(batch)
        size = (heatmaps.shape[2], heatmaps.shape[3])
        wanted = gaussian_heatmaps(points / self.stride, size, self.sigma)
        errors = (heatmaps - wanted).square().mean(dim=(2, 3))  # (N, K)
        return {"heatmap": (errors * is_known).sum() / is_known.sum().clamp(min=1)}

    def predictions(self, outputs: Tensor, batch: Batch) -> dict[str, Any]:
        """Positions, one object in each picture.

        Returns:
            For each picture `keypoints` (1, K, 2) in pixels, `keypoint_scores` (1, K), the heights
            of the heatmaps there, and `scores` (1,), the mean of these.
        """
        places, heights = highest_places(self._checked(outputs.detach(), batch))
        return {
            "keypoints": list((places * self.stride)[:, None]),
            "keypoint_scores": list(heights[:, None]),
            "scores": list(heights.mean(dim=1, keepdim=True)),
        }

    def _checked(self, heatmaps: Tensor, batch: Batch) -> Tensor:
        if heatmaps.ndim != 4 or heatmaps.shape[1] != self.num_keypoints:
            raise ValueError(
                f"heatmaps must be (N, num_keypoints={self.num_keypoints}, h, w), got "
                f"{tuple(heatmaps.shape)}: give head and task the same num_keypoints"
            )
        height, width = batch["img"].shape[-2:]
        check_levels([heatmaps], [self.stride], (height, width))
        return heatmaps.float()

    def _truth(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Positions, float32 (N, K, 2), and which of them are known and inside, bool (N, K)."""
        count, (height, width) = len(batch["img"]), batch["img"].shape[-2:]
        points = batch["img"].new_zeros((count, self.num_keypoints, 2), dtype=torch.float32)
        is_known = torch.zeros_like(points[..., 0], dtype=torch.bool)
        for index, rows in enumerate(batch["gt_keypoints"]):
            self._check_rows(rows, index)
            if len(rows):
                points[index] = rows[0].as_subclass(Tensor)
                is_known[index] = (
                    batch["gt_visibility"][index][0] > 0 if "gt_visibility" in batch else True
                )
        is_inside = (points >= 0) & (points < points.new_tensor([width, height]))
        return points, is_known & is_inside.all(dim=2)

    def _check_rows(self, rows: Tensor, index: int) -> None:
        if len(rows) > 1:
            raise ValueError(
                f"picture {index} of the batch has {len(rows)} objects, but KeypointTask finds the "
                "keypoints of one: cut each object out into a picture of its own"
            )
        if rows.shape[1:] != (self.num_keypoints, 2):
            raise ValueError(
                f"gt_keypoints must be (M, {self.num_keypoints}, 2), got {tuple(rows.shape)} in "
                f"picture {index} of the batch"
            )


def gaussian_heatmaps(points: Tensor, size: tuple[int, int], sigma: float) -> Tensor:
    """Maps with a Gaussian of height 1 around each point.

    Args:
        points: x, y in places of the map, (N, K, 2); 0.5 is the centre of the first place.
        size: (h, w) of the maps.
        sigma: Standard deviation, in places.

    Returns:
        (N, K, h, w).

    Example:
        >>> gaussian_heatmaps(torch.tensor([[[1.5, 0.5]]]), (1, 3), sigma=1.0)
        tensor([[[[0.6065, 1.0000, 0.6065]]]])
    """
    ys, xs = (torch.arange(side, device=points.device) + 0.5 for side in size)
    down = _bell(ys - points[..., 1:], sigma)  # (N, K, h)
    across = _bell(xs - points[..., :1], sigma)  # (N, K, w)
    return down[..., :, None] * across[..., None, :]


def _bell(distance: Tensor, sigma: float) -> Tensor:
    return torch.exp(-distance.square() / (2 * sigma**2))


def highest_places(heatmaps: Tensor) -> tuple[Tensor, Tensor]:
    """Where each map is highest, a quarter of a place moved towards the higher neighbour.

    Args:
        heatmaps: float (N, K, h, w).

    Returns:
        x, y in places of the map (N, K, 2), 0.5 being the centre of the first place, and the
        height there (N, K). At the border nothing is moved across it or away from it.

    Example:
        >>> highest_places(torch.tensor([[[[0.1, 0.9, 0.3]]]]))
        (tensor([[[1.7500, 0.5000]]]), tensor([[0.9000]]))
    """
    width = heatmaps.shape[3]
    heights, places = heatmaps.flatten(2).max(dim=2)  # (N, K)
    x, y = places % width, places // width
    row = heatmaps.gather(2, y[..., None, None].expand(-1, -1, 1, width))[:, :, 0]
    column = heatmaps.gather(3, x[..., None, None].expand(-1, -1, heatmaps.shape[2], 1))[..., 0]
    moved = [x + 0.5 + _quarter(row, x), y + 0.5 + _quarter(column, y)]
    return torch.stack(moved, dim=2), heights


def _quarter(line: Tensor, at: Tensor) -> Tensor:
    """A quarter towards the higher neighbour of a place on a line (N, K, L), or 0 at its ends."""
    last = line.shape[2] - 1
    before = line.gather(2, (at - 1).clamp(min=0)[..., None])[..., 0]
    after = line.gather(2, (at + 1).clamp(max=last)[..., None])[..., 0]
    return 0.25 * (after - before).sign() * ((at > 0) & (at < last))
