"""Where metrics and callbacks draw."""

from typing import Any


def figure_class(user: str = "a plot") -> Any:
    """What makes a figure of matplotlib that `pyplot` does not keep.

    Args:
        user: What needs it, for the error.

    Raises:
        ImportError: If matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError(f"{user} needs matplotlib: pip install 'hat-framework[plot]'") from error
    return Figure


def axes_or_new(ax: Any = None, size_inches: tuple[float, float] = (6.4, 4.8)) -> tuple[Any, Any]:
    """Give the figure and the axes to draw in.

    Args:
        ax: Axes of matplotlib; None makes a figure, which is not kept by `pyplot`, so that
            one for each epoch takes no memory.
        size_inches: Width and height of a new figure.

    Returns:
        Figure and axes of matplotlib.

    Raises:
        ImportError: If matplotlib is not installed.

    Example:
        >>> figure, axes = axes_or_new()
        >>> axes.get_figure() is figure
        True
    """
    make_figure = figure_class()
    if ax is not None:
        return ax.get_figure(), ax
    figure = make_figure(figsize=size_inches, layout="constrained")
    return figure, figure.subplots()
