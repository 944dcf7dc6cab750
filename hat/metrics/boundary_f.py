"""How well the boundaries of each class were found."""

import math
from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
import torch
import torchmetrics
from numpy.typing import NDArray
from torch import Tensor

from hat.data.sample import Batch
from hat.metrics.confusion import check_classes
from hat.metrics.score_names import by_name, names_in_task


def boundary_f(
    labels: NDArray[Any],
    preds: NDArray[Any],
    *,
    num_classes: int,
    tolerance_px: float,
    ignore_index: int = 255,
) -> NDArray[np.float64]:
    """Give the F-measure of each class's boundary in one picture.

    The boundary of a class are its pixels beside (left, right, above, below) a pixel of another
    class. Precision is the share of the predicted boundary that is nearer than the tolerance to
    the true one, recall the share of the true one that is nearer than it to the predicted one;
    distances are Euclidean, between centres of pixels. F is their harmonic mean.

    Args:
        labels: True class of each pixel, an integer type, shape (H, W).
        preds: Predicted class of each pixel, an integer type, shape (H, W).
        num_classes: Number of classes.
        tolerance_px: Distance in pixels, above 0; with up to 1 boundaries must be the same.
        ignore_index: What `labels` hold where nothing is labelled. There is no boundary towards
            these pixels, and none in them.

    Returns:
        float64 (num_classes,) in 0..1; NaN for a class without a boundary in either.

    Raises:
        ValueError: If the shapes differ or are not (H, W), or a pixel holds what is no class.

    Example:
        >>> labels = np.array([[0, 0, 1, 1, 1]])
        >>> preds = np.array([[0, 0, 0, 1, 1]])
        >>> boundary_f(labels, preds, num_classes=3, tolerance_px=1.5)
        array([ 1.,  1., nan])

    Reference:
        Csurka et al., What is a Good Evaluation Measure for Semantic Segmentation?, BMVC 2013,
        section 2.2; boundaries of pixels outside what is labelled are left out here.
    """
    if labels.ndim != 2 or labels.shape != preds.shape:
        raise ValueError(
            f"labels and predicted classes of a picture must both be (H, W), got {labels.shape} "
            f"and {preds.shape}"
        )
    is_labelled = labels != ignore_index
    check_classes("labels", torch.from_numpy(labels[is_labelled]), num_classes)
    check_classes("predicted classes", torch.from_numpy(preds), num_classes)
    true, found = (_boundaries(classes, is_labelled, num_classes) for classes in (labels, preds))
    disc = _disc(tolerance_px)
    pairs = zip(true, found, strict=True)
    return np.array([_f_measure(*pair, labels.shape, disc) for pair in pairs])


def _boundaries(
    classes: NDArray[Any], is_labelled: NDArray[np.bool_], num_classes: int
) -> list[NDArray[np.int64]]:
    """Flat positions of the pixels of each class's boundary."""
    positions = np.flatnonzero(_edges(classes, is_labelled))
    of_classes = classes.ravel()[positions]
    return [positions[of_classes == each] for each in range(num_classes)]


def _edges(classes: NDArray[Any], is_labelled: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Pixels beside one of another class, where both are labelled."""
    edges = np.zeros(classes.shape, bool)
    for first, second in (
        (np.s_[:, :-1], np.s_[:, 1:]),
        (np.s_[:-1], np.s_[1:]),
    ):
        differs = (classes[first] != classes[second]) & is_labelled[first] & is_labelled[second]
        edges[first] |= differs
        edges[second] |= differs
    return edges


def _f_measure(
    true: NDArray[np.int64], found: NDArray[np.int64], shape: Any, disc: NDArray[np.uint8]
) -> float:
    if not len(true) and not len(found):
        return math.nan
    if not len(true) or not len(found):
        return 0.0
    precision, recall = _share_near(found, true, shape, disc), _share_near(true, found, shape, disc)
    return 2 * precision * recall / (precision + recall) if precision else 0.0


def _share_near(
    points: NDArray[np.int64], others: NDArray[np.int64], shape: Any, disc: NDArray[np.uint8]
) -> float:
    """Which share of pixels has another one within a disc."""
    marked = np.zeros(shape, np.uint8)
    marked.ravel()[others] = 1
    # Where a disc around a marked pixel reaches: 40 times faster than exact distances.
    near = cv2.dilate(marked, disc)
    return float(near.ravel()[points].mean())


def _disc(radius_px: float) -> NDArray[np.uint8]:
    """Offsets nearer than a radius."""
    squares = np.arange(-int(radius_px), int(radius_px) + 1) ** 2
    return (np.add.outer(squares, squares) < radius_px**2).astype(np.uint8)


class BoundaryF(torchmetrics.Metric):
    """Mean over classes of the F-measure of their boundaries.

    Each picture gives a value for every class that has a boundary in its truth or prediction;
    these are averaged over the pictures, and then over the classes. So it is, other than
    `MeanIoU`, a mean over pictures, as in the paper. A class that never has a boundary is NaN
    and left out. It is computed on the CPU, about ten milliseconds
    for a picture of 360 x 480 with 11 classes.

    Args:
        num_classes: Number of classes.
        ignore_index: Pixels of `gt_seg` with this value are not labelled; there is no boundary
            towards them.
        tolerance: Boundaries match where they are nearer than this share of the picture's
            diagonal: 0.0075 in the paper, 4.5 pixels at 360 x 480. In a picture whose share is
            a pixel or less they must be the same.
        classes: Names of the classes; then each has a score too, `BF_<class>`.
        name: What the mean is called, after `train/` or `val/`.

    Raises:
        ValueError: If `classes` are not one for each class, or `tolerance` is not above 0. On
            update, if the sizes differ or a pixel holds what is no class.

    Example:
        >>> metric = BoundaryF(num_classes=2)
        >>> seg = torch.tensor([[[0, 0, 1, 1]]])
        >>> metric.update({"gt_seg": seg}, {"seg": seg})
        >>> metric.compute()
        tensor(1., dtype=torch.float64)

    Reference:
        Csurka et al., What is a Good Evaluation Measure for Semantic Segmentation?, BMVC 2013,
        section 2.2.
    """

    higher_is_better = True
    full_state_update = False
    sums: Tensor
    num_pictures: Tensor

    def __init__(
        self,
        num_classes: int,
        ignore_index: int = 255,
        *,
        tolerance: float = 0.0075,
        classes: Sequence[str] | None = None,
        name: str = "BF",
    ) -> None:
        super().__init__()
        if tolerance <= 0:
            raise ValueError(f"tolerance must be above 0, got {tolerance}")
        if classes is not None and len(classes) != num_classes:
            raise ValueError(f"got {len(classes)} names in classes for {num_classes} classes")
        self.num_classes = num_classes
        self.ignore_index = ignore_index
        self.tolerance = tolerance
        self.name = name
        self.score_names = names_in_task(name, *(f"BF_{each}" for each in classes or ()))
        sums = torch.zeros(num_classes, dtype=torch.float64)
        self.add_state("sums", sums, dist_reduce_fx="sum")
        self.add_state("num_pictures", sums.long(), dist_reduce_fx="sum")

    def update(self, batch: Batch, preds: dict[str, Any]) -> None:
        """Count a batch: `gt_seg` and `seg`, both (N, H, W)."""
        labels, found = batch["gt_seg"].cpu().numpy(), preds["seg"].cpu().numpy()
        for of_labels, of_found in zip(labels, found, strict=True):
            self._count(of_labels, of_found)

    def _count(self, labels: NDArray[Any], preds: NDArray[Any]) -> None:
        values = boundary_f(
            labels,
            preds,
            num_classes=self.num_classes,
            tolerance_px=self.tolerance * math.hypot(*labels.shape),
            ignore_index=self.ignore_index,
        )
        of_picture = torch.from_numpy(values).to(self.device)
        self.sums += of_picture.nan_to_num()
        self.num_pictures += ~of_picture.isnan()

    def compute(self) -> Any:
        """Mean in 0..1, float64 scalar; with `classes` a dict of it and of `BF_<class>`."""
        of_classes = self.sums / self.num_pictures
        return by_name(self.score_names, [of_classes.nanmean()], of_classes)
