"""What the scores of a metric with several are called."""

from collections.abc import Iterable, Sequence
from typing import Any

from torch import Tensor


def names_in_task(name: str, *others: str) -> list[str]:
    """Give the name of the first score and those of the others, in the same task.

    Example:
        >>> names_in_task("seg/mIoU", "IoU_road")
        ['seg/mIoU', 'seg/IoU_road']
    """
    task = name[: name.rfind("/") + 1]
    return [name, *(task + other for other in others)]


def by_name(names: Sequence[str], overall: Sequence[Tensor], of_classes: Iterable[Tensor]) -> Any:
    """Give one score as it is, several by their names; those without a name are left out.

    Example:
        >>> by_name(["acc"], [torch.tensor(1.0)], torch.ones(2))
        tensor(1.)
    """
    if len(names) == 1:
        return overall[0]
    return dict(zip(names, [*overall, *of_classes], strict=False))
