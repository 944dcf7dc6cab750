from .sequential import SequentialSampler as SequentialSampler
from .shuffled import ShuffledSampler as ShuffledSampler
