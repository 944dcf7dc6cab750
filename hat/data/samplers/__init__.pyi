from .sequential import SequentialSampler as SequentialSampler
from .share import share as share
from .shuffled import ShuffledSampler as ShuffledSampler
