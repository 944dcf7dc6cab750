"""What every data set is: a length, and a sample for each index."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any

import torch

from hat.data.datasets.description import Description, describe
from hat.data.sample import Sample
from hat.data.transforms.compose import Compose
from hat.data.transforms.mixing import MixingTransform

Transform = Callable[[Any], Any] | MixingTransform
Transforms = Transform | Sequence[Transform] | None
Color = tuple[int, int, int]


class Dataset(torch.utils.data.Dataset[Sample], ABC):
    """A map from an index to a sample, transformed.

    A subclass writes `__len__` and `load`; any other object with `__len__` and
    `__getitem__` that returns a dict works in a `DataLoader` too. A subclass whose
    labels are known without decoding pictures writes `annotation` too, and one that
    reads files `source`.

    Args:
        transform: Called with the sample as `load` made it; several are called in
            order. Any transform of `torchvision.transforms.v2` moves picture, boxes and
            masks of the sample together.

    Attributes:
        classes: The names of the classes of `label` or `gt_classes`, where there are any.
        label_classes: The names of the classes of `label`, where they are not `classes`.
        colors: RGB of each of `classes` to draw it with, 0..255.
        seg_classes: The names of the classes of `gt_seg`, where there are any.
        seg_colors: RGB of each of `seg_classes`.
    """

    classes: Sequence[str] | None = None
    label_classes: Sequence[str] | None = None
    colors: Sequence[Color] | None = None
    seg_classes: Sequence[str] | None = None
    seg_colors: Sequence[Color] | None = None

    def __init__(self, transform: Transforms = None) -> None:
        self.transform: Compose | None
        if transform is None or isinstance(transform, Compose):
            self.transform = transform
        else:
            self.transform = Compose(transform if isinstance(transform, Sequence) else [transform])

    @abstractmethod
    def __len__(self) -> int:
        """How many samples there are."""

    @abstractmethod
    def load(self, index: int) -> Sample:
        """The sample with this index, by the keys of `hat.data.sample.KEYS`, as it is on disk."""

    def annotation(self, index: int) -> Sample:
        """What is known of a sample without its pixels: `load` less `img` unless overridden.

        Descriptions, class-aware orders and groups by aspect ratio read this of every
        sample, so it should decode nothing. It has `ori_shape`, and of `label`,
        `gt_classes` and `gt_bboxes` those that `load` gives, untransformed.
        """
        sample = self.load(index)
        sample.pop("img", None)
        return sample

    def source(self, index: int) -> str | None:
        """The file that a sample comes from, to be named in errors; reads nothing."""
        return None

    def describe(self, num_masks: int = 0) -> Description:
        """How many samples, of which sizes, with how many objects or labels of each class.

        With `num_masks` so many of `gt_seg` are read, to count the pixels of each class.
        """
        return describe(self, num_masks)

    def __getitem__(self, index: int) -> Sample:
        sample = self._loaded(index)
        return sample if self.transform is None else self.transform(sample, self._draw_other)

    def _loaded(self, index: int) -> Sample:
        if not 0 <= index < len(self):
            raise IndexError(f"{type(self).__name__} has {len(self)} samples, no index {index}")
        sample = self.load(index)
        sample.setdefault("img_id", index)
        return sample

    def _draw_other(self, place: int) -> Sample:
        """A random sample after the transforms that stand before a place in the list."""
        assert self.transform is not None
        sample = self._loaded(int(torch.randint(len(self), ())))
        return self.transform(sample, self._draw_other, stop=place)
