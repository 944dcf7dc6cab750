from .aspect_ratio import AspectRatioSampler as AspectRatioSampler
from .class_balanced import ClassBalancedSampler as ClassBalancedSampler
from .repeated import RepeatedSampler as RepeatedSampler
from .sequential import SequentialSampler as SequentialSampler
from .shuffled import ShuffledSampler as ShuffledSampler
from .torch_batches import TorchBatchSampler as TorchBatchSampler
from .weighted import WeightedSampler as WeightedSampler
