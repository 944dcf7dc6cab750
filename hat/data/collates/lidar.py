"""Point clouds of all samples in one tensor."""

from collections.abc import Sequence

import torch

from hat.data.collates.stack import BatchError, Packer, common_keys, empty, name_of, pack
from hat.data.sample import Batch, Sample


class LidarCollate:
    """Puts the points of all samples into one tensor, each with the number of its sample.

    `points` becomes float32 of shape (sum of P, 1 + C): number of the sample in the
    batch, x, y, z, intensity, ..., which libraries for sparse convolution take. Points of
    one sample stand together, in the order of samples. Other keys are packed as
    `StackCollate` does.

    Raises:
        BatchError: When called, if samples have different keys, no points, or points with
            different numbers of columns. It is a ValueError.
        TypeError: When called, if a sample is no dict.

    Example:
        >>> near, far = torch.tensor([[1.0, 2, 3]]), torch.tensor([[4.0, 5, 6], [7, 8, 9]])
        >>> LidarCollate()([{"points": near}, {"points": far}])["points"]
        tensor([[0., 1., 2., 3.],
                [1., 4., 5., 6.],
                [1., 7., 8., 9.]])
    """

    def __call__(self, samples: list[Sample]) -> Batch:
        keys = common_keys(samples)
        if "points" not in keys:
            raise BatchError(f"{name_of(samples[0])} has no 'points': {sorted(keys)}")
        return {key: _joined(samples) if key == "points" else pack(key, samples) for key in keys}

    def packer(self, samples: Sequence[Sample]) -> Packer:
        """How one key of some of these samples is packed, but `points`; see `PartialCollate`."""
        return pack


def _joined(samples: Sequence[Sample]) -> torch.Tensor:
    clouds = [sample["points"].as_subclass(torch.Tensor) for sample in samples]
    num_columns = clouds[0].shape[1]
    for sample, cloud in zip(samples, clouds, strict=True):
        if cloud.shape[1] != num_columns:
            raise BatchError(
                f"'points' of {name_of(samples[0])} has {num_columns} columns, of "
                f"{name_of(sample)} {cloud.shape[1]}"
            )
    joined = empty((sum(map(len, clouds)), 1 + num_columns), torch.float32)
    start = 0
    for number, cloud in enumerate(clouds):
        joined[start : start + len(cloud), 0] = number
        joined[start : start + len(cloud), 1:] = cloud
        start += len(cloud)
    return joined
