from .fcn_head import FcnHead as FcnHead
from .linear_head import LinearHead as LinearHead
from .yolox_head import YoloxHead as YoloxHead
