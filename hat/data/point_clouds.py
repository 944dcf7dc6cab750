"""Reading lidar sweeps: bare float32 numbers become points, or an error with the name."""

import functools
import logging
from pathlib import Path

import numpy as np
import torch

logger = logging.getLogger(__name__)

#: A file of more points than this is refused before memory is taken.
MAX_POINTS = 20_000_000


def read_points(
    path: str | Path, num_columns: int = 4, *, max_points: int = MAX_POINTS
) -> torch.Tensor:
    """Read points of little-endian float32 numbers, as KITTI and nuScenes store them.

    Rows that hold NaN or infinity are left out; how many is logged, once for each file.

    Args:
        path: The file.
        num_columns: Numbers of each point: x, y, z, intensity, ...
        max_points: Larger files are refused.

    Returns:
        float32, shape (P, num_columns); an empty file gives no points.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the size of the file is no multiple of that of a point, or the
            file is too large; the message names the file.
    """
    path = Path(path)
    try:
        num_bytes = path.stat().st_size
        point_bytes = 4 * num_columns
        if num_bytes % point_bytes:
            raise ValueError(
                f"{num_bytes:,} bytes are no multiple of {point_bytes}, the size of a point of "
                f"{num_columns} float32 numbers: is the file whole, and is that its layout?"
            )
        if num_bytes > max_points * point_bytes:
            raise ValueError(f"more than {max_points:,} points are refused")
        values = np.fromfile(path, "<f4").reshape(-1, num_columns)
    except FileNotFoundError:
        raise FileNotFoundError(f"{path}: no such file") from None
    except (OSError, ValueError) as error:
        raise ValueError(f"{path}: cannot be read as points: {error}") from error
    is_finite = np.isfinite(values).all(axis=1)
    if not is_finite.all():
        _tell_once(path, len(values) - int(is_finite.sum()), len(values))
        values = values[is_finite]
    return torch.from_numpy(values)


@functools.lru_cache(maxsize=4096)
def _tell_once(path: Path, num_dropped: int, num_points: int) -> None:
    logger.warning(
        "%s: left out %d of %d points: they are not finite", path, num_dropped, num_points
    )
