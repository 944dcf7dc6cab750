from .compose import Compose as Compose
from .mixing import MixingTransform as MixingTransform
from .normalize import Normalize as Normalize
