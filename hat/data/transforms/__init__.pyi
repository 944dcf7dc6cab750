from .compose import Compose as Compose
from .normalize import Normalize as Normalize
