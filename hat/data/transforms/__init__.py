"""Transforms that torchvision.transforms.v2 lacks; those of v2 are used as they are."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
