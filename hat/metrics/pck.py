"""The share of keypoints that were found near enough."""

from collections.abc import Sequence
from typing import Any

import torch
import torchmetrics
from torch import Tensor

from hat.data.sample import Batch
from hat.metrics.score_names import by_name, names_in_task

_KEYS = ("gt_bboxes", "gt_visibility")


def correct_keypoints(points: Tensor, preds: Tensor, lengths: Tensor, alpha: float) -> Tensor:
    """Tell which keypoints are within `alpha` of a reference length from the true ones.

    Args:
        points: True positions, pixels, shape (M, K, 2).
        preds: Predicted ones, shape (M, K, 2).
        lengths: Reference length of each object, pixels, shape (M,).
        alpha: Share of that length; at exactly this distance a keypoint is correct.

    Returns:
        bool (M, K).

    Example:
        >>> points, preds = torch.zeros(1, 2, 2), torch.tensor([[[3.0, 4.0], [6.0, 0.0]]])
        >>> correct_keypoints(points, preds, torch.tensor([50.0]), alpha=0.1)
        tensor([[ True, False]])
    """
    distances = (preds.double() - points.double()).norm(dim=-1)
    return distances <= alpha * lengths.double()[:, None]


class PCK(torchmetrics.Metric):
    """Percentage of correct keypoints: the share within `alpha` of a reference length, 0..1.

    The prediction is for the objects of the batch: row m of `keypoints` belongs to row m of
    `gt_keypoints`. Keypoints with visibility 0 do not count, hidden ones do; without
    `gt_visibility` all count. All keypoints of the data set are summed and divided once.

    Args:
        num_keypoints: Keypoints of an object.
        alpha: Share of the reference length.
        reference: Ids of two keypoints whose true distance is the reference length: with those
            of the head and 0.5 this is PCKh, with shoulder and opposite hip it is the torso
            variant. Objects that lack one of them do not count. None takes the longer side of
            the object's box in `gt_bboxes`.
        names: Names of the keypoints; then each has a score too, `PCK_<name>`.
        name: What the share of all is called, after `train/` or `val/`.

    Raises:
        ValueError: If an argument does not fit. On update, if objects or keypoints of
            prediction and truth do not match.

    Example:
        >>> metric = PCK(num_keypoints=1, alpha=0.2)
        >>> batch = {"gt_bboxes": [torch.tensor([[0.0, 0.0, 10.0, 5.0]])]}
        >>> batch["gt_keypoints"] = [torch.tensor([[[4.0, 4.0]]])]
        >>> metric.update(batch, {"keypoints": [torch.tensor([[[5.0, 5.0]]])]})
        >>> metric.compute()  # 1.4 pixels away, 0.2 * 10 are allowed
        tensor(1., dtype=torch.float64)

    Reference:
        Yang and Ramanan, Articulated Human Detection with Flexible Mixtures of Parts, TPAMI
        2013, section 6.2; PCKh: Andriluka et al., 2D Human Pose Estimation, CVPR 2014.
    """

    higher_is_better = True
    full_state_update = False
    hits: Tensor
    num_points: Tensor

    def __init__(
        self,
        num_keypoints: int,
        alpha: float = 0.2,
        *,
        reference: tuple[int, int] | None = None,
        names: Sequence[str] | None = None,
        name: str = "PCK",
    ) -> None:
        super().__init__()
        if alpha <= 0:
            raise ValueError(f"alpha must be above 0, got {alpha}")
        if names is not None and len(names) != num_keypoints:
            raise ValueError(f"got {len(names)} names for {num_keypoints} keypoints")
        if reference is not None and not all(0 <= each < num_keypoints for each in reference):
            raise ValueError(
                f"reference must be two of the {num_keypoints} keypoints, from 0, got {reference}"
            )
        self.num_keypoints = num_keypoints
        self.alpha = alpha
        self.reference = reference
        self.name = name
        self.score_names = names_in_task(name, *(f"PCK_{each}" for each in names or ()))
        self.add_state("hits", torch.zeros(num_keypoints, dtype=torch.int64), dist_reduce_fx="sum")
        self.add_state(
            "num_points", torch.zeros(num_keypoints, dtype=torch.int64), dist_reduce_fx="sum"
        )

    def update(self, batch: Batch, preds: dict[str, Any]) -> None:
        """Count a batch: `gt_keypoints` and `keypoints`, lists of N, each (M, K, 2)."""
        self._check("gt_keypoints", batch["gt_keypoints"])
        self._check("keypoints", preds["keypoints"])
        true, found = (
            [len(points) for points in side] for side in (batch["gt_keypoints"], preds["keypoints"])
        )
        # A picture without objects has nothing to compare, whatever was found in it.
        if [each for each in zip(true, found, strict=True) if each[0] not in (0, each[1])]:
            raise ValueError(
                f"the pictures have {true} gt_keypoints and {found} predicted keypoints: predict "
                "them for the objects of the batch, in their order"
            )
        for picture, points in enumerate(batch["gt_keypoints"]):
            if not len(points):
                continue
            objects = {key: batch[key][picture] for key in _KEYS if key in batch}
            self._count(points.as_subclass(Tensor), preds["keypoints"][picture], objects)

    def _check(self, key: str, values: Sequence[Tensor]) -> None:
        wrong = [tuple(each.shape) for each in values if each.shape[1:] != (self.num_keypoints, 2)]
        if wrong:
            raise ValueError(
                f"{key} must be (M, {self.num_keypoints}, 2) in each picture, got {wrong[0]}"
            )

    def _count(self, points: Tensor, preds: Tensor, objects: dict[str, Tensor]) -> None:
        counts = torch.ones(points.shape[:2], dtype=torch.bool, device=points.device)
        if "gt_visibility" in objects:
            counts = objects["gt_visibility"] > 0
        if self.reference is None:
            boxes = objects["gt_bboxes"].as_subclass(Tensor)
            lengths = (boxes[:, 2:] - boxes[:, :2]).amax(dim=1)
        else:
            ends = points[:, list(self.reference)]  # (M, 2, 2)
            lengths = (ends[:, 0] - ends[:, 1]).norm(dim=-1)
            counts = counts & counts[:, list(self.reference)].all(dim=1, keepdim=True)
        correct = correct_keypoints(points, preds, lengths, self.alpha)
        self.hits += (correct & counts).sum(dim=0)
        self.num_points += counts.sum(dim=0)

    def compute(self) -> Any:
        """Share in 0..1, float64 scalar; with `names` a dict of it and of `PCK_<name>`."""
        share = self.hits.sum().double() / self.num_points.sum()
        return by_name(self.score_names, [share], self.hits.double() / self.num_points)
