"""Precision over recall, drawn."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hat.metrics.figures import axes_or_new

Floats = NDArray[np.float64]


def draw_precision_recall(
    curves: Mapping[str, tuple[Floats, Floats]], ax: Any = None
) -> tuple[Any, Any]:
    """Draw curves of precision over recall.

    Args:
        curves: Recall and precision of each curve, rising in recall, by its label.
        ax: Axes of matplotlib to draw in; None makes a figure.

    Returns:
        Figure and axes.

    Raises:
        ImportError: If matplotlib is not installed.
    """
    figure, ax = axes_or_new(ax)
    for label, (recall, precision) in curves.items():
        ax.plot(recall, precision, label=label)
    ax.set(xlabel="recall", ylabel="precision", xlim=(0, 1.01), ylim=(0, 1.01))
    ax.grid(alpha=0.3)
    ax.legend(loc="lower left", fontsize="small")
    return figure, ax
