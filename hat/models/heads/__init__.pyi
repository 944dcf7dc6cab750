from .linear_head import LinearHead as LinearHead
